"""Stripe's errors through its own SDK: which are tried again and when, and what is kept of them."""

from __future__ import annotations

import pytest
import stripe

from tests.integrations.jobs import BACKOFF, PATIENCE, attempts
from trigger_nb.errors import TaskTimeoutError
from trigger_nb.integrations import Stripe
from trigger_nb.testing.services import Answer, FakeStripe

pytestmark = pytest.mark.anyio

KEY = "sk_test_0123456789"
TOLD = "Stripe-Should-Retry"
OTHER_PARAMETERS = "Keys for idempotent requests"


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


# What is tried again ----------------------------------------------------------------------------


def failure(status, headers=None, **error):
    return Answer(
        status, {"error": {"type": "invalid_request_error", "message": "no", **error}}, headers or {}
    )


@pytest.mark.parametrize(
    ("event", "tried", "delay"),
    [
        (500, 2, BACKOFF),
        (502, 2, BACKOFF),
        (503, 2, BACKOFF),
        (Answer(502, b"<html>Bad gateway</html>", {"Content-Type": "text/html"}), 2, BACKOFF),
        (failure(503, {"Retry-After": "7"}), 2, 7),
        ("refuse", 2, BACKOFF),
        ("drop", 2, BACKOFF),
        (429, 2, BACKOFF),
        (failure(429, {"Retry-After": "30"}), 2, 30),
        (failure(429, {TOLD: "false"}, code="rate_limit"), 2, BACKOFF),
        (failure(429, {TOLD: "true"}, code="lock_timeout"), 2, BACKOFF),
        (409, 2, BACKOFF),
        (failure(409), 2, BACKOFF),
        (failure(409, {TOLD: "false"}), 1, None),
        (failure(500, {TOLD: "false"}), 1, None),
        (failure(500, {"Idempotent-Replayed": "true"}), 1, None),
        (failure(400, {TOLD: "true"}), 2, BACKOFF),
        (400, 1, None),
        (401, 1, None),
        (402, 1, None),
        (403, 1, None),
        (404, 1, None),
        (failure(400, type="idempotency_error"), 1, None),
    ],
)
async def test_which_errors_are_tried_again_and_when(clock, job, service, event, tried, delay):
    """As https://docs.stripe.com/error-low-level and https://docs.stripe.com/rate-limits document them."""
    service.plan(event)
    assert await attempts(job, {}, clock) == (tried, delay)
    assert len(service.requests) == tried
    assert len({request.idempotency_key for request in service.requests}) == 1
    assert len(service.charges) == tried - 1 or event == "drop"


async def test_an_answer_that_breaks_off_is_asked_for_again(job, service):
    def half():
        yield b'{"id": "ch_1",'
        raise ConnectionResetError

    service.plan(Answer(200, half(), {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}))
    assert (await job.run({}))["id"] == "ch_1"
    assert len(service.requests) == 2


async def test_a_charge_whose_answer_was_lost_is_not_made_twice(job, service):
    service.plan("drop", "drop")
    assert (await job.run({}))["id"] == "ch_1"
    assert len(service.requests) == 3
    assert len(service.charges) == 1


async def test_an_answer_that_does_not_come(clock, job, service, integration):
    """The SDK's own limit, 80 s, ends the attempt; the next one has the same key."""

    def be_patient():
        service.until_asked(1)
        integration.native._requestor._client._timeout = PATIENCE

    integration.native._requestor._client._timeout = 0.2
    service.plan("hold")
    assert await attempts(job, {}, clock, be_patient) == (2, BACKOFF)
    assert (await job.run({}))["id"] == "ch_1"
    first, second = service.requests
    assert first.idempotency_key == second.idempotency_key
    assert len(service.charges) == 1


async def test_a_task_may_wait_less_than_the_sdk(client, integration, service):
    """A5: the next attempt waits for the request that is under way, and makes no second one."""
    options = {"timeout": 0.2, "retry": 2}

    @client.job(integrations={"stripe": integration})
    async def bill(payload, io):
        charged = await io.stripe.charges.create("charge", amount=1999, currency="usd", task_options=options)
        return charged["id"]

    service.plan("hold")
    with pytest.raises(TaskTimeoutError):
        await bill.run()
    assert client.runs()[0].task("charge").attempt == 2
    service.release()
    options["timeout"] = PATIENCE
    assert await bill.run() == "ch_1"
    assert len(service.requests) == 1


