"""A fake GitHub with one repository: its issues, Git objects and webhooks."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from itertools import count

from ._server import Answer, Json, Request, Service, route

_LIMIT = 5000  # requests an hour
_FIRST_COMMIT = "c0ffee" + 34 * "0"


class FakeGitHub(Service):
    """The part of GitHub's REST API that the integration uses, with one repository.

    - `token`: the valid token; None (the default) accepts any token, and none.
    - `owner`, `repo`: the repository (default "acme/shop").

    `issues`, `comments`, `refs` and `hooks` are its state. Like GitHub, it has no idempotency keys: a
    repeated request takes effect twice.
    """

    def __init__(self, *, token: str | None = None, owner: str = "acme", repo: str = "shop") -> None:
        super().__init__()
        self.issues: dict[int, Json] = {}
        self.comments: dict[int, Json] = {}
        self.reactions: dict[tuple[int, str], Json] = {}  # by comment and content
        self.objects: dict[str, Json] = {_FIRST_COMMIT: {"sha": _FIRST_COMMIT, "parents": []}}
        self.refs = {"heads/main": _FIRST_COMMIT}
        self.hooks: dict[int, Json] = {}
        self._token = token  # the valid credential; None: any
        self._name = f"{owner}/{repo}"
        self._page = f"https://github.com/{owner}/{repo}"
        self._ids = count(1)

    # Issues -----------------------------------------------------------------------------------

    @route("GET", "/repos/{owner}/{repo}")
    def repository(self, request: Request, **_: str) -> Json:
        return {"id": 1, "full_name": self._name, "html_url": self._page, "default_branch": "main"}

    @route("POST", "/repos/{owner}/{repo}/issues")
    def create_issue(self, request: Request, **_: str) -> Answer:
        if not request.json.get("title"):
            return _invalid("Issue", "title", "missing_field")
        number = len(self.issues) + 1
        self.issues[number] = {
            "number": number,
            "state": "open",
            "title": request.json["title"],
            "body": request.json.get("body"),
            "html_url": f"{self._page}/issues/{number}",
            "created_at": "2030-01-01T00:00:00Z",
            "labels": _named(request.json.get("labels", [])),
            "assignees": _people(request.json.get("assignees", [])),
        }
        return Answer(201, self.issues[number])

    @route("GET", "/repos/{owner}/{repo}/issues/{number}")
    def get_issue(self, request: Request, number: str, **_: str) -> Answer | Json:
        return self.issues.get(int(number)) or self.error(404, "Not Found")

    @route("POST", "/repos/{owner}/{repo}/issues/{number}/assignees")
    def add_assignees(self, request: Request, number: str, **_: str) -> Answer:
        issue = self.issues[int(number)]
        issue["assignees"] += [
            one for one in _people(request.json["assignees"]) if one not in issue["assignees"]
        ]
        return Answer(201, issue)

    @route("POST", "/repos/{owner}/{repo}/issues/{number}/labels")
    def add_labels(self, request: Request, number: str, **_: str) -> list[Json]:
        labels = self.issues[int(number)]["labels"]
        labels += [one for one in _named(request.json["labels"]) if one not in labels]
        return labels

    @route("POST", "/repos/{owner}/{repo}/issues/{number}/comments")
    def create_comment(self, request: Request, number: str, **_: str) -> Answer:
        if int(number) not in self.issues:
            return self.error(404, "Not Found")
        id = next(self._ids)  # noqa: A001  # GitHub's word
        page = f"{self._page}/issues/{number}#issuecomment-{id}"
        self.comments[id] = {"id": id, "body": request.json["body"], "html_url": page}
        return Answer(201, self.comments[id])

    @route("POST", "/repos/{owner}/{repo}/issues/comments/{comment}/reactions")
    def react(self, request: Request, comment: str, **_: str) -> Answer:
        which = int(comment), request.json["content"]
        if which in self.reactions:
            return Answer(200, self.reactions[which])
        self.reactions[which] = {"id": next(self._ids), "content": request.json["content"]}
        return Answer(201, self.reactions[which])

    # Git --------------------------------------------------------------------------------------

    @route("POST", "/repos/{owner}/{repo}/git/blobs")
    def create_blob(self, request: Request, **_: str) -> Answer:
        content = request.json["content"]
        if request.json.get("encoding", "utf-8") == "utf-8":
            content = base64.b64encode(content.encode()).decode()
        return Answer(201, {"sha": self._written({"content": content, "encoding": "base64"})["sha"]})

    @route("POST", "/repos/{owner}/{repo}/git/trees")
    @route("POST", "/repos/{owner}/{repo}/git/tags")
    def create_object(self, request: Request, **_: str) -> Answer:
        return Answer(201, self._written(request.json))

    @route("POST", "/repos/{owner}/{repo}/git/commits")
    def create_commit(self, request: Request, **_: str) -> Answer:
        written = self._written({"parents": [], **request.json})
        return Answer(201, written | {"html_url": f"{self._page}/commit/{written['sha']}"})

    @route("GET", "/repos/{owner}/{repo}/git/{kind}/{sha}")
    def get_object(self, request: Request, kind: str, sha: str, **_: str) -> Answer | Json:
        return self.objects.get(sha) or self.error(404, "Not Found")

    @route("POST", "/repos/{owner}/{repo}/git/refs")
    def create_ref(self, request: Request, **_: str) -> Answer:
        ref = request.json["ref"].removeprefix("refs/")
        if ref in self.refs:
            return self.error(422, "Reference already exists")
        self.refs[ref] = request.json["sha"]
        return Answer(201, self._ref(ref))

    @route("GET", "/repos/{owner}/{repo}/git/ref/{ref*}")
    def get_ref(self, request: Request, ref: str, **_: str) -> Answer | Json:
        return self._ref(ref) if ref in self.refs else self.error(404, "Not Found")

    @route("GET", "/repos/{owner}/{repo}/git/matching-refs/{ref*}")
    def matching_refs(self, request: Request, ref: str, **_: str) -> list[Json]:
        return [self._ref(each) for each in sorted(self.refs) if each.startswith(ref)]

    @route("PATCH", "/repos/{owner}/{repo}/git/refs/{ref*}")
    def update_ref(self, request: Request, ref: str, **_: str) -> Answer | Json:
        if ref not in self.refs:
            return self.error(422, "Reference does not exist")
        self.refs[ref] = request.json["sha"]
        return self._ref(ref)

    @route("DELETE", "/repos/{owner}/{repo}/git/refs/{ref*}")
    def delete_ref(self, request: Request, ref: str, **_: str) -> Answer:
        if self.refs.pop(ref, None) is None:
            return self.error(422, "Reference does not exist")
        return Answer(204)

    # Webhooks ---------------------------------------------------------------------------------

    @route("POST", "/repos/{owner}/{repo}/hooks")
    @route("POST", "/orgs/{org}/hooks")
    def create_hook(self, request: Request, **of: str) -> Answer:
        url = request.json["config"]["url"]
        if any(hook["config"]["url"] == url and hook["of"] == of for hook in self.hooks.values()):
            return self.error(422, "Validation Failed: Hook already exists on this repository")
        id = next(self._ids)  # noqa: A001  # GitHub's word
        self.hooks[id] = {"id": id, "of": of, "active": True, "events": ["push"], **request.json}
        return Answer(201, _shown(self.hooks[id]))

    @route("GET", "/repos/{owner}/{repo}/hooks")
    @route("GET", "/orgs/{org}/hooks")
    def list_hooks(self, request: Request, **of: str) -> list[Json]:
        return [_shown(hook) for hook in self.hooks.values() if hook["of"] == of]

    @route("PATCH", "/repos/{owner}/{repo}/hooks/{hook}")
    @route("PATCH", "/orgs/{org}/hooks/{hook}")
    def update_hook(self, request: Request, hook: str, **of: str) -> Answer | Json:
        if int(hook) not in self.hooks:
            return self.error(404, "Not Found")
        self.hooks[int(hook)] |= request.json
        return _shown(self.hooks[int(hook)])

    @route("DELETE", "/repos/{owner}/{repo}/hooks/{hook}")
    @route("DELETE", "/orgs/{org}/hooks/{hook}")
    def delete_hook(self, request: Request, hook: str, **of: str) -> Answer:
        return Answer(204) if self.hooks.pop(int(hook), None) else self.error(404, "Not Found")

    # Common to all requests -------------------------------------------------------------------

    def handle(self, request: Request) -> Answer | None:
        """Add the rate limit headers to every answer."""
        answer = super().handle(request)
        if answer is None:
            return None
        headers = {
            "x-ratelimit-limit": str(_LIMIT),
            "x-ratelimit-remaining": str(_LIMIT - len(self.requests)),
            "x-ratelimit-reset": str(int(time.time()) + 3600),
        } | {name.lower(): value for name, value in answer.headers.items()}
        return Answer(answer.status, answer.body, headers)

    def refusal(self, request: Request) -> Answer | None:
        _, _, given = request.headers.get("authorization", "").partition(" ")  # after "token" or "Bearer"
        if not given or (self._token is not None and given != self._token):
            return self.error(401, f"Bad credentials: {given}" if given else "Requires authentication")
        names = request.path.split("/")
        if names[1] == "repos" and "/".join(names[2:4]) != self._name:
            return self.error(404, "Not Found")
        return None

    def error(self, status: int, message: str) -> Answer:
        """GitHub's answer for an error; 429 is a secondary rate limit."""
        if status == 429:
            message = (
                "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
            )
        headers = {"Retry-After": "30"} if status == 429 else {}
        return Answer(
            status, {"message": message, "documentation_url": "https://docs.github.com/rest"}, headers
        )

    def _written(self, given: Json) -> Json:
        """Store a Git object under the hash of its content."""
        sha = hashlib.sha1(json.dumps(given, sort_keys=True).encode(), usedforsecurity=False).hexdigest()
        return self.objects.setdefault(sha, {"sha": sha, **given})

    def _ref(self, ref: str) -> Json:
        return {"ref": f"refs/{ref}", "object": {"type": "commit", "sha": self.refs[ref]}}


def _invalid(resource: str, field: str, code: str) -> Answer:
    error = {"resource": resource, "field": field, "code": code}
    return Answer(422, {"message": "Validation Failed", "errors": [error]})


def _named(labels: list[str]) -> list[Json]:
    return [{"name": label} for label in labels]


def _people(logins: list[str]) -> list[Json]:
    return [{"login": login} for login in logins]


def _shown(hook: Json) -> Json:
    """A webhook without its secret."""
    config = hook["config"]
    told = {name: value for name, value in hook.items() if name != "of"}
    return {**told, "config": {**config, "secret": "********"} if "secret" in config else config}
