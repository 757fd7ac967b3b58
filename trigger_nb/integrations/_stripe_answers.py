"""Requests to Stripe and its answers: idempotency keys, secrets, links to the dashboard, amounts."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from .._redact import secrets
from .._tasks.options import Property
from .._tasks.task import Task
from ._stripe_errors import advice

_DASHBOARD = "https://dashboard.stripe.com"
# An amount is in a currency's smallest unit, a hundredth in those that are not listed here. UGX and ISK have
# no smaller unit any more and are still given in hundredths (https://docs.stripe.com/currencies).
_ZERO_DECIMAL = frozenset("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split())  # noqa: SIM905
_THREE_DECIMAL = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})


@contextmanager
def advised(task: Task) -> Generator[None]:
    """A context for a call that writes: an error that stays the same gets notes that say what to do."""
    import stripe

    try:
        yield
    except stripe.StripeError as error:
        for line in advice(error, task.key):
            error.add_note(line)
        raise


def plain(answer: Any) -> dict[str, Any]:
    """Stripe's answer as plain data. The SDK's objects contain the key, and must not be stored."""
    return json.loads(answer.last_response.body)


def keep_secret(answer: dict[str, Any], name: str) -> None:
    """Hide a secret of the answer in the task's output as well: the SDK may log whole answers."""
    if secret := answer.get(name):
        secrets.add(secret)


def link(label: str, made: Any, page: str) -> Property:
    """The id of a created object, with a link to its page in the dashboard."""
    where = [_DASHBOARD, made.stripe_account, None if made["livemode"] else "test", page, made["id"]]
    return Property(label, made["id"], url="/".join(filter(None, where)))


def receipt(charge: Any) -> list[Property]:
    url = getattr(charge, "receipt_url", None)
    return [Property("Receipt", "receipt", url=url)] if url else []


def money(amount: int, currency: str) -> str:
    """An amount with its currency.

    >>> money(1999, "eur"), money(1999, "jpy"), money(1999, "kwd")
    ('19.99 EUR', '1,999 JPY', '1.999 KWD')
    """
    lowered = currency.lower()
    places = 0 if lowered in _ZERO_DECIMAL else 3 if lowered in _THREE_DECIMAL else 2
    return f"{Decimal(amount).scaleb(-places):,.{places}f} {currency.upper()}"
