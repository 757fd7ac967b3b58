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
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from .._tasks.options import Options, Property
from ..errors import InvalidOptionError
from ._base import Credential, Methods
from ._github_api import Answer, GitHubApi, request
from ._github_git import Git

if TYPE_CHECKING:
    from .._tasks.call import Call

Reaction: TypeAlias = Literal["+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes"]


class GitHub(GitHubApi):
    """GitHub's REST API. The client is `githubkit.GitHub`.

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

    @property
    def issues(self) -> Issues:
        """`issues.create`, `get`, `add_assignees`, `add_labels`, `create_comment`."""
        return Issues(self)

    @property
    def repos(self) -> Repos:
        """`repos.get`."""
        return Repos(self)

    @property
    def reactions(self) -> Reactions:
        """`reactions.create_for_issue_comment`."""
        return Reactions(self)

    @property
    def compound(self) -> Compound:
        """`compound.create_issue_comment_with_reaction`."""
        return Compound(self)

    @property
    def git(self) -> Git:
        """Blobs, commits, refs, tags and trees: `git.create_blob`, `git.get_ref` and so on."""
        return Git(self)

    @property
    def webhooks(self) -> Webhooks:
        """`webhooks.create`, `list`, `update`, `delete`: of a repository or an organization."""
        return Webhooks(self)


class Issues(Methods[GitHub]):
    """`io.github.issues`. For GitHub a pull request is an issue too."""

    def create(
        self,
        key: Any,
        *,
        owner: str,
        repo: str,
        title: str,
        body: str | None = None,
        labels: Sequence[str] | None = None,
        assignees: Sequence[str] | None = None,
        milestone: int | None = None,
        task_options: Options | None = None,
        **more: Any,
    ) -> Call[Answer]:
        """Open an issue; the issue, with its `number`. `more` is whatever else the API takes."""
        params = {
            "owner": owner,
            "repo": repo,
            "title": title,
            "body": body,
            "labels": labels,
            "assignees": assignees,
            "milestone": milestone,
            **more,
        }
        return self._integration.task(
            key,
            request("issues.create", "Issue", "number"),
            params,
            name="Create issue",
            properties=[*self._integration._place(owner, repo), Property("Title", title)],
            task_options=task_options,
        )

    def get(
        self, key: Any, *, owner: str, repo: str, issue_number: int, task_options: Options | None = None
    ) -> Call[Answer]:
        """An issue."""
        return self._integration.task(
            key,
            request("issues.get", "State", "state"),
            {"owner": owner, "repo": repo, "issue_number": issue_number},
            name="Get issue",
            properties=self._integration._place(owner, repo, issue_number),
            task_options=task_options,
        )

    def add_assignees(
        self,
        key: Any,
        *,
        owner: str,
        repo: str,
        issue_number: int,
        assignees: Sequence[str],
        task_options: Options | None = None,
    ) -> Call[Answer]:
        """Assign an issue to users, by their logins; the issue. Existing assignees stay."""
        return self._integration.task(
            key,
            request("issues.add_assignees"),
            {"owner": owner, "repo": repo, "issue_number": issue_number, "assignees": assignees},
            name="Add assignees",
            task_options=task_options,
            properties=[
                *self._integration._place(owner, repo, issue_number),
                _listed("Assignees", assignees),
            ],
        )

    def add_labels(
        self,
        key: Any,
        *,
        owner: str,
        repo: str,
        issue_number: int,
        labels: Sequence[str],
        task_options: Options | None = None,
    ) -> Call[list[Answer]]:
        """Add labels to an issue; all labels of the issue. A label that does not exist is created."""
        return self._integration.task(
            key,
            request("issues.add_labels"),
            {"owner": owner, "repo": repo, "issue_number": issue_number, "labels": labels},
            name="Add labels",
            task_options=task_options,
            properties=[*self._integration._place(owner, repo, issue_number), _listed("Labels", labels)],
        )

    def create_comment(
        self,
        key: Any,
        *,
        owner: str,
        repo: str,
        issue_number: int,
        body: str,
        task_options: Options | None = None,
    ) -> Call[Answer]:
        """Comment on an issue; the comment, with its `id`."""
        return self._integration.task(
            key,
            request("issues.create_comment", "Comment", "id"),
            {"owner": owner, "repo": repo, "issue_number": issue_number, "body": body},
            name="Create comment",
            properties=self._integration._place(owner, repo, issue_number),
            task_options=task_options,
        )


class Repos(Methods[GitHub]):
    """`io.github.repos`."""

    def get(self, key: Any, *, owner: str, repo: str, task_options: Options | None = None) -> Call[Answer]:
        """A repository."""
        return self._integration.task(
            key,
            request("repos.get", "Default branch", "default_branch"),
            {"owner": owner, "repo": repo},
            name="Get repository",
            properties=self._integration._place(owner, repo),
            task_options=task_options,
        )


class Reactions(Methods[GitHub]):
    """`io.github.reactions`."""

    def create_for_issue_comment(
        self,
        key: Any,
        *,
        owner: str,
        repo: str,
        comment_id: int,
        content: Reaction,
        task_options: Options | None = None,
    ) -> Call[Answer]:
        """React to a comment on an issue; the reaction. A repeated reaction returns the existing one."""
        return self._integration.task(
            key,
            request("reactions.create_for_issue_comment"),
            {"owner": owner, "repo": repo, "comment_id": comment_id, "content": content},
            name="React to comment",
            task_options=task_options,
            properties=[*self._integration._place(owner, repo), Property("Reaction", content)],
        )


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
        params = {
            "owner": owner,
            "repo": repo,
            "issue_number": issue_number,
            "body": body,
            "reaction": reaction,
        }
        return self._integration.task(
            key,
            self._comment_and_react,
            params,
            name="Comment and react",
            properties=self._integration._place(owner, repo, issue_number),
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

    def create(
        self,
        key: Any,
        *,
        owner: str | None = None,
        repo: str | None = None,
        org: str | None = None,
        config: Mapping[str, Any],
        events: Sequence[str] | None = None,
        active: bool | None = None,
        task_options: Options | None = None,
    ) -> Call[Answer]:
        """Have events sent to `config["url"]`; the webhook, with its `id`.

        `config["secret"]`, text or a `SecretStr`, is the key that GitHub signs the events with; it is not
        stored.
        """
        group, where, shown = self._owner(owner, repo, org)
        params = {"name": "web", "config": _usable(config), "events": events, "active": active, **where}
        return self._integration.task(
            key,
            request(f"{group}.create_webhook", "Webhook", "id"),
            params,
            name="Create webhook",
            properties=[*shown, Property("URL", str(config.get("url")))],
            task_options=task_options,
        )

    def list(
        self,
        key: Any,
        *,
        owner: str | None = None,
        repo: str | None = None,
        org: str | None = None,
        per_page: int | None = None,
        page: int | None = None,
        task_options: Options | None = None,
    ) -> Call[builtins.list[Answer]]:
        """The webhooks, a page of them."""
        group, where, shown = self._owner(owner, repo, org)
        return self._integration.task(
            key,
            request(f"{group}.list_webhooks"),
            {"per_page": per_page, "page": page, **where},
            name="List webhooks",
            properties=shown,
            task_options=task_options,
        )

    def update(
        self,
        key: Any,
        *,
        owner: str | None = None,
        repo: str | None = None,
        org: str | None = None,
        hook_id: int,
        config: Mapping[str, Any] | None = None,
        events: Sequence[str] | None = None,
        active: bool | None = None,
        task_options: Options | None = None,
        **more: Any,
    ) -> Call[Answer]:
        """Change a webhook; the webhook. A `config` replaces the existing one with its secret."""
        group, where, shown = self._owner(owner, repo, org)
        config = None if config is None else _usable(config)
        params = {"hook_id": hook_id, "config": config, "events": events, "active": active, **more, **where}
        return self._integration.task(
            key,
            request(f"{group}.update_webhook"),
            params,
            name="Update webhook",
            properties=[*shown, Property("Webhook", str(hook_id))],
            task_options=task_options,
        )

    def delete(
        self,
        key: Any,
        *,
        owner: str | None = None,
        repo: str | None = None,
        org: str | None = None,
        hook_id: int,
        task_options: Options | None = None,
    ) -> Call[None]:
        """Delete a webhook."""
        group, where, shown = self._owner(owner, repo, org)
        return self._integration.task(
            key,
            request(f"{group}.delete_webhook"),
            {"hook_id": hook_id, **where},
            name="Delete webhook",
            properties=[*shown, Property("Webhook", str(hook_id))],
            task_options=task_options,
        )

    def _owner(
        self, owner: str | None, repo: str | None, org: str | None
    ) -> tuple[str, dict[str, str], builtins.list[Property]]:
        """The webhooks' owner: the API's group, its parameters, and the properties that the task shows."""
        if org is None and owner is not None and repo is not None:
            return "repos", {"owner": owner, "repo": repo}, self._integration._place(owner, repo)
        if org is not None and owner is None and repo is None:
            return "orgs", {"org": org}, self._integration._organization(org)
        raise InvalidOptionError(
            "a webhook belongs to a repository (pass owner= and repo=) or to an organization (pass org=)"
        )


def _usable(config: Mapping[str, Any]) -> dict[str, Any]:
    """A webhook's configuration for GitHub. Its secret is hidden everywhere from now on."""
    secret = Credential('config["secret"]', config.get("secret")).find()
    return dict(config) if secret is None else {**config, "secret": secret}


def _listed(label: str, names: Sequence[str]) -> Property:
    return Property(label, ", ".join(names))
