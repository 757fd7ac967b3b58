"""Which errors are worth another attempt, and when: what services that speak HTTP have in common."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Literal

from ..retry import RetryAt

# A status that says nothing against the request itself: it came too early, took too long, or met a
# server that could not take it now. Of the others below 500 every next attempt would end the same way.
_TRANSIENT = frozenset({408, 425, 429})

# The errors of a connection that could not be made, or broke, in the libraries that SDKs are built on.
_CONNECTION_ERRORS = {
    "aiohttp": ("ClientConnectionError", "ClientPayloadError"),
    "httpx": ("NetworkError", "RemoteProtocolError", "TimeoutException"),
    "httpx2": ("NetworkError", "RemoteProtocolError", "TimeoutException"),
    "requests": ("ConnectionError", "Timeout"),
    "requests.exceptions": ("ChunkedEncodingError",),
}

ResetFormat = Literal["unix", "unix_milliseconds", "iso8601", "duration"]
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def by_status(status: int, lifted: RetryAt | None = None) -> bool | RetryAt:
    """What an HTTP status says. `lifted` is when a limit is lifted, where the response tells.

    >>> by_status(503), by_status(404), by_status(429, RetryAt(30))
    (True, False, RetryAt(when=30, error=None))
    """
    if status == 429 and lifted is not None:
        return lifted
    return status >= 500 or status in _TRANSIENT


def is_connection_error(error: BaseException) -> bool:
    """Whether it is a connection that could not be made or broke, or took too long; of any HTTP library."""
    if isinstance(error, (ConnectionError, TimeoutError)):
        return True
    return any(
        isinstance(error, getattr(sys.modules[module], name, ()))
        for module, names in _CONNECTION_ERRORS.items()
        if module in sys.modules
        for name in names
    )


def retry_after(headers: Mapping[str, str], name: str = "retry-after") -> RetryAt | None:
    """When to come again by the header `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3)."""
    text = _header(headers, name)
    if text is None:
        return None
    try:
        return RetryAt(max(0.0, float(text)))
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    return RetryAt(when if when.tzinfo is not None else when.replace(tzinfo=UTC))


def reset_at(headers: Mapping[str, str], name: str, form: ResetFormat) -> RetryAt | None:
    """When a limit is lifted by the service's own header; None where it does not tell.

    "duration" is what OpenAI writes: "1m30.5s", "20ms".
    """
    text = _header(headers, name)
    try:
        return None if text is None else _parsed(text.strip(), form)
    except (ValueError, OverflowError, OSError):
        return None


def _parsed(text: str, form: ResetFormat) -> RetryAt:
    if form == "iso8601":
        when = datetime.fromisoformat(text)
        return RetryAt(when if when.tzinfo is not None else when.replace(tzinfo=UTC))
    if form == "duration":
        parts = _DURATION.findall(text)
        if "".join(number + unit for number, unit in parts) != text or not parts:
            raise ValueError(text)
        return RetryAt(timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts)))
    seconds = float(text) / (1000 if form == "unix_milliseconds" else 1)
    return RetryAt(datetime.fromtimestamp(seconds, UTC))


def _header(headers: Mapping[str, str], name: str) -> str | None:
    """A header by its name in any case: libraries differ in what they hand out."""
    return next((value for given, value in headers.items() if given.lower() == name), None)
