"""Stripe, on its own SDK: `pip install 'trigger-nb[stripe]'`.

```python
client.job(id="bill", integrations={"stripe": Stripe()})
...
customer = await io.stripe.customers.create("customer", email="ana@example.com")
await io.stripe.charges.create("charge", amount=1999, currency="eur", customer=customer["id"])
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._tasks.options import Options, Property
from .._tasks.task import Task
from ..retry import RetryAt
from ._base import Credential, Integration, Methods, SecretText
from ._stripe_answers import keep_secret, link, money, plain, receipt, split, write
from ._stripe_errors import verdict
from ._verdicts import is_connection_error

if TYPE_CHECKING:
    from stripe import StripeClient

    from .._tasks.call import Call


class Stripe(Integration["StripeClient"]):
    """Stripe's API. The client is `stripe.StripeClient`.

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

    **The idempotency key** of the task goes with every write of the methods here. With `run_task` the body
    passes it, as above; a write without it may happen twice. Stripe keeps a key for 24 hours at least: a
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

    @property
    def charges(self) -> Charges:
        """Charges."""
        return Charges(self)

    @property
    def customers(self) -> Customers:
        """Customers."""
        return Customers(self)

    @property
    def subscriptions(self) -> Subscriptions:
        """Subscriptions."""
        return Subscriptions(self)

    @property
    def checkout(self) -> Checkout:
        """Checkout, the page where customers pay."""
        return Checkout(self)

    @property
    def webhook_endpoints(self) -> WebhookEndpoints:
        """Addresses that Stripe sends events to."""
        return WebhookEndpoints(self)


class Charges(Methods[Stripe]):
    """`io.stripe.charges`."""

    def create(
        self,
        key: Any,
        *,
        amount: int,
        currency: str,
        customer: str | None = None,
        source: str | None = None,
        description: str | None = None,
        task_options: Options | None = None,
        **more: Any,
    ) -> Call[dict[str, Any]]:
        """Charge a card or another source; the charge.

        `amount` is in the currency's smallest unit: 1999 is 19.99 EUR, and 1,999 JPY.
        """
        params = {
            "amount": amount,
            "currency": currency,
            "customer": customer,
            "source": source,
            "description": description,
            **more,
        }
        properties = {"Amount": money(amount, currency), "Customer": customer, "Description": description}
        return self._integration.task(
            key,
            _create_charge,
            params,
            name="Create charge",
            properties=_known(properties),
            task_options=task_options,
        )


class Customers(Methods[Stripe]):
    """`io.stripe.customers`."""

    def create(
        self,
        key: Any,
        *,
        email: str | None = None,
        name: str | None = None,
        description: str | None = None,
        metadata: dict[str, str] | None = None,
        task_options: Options | None = None,
        **more: Any,
    ) -> Call[dict[str, Any]]:
        """Create a customer; the customer."""
        params = {"email": email, "name": name, "description": description, "metadata": metadata, **more}
        return self._integration.task(
            key,
            _create_customer,
            params,
            name="Create customer",
            properties=_known({"Email": email, "Name": name}),
            task_options=task_options,
        )

    def update(
        self,
        key: Any,
        *,
        customer: str,
        email: str | None = None,
        name: str | None = None,
        description: str | None = None,
        metadata: dict[str, str] | None = None,
        task_options: Options | None = None,
        **more: Any,
    ) -> Call[dict[str, Any]]:
        """Change a customer, given by its id; the customer as it is then.

        What is left out or None stays as it is; "" empties it.
        """
        params = {
            "customer": customer,
            "email": email,
            "name": name,
            "description": description,
            "metadata": metadata,
            **more,
        }
        return self._integration.task(
            key,
            _update_customer,
            params,
            name="Update customer",
            properties=_known({"Customer": customer, "Email": email, "Name": name}),
            task_options=task_options,
        )


class Subscriptions(Methods[Stripe]):
    """`io.stripe.subscriptions`."""

    def retrieve(
        self,
        key: Any,
        *,
        subscription: str,
        expand: list[str] | None = None,
        task_options: Options | None = None,
        **more: Any,
    ) -> Call[dict[str, Any]]:
        """A subscription by its id, as it is when the task runs: a replay gives the same again."""
        return self._integration.task(
            key,
            _retrieve_subscription,
            {"subscription": subscription, "expand": expand, **more},
            name="Retrieve subscription",
            properties={"Subscription": subscription},
            task_options=task_options,
        )


class Checkout(Methods[Stripe]):
    """`io.stripe.checkout`."""

    @property
    def sessions(self) -> CheckoutSessions:
        """Sessions, one for each customer who is about to pay."""
        return CheckoutSessions(self._integration)


