"""A fake Stripe account: its customers, charges and other objects."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import Any

from ._server import Answer, Json, Request, Service, route

_ID_PREFIXES = {
    "charge": "ch",
    "checkout.session": "cs_test",
    "customer": "cus",
    "refund": "re",
    "webhook_endpoint": "we",
}
_NUMBERS = frozenset({"amount", "quantity", "unit_amount"})


class FakeStripe(Service):
    """Stripe's API for charges, customers, subscriptions, Checkout and webhooks.

    - `api_key`: the valid key; None (the default) accepts any key.

    `customers`, `charges` and so on are the created objects. A repeated write with the same idempotency key
    gets the first answer, or an error if its parameters differ. A charge with the source
    `tok_chargeDeclined` is declined. There is one subscription, `sub_1`.
    """

    def __init__(self, *, api_key: str | None = None) -> None:
        super().__init__()
        self.objects: dict[str, Json] = {"sub_1": _subscription()}
        self._api_key = api_key  # the valid credential; None: any
        self._asked: dict[str, tuple[str, dict[str, str]]] = {}  # by idempotency key

    @property
    def customers(self) -> list[Json]:
        """All that were made, in order."""
        return list(self._all("customer"))

    @property
    def charges(self) -> list[Json]:
        """All that were made, in order, the declined ones too."""
        return list(self._all("charge"))

    @property
    def refunds(self) -> list[Json]:
        """All that were made, in order."""
        return list(self._all("refund"))

    @property
    def sessions(self) -> list[Json]:
        """All sessions of Checkout, in order."""
        return list(self._all("checkout.session"))

    @property
    def webhook_endpoints(self) -> list[Json]:
        """All that were made, in order."""
        return list(self._all("webhook_endpoint"))

    # Requests ---------------------------------------------------------------------------------

    @route("POST", "/v1/customers")
    def create_customer(self, request: Request) -> Answer:
        return self._write(request, (), lambda given: self._make("customer", given))

    @route("POST", "/v1/customers/{id}")
    def update_customer(self, request: Request, id: str) -> Answer:
        return self._update(request, "customer", id)

    @route("POST", "/v1/charges")
    def create_charge(self, request: Request) -> Answer:
        return self._write(request, ("amount", "currency"), self._charge)

    @route("POST", "/v1/refunds")
    def create_refund(self, request: Request) -> Answer:
        return self._write(request, ("charge",), lambda given: self._make("refund", given))

    @route("GET", "/v1/subscriptions/{id}")
    def retrieve_subscription(self, request: Request, id: str) -> Answer:
        return self._retrieve("subscription", id)

    @route("POST", "/v1/checkout/sessions")
    def create_session(self, request: Request) -> Answer:
        return self._write(request, ("mode", "line_items"), self._session)

    @route("POST", "/v1/webhook_endpoints")
    def create_webhook_endpoint(self, request: Request) -> Answer:
        def make(given: Json) -> Answer:
            made = self._make("webhook_endpoint", {"status": "enabled", **given})
            # Only this answer has the secret.
            return Answer(200, {**made.body, "secret": f"whsec_{made.body['id']}"})

        return self._write(request, ("url", "enabled_events"), make)

    @route("POST", "/v1/webhook_endpoints/{id}")
    def update_webhook_endpoint(self, request: Request, id: str) -> Answer:
        return self._update(request, "webhook_endpoint", id)

    @route("GET", "/v1/webhook_endpoints")
    def list_webhook_endpoints(self, request: Request) -> Answer:
        after, limit = request.query.get("starting_after"), int(request.query.get("limit", 10))
        newest_first = self.webhook_endpoints[::-1]
        ids = [endpoint["id"] for endpoint in newest_first]
        rest = newest_first if after is None else newest_first[ids.index(after) + 1 :]
        page = {"object": "list", "url": request.path, "data": rest[:limit], "has_more": len(rest) > limit}
        return Answer(200, page)

    # Common to all requests -------------------------------------------------------------------

    def handle(self, request: Request) -> Answer | None:
        answer = super().handle(request)
        if answer is None:
            return None
        headers = {"Request-Id": f"req_{len(self.requests)}", **answer.headers}
        return dataclasses.replace(answer, headers=headers)

    def refusal(self, request: Request) -> Answer | None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not given:
            return self.error(
                401,
                "You did not provide an API key. You need to provide your API key in the Authorization header",
            )
        if self._api_key is not None and given != self._api_key:
            return self.error(401, f"Invalid API Key provided: {given[:8]}{'*' * 12}{given[-4:]}")
        return None

    def error(self, status: int, message: str) -> Answer:
        if status == 429:
            return _failure(
                429,
                "Request rate limit exceeded.",
                code="rate_limit",
                headers={"Stripe-Rate-Limited-Reason": "global-rate"},
            )
        if status == 409:
            return _failure(
                409,
                "There is currently another in-progress request using this idempotency key.",
                type="idempotency_error",
                code="idempotency_key_in_use",
                headers={"Stripe-Should-Retry": "true"},
            )
        return _failure(status, message, type="api_error" if status >= 500 else "invalid_request_error")

    def _write(self, request: Request, required: tuple[str, ...], make: Callable[[Json], Answer]) -> Answer:
        """The answer to a POST, or the earlier answer for the same idempotency key."""
        given = _nested(request.form)
        for name in required:  # An invalid request is not remembered for its key.
            if name not in given:
                return _failure(400, f"Missing required param: {name}.", code="parameter_missing", param=name)
        key, asked = request.idempotency_key, (request.path, request.form)
        is_known = key in self._asked
        if is_known and self._asked[key] != asked:
            return _failure(
                400,
                "Keys for idempotent requests can only be used with the same parameters they were first "
                f"used with. Try using a key other than '{key}' if you meant to execute a different request.",
                type="idempotency_error",
            )
        if key:
            self._asked[key] = asked
        answer = self.once(key, lambda: make(given))
        if is_known:
            return dataclasses.replace(answer, headers={**answer.headers, "Idempotent-Replayed": "true"})
        return answer

    def _make(self, kind: str, given: Json) -> Answer:
        prefix = _ID_PREFIXES[kind]
        number = len(list(self._all(kind))) + 1
        made: Json = {
            "id": f"{prefix}_{number}",
            "object": kind,
            "livemode": False,
            "metadata": {},
            **given,
        }
        self.objects[made["id"]] = made
        return Answer(200, made)

    def _update(self, request: Request, kind: str, id: str) -> Answer:
        def change(given: Json) -> Answer:
            if "disabled" in given:
                given["status"] = "disabled" if given.pop("disabled") == "true" else "enabled"
            metadata = {**self.objects[id]["metadata"], **given.pop("metadata", {})}
            changes = {name: None if value == "" else value for name, value in given.items()}
            self.objects[id] = {**self.objects[id], **changes, "metadata": metadata}
            return Answer(200, self.objects[id])

        found = self._retrieve(kind, id)
        return self._write(request, (), change) if found.status == 200 else found

    def _retrieve(self, kind: str, id: str) -> Answer:
        found = self.objects.get(id)
        if found is None or found["object"] != kind:
            return _failure(404, f"No such {kind}: '{id}'", code="resource_missing", param="id")
        return Answer(200, found)

    def _charge(self, given: Json) -> Answer:
        is_declined = given.get("source") == "tok_chargeDeclined"
        made = self._make("charge", {**given, "status": "failed" if is_declined else "succeeded"}).body
        if is_declined:
            return _failure(
                402,
                "Your card was declined.",
                type="card_error",
                code="card_declined",
                decline_code="generic_decline",
                charge=made["id"],
            )
        made["receipt_url"] = f"https://pay.stripe.com/receipts/{made['id']}"
        return Answer(200, made)

    def _session(self, given: Json) -> Answer:
        made = self._make("checkout.session", {**given, "currency": "usd", "status": "open"}).body
        prices = [(item.get("price_data", {}), item.get("quantity", 1)) for item in given["line_items"]]
        made["amount_total"] = sum(price.get("unit_amount", 0) * quantity for price, quantity in prices)
        made["currency"] = next((price["currency"] for price, _ in prices if "currency" in price), "usd")
        if given.get("ui_mode") == "embedded":  # embedded in the shop's page
            made |= {"url": None, "client_secret": f"{made['id']}_secret_1"}
        else:
            made["url"] = f"https://checkout.stripe.com/c/pay/{made['id']}"
        return Answer(200, made)

    def _all(self, kind: str) -> Iterator[Json]:
        return (each for each in self.objects.values() if each["object"] == kind)


def _subscription() -> Json:
    item = {"id": "si_1", "object": "subscription_item", "quantity": 1}
    return {
        "id": "sub_1",
        "object": "subscription",
        "livemode": False,
        "status": "active",
        "customer": "cus_0",
        "metadata": {},
        "items": {"object": "list", "data": [item], "has_more": False},
    }


def _failure(
    status: int,
    message: str,
    *,
    headers: dict[str, str] | None = None,
    type: str = "invalid_request_error",
    **more: str,
) -> Answer:
    return Answer(status, {"error": {"type": type, "message": message, **more}}, headers or {})


def _nested(form: dict[str, str]) -> Json:
    """A form's fields as nested data: `a[b]=c` is `{"a": {"b": "c"}}`, `a[0]=c` is `{"a": ["c"]}`."""
    tree: Json = {}
    for name, value in form.items():
        *path, last = re.findall(r"[^\[\]]+", name)
        branch = tree
        for part in path:
            branch = branch.setdefault(part, {})
        branch[last] = int(value) if last in _NUMBERS else value
    return _with_lists(tree)


def _with_lists(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    branches: Json = {name: _with_lists(value) for name, value in tree.items()}  # pyright: ignore[reportUnknownVariableType]
    return list(branches.values()) if "0" in branches else branches
