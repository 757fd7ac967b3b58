"""GitHub, on githubkit: `pip install 'trigger-nb[github]'`.

```python
client.job(id="triage", integrations={"github": GitHub()})
...
issue = await io.github.issues.create("report", owner="acme", repo="shop", title="The till is stuck")
await io.github.issues.add_labels(
    "label", owner="acme", repo="shop", issue_number=issue["number"], labels=["bug"]
)
```
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Literal, TypeAlias, cast

from .._tasks.call import Call
from .._tasks.options import Options, Property
from ..errors import InvalidOptionError
from ._base import Credential, Methods
from ._github_api import Answer, GitHubApi
from ._sdk import Known, Params, SdkPath, defaults

Reaction: TypeAlias = Literal["+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes"]


def _field(label: str, field: str) -> Callable[[Answer], Iterable[Property]]:
    """A field of the answer, with a link to its page."""

    def tell(answer: Answer) -> Iterable[Property]:
        text = f"#{answer[field]}" if field == "number" else str(answer[field])
        yield Property(label, text, url=answer.get("html_url"))

    return tell


def _tree(params: Params) -> Params:
    return {**params, "tree": [dict(entry) for entry in params.get("tree", ())]}


def _recursively(params: Params) -> Params:
    """GitHub takes any text for yes."""
    rest = {name: value for name, value in params.items() if name != "recursive"}
    return {**rest, "recursive": "1"} if params.get("recursive") else rest


def _secret(params: Params) -> Params:
    """Parameters for GitHub. The secret of a webhook's configuration is hidden everywhere from now on."""
    if not isinstance(params.get("config"), Mapping):
        return params
    config = cast("Mapping[str, Any]", params["config"])
    secret = Credential('config["secret"]', config.get("secret")).find()
    return {**params, "config": dict(config) if secret is None else {**config, "secret": secret}}


def _url(params: Params) -> object:
    return params["config"].get("url")


_HOOKS = {
    "create_webhook": Known(shows={"URL": _url}, tells=_field("Webhook", "id"), prepare=_secret),
    "update_webhook": Known(shows={"Webhook": "hook_id"}, prepare=_secret),
    "delete_webhook": Known(shows={"Webhook": "hook_id"}),
}


class GitHub(GitHubApi):
    """GitHub's REST API. The client is `githubkit.GitHub`.

    **Methods** are the SDK's own, at the path that they have below `client.rest`, and return GitHub's answer as
    plain data: `io.github.repos.list_branches("branches", owner="acme", repo="shop", per_page=5)` calls
    `client.rest.repos.async_list_branches`. All of them are there; the table has those of which there is more to
    say, and two groups that are not of the SDK, `compound` and `webhooks`.

    Without a `token`, `GITHUB_TOKEN` or `GH_TOKEN` is read when it is needed. `base_url` is the API's
    address, for a GitHub Enterprise Server `https://HOST/api/v3`.

    **Retried** (https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api): 403 and 429
    caused by a rate limit: after the seconds of `retry-after`; with `x-ratelimit-remaining: 0` at
    the time of `x-ratelimit-reset`; a minute later where neither tells. 5xx; broken connections. No other
    error is: 401, a 403 for want of a permission, 404, 422 end the task at once. The error, a
    `githubkit.exception.RequestFailed`, has GitHub's message.

    GitHub takes no idempotency key: when the kernel dies between GitHub's answer and its record, or the
    connection breaks after the request was taken, the next attempt makes it again. An issue or a comment
    is then there twice. Assignees, labels, reactions, blobs, trees and updates come to the same as before. A
    ref or a webhook that is there already is refused with 422, as is deleting a ref that is gone; deleting
    a webhook that is gone is a 404.
    """

    _others = Known(prepare=_secret)
    _known: ClassVar[Mapping[str, Known]] = {
        "issues.create": Known(
            "Open an issue; the issue, with its `number`.",
            shows={"Title": "title"},
            tells=_field("Issue", "number"),
        ),
        "issues.get": Known(
            "An issue. For GitHub a pull request is an issue too.", tells=_field("State", "state")
        ),
        "issues.add_assignees": Known(
            "Assign an issue to users, by their logins; the issue. Existing assignees stay.",
            shows={"Assignees": "assignees"},
        ),
        "issues.add_labels": Known(
            "Add labels to an issue; all labels of the issue. A label that does not exist is created.",
            shows={"Labels": "labels"},
        ),
        "issues.create_comment": Known(
            "Comment on an issue; the comment, with its `id`.", tells=_field("Comment", "id")
        ),
        "pulls.create": Known(
            "Open a pull request for the branch `head` into `base`; the pull request, with its `number`.",
            "Create pull request",
            shows={"Title": "title"},
            tells=_field("Pull request", "number"),
        ),
        "repos.get": Known(
            "A repository.", "Get repository", tells=_field("Default branch", "default_branch")
        ),
        **{f"{of}.{name}": known for of in ("orgs", "repos") for name, known in _HOOKS.items()},
        "reactions.create_for_issue_comment": Known(
            "React to a comment on an issue; the reaction. A repeated reaction returns the existing one.",
            "React to comment",
            shows={"Reaction": "content"},
        ),
        "git.create_blob": Known(
            'Write a file\'s content; `{"sha": ...}`. `encoding` is "utf-8" or "base64".',
            tells=_field("Blob", "sha"),
            prepare=defaults(encoding="utf-8"),
        ),
        "git.get_blob": Known("A file's content, in base64.", shows={"Blob": "file_sha"}),
        "git.create_commit": Known(
            "Write a commit of a tree with its parents; the commit, with its `sha`. No ref is changed.",
            shows={"Message": "message"},
            tells=_field("Commit", "sha"),
        ),
        "git.get_commit": Known(
            "A commit.", shows={"Commit": "commit_sha"}, tells=_field("Message", "message")
        ),
        "git.create_ref": Known(
            'Create a branch or a tag: the full name `ref="refs/heads/fix"` for the commit `sha`; the ref.',
            shows={"Ref": "ref"},
        ),
        "git.get_ref": Known(
            'A ref, with the `object` that it names: `ref="heads/main"`, without "refs/".',
            shows={"Ref": "ref"},
        ),
        "git.list_matching_refs": Known(
            'The refs whose names start with `ref`: `ref="heads/release-"`, without "refs/".',
            "List refs",
            shows={"Ref": "ref"},
        ),
        "git.update_ref": Known(
            'Move a ref, `ref="heads/main"`, to another commit; the ref. Only `force=True` moves it backwards.',
            shows={"Ref": "ref"},
        ),
        "git.delete_ref": Known(
            'Delete a branch or a tag: `ref="heads/fix"`, without "refs/".', shows={"Ref": "ref"}
        ),
        "git.create_tag": Known(
            'Write a tag with a message for `object`, a "commit" unless `type` says otherwise; the tag, with its '
            '`sha`. It appears once a ref names it: `create_ref(..., ref="refs/tags/v1", sha=tag["sha"])`.',
            shows={"Tag": "tag"},
            tells=_field("Tag", "sha"),
            prepare=defaults(type="commit"),
        ),
        "git.get_tag": Known("A tag that has a message.", tells=_field("Tag", "tag")),
        "git.create_tree": Known(
            "Write a tree: its entries, in place of those of `base_tree`; the tree, with its `sha`. An entry is "
            '`{"path": "a/b.txt", "mode": "100644", "type": "blob", "sha": ...}`, or with `content` in place of '
            '`sha`; `"sha": None` deletes the path.',
            tells=_field("Tree", "sha"),
            prepare=_tree,
        ),
        "git.get_tree": Known(
            "A tree: `tree_sha` is its own SHA, a commit's, or a branch's name. `recursive=True` for all below it.",
            shows={"Tree": "tree_sha"},
            prepare=_recursively,
        ),
    }

    @property
    def compound(self) -> Compound:
        """Several calls as one task, each a subtask."""
        return Compound(self)

    @property
    def webhooks(self) -> Webhooks:
        """The webhooks of a repository or of an organization, of which the SDK has a group each."""
        return Webhooks(self)