class CheckoutSessions(Methods[Stripe]):
    """`io.stripe.checkout.sessions`."""

    def create(
        self,
        key: Any,
        *,
        mode: str | None = None,
        line_items: list[dict[str, Any]] | None = None,
        success_url: str | None = None,
        cancel_url: str | None = None,
        customer: str | None = None,
        task_options: Options | None = None,
        **more: Any,
    ) -> Call[dict[str, Any]]:
        """Create a page where a customer pays; the session, whose `url` is the page's address."""
        params = {
            "mode": mode,
            "line_items": line_items,
            "success_url": success_url,
            "cancel_url": cancel_url,
            "customer": customer,
            **more,
        }
        return self._integration.task(
            key,
            _create_checkout_session,
            params,
            name="Create checkout session",
            properties=_known({"Mode": mode, "Customer": customer}),
            task_options={"redact": ["client_secret"], **(task_options or {})},
        )


class WebhookEndpoints(Methods[Stripe]):
    """`io.stripe.webhook_endpoints`."""

    def create(
        self,
        key: Any,
        *,
        url: str,
        enabled_events: list[str],
        description: str | None = None,
        task_options: Options | None = None,
        **more: Any,
    ) -> Call[dict[str, Any]]:
        """Have events sent to `url`; the endpoint.

        Its `secret`, which signs the events, is told this once only. It is hidden where the task is shown,
        and is in the store, which a replay needs; what the job itself returns or logs of it is shown.
        """
        params = {"url": url, "enabled_events": enabled_events, "description": description, **more}
        return self._integration.task(
            key,
            _create_webhook_endpoint,
            params,
            name="Create webhook endpoint",
            properties={"URL": url, "Events": ", ".join(enabled_events)},
            task_options={"redact": ["secret"], **(task_options or {})},
        )

    def update(
        self,
        key: Any,
        *,
        webhook_endpoint: str,
        url: str | None = None,
        enabled_events: list[str] | None = None,
        disabled: bool | None = None,
        task_options: Options | None = None,
        **more: Any,
    ) -> Call[dict[str, Any]]:
        """Change an endpoint, given by its id; the endpoint as it is then. `disabled` turns it off or on."""
        params = {
            "webhook_endpoint": webhook_endpoint,
            "url": url,
            "enabled_events": enabled_events,
            "disabled": disabled,
            **more,
        }
        return self._integration.task(
            key,
            _update_webhook_endpoint,
            params,
            name="Update webhook endpoint",
            properties=_known({"Endpoint": webhook_endpoint, "URL": url}),
            task_options=task_options,
        )

    def list(
        self,
        key: Any,
        *,
        limit: int | None = None,
        starting_after: str | None = None,
        ending_before: str | None = None,
        task_options: Options | None = None,
        **more: Any,
    ) -> Call[dict[str, Any]]:
        """One page of the endpoints: they are its `data`, and `has_more` says whether others come after.

        `limit` is up to 100, 10 by default; the next page is the one `starting_after` the last id.
        """
        params = {"limit": limit, "starting_after": starting_after, "ending_before": ending_before, **more}
        return self._integration.task(
            key, _list_webhook_endpoints, params, name="List webhook endpoints", task_options=task_options
        )


# Bodies. `client` is a StripeClient, whose parameters are typed by hundreds of classes.
def _create_charge(params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
    charge = write(task, client.v1.charges.create, params)
    task.output_properties = [link("Charge", charge, "payments"), *receipt(charge)]
    return plain(charge)


def _create_customer(params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
    customer = write(task, client.v1.customers.create, params)
    task.output_properties = [link("Customer", customer, "customers")]
    return plain(customer)


def _update_customer(params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
    given, changes = split(params, "customer")
    customer = write(task, client.v1.customers.update, given, changes)
    task.output_properties = [link("Customer", customer, "customers")]
    return plain(customer)


def _retrieve_subscription(params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
    given, rest = split(params, "subscription")
    subscription = client.v1.subscriptions.retrieve(given, rest)
    task.output_properties = [
        link("Subscription", subscription, "subscriptions"),
        Property("Status", subscription["status"]),
    ]
    return plain(subscription)


def _create_checkout_session(params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
    session = plain(write(task, client.v1.checkout.sessions.create, params))
    keep_secret(session, "client_secret")
    # A session that is embedded in your own page has no address.
    shown = [Property("Checkout", session["id"], url=session.get("url"))]
    if session.get("amount_total") is not None:
        shown.append(Property("Amount", money(session["amount_total"], session["currency"])))
    task.output_properties = shown
    return session


def _create_webhook_endpoint(params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
    endpoint = write(task, client.v1.webhook_endpoints.create, params)
    task.output_properties = [link("Endpoint", endpoint, "webhooks")]
    created = plain(endpoint)
    keep_secret(created, "secret")
    return created


def _update_webhook_endpoint(params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
    given, changes = split(params, "webhook_endpoint")
    endpoint = write(task, client.v1.webhook_endpoints.update, given, changes)
    task.output_properties = [
        link("Endpoint", endpoint, "webhooks"),
        Property("Status", endpoint["status"]),
    ]
    return plain(endpoint)


def _list_webhook_endpoints(params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
    page = plain(client.v1.webhook_endpoints.list(params))
    task.output_properties = [Property("Endpoints", f"{len(page['data'])}{'+' * page['has_more']}")]
    return page


def _known(properties: dict[str, str | None]) -> dict[str, str]:
    return {label: text for label, text in properties.items() if text}
