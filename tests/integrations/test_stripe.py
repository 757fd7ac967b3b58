"""Stripe through its own SDK, against an account on the loopback."""

from __future__ import annotations

import subprocess
import sys

import pytest
import stripe

from trigger_nb.errors import MissingCredentialError
from trigger_nb.integrations import Stripe
from trigger_nb.testing import check_integration
from trigger_nb.testing.services import Answer, FakeStripe

pytestmark = pytest.mark.anyio

KEY = "sk_test_canary0123456789"


@pytest.fixture
def service():
    with FakeStripe(api_key=KEY) as service:
        yield service


@pytest.fixture
def integration(service):
    return Stripe(KEY, base_url=service.url)


@pytest.fixture
def job(client, integration):
    """A job of one task, which charges."""

    @client.job(id="bill", integrations={"stripe": integration})
    async def bill(payload, io):
        return await io.stripe.charges.create("charge", **{"amount": 1999, "currency": "usd", **payload})

    return bill


@pytest.fixture
def call(client, integration):
    """Runs one method in a job: its output and its task."""

    async def call(method):
        @client.job(id="call", integrations={"stripe": integration})
        async def one(payload, io):
            return await method(io.stripe)

        output = await one.run(fresh=True)
        return output, client.runs()[0].task("key")

    return call


def links(task):
    return {shown["label"]: (shown["text"], shown.get("url")) for shown in task.output_properties}


def texts(task):
    return {shown["label"]: shown["text"] for shown in task.properties or []}


# What is sent and what comes back ---------------------------------------------------------------


async def test_a_charge_is_made_once(job, service, client):
    charge = await job.run({"customer": "cus_7", "metadata": {"order": "6735"}})
    assert type(charge) is dict
    assert (charge["id"], charge["amount"], charge["metadata"]) == ("ch_1", 1999, {"order": "6735"})
    assert await job.run({"customer": "cus_7", "metadata": {"order": "6735"}}) == charge
    [request] = service.requests
    assert (request.method, request.path) == ("POST", "/v1/charges")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.idempotency_key == client.runs()[0].task("charge").idempotency_key
    assert request.form == {
        "amount": "1999",
        "currency": "usd",
        "customer": "cus_7",
        "metadata[order]": "6735",
    }


async def test_its_row_shows_the_amount_and_links_to_the_dashboard(job, client):
    await job.run({"customer": "cus_7", "description": "Hat"})
    task = client.runs()[0].task("charge")
    assert (task.icon, task.name) == ("stripe", "Create charge")
    assert texts(task) == {"Amount": "19.99 USD", "Customer": "cus_7", "Description": "Hat"}
    assert links(task) == {
        "Charge": ("ch_1", "https://dashboard.stripe.com/test/payments/ch_1"),
        "Receipt": ("receipt", "https://pay.stripe.com/receipts/ch_1"),
    }


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        (1999, "usd", "19.99 USD"),
        (5, "EUR", "0.05 EUR"),
        (123456789, "gbp", "1,234,567.89 GBP"),
        (1999, "jpy", "1,999 JPY"),
        (500, "clp", "500 CLP"),
        (5120, "kwd", "5.120 KWD"),
        (500, "ugx", "5.00 UGX"),
        (500, "isk", "5.00 ISK"),
    ],
)
async def test_an_amount_is_shown_in_its_currency(job, client, amount, currency, shown):
    """The currencies as https://docs.stripe.com/currencies lists them."""
    await job.run({"amount": amount, "currency": currency})
    assert texts(client.runs()[0].task("charge"))["Amount"] == shown


