"""When to retry a request to an HTTP service: by its status, its headers, or the error of its connection."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from ..retry import ResetFormat, RetryAt

# Statuses of requests that came too early, took too long or were over a limit. With any other status below 500,
# another attempt would fail in the same way.
_TRANSIENT = frozenset({408, 425, 429})
# Connection errors and timeouts of the HTTP libraries that SDKs use.
_CONNECTION_ERRORS = {
    "aiohttp": ("ClientConnectionError", "ClientPayloadError"),
    "httpx": ("NetworkError", "RemoteProtocolError", "TimeoutException"),
    "httpx2": ("NetworkError", "RemoteProtocolError", "TimeoutException"),
    "requests": ("ConnectionError", "Timeout"),
    "requests.exceptions": ("ChunkedEncodingError",),
}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def by_status(status: int, lifted: RetryAt | None = None) -> bool | RetryAt:
    """Whether to retry after a response with this status. `lifted` is the time that a rate limit ends, if known.

    >>> by_status(503), by_status(404), by_status(429, RetryAt(30))
    (True, False, RetryAt(when=30, error=None))
    """
    if status == 429 and lifted is not None:
        return lifted
    return status >= 500 or status in _TRANSIENT


def is_connection_error(error: BaseException) -> bool:
    """Whether an error, of any HTTP library, is a failed or broken connection or a timeout."""
    if isinstance(error, (ConnectionError, TimeoutError)):
        return True
    return any(
        isinstance(error, getattr(sys.modules[module], name, ()))
        for module, names in _CONNECTION_ERRORS.items()
        if module in sys.modules
        for name in names
    )


def retry_after(headers: Mapping[str, str], name: str = "retry-after") -> RetryAt | None:
    """The time in the header `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3). None without one."""
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
    """The time that a rate limit ends, from a service's own header; None without one.

    `form` is the format of the header. "duration" is OpenAI's: "1m30.5s", "20ms".
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
    """A header by its name, in any case: libraries differ in the case of names."""
    return next((value for given, value in headers.items() if given.lower() == name), None)
