"""Stripe's errors: which are worth another attempt, advice about the others, and their stored form."""

from __future__ import annotations

import contextlib
import functools
import json
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from .._redact import kept_headers
from .._values.errors import add_error
from .._values.names import of_type
from ..retry import RetryAt
from ._http_retries import by_status, retry_after

if TYPE_CHECKING:
    from stripe import StripeError

_REPLAYED = "idempotent-replayed"  # the header of an answer that repeats the first one for the same key


def verdict(error: StripeError) -> bool | RetryAt | None:
    """Whether another attempt may succeed, in the form of `Integration.should_retry`."""
    import stripe
    from requests.exceptions import ChunkedEncodingError

    if isinstance(error, stripe.APIConnectionError):
        # The SDK does not retry an incomplete answer. With an idempotency key, a retry is safe.
        return error.should_retry or isinstance(error.__cause__, ChunkedEncodingError)
    if error.http_status is None:  # the error has no answer
        return None
    headers = error.headers or {}
    if not _is_transient(error.http_status, headers):
        return False
    return retry_after(headers) or True


def _is_transient(status: int, headers: Mapping[str, str]) -> bool:
    """Whether another attempt may succeed."""
    if status == 429:  # "false" is meant for SDKs, which would retry too soon
        return True
    told = headers.get("stripe-should-retry")
    if told in ("true", "false"):
        return told == "true"
    if _REPLAYED in headers:
        return False
    return status == 409 or bool(by_status(status))


def advice(error: Any, key: str) -> Iterator[str]:
    """Advice about an error that stays the same however often the task runs."""
    if _REPLAYED in error.headers:
        yield "This is the answer that Stripe gave to this task the first time; it keeps it for a day."
    elif type(error).__name__ == "IdempotencyError":
        yield "This task ran before with other parameters, and may have taken effect."
    else:
        return
    yield f"To try again, check in Stripe's dashboard what was done, and use another cache key: ({key!r}, 2)"


# Code handles these errors by `error.code` and `error.error.decline_code`, which a replay must restore (R4).
_ERRORS = (
    *("APIConnectionError", "APIError", "AuthenticationError", "CardError", "IdempotencyError"),
    *("InvalidRequestError", "PermissionError", "RateLimitError"),
)


def _error_to_data(error: Any) -> dict[str, Any]:
    data = {
        "message": error.user_message,
        "http_body": error.http_body,
        "http_status": error.http_status,
        "headers": dict(kept_headers(error.headers.items())),
        "code": error.code,
    }
    return data | {name: getattr(error, name) for name in ("param", "should_retry") if hasattr(error, name)}


def _error_from_data(name: str, data: dict[str, Any]) -> BaseException:
    from requests.structures import CaseInsensitiveDict

    data, body = of_type(data, dict), None
    with contextlib.suppress(TypeError, ValueError):  # no answer, or a page of HTML
        body = json.loads(data["http_body"])
    cls = getattr(sys.modules["stripe"], name)
    headers = cast("Any", CaseInsensitiveDict(data["headers"]))
    return cls(**{**data, "headers": headers, "json_body": body})


for _name in _ERRORS:
    add_error(f"stripe._error:{_name}", _error_to_data, functools.partial(_error_from_data, _name))
