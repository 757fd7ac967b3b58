"""Stripe, on its own SDK: `pip install 'trigger-nb[stripe]'`.

```python
client.job(id="bill", integrations={"stripe": Stripe()})
...
customer = await io.stripe.customers.create("customer", email="ana@example.com")
await io.stripe.charges.create("charge", amount=1999, currency="eur", customer=customer["id"])
```
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, cast

from .._tasks.options import Property
from .._tasks.task import Task
from ..retry import RetryAt
from ._base import Credential, SecretText
from ._http_retries import is_connection_error
from ._sdk import Known, SdkIntegration, Shows, call_with, is_read
from ._stripe_answers import advised, keep_secret, link, money, plain, receipt
from ._stripe_errors import verdict

if TYPE_CHECKING:
    from stripe import StripeClient


def _links(label: str, page: str, *shown: str) -> Callable[[Any], Iterable[Property]]:
    """A link to what a method made, and fields of it: `_links("Customer", "customers", "status")`."""
    return lambda made: [
        link(label, made, page),
        *(Property(name.capitalize(), made[name]) for name in shown),
    ]


def _session(answer: Any) -> Iterable[Property]:
    session = plain(answer)
    # A session that is embedded in your own page has no address.
    yield Property("Checkout", session["id"], url=session.get("url"))
    if session.get("amount_total") is not None:
        yield Property("Amount", money(session["amount_total"], session["currency"]))


def _charge(charge: Any) -> Iterable[Property]:
    return [link("Charge", charge, "payments"), *receipt(charge)]


def _page(label: str) -> Callable[[Any], Iterable[Property]]:
    """How many a page of a list has, and whether others come after it."""

    def tell(page: Any) -> Iterable[Property]:
        said = plain(page)
        yield Property(label, f"{len(said['data'])}{'+' * bool(said.get('has_more'))}")

    return tell


def _told(answer: Any) -> Iterable[Property]:
    """The output properties of a method that has no entry in the table."""
    said = plain(answer)
    if "data" in said:
        yield from _page("Found")(answer)
    elif "id" in said:
        yield Property(str(said.get("object", "id")).replace("_", " ").capitalize(), said["id"])
    if isinstance(said.get("status"), str):
        yield Property("Status", said["status"])


_CHARGE: Shows = {
    "Amount": lambda params: money(params["amount"], params["currency"]),
    "Customer": "customer",
    "Description": "description",
}


class Stripe(SdkIntegration["StripeClient", dict[str, Any]]):
    """Stripe's API. The client is `stripe.StripeClient`.

    **Methods** are the SDK's own, at the path that they have below `client.v1`, or with `v2` below the client:
    `io.stripe.payment_intents.create("pay", amount=1999, currency="eur")`. After the cache key come the ids, by
    position or by name, and the SDK's `params` as keyword arguments:
    `io.stripe.customers.update("update", "cus_1", name="Ana")`. All of them are there; the table has those of
    which there is more to say.

    `api_key` is a secret or a restricted key; without one, `STRIPE_SECRET_KEY` or `STRIPE_API_KEY` is read
    when it is needed. `stripe_account` is a connected account that all calls are made for,
    `stripe_version` the version of the API (the SDK's own by default).

    Methods return **plain data**, as Stripe sent it: `customer["id"]`, `charge["outcome"]["type"]`.

    The SDK's blocking methods are used, in worker threads: they need nothing but the SDK itself, which
    keeps one connection for each thread, and a charge that is under way when the cell is interrupted is
    finished and recorded. Bodies of your own are best written so too:

    ```
    def refund(charge, client, task):
        options = {"idempotency_key": task.idempotency_key}
        return client.v1.refunds.create({"charge": charge}, options).to_dict()

    await io.stripe.run_task("refund", refund, "ch_123")
    ```

    **The idempotency key** of the task goes with every method that writes. With `run_task` the body passes
    it, as above; a write without it may happen twice. Stripe keeps a key for 24 hours at least: a
    charge whose answer was lost and that is tried again later than that may be made twice.

    While it keeps a key it gives the first answer again, *also when that was an error*: a card that was
    declined (402) stays declined, and a 500 stays a 500, however often the task runs again. To charge once
    more, with another card or other parameters, use another cache key: `("charge", 2)`. After a 500 look
    in the dashboard first, since it does not say whether it took effect
    (https://docs.stripe.com/error-low-level). A key that comes with other parameters than before is refused
    as `stripe.IdempotencyError`.

    **Retried**: 429, a rate limit or an object that is locked (https://docs.stripe.com/rate-limits). Other
    answers as their `Stripe-Should-Retry` says, and without it 409 (another request with the same key or on
    the same object is under way) and 5xx, unless Stripe says that it gave this answer before; connections
    that could not be made, broke or took too long (https://docs.stripe.com/error-low-level). At the time that
    `Retry-After` gives, where Stripe sends it, else with growing delays. No other error is: `CardError`,
    `InvalidRequestError`, `AuthenticationError` and their like end the task at once.
    """

    service = "Stripe"
    icon = "stripe"
    extra = "stripe"

    def __init__(
        self,
        api_key: str | SecretText | None = None,
        *,
        base_url: str | None = None,
        stripe_account: str | None = None,
        stripe_version: str | None = None,
    ):
        super().__init__()
        self._api_key = Credential("Stripe(api_key=...)", api_key, "STRIPE_SECRET_KEY", "STRIPE_API_KEY")
        self._base_url = base_url
        self._stripe_account = stripe_account
        self._stripe_version = stripe_version

    def open_client(self) -> StripeClient:
        from stripe import StripeClient

        addresses: Any = None
        if self._base_url is not None:  # all of them: what is meant for a fake must not reach the real one
            addresses = dict.fromkeys(("api", "connect", "files", "meter_events"), self._base_url.rstrip("/"))
        return StripeClient(
            self._api_key.read(),
            stripe_account=self._stripe_account,
            stripe_version=self._stripe_version,
            base_addresses=addresses,
            max_network_retries=0,
        )

    def should_retry(self, error: Exception) -> bool | RetryAt | None:
        import stripe

        if isinstance(error, stripe.StripeError):
            return verdict(error)
        return True if is_connection_error(error) else None

    @classmethod
    def _sdk(cls) -> Any:
        from stripe import StripeClient

        return StripeClient("of no account")

    @classmethod
    def _is_group(cls, value: Any) -> bool:
        return type(value).__name__.endswith(("Service", "Services"))

    @classmethod
    def _member(cls, owner: Any, name: str) -> Any:
        return super()._member(_below(owner, name), name)

    @classmethod
    def _names_in(cls, owner: Any) -> Iterable[str]:
        # Groups are made when they are used first; until then, the class has them as annotations.
        of = cast("type[Any]", type(_below(owner, "")))
        return [*dir(of), *getattr(of, "__annotations__", ()), *(["v2"] if of is not type(owner) else [])]

    def _body(self, path: str) -> Callable[..., Any]:
        return functools.partial(_call, path, self._about(path))

    _others = Known(tells=_told, redact=("client_secret", "secret"))
    _known: ClassVar[Mapping[str, Known]] = {
        "charges.create": Known(
            "Charge a card or another source; the charge. `amount` is in the currency's smallest unit: 1999 is "
            "19.99 EUR, and 1,999 JPY.",
            shows=_CHARGE,
            tells=_charge,
        ),
        "customers.create": Known(
            "Create a customer; the customer.",
            shows={"Email": "email", "Name": "name"},
            tells=_links("Customer", "customers"),
        ),
        "customers.update": Known(
            'Change a customer, given by its id; the customer as it is then. What is left out stays; "" empties it.',
            shows={"Customer": "customer", "Email": "email", "Name": "name"},
            tells=_links("Customer", "customers"),
        ),
        "subscriptions.retrieve": Known(
            "A subscription by its id, as it is when the task runs: a replay gives the same again.",
            shows={"Subscription": "subscription"},
            tells=_links("Subscription", "subscriptions", "status"),
        ),
        "checkout.sessions.create": Known(
            "Create a page where a customer pays; the session, whose `url` is the page's address.",
            shows={"Mode": "mode", "Customer": "customer"},
            tells=_session,
            redact=["client_secret"],
        ),
        "webhook_endpoints.create": Known(
            "Have events sent to `url`; the endpoint. Its `secret`, which signs the events, is told this once only: "
            "it is hidden where the task is shown, and is in the store, which a replay needs.",
            shows={"URL": "url", "Events": "enabled_events"},
            tells=_links("Endpoint", "webhooks"),
            redact=["secret"],
        ),
        "webhook_endpoints.update": Known(
            "Change an endpoint, given by its id; the endpoint as it is then. `disabled` turns it off or on.",
            shows={"Endpoint": "webhook_endpoint", "URL": "url"},
            tells=_links("Endpoint", "webhooks", "status"),
        ),
        "webhook_endpoints.list": Known(
            "One page of the endpoints: they are its `data`, and `has_more` says whether others come after; the "
            "next page is the one `starting_after` the last id.",
            tells=_page("Endpoints"),
        ),
    }


def _below(owner: Any, name: str) -> Any:
    """The object of the SDK that has a name: the client's names are those of `v1`, beside `v2`."""
    return owner if name == "v2" or not hasattr(owner, "v1") else owner.v1


# The body. `client` is a StripeClient, whose parameters are typed by hundreds of classes.
def _call(
    path: str,
    known: Known,
    params: dict[str, Any],
    client: Any,
    task: Task,
) -> Any:
    method = attrgetter(path)(_below(client, path.partition(".")[0]))
    if is_read(path):
        answer = call_with(method, params)
    else:
        with advised(task):
            answer = call_with(method, params, idempotency_key=task.idempotency_key)
    if not hasattr(answer, "last_response"):  # a file
        return answer.read()
    task.output_properties = [*known.tells(answer)]
    result = plain(answer)
    for name in known.redact:
        keep_secret(result, name)
    return result
