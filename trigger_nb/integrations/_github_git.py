"""GitHub's API for Git objects and refs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from .._tasks.options import Options, Property
from ._base import Methods
from ._github_api import Answer, GitHubApi, request

if TYPE_CHECKING:
    from .._tasks.call import Call


class Git(Methods[GitHubApi]):
    """`io.github.git`: the objects that a repository is made of, and the refs that name them."""

    def create_blob(
        self,
        key: Any,
        *,
        owner: str,
        repo: str,
        content: str,
        encoding: Literal["utf-8", "base64"] = "utf-8",
        task_options: Options | None = None,
    ) -> Call[Answer]:
        """Write a file's content; `{"sha": ...}`."""
        return self._integration.task(
            key,
            request("git.create_blob", "Blob", "sha"),
            {"owner": owner, "repo": repo, "content": content, "encoding": encoding},
            name="Create blob",
            properties=self._integration._place(owner, repo),
            task_options=task_options,
        )

    def get_blob(
        self, key: Any, *, owner: str, repo: str, file_sha: str, task_options: Options | None = None
    ) -> Call[Answer]:
        """A file's content, in base64."""
        return self._integration.task(
            key,
            request("git.get_blob"),
            {"owner": owner, "repo": repo, "file_sha": file_sha},
            name="Get blob",
            task_options=task_options,
            properties=[*self._integration._place(owner, repo), Property("Blob", file_sha)],
        )

    def create_commit(
        self,
        key: Any,
        *,
        owner: str,
        repo: str,
        message: str,
        tree: str,
        parents: Sequence[str] | None = None,
        author: Mapping[str, str] | None = None,
        committer: Mapping[str, str] | None = None,
        signature: str | None = None,
        task_options: Options | None = None,
    ) -> Call[Answer]:
        """Write a commit of a tree with its parents; the commit, with its `sha`. No ref is changed."""
        params = {
            "owner": owner,
            "repo": repo,
            "message": message,
            "tree": tree,
            "parents": parents,
            "author": author,
            "committer": committer,
            "signature": signature,
        }
        return self._integration.task(
            key,
            request("git.create_commit", "Commit", "sha"),
            params,
            name="Create commit",
            properties=[*self._integration._place(owner, repo), Property("Message", message)],
            task_options=task_options,
        )

    def get_commit(
        self, key: Any, *, owner: str, repo: str, commit_sha: str, task_options: Options | None = None
    ) -> Call[Answer]:
        """A commit."""
        return self._integration.task(
            key,
            request("git.get_commit", "Message", "message"),
            {"owner": owner, "repo": repo, "commit_sha": commit_sha},
            name="Get commit",
            properties=[*self._integration._place(owner, repo), Property("Commit", commit_sha)],
            task_options=task_options,
        )

    def create_ref(
        self, key: Any, *, owner: str, repo: str, ref: str, sha: str, task_options: Options | None = None
    ) -> Call[Answer]:
        """Create a branch or a tag: the full name `ref="refs/heads/fix"` for the commit `sha`; the ref."""
        return self._integration.task(
            key,
            request("git.create_ref"),
            {"owner": owner, "repo": repo, "ref": ref, "sha": sha},
            name="Create ref",
            task_options=task_options,
            properties=[*self._integration._place(owner, repo), Property("Ref", ref)],
        )

    def get_ref(
        self, key: Any, *, owner: str, repo: str, ref: str, task_options: Options | None = None
    ) -> Call[Answer]:
        """A ref, with the `object` that it names: `ref="heads/main"`, without "refs/"."""
        return self._integration.task(
            key,
            request("git.get_ref"),
            {"owner": owner, "repo": repo, "ref": ref},
            name="Get ref",
            properties=[*self._integration._place(owner, repo), Property("Ref", ref)],
            task_options=task_options,
        )

    def list_matching_refs(
        self, key: Any, *, owner: str, repo: str, ref: str, task_options: Options | None = None
    ) -> Call[list[Answer]]:
        """The refs whose names start with `ref`: `ref="heads/release-"`, without "refs/"."""
        return self._integration.task(
            key,
            request("git.list_matching_refs"),
            {"owner": owner, "repo": repo, "ref": ref},
            name="List refs",
            task_options=task_options,
            properties=[*self._integration._place(owner, repo), Property("Ref", ref)],
        )

    def update_ref(
        self,
        key: Any,
        *,
        owner: str,
        repo: str,
        ref: str,
        sha: str,
        force: bool | None = None,
        task_options: Options | None = None,
    ) -> Call[Answer]:
        """Move a ref, `ref="heads/main"`, to another commit; the ref. Only `force` moves it backwards."""
        return self._integration.task(
            key,
            request("git.update_ref"),
            {"owner": owner, "repo": repo, "ref": ref, "sha": sha, "force": force},
            name="Update ref",
            properties=[*self._integration._place(owner, repo), Property("Ref", ref)],
            task_options=task_options,
        )

    def delete_ref(
        self, key: Any, *, owner: str, repo: str, ref: str, task_options: Options | None = None
    ) -> Call[None]:
        """Delete a branch or a tag: `ref="heads/fix"`, without "refs/"."""
        return self._integration.task(
            key,
            request("git.delete_ref"),
            {"owner": owner, "repo": repo, "ref": ref},
            name="Delete ref",
            properties=[*self._integration._place(owner, repo), Property("Ref", ref)],
            task_options=task_options,
        )

    def create_tag(
        self,
        key: Any,
        *,
        owner: str,
        repo: str,
        tag: str,
        message: str,
        object: str,
        type: Literal["commit", "tree", "blob"] = "commit",
        tagger: Mapping[str, str] | None = None,
        task_options: Options | None = None,
    ) -> Call[Answer]:
        """Write a tag with a message for the object `object`; the tag, with its `sha`.

        The tag appears once a ref names it: `create_ref(..., ref="refs/tags/v1", sha=tag["sha"])`.
        """
        params = {
            "owner": owner,
            "repo": repo,
            "tag": tag,
            "message": message,
            "object": object,
            "type": type,
            "tagger": tagger,
        }
        return self._integration.task(
            key,
            request("git.create_tag", "Tag", "sha"),
            params,
            name="Create tag",
            properties=[*self._integration._place(owner, repo), Property("Tag", tag)],
            task_options=task_options,
        )

    def get_tag(
        self, key: Any, *, owner: str, repo: str, tag_sha: str, task_options: Options | None = None
    ) -> Call[Answer]:
        """A tag that has a message."""
        return self._integration.task(
            key,
            request("git.get_tag", "Tag", "tag"),
            {"owner": owner, "repo": repo, "tag_sha": tag_sha},
            name="Get tag",
            properties=self._integration._place(owner, repo),
            task_options=task_options,
        )

    def create_tree(
        self,
        key: Any,
        *,
        owner: str,
        repo: str,
        tree: Sequence[Mapping[str, Any]],
        base_tree: str | None = None,
        task_options: Options | None = None,
    ) -> Call[Answer]:
        """Write a tree: its entries, in place of those of `base_tree`; the tree, with its `sha`.

        An entry is `{"path": "a/b.txt", "mode": "100644", "type": "blob", "sha": ...}`, or with `content` in
        place of `sha`; `"sha": None` deletes the path.
        """
        params = {
            "owner": owner,
            "repo": repo,
            "tree": [dict(entry) for entry in tree],
            "base_tree": base_tree,
        }
        return self._integration.task(
            key,
            request("git.create_tree", "Tree", "sha"),
            params,
            name="Create tree",
            properties=self._integration._place(owner, repo),
            task_options=task_options,
        )

    def get_tree(
        self,
        key: Any,
        *,
        owner: str,
        repo: str,
        tree_sha: str,
        recursive: bool = False,
        task_options: Options | None = None,
    ) -> Call[Answer]:
        """A tree: `tree_sha` is its own SHA, a commit's, or a branch's name."""
        params = {"owner": owner, "repo": repo, "tree_sha": tree_sha, "recursive": "1" if recursive else None}
        return self._integration.task(
            key,
            request("git.get_tree"),
            params,
            name="Get tree",
            task_options=task_options,
            properties=[*self._integration._place(owner, repo), Property("Tree", tree_sha)],
        )