async def test_a_checkout_session_links_to_its_page(call, service):
    price = {"currency": "jpy", "unit_amount": 1500, "product_data": {"name": "Hat"}}
    made, task = await call(
        lambda s: s.checkout.sessions.create(
            "key", mode="payment", line_items=[{"price_data": price, "quantity": 2}],
            success_url="https://shop.example/thanks", allow_promotion_codes=True,
        )
    )  # fmt: skip
    assert made["url"] == "https://checkout.stripe.com/c/pay/cs_test_1"
    assert links(task) == {"Checkout": ("cs_test_1", made["url"]), "Amount": ("3,000 JPY", None)}
    [request] = service.requests
    assert request.idempotency_key == task.idempotency_key
    assert request.form == {
        "mode": "payment",
        "line_items[0][price_data][currency]": "jpy",
        "line_items[0][price_data][unit_amount]": "1500",
        "line_items[0][price_data][product_data][name]": "Hat",
        "line_items[0][quantity]": "2",
        "success_url": "https://shop.example/thanks",
        "allow_promotion_codes": "true",
    }


async def test_an_embedded_checkout_session_has_no_page_and_a_secret(client, integration, tmp_path):
    """S8: the secret is hidden where the task is shown."""

    @client.job(integrations={"stripe": integration})
    async def sell(payload, io):
        made = await io.stripe.checkout.sessions.create(
            "session", ui_mode="embedded", mode="payment", line_items=[{"price": "price_1"}]
        )
        return len(made["client_secret"])

    run = sell.start()
    assert await run == len("cs_test_1_secret_1")
    assert links(run.task("session"))["Checkout"] == ("cs_test_1", None)
    html = run.export_html(tmp_path / "run.html").read_text(encoding="utf-8")
    assert "secret_1" not in f"{run.tree()}{html}"


async def test_the_secret_of_a_webhook_endpoint_is_not_shown(client, integration, tmp_path, monkeypatch):
    """S8: the job has it, and the store, which a replay needs; where the task is shown it is hidden, also
    in what the SDK logs of the answer."""
    monkeypatch.setattr(stripe, "log", "debug")
    told = []

    @client.job(integrations={"stripe": integration})
    async def listen(payload, io):
        made = await io.stripe.webhook_endpoints.create(
            "hook", url="https://shop.example", enabled_events=["*"]
        )
        told.append(made["secret"])

    run = listen.start()
    await run
    assert told == ["whsec_we_1"]
    html = run.export_html(tmp_path / "run.html").read_text(encoding="utf-8")
    assert "message=&#x27;API response body&#x27;" in html
    assert "whsec" not in f"{run.tree()}{html}"


async def test_a_connected_account_and_a_version(client, service):
    connected = Stripe(KEY, base_url=service.url, stripe_account="acct_9", stripe_version="2024-06-20")

    @client.job(integrations={"stripe": connected})
    async def make(payload, io):
        await io.stripe.customers.create("customer")

    await make.run()
    [request] = service.requests
    assert request.headers["stripe-account"] == "acct_9"
    assert request.headers["stripe-version"] == "2024-06-20"
    [link] = client.runs()[0].task("customer").output_properties
    assert link["url"] == "https://dashboard.stripe.com/acct_9/test/customers/cus_1"


async def test_what_is_live_links_to_the_live_dashboard(call, service):
    service.plan(Answer(200, {"id": "cus_1", "object": "customer", "livemode": True}))
    _, task = await call(lambda s: s.customers.create("key"))
    assert links(task) == {"Customer": ("cus_1", "https://dashboard.stripe.com/customers/cus_1")}


async def test_the_rest_of_the_api_by_its_client(client, integration, service):
    def refund(charge, client, task):
        options = {"idempotency_key": task.idempotency_key}
        return client.v1.refunds.create({"charge": charge}, options).to_dict()

    @client.job(integrations={"stripe": integration})
    async def undo(payload, io):
        return await io.stripe.run_task("refund", refund, "ch_1")

    service.plan("drop")
    refunded = await undo.run()
    assert (refunded["id"], refunded["charge"]) == ("re_1", "ch_1")
    assert len(service.refunds) == 1
    task = client.runs()[0].task("refund")
    assert {request.idempotency_key for request in service.requests} == {task.idempotency_key}
    assert (task.icon, task.attempt) == ("stripe", 2)


