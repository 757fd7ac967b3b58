"""Requests that belong to no integration of the job: what sends them, and their retries by status.

`io.background_fetch(..., retry={"429": ResetHeaders(...), "5xx": Retry(...)})`
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from .._redact import keep_in_errors
from ..errors import InvalidOptionError, ResponseTooLargeError
from ..filters import statuses
from ..retry import Policy, ResetHeaders, RetryAt, RetryOption, SkipRetrying, policy, standard_backoff
from ._base import ServicePart
from ._http_retries import is_connection_error, reset_at, retry_after
from .http import HTTP

if TYPE_CHECKING:
    from random import Random

    import httpx

    from .._clock import Clock
    from .._concurrency import limiter

Strategy: TypeAlias = "RetryOption | ResetHeaders"
ByStatus: TypeAlias = "Mapping[int | str, Strategy]"
TIMEOUT, CONNECTION = "timeout", "connection"
_UNNAMED: Any = object()  # what the mapping says of an error that it does not name


class Web(HTTP):
    """Sends the requests of all jobs. No connection outlives its request: nobody could close it."""

    def open_client(self) -> httpx.AsyncClient:
        import httpx

        self._client_options = {
            **self._client_options,
            "limits": httpx.Limits(max_keepalive_connections=0),
        }
        return super().open_client()

    def for_request(self, idempotency_header: str | None) -> Web:
        """A copy whose requests carry their idempotency keys in this header."""
        made = copy.copy(self)
        made._idempotency_header = idempotency_header
        return made


web = Web()


class Strategies(Policy):
    """The retry policy of a request whose `retry=` names statuses. What it does not name is left to the service.

    The narrowest range that holds a status decides.
    """

    def __init__(self, option: ByStatus) -> None:
        super().__init__(standard_backoff)  # for what is not named, and for a header that is not there
        self._by_word: dict[str, Strategy] = {}
        ranges: list[tuple[range, Strategy]] = []
        for name, strategy in option.items():
            if isinstance(strategy, ResetHeaders):
                keep_in_errors(headers=(strategy.limit, strategy.remaining, strategy.reset))
            else:
                policy(strategy)  # raises for what is none
            if name in (TIMEOUT, CONNECTION):
                if isinstance(strategy, ResetHeaders):
                    raise InvalidOptionError(
                        f'retry: "{name}" has no response, so no headers to read. Give it a Retry(...)'
                    )
                self._by_word[str(name)] = strategy
                continue
            try:
                ranges.append((statuses(name), strategy))
            except InvalidOptionError:
                raise InvalidOptionError(
                    f'retry by status has statuses such as 429, "500-599" or "5xx", "{TIMEOUT}" and "{CONNECTION}"; not {name!r:.100}'
                ) from None
        self._by_status = sorted(ranges, key=lambda each: len(each[0]))

    def of(self, error: BaseException) -> Any:
        """The strategy for an error, or `_UNNAMED`."""
        status = _status_of(error)
        if status is not None:
            return next((strategy for held, strategy in self._by_status if status in held), _UNNAMED)
        if isinstance(error, TimeoutError) or type(error).__name__.endswith("Timeout"):
            return self._by_word.get(TIMEOUT, _UNNAMED)
        if is_connection_error(error):
            return self._by_word.get(CONNECTION, _UNNAMED)
        return _UNNAMED

    def next_attempt_at(
        self,
        *,
        attempt: int,
        error: BaseException,
        first_started_at: float,
        now: float,
        random: Random | None = None,
    ) -> float | None:
        strategy = self.of(error)
        if strategy is _UNNAMED or isinstance(strategy, ResetHeaders):
            strategy = standard_backoff
        chosen = policy(strategy)
        if chosen is None:
            return None
        return chosen.next_attempt_at(
            attempt=attempt, error=error, first_started_at=first_started_at, now=now, random=random
        )


class RequestPart(ServicePart):
    """The decisions on the errors of one request, and what holds back requests to the same host."""

    def __init__(self, http: HTTP, retry: Any, site: limiter.Service) -> None:
        super().__init__(http, retry)
        self._strategies = retry if isinstance(retry, Strategies) else None
        self._site = site

    def limiter(self, clock: Clock) -> limiter.Limiter:
        return self._site.limiter(clock)

    def judge(self, error: Exception, now: float) -> Exception | RetryAt | SkipRetrying | None:
        if isinstance(error, ResponseTooLargeError):
            return SkipRetrying()
        strategy = _UNNAMED if self._strategies is None else self._strategies.of(error)
        if strategy is None:
            return SkipRetrying()
        if strategy is _UNNAMED:
            is_services = self._strategies is None or self._should_retry(error) is not None
            return super().judge(error, now) if is_services else SkipRetrying()
        if isinstance(strategy, ResetHeaders):
            headers = cast("Any", error).response.headers
            lifted = reset_at(headers, strategy.reset.lower(), strategy.format) or retry_after(headers)
            return None if lifted is None else self.not_at_once(lifted, now)
        return None


def _status_of(error: BaseException) -> int | None:
    """The status of an error of httpx that is about one."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None