class Compound(Methods[GitHub]):
    """`io.github.compound`: several calls as one task, each a subtask."""

    def create_issue_comment_with_reaction(
        self,
        key: Any,
        *,
        owner: str,
        repo: str,
        issue_number: int,
        body: str,
        reaction: Reaction,
        task_options: Options | None = None,
    ) -> Call[Answer]:
        """Comment on an issue and react to the comment; the comment.

        When the reaction fails, the comment is kept: the next pass only reacts.
        """
        where = {"owner": owner, "repo": repo, "issue_number": issue_number}
        return self._integration.task(
            key,
            self._comment_and_react,
            {**where, "body": body, "reaction": reaction},
            name="Comment and react",
            properties=self._integration._place(where),
            task_options=task_options,
        )

    async def _comment_and_react(self, params: Answer, io: Any) -> Answer:
        github: GitHub = io.use(self._integration)
        where = {"owner": params["owner"], "repo": params["repo"]}
        comment = await github.issues.create_comment(
            "comment", **where, issue_number=params["issue_number"], body=params["body"]
        )
        await github.reactions.create_for_issue_comment(
            "reaction", **where, comment_id=comment["id"], content=params["reaction"]
        )
        return comment


class Webhooks(Methods[GitHub]):
    """`io.github.webhooks`: of a repository, with `owner` and `repo`, or of an organization, with `org`."""

    def create(self, key: Any, *, task_options: Options | None = None, **params: Any) -> Call[Answer]:
        """Have events sent to `config["url"]`; the webhook, with its `id`.

        `config["secret"]`, text or a `SecretStr`, is the key that GitHub signs the events with; it is not
        stored.
        """
        return self._group(params).create_webhook(key, task_options=task_options, name="web", **params)

    def list(
        self, key: Any, *, task_options: Options | None = None, **params: Any
    ) -> Call[builtins.list[Answer]]:
        """The webhooks, a page of them."""
        return self._group(params).list_webhooks(key, task_options=task_options, **params)

    def update(self, key: Any, *, task_options: Options | None = None, **params: Any) -> Call[Answer]:
        """Change the webhook `hook_id`; the webhook. A `config` replaces the existing one with its secret."""
        return self._group(params).update_webhook(key, task_options=task_options, **params)

    def delete(self, key: Any, *, task_options: Options | None = None, **params: Any) -> Call[None]:
        """Delete the webhook `hook_id`."""
        return self._group(params).delete_webhook(key, task_options=task_options, **params)

    def _group(self, params: Params) -> SdkPath[Any]:
        """The SDK's group for the owner of webhooks."""
        owner, repo, org = (params.get(name) is not None for name in ("owner", "repo", "org"))
        if owner and repo and not org:
            return self._integration.repos
        if org and not owner and not repo:
            return self._integration.orgs
        raise InvalidOptionError(
            "a webhook belongs to a repository (pass owner= and repo=) or to an organization (pass org=)"
        )
