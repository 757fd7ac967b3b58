"""GitHub's client, its errors, and the calls of the SDK's methods."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from .._redact import secrets
from .._tasks.options import Property
from .._tasks.task import Task
from ..retry import RetryAt
from ._base import Credential, SecretText
from ._http_retries import by_status, is_connection_error, reset_at, retry_after
from ._sdk import Known, Params, SdkIntegration

if TYPE_CHECKING:
    import githubkit

Answer: TypeAlias = dict[str, Any]  # GitHub's message, unchanged
# Seconds. githubkit has no timeout; GitHub itself ends a request after ten.
_TIMEOUT = 30.0
# Seconds, for a limit without an end time: "wait for at least one minute".
_UNTOLD = 60.0


class GitHubApi(SdkIntegration["githubkit.GitHub[Any]", Any]):
    """The integration without the table of its methods."""

    service = "GitHub"
    icon = "github"
    extra = "github"

    def __init__(
        self, token: str | SecretText | None = None, *, base_url: str = "https://api.github.com"
    ) -> None:
        super().__init__()
        self._token = Credential("GitHub(token=...)", token, "GITHUB_TOKEN", "GH_TOKEN")
        self._base_url = base_url

    def open_client(self) -> githubkit.GitHub[Any]:
        import githubkit
        import httpx

        return githubkit.GitHub(
            self._token.read(),
            base_url=self._base_url,
            timeout=_TIMEOUT,
            # githubkit opens a connection for each request; loading the certificates each time would be slow.
            ssl_verify=httpx.create_ssl_context(),
            auto_retry=False,
            http_cache=False,
            # GitHub validates requests; the SDK's copy of the schema may be outdated.
            rest_api_validate_body=False,
        )

    def should_retry(self, error: Exception) -> bool | RetryAt | None:
        from githubkit.exception import GitHubException, RequestFailed

        if isinstance(error, RequestFailed):
            return _limit_lifted(error.response) or by_status(error.response.status_code)
        cause = error.__cause__ or error if isinstance(error, GitHubException) else error
        return True if is_connection_error(cause) else None

    @classmethod
    def _sdk(cls) -> Any:
        import githubkit

        return githubkit.GitHub[Any]()

    @classmethod
    def _is_group(cls, value: Any) -> bool:
        return type(value).__module__.startswith("githubkit") and type(value).__name__.endswith("Client")

    @classmethod
    def _member(cls, owner: Any, name: str) -> Any:
        return super()._member(getattr(owner, "rest", owner), name)

    @classmethod
    def _names_in(cls, owner: Any) -> Iterable[str]:
        return dir(owner.rest() if hasattr(owner, "rest") else owner)

    def _body(self, path: str) -> Callable[..., Awaitable[Any]]:
        return partial(_request, path, self._about(path))

    def _properties(self, path: str, params: Params) -> list[Property]:
        return [*self._place(params), *super()._properties(path, params)]

    def _place(self, params: Params) -> list[Property]:
        """The properties that name the repository and the issue, or the organization."""
        owner, repo, org, number = map(params.get, ("owner", "repo", "org", "issue_number"))
        shown: list[Property] = []
        if owner and repo:
            shown.append(Property("Repository", f"{owner}/{repo}", url=self._page(owner, repo)))
            if number is not None:
                page = self._page(owner, repo, "issues", str(number))
                shown.append(Property("Issue", f"#{number}", url=page))
        elif org:
            shown.append(Property("Organization", org, url=self._page(org)))
        return shown

    def _page(self, *parts: str) -> str | None:
        """The address of the web pages for the API's address; None if unknown."""
        address = self._base_url.rstrip("/")
        site = address.removesuffix("/api/v3").replace("://api.", "://", 1)
        return None if site == address else "/".join([site, *parts])


def _limit_lifted(response: Any) -> RetryAt | None:
    """The end of the rate limit that caused an error; None if the cause is another, such as a permission."""
    if response.status_code not in (403, 429):
        return None
    if (told := retry_after(response.headers)) is not None:
        return told
    if response.headers.get("x-ratelimit-remaining") == "0":
        told = reset_at(response.headers, "x-ratelimit-reset", "unix")
        # A time in the past comes from another clock. Retrying at once would repeat until that clock is reached.
        return told if told is not None and told.due_at(now := time.time()) > now else RetryAt(_UNTOLD)
    is_limit = response.status_code == 429 or "secondary rate" in response.text
    return RetryAt(_UNTOLD) if is_limit else None


async def _request(path: str, known: Known, params: Params, client: Any, task: Task) -> Any:
    """The body: `client.rest.issues.async_get(**params)` for the path `issues.get`."""
    from githubkit.exception import RequestFailed

    group, _, name = path.rpartition(".")
    try:
        response = await getattr(attrgetter(group)(client.rest), f"async_{name}")(**params)
    except RequestFailed as error:
        error.args = (secrets.hide(_complaint(error.response)),)  # its own text has only the status
        raise
    answer = response.json() if response.content else None
    task.output_properties = [*known.tells(answer), *_rate_limit(response.headers)]
    return answer


def _complaint(response: Any) -> str:
    """GitHub's messages about a failed request."""
    try:
        said = response.json()
        details = [said["message"], *map(json.dumps, said.get("errors", ())), said.get("documentation_url")]
    except (ValueError, KeyError, TypeError):  # a 5xx can have a page of HTML
        details = [response.text[:200]]
    return f"{response.status_code}: {' '.join(filter(None, details))}"


def _rate_limit(headers: Any) -> list[Property]:
    if "x-ratelimit-remaining" not in headers:
        return []
    left, limit = headers["x-ratelimit-remaining"], headers.get("x-ratelimit-limit", "?")
    return [Property("Rate limit", f"{left} of {limit} left")]