async def test_a_declined_card_is_declined_once(clock, job, service):
    """Stripe keeps the first answer of a key, errors too, and the docs say what to do then."""
    for _ in range(2):
        with pytest.raises(stripe.CardError, match=r"Your card was declined\.") as caught:
            await job.run({"source": "tok_chargeDeclined"})
        assert (caught.value.code, caught.value.error.decline_code) == ("card_declined", "generic_decline")
    assert len(service.requests) == 2
    assert caught.value.headers["idempotent-replayed"] == "true"
    assert "use another cache key: ('charge', 2)" in "".join(caught.value.__notes__)
    assert len(service.charges) == 1


async def test_the_same_key_with_other_parameters_is_refused(client, integration, service):
    source = "tok_chargeDeclined"

    @client.job(id="bill", integrations={"stripe": integration})
    async def bill(payload, io):
        await io.stripe.charges.create("charge", amount=1, currency="usd", source=source)

    with pytest.raises(stripe.CardError):
        await bill.run()
    source = "tok_visa"
    with pytest.raises(stripe.IdempotencyError, match=OTHER_PARAMETERS) as caught:
        await bill.run()
    assert "use another cache key: ('charge', 2)" in "".join(caught.value.__notes__)
    assert len(service.charges) == 1


# Errors on replay -------------------------------------------------------------------------------


async def test_an_error_that_was_handled_is_the_same_on_replay(client, integration, service):
    """R4: people branch on what is in it."""
    seen = []

    @client.job(id="bill", integrations={"stripe": integration})
    async def bill(payload, io):
        try:
            await io.stripe.charges.create("charge", amount=1, currency="usd", source="tok_chargeDeclined")
        except stripe.CardError as error:
            seen.append(error)
        await io.run_task("after", lambda: None)

    await bill.run()
    await bill.run()
    assert len(service.requests) == 1
    for error in seen:
        assert type(error) is stripe.CardError
        assert str(error) == "Request req_1: Your card was declined."
        assert (error.user_message, error.code, error.param) == (
            "Your card was declined.", "card_declined", None,
        )  # fmt: skip
        assert (error.http_status, error.request_id) == (402, "req_1")
        assert error.headers["Request-Id"] == "req_1"
        assert error.json_body["error"]["charge"] == "ch_1"
        assert (error.error.type, error.error.decline_code) == ("card_error", "generic_decline")
    assert seen[0].args == seen[1].args


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (failure(400, param="amount", code="amount_too_small"), "InvalidRequestError"),
        (failure(400, type="idempotency_error"), "IdempotencyError"),
        (401, "AuthenticationError"),
        (403, "PermissionError"),
        (429, "RateLimitError"),
        (500, "APIError"),
        (Answer(502, b"<html>Bad gateway</html>"), "APIError"),
        ("refuse", "APIConnectionError"),
    ],
)
async def test_every_kind_of_error_is_the_same_on_replay(client, integration, service, event, kind):
    """R4"""
    seen = []

    @client.job(id="bill", integrations={"stripe": integration})
    async def bill(payload, io):
        try:
            await io.stripe.charges.create("charge", amount=1, currency="usd", task_options={"retry": 1})
        except stripe.StripeError as error:
            seen.append(error)
        await io.run_task("after", lambda: None)

    service.plan(event)
    await bill.run()
    await bill.run()
    fresh, replayed = seen
    assert type(replayed) is type(fresh) is getattr(stripe, kind)
    for name in ("user_message", "http_body", "http_status", "code", "request_id", "error", "param"):
        assert getattr(replayed, name, None) == getattr(fresh, name, None)
    assert str(replayed) == str(fresh)
    assert getattr(replayed, "should_retry", None) is getattr(fresh, "should_retry", None)
    assert len(service.requests) == 1
