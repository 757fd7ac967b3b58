"""Stripe through its own SDK, against localstripe: a fake made by others, of what they know of Stripe.

It has charges, customers and subscriptions, and takes no notice of idempotency keys. What it does not have,
sessions of Checkout and webhook endpoints, is tested in `test_stripe.py` alone.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
import stripe

from tests.integrations.jobs import attempts
from trigger_nb.integrations import Stripe

pytestmark = pytest.mark.anyio

# Its own `main` listens on every interface, and keeps its objects in one file for all that run.
SERVER = """
import socket
from aiohttp import web
from localstripe import resources, server

resources.Store.dump_to_disk = lambda store: None
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
web.run_app(server.app, sock=listening, print=None)
"""


@pytest.fixture(scope="module")
def url():
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


@pytest.fixture
def integration(url):
    return Stripe("sk_test_0123456789", base_url=url)


def make_card(number, customer, client, task):
    """Attach a card to a customer: its id."""
    card = {"number": number, "exp_month": 12, "exp_year": 2030, "cvc": "123"}
    options = {"idempotency_key": task.idempotency_key}
    made = client.v1.payment_methods.create({"type": "card", "card": card}, options)
    client.v1.payment_methods.attach(made.id, {"customer": customer})
    return made.id


@pytest.fixture
def pay(client, integration):
    """A job that charges a new customer's card, given by its number."""

    @client.job(id="pay", integrations={"stripe": integration})
    async def pay(number, io):
        customer = await io.stripe.customers.create(
            "customer", email="ana@example.com", metadata={"plan": "pro"}
        )
        card = await io.stripe.run_task("card", make_card, number, customer["id"])
        return await io.stripe.charges.create(
            "charge", amount=1999, currency="eur", customer=customer["id"], source=card
        )

    return pay


async def test_a_customer_is_charged(client, pay):
    charge = await pay.run("4242424242424242")
    assert (charge["object"], charge["status"], charge["amount"]) == ("charge", "succeeded", 1999)
    run = client.runs()[0]
    assert charge["customer"] == run.task("customer").output["id"]
    assert run.task("charge").output_properties[0]["text"] == charge["id"]
    assert await pay.run("4242424242424242") == charge


async def test_a_card_is_declined(client, pay):
    with pytest.raises(stripe.CardError, match="Your card was declined") as caught:
        await pay.run("4000000000000341")
    assert caught.value.code == "card_declined"
    assert client.runs()[0].task("charge").attempt == 1


async def test_a_customer_is_changed(client, integration):
    @client.job(integrations={"stripe": integration})
    async def rename(payload, io):
        made = await io.stripe.customers.create(
            "create", name="Ana", address={"city": "Porto", "country": "PT"}
        )
        return made, await io.stripe.customers.update("update", customer=made["id"], name="Ana B.")

    made, changed = await rename.run()
    assert (changed["id"], changed["name"]) == (made["id"], "Ana B.")
    assert changed["address"] == made["address"] == {"city": "Porto", "country": "PT"}


async def test_a_subscription_is_read(client, integration):
    def subscribe(customer, client, task):
        product = client.v1.products.create({"name": "Hats", "type": "service"})
        plan = client.raw_request(
            "post", "/v1/plans", amount=500, currency="eur", interval="month", product=product.id
        )
        items = [{"plan": plan.data["id"], "quantity": 2}]
        return client.v1.subscriptions.create({"customer": customer, "items": items}).id

    @client.job(integrations={"stripe": integration})
    async def follow(payload, io):
        customer = await io.stripe.customers.create("customer")
        card = await io.stripe.run_task("card", make_card, "4242424242424242", customer["id"])
        pays_with = {"default_payment_method": card}
        await io.stripe.customers.update("pay", customer=customer["id"], invoice_settings=pays_with)
        id = await io.stripe.run_task("subscribe", subscribe, customer["id"])
        return id, await io.stripe.subscriptions.retrieve("read", subscription=id, expand=["customer"])

    id, read = await follow.run()
    assert (read["id"], read["status"]) == (id, "active")
    assert [item["quantity"] for item in read["items"]["data"]] == [2]
    assert read["customer"]["object"] == "customer"


@pytest.mark.parametrize(
    ("params", "key", "error"),
    [
        ({"amount": 1, "currency": "eur", "source": "pm_none"}, "sk_test_0123456789", "InvalidRequestError"),
        ({"amount": -1, "currency": "eur"}, "sk_test_0123456789", "InvalidRequestError"),
        ({"amount": 1, "currency": "eur"}, "pk_test_0123456789", "AuthenticationError"),
    ],
)
async def test_what_is_refused_is_not_tried_again(client, clock, url, params, key, error):
    @client.job(id="charge", integrations={"stripe": Stripe(key, base_url=url)})
    async def charge(payload, io):
        await io.stripe.charges.create("charge", **payload)

    assert await attempts(charge, params, clock) == (1, None)
    assert type(client.runs()[0].task("charge").error) is getattr(stripe, error)