async def test_its_async_methods_in_a_body(client, integration):
    async def find(client):
        found = (await client.v1.subscriptions.retrieve_async("sub_1")).to_dict()
        await client._requestor._client.close_async()  # Stripe's SDK has no public way
        return found

    @client.job(integrations={"stripe": integration})
    async def look(payload, io):
        return await io.stripe.run_task("find", find)

    assert (await look.run())["status"] == "active"


def test_in_a_job_that_is_not_async(client, integration, service):
    @client.job(integrations={"stripe": integration})
    def bill(payload, io):
        customer = io.stripe.customers.create("customer", email="ana@example.com")
        return io.stripe.charges.create("charge", amount=500, currency="eur", customer=customer["id"])

    assert bill.run_sync()["customer"] == "cus_1"
    assert len(service.charges) == 1


async def test_the_contract_of_every_integration(integration):
    """R1, R2, S8, for each method."""
    await check_integration(integration, [
        lambda s: s.charges.create("charge", amount=1, currency="usd"),
        lambda s: s.customers.create("create"),
        lambda s: s.customers.update("update", customer="cus_1", name="Ana"),
        lambda s: s.subscriptions.retrieve("read", subscription="sub_1"),
        lambda s: s.checkout.sessions.create("session", mode="payment", line_items=[{"price": "price_1"}]),
        lambda s: s.webhook_endpoints.create("hook", url="https://shop.example", enabled_events=["*"]),
        lambda s: s.webhook_endpoints.update("change", webhook_endpoint="we_1", disabled=True),
        lambda s: s.webhook_endpoints.list("list"),
    ])  # fmt: skip


IN_A_NEW_KERNEL = """
import sys
from trigger_nb import TriggerClient
from trigger_nb.integrations import Stripe

client = TriggerClient("integrations", dir=sys.argv[1], display=False)

@client.job(id="bill", integrations={"stripe": Stripe(base_url="http://127.0.0.1:9")})
async def bill(payload, io):
    return await io.stripe.charges.create("charge", **{"amount": 1999, "currency": "usd", **payload})

print(repr(bill.run_sync({})), "stripe" in sys.modules)
"""


async def test_a_replay_in_a_new_kernel_needs_neither_sdk_nor_key(client, job, tmp_path):
    """R2: equal in value and in type."""
    charge = await job.run({})
    done = subprocess.run(
        [sys.executable, "-c", IN_A_NEW_KERNEL, str(tmp_path / "store")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == f"{charge!r} False\n"


# Credentials ------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["STRIPE_SECRET_KEY", "STRIPE_API_KEY"])
async def test_the_key_is_read_from_the_environment(client, service, monkeypatch, variable):
    monkeypatch.delenv("STRIPE_SECRET_KEY", raising=False)
    monkeypatch.delenv("STRIPE_API_KEY", raising=False)

    @client.job(integrations={"stripe": Stripe(base_url=service.url)})
    async def make(payload, io):
        return await io.stripe.customers.create("customer")

    with pytest.raises(
        MissingCredentialError, match=r"Stripe\(api_key=.*STRIPE_SECRET_KEY or STRIPE_API_KEY"
    ):
        await make.run()
    monkeypatch.setenv(variable, KEY)
    assert (await make.run())["id"] == "cus_1"


async def test_a_wrong_key_is_refused(client, service):
    @client.job(integrations={"stripe": Stripe("sk_test_wrong0123456789", base_url=service.url)})
    async def make(payload, io):
        await io.stripe.customers.create("customer")

    with pytest.raises(stripe.AuthenticationError, match="Invalid API Key provided"):
        await make.run()
    assert len(service.requests) == 1


async def test_the_key_is_nowhere_in_the_store(client, integration, job, service, tmp_path):
    """S8: not in a result, nor in an error whose message repeats it."""
    await job.run({})
    service.plan(Answer(400, {"error": {"type": "invalid_request_error", "message": f"Invalid key: {KEY}"}}))
    with pytest.raises(stripe.InvalidRequestError):
        await job.run({"amount": 1})
    assert KEY not in repr(integration)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert files
    assert [file for file in files if KEY.encode() in file.read_bytes()] == []
