"""The part of `io` that sends HTTP requests: `background_fetch` and `background_poll`. Needs the extra `http`."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from functools import partial
from json import dumps as as_json
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from .._clock import is_whole_number, to_seconds
from .._concurrency import limiter
from .._redact import HIDDEN, hide_in_urls, is_credential, secrets
from ..errors import InvalidOptionError, UsageError
from ..filters import ResponseFilter
from .checks import TASK_OPTIONS, check_options
from .polling import Poll
from .starter import TaskStarter

if TYPE_CHECKING:
    from types import FrameType

    from httpx import AsyncClient

    from .._tasks.call import AnyCall, Call
    from .._tasks.task import Task
    from ..integrations._fetches import ByStatus
    from ..integrations._http_exchange import Exchange
    from ..integrations.http import Response
    from ..retry import RetryOption

MAX_BYTES = 16 * 1024 * 1024  # of a response, by default
SHORTEST_INTERVAL = 1.0  # seconds
_OF_REQUESTS = ("method", "params", "headers", "json", "data", "content", "retry", "timeout", "max_bytes")
# `params` is the query here; where the body runs is no choice.
_OPTIONS = TASK_OPTIONS - {"params", "codec", "thread", "executor", "repeatable"}
_FETCH_OPTIONS = _OPTIONS - {"retry", "timeout"}
_POLL_OPTIONS = _FETCH_OPTIONS - {"on_error", "rate", "reuse"}
_BODIES = {"json", "data", "content"}
_sites: WeakValueDictionary[tuple[str, str], limiter.Service] = WeakValueDictionary()


class Fetching(TaskStarter):
    """Sends HTTP requests, each as a task."""

    def background_fetch(
        self,
        key: object,
        url: str,
        *,
        method: str | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, Any] | None = None,
        json: Any = None,
        data: Mapping[str, Any] | None = None,
        content: str | bytes | None = None,
        allow_status: Collection[int] = (),
        retry: RetryOption | ByStatus = None,
        timeout: float | timedelta | None = None,
        max_bytes: int = MAX_BYTES,
        idempotency_header: str | None = "Idempotency-Key",
        **options: Any,
    ) -> Call[Any]:
        """Send a request. The result is the body of the response: JSON values, text or bytes, by its content type.

        Pauses between attempts need no kernel, and hold no slot of the job.

        - `method` (by default "GET"), `params` (the query), `headers`, and one of `json`, `data` (a form) and `content`: the
          request. Values of `headers` may be a `SecretStr`; those that hold credentials by their name are hidden anyway.
        - `allow_status`: statuses that are no error, besides 2xx.
        - `retry`: a retry policy, or a mapping of statuses to one: `{429: ResetHeaders(...), "5xx": Retry(limit=3)}`. Also
          "timeout" and "connection"; None is no retry. What it does not name is retried as by the integration `HTTP`.
        - `timeout`: the limit of one attempt, in seconds or as a `timedelta`. The service may be silent for 30 s at most.
        - `max_bytes`: the longest body, by default 16 MiB.
        - `idempotency_header`: the header in which requests that change something carry the task's idempotency key.
        - `options`: of `io.run_task`, such as `name`, `returns` and `check`.

        Raises `httpx.HTTPStatusError`, other errors of httpx, `TaskTimeoutError`, `ResponseTooLargeError`,
        `MissingExtraError`, and `InvalidOptionError` at the call.

        ```
        user = await io.background_fetch("user", "https://api.acme.example/users/7", retry={"5xx": 3}, timeout=20)
        ```
        """
        given = {"params": params, "headers": headers, "json": json, "data": data, "content": content}
        more = {"allow_status": allow_status, "idempotency_header": idempotency_header}
        return self._fetch(
            sys._getframe(1), _body_only, key, url, method, given, retry, timeout, max_bytes, more, options
        )

    def background_fetch_response(
        self,
        key: object,
        url: str,
        *,
        method: str | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, Any] | None = None,
        json: Any = None,
        data: Mapping[str, Any] | None = None,
        content: str | bytes | None = None,
        allow_status: Collection[int] = (),
        retry: RetryOption | ByStatus = None,
        timeout: float | timedelta | None = None,
        max_bytes: int = MAX_BYTES,
        idempotency_header: str | None = "Idempotency-Key",
        **options: Any,
    ) -> Call[Response]:
        """As `background_fetch`; the result is the response, with `status`, `headers` and `body`.

        ```
        made = await io.background_fetch_response("order", "https://api.acme.example/orders", method="POST", json=order)
        made.headers["location"]
        ```
        """
        given = {"params": params, "headers": headers, "json": json, "data": data, "content": content}
        more = {"allow_status": allow_status, "idempotency_header": idempotency_header}
        return self._fetch(
            sys._getframe(1), _whole, key, url, method, given, retry, timeout, max_bytes, more, options
        )

    def background_poll(
        self,
        key: object,
        url: str,
        *,
        interval: float | timedelta = 10,
        timeout: float | timedelta = 600,
        request_timeout: float | timedelta = 30,
        response_filter: ResponseFilter | Callable[[Response], object] | None = None,
        method: str | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, Any] | None = None,
        json: Any = None,
        data: Mapping[str, Any] | None = None,
        content: str | bytes | None = None,
        max_bytes: int = MAX_BYTES,
        **options: Any,
    ) -> Call[Any]:
        """Send a request again and again until its response fits. The result is the body of that response.

        The kernel may stop meanwhile: the next look is stored. The time counts from the first look in any kernel, and when it
        is over there is one more look. Waiting holds no slot of the job. A request that fails is a look without a result.

        - `interval`: between two looks, a second or more; longer if the service says so in `Retry-After`.
        - `timeout`, `request_timeout`: of all looks, by default ten minutes, and of each, in seconds or as a `timedelta`.
        - `response_filter`: a `ResponseFilter`, or a function of the response (`status`, `headers`, `body`) that says whether
          it fits; by default the status 200.
        - `method`, `params`, `headers`, `json`, `data`, `content`, `max_bytes`, `options`: as of `background_fetch`.

        Raises `TaskTimeoutError`, which tells the last response; what the function raises; `ResponseTooLargeError`,
        `MissingExtraError`, and `InvalidOptionError` at the call.

        ```
        done = ResponseFilter(body={"state": ["done"]})
        job = await io.background_poll("ready", "https://api.acme.example/jobs/7", interval=30, timeout=3600, response_filter=done)
        ```
        """
        try:
            _check(options, _POLL_OPTIONS)
            if to_seconds(interval, "interval") < SHORTEST_INTERVAL:
                raise InvalidOptionError(f"interval is a second or more, not {interval!r}")
            limits = {"timeout": timeout, "request_timeout": request_timeout}
            seconds = {name: to_seconds(each, name) for name, each in limits.items()}
            wanted = ResponseFilter() if response_filter is None else response_filter
            if not isinstance(wanted, ResponseFilter) and not callable(wanted):
                raise InvalidOptionError(
                    f"response_filter is a ResponseFilter(...) or a function of the response, not {wanted!r:.100}"
                )
            given = {"params": params, "headers": headers, "json": json, "data": data, "content": content}
            exchange, shown = _exchange(method, url, given, max_bytes, None, ())
        except UsageError as error:
            raise self._pass.stopping.misused(error)  # noqa: B904  # the same error
        poll = Poll(exchange, wanted, to_seconds(interval, "interval"), seconds, max_bytes)
        options = {"name": "poll", "properties": {"URL": hide_in_urls(exchange.url)}, **options}
        every = {"interval": poll.interval, "timeout": seconds["timeout"]}
        call = self._request(sys._getframe(1), key, poll.result, {**shown, **every}, options, None)
        call.outside = poll.polling
        return call

    def _fetch(
        self,
        frame: FrameType,
        result: Callable[[Response], Any],
        key: object,
        url: str,
        method: str | None,
        given: dict[str, Any],
        retry: Any,
        timeout: float | timedelta | None,
        max_bytes: int,
        more: dict[str, Any],
        options: dict[str, Any],
    ) -> AnyCall:
        from ..integrations._fetches import Strategies
        from ..integrations.http import HTTP

        try:
            _check(options, _FETCH_OPTIONS)
            exchange, shown = _exchange(method, url, given, max_bytes, **more)
            chosen = Strategies(cast("ByStatus", retry)) if isinstance(retry, Mapping) else retry
        except UsageError as error:
            raise self._pass.stopping.misused(error)  # noqa: B904  # the same error
        policy = HTTP.retry if chosen is None else chosen
        options = {
            "name": exchange.method,
            "properties": {"URL": hide_in_urls(exchange.url)},
            "retry": policy,
            **({} if timeout is None else {"timeout": timeout}),
            **options,
        }
        body = partial(_send, exchange=exchange, max_bytes=max_bytes, result=result)
        return self._request(frame, key, body, shown, options, chosen, exchange)

    def _request(
        self,
        frame: FrameType,
        key: object,
        body: Callable[..., object],
        shown: dict[str, Any],
        options: dict[str, Any],
        retry: Any,
        exchange: Exchange | None = None,
    ) -> AnyCall:
        from ..integrations._fetches import RequestPart, web

        service = None
        if exchange is not None:
            http = web.for_request(exchange.idempotency_header)
            service = RequestPart(http, retry, _site(exchange.url))
        place = (frame.f_code, frame.f_lasti)
        told: dict[str, Any] = {"icon": "http", "params": shown, **options}
        call = self._task(place, key, body, **told)
        call.args = (shown,)
        call.service = service
        return call


# The bodies of fetches ----------------------------------------------------------------------------
async def _send(
    params: dict[str, Any],
    client: AsyncClient,
    task: Task,
    *,
    exchange: Exchange,
    max_bytes: int,
    result: Callable[[Response], Any],
) -> Any:
    from ..integrations.http import fetch

    return result(await fetch(params, client, task, exchange=exchange, limits=None, max_bytes=max_bytes))


def _body_only(response: Response) -> Any:
    return response.body


def _whole(response: Response) -> Response:
    return response


# Requests -----------------------------------------------------------------------------------------
def _check(options: dict[str, Any], known: frozenset[str]) -> None:
    """Raise `InvalidOptionError` for an option that a request does not have."""
    for name in options.keys() - known:
        if name == "body":
            hint = "Its body is json=, data= (a form) or content= (text or bytes)"
        elif close := difflib.get_close_matches(name, [*known, *_OF_REQUESTS], n=3):
            close.sort(key=lambda each: not name.startswith(each[:4]))  # "retries": "retry", not "returns"
            hint = f"Did you mean {close[0]!r}?"
        else:
            hint = f"It takes {', '.join(_OF_REQUESTS)}, and options of io.run_task"
        raise InvalidOptionError(f"a request has no option {name!r}. {hint}")
    check_options(options, known)


def _exchange(
    method: str | None,
    url: str,
    given: dict[str, Any],
    max_bytes: int,
    idempotency_header: str | None,
    allow_status: Collection[int],
) -> tuple[Exchange, dict[str, Any]]:
    """A request, and what is shown and kept of it. Raises `InvalidOptionError`."""
    from ..integrations._http_exchange import Exchange

    url = str(url)
    if not _is_address(url):
        raise InvalidOptionError(
            f'url is an address that begins with "https://" or "http://", not {hide_in_urls(url)!r:.100}. For many requests '
            "to one service, trigger_nb.integrations.HTTP has a base_url"
        )
    given = {name: value for name, value in given.items() if value is not None}
    _check_given(given)
    if method is None and given.keys() & _BODIES:
        raise InvalidOptionError('a request with a body needs a method, such as method="POST"')
    method = "GET" if method is None else method
    if not isinstance(method, str) or not method.isalpha():  # pyright: ignore[reportUnnecessaryIsInstance]  # a user's value
        raise InvalidOptionError(f'method is "GET", "POST" or another one of HTTP, not {method!r:.100}')
    if not is_whole_number(max_bytes) or max_bytes < 1:
        raise InvalidOptionError(f"max_bytes is a whole number of 1 or more, not {max_bytes!r:.100}")
    if isinstance(allow_status, (str, int)) or not all(map(is_whole_number, allow_status)):
        raise InvalidOptionError(
            f"allow_status is a collection of statuses, such as (404,), not {allow_status!r:.100}"
        )
    shown = {"method": method.upper(), "url": hide_in_urls(url), **given}
    if "headers" in given:
        given["headers"], shown["headers"] = _headers(given["headers"])
    return Exchange(method.upper(), url, given, allow_status, idempotency_header), shown


def _is_address(url: str) -> bool:
    try:
        address = urlsplit(url)
    except ValueError:  # half of an IPv6 address
        return False
    return address.scheme.lower() in ("http", "https") and bool(address.hostname)


def _check_given(given: dict[str, Any]) -> None:
    """Raise `InvalidOptionError` for a query, headers or a body that cannot be sent."""
    if len(bodies := given.keys() & _BODIES) > 1:
        raise InvalidOptionError(f"a request has one body: one of {', '.join(sorted(bodies))}")
    for name in given.keys() & {"params", "headers", "data"}:
        if not isinstance(given[name], Mapping):
            raise InvalidOptionError(f"{name} of a request is a mapping, not {given[name]!r:.100}")
    if not isinstance(given.get("content", ""), (str, bytes)):
        raise InvalidOptionError(f"content of a request is text or bytes, not {given['content']!r:.100}")
    if "json" in given:
        try:
            as_json(given["json"])
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidOptionError(f"json of a request is JSON values: {error}") from None


def _headers(given: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Headers as they are sent, and as they are shown."""
    sent: dict[str, str] = {}
    shown: dict[str, str] = {}
    for name, value in given.items():
        is_secret = hasattr(value, "get_secret_value")
        sent[name] = value.get_secret_value() if is_secret else value
        if not isinstance(sent[name], str):  # pyright: ignore[reportUnnecessaryIsInstance]  # a user's value
            raise InvalidOptionError(
                f"the header {name!r} is text or a SecretStr, not {type(value).__name__}"
            )
        if not sent[name].isascii():
            raise InvalidOptionError(
                f"the header {name!r} has characters that no header can have; encode them"
            )
        hidden = is_secret or is_credential(name)
        shown[name] = HIDDEN if hidden else sent[name]
        if hidden:
            secrets.add(sent[name])
    return sent, shown


def _site(url: str) -> limiter.Service:
    """What holds back all requests to the host of an address, once it has told one of them to wait."""
    address = urlsplit(url)
    key = (address.scheme.lower(), address.netloc.rpartition("@")[2].lower())
    found = _sites.get(key)
    if found is None:
        found = _sites[key] = limiter.Service()
    return found
