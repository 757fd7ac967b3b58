"""What all integrations have in common: credentials, clients, retries, and the copy that a run gets."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import pickle
import subprocess
import sys
import weakref
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.integrations.jobs import BACKOFF, attempts
from trigger_nb import Retry, RetryAt
from trigger_nb._clock import Patience
from trigger_nb._records.feed import Progressed
from trigger_nb.errors import InvalidOptionError, MissingCredentialError, MissingExtraError, UsageError
from trigger_nb.integrations import Credential, Integration
from trigger_nb.testing import check_integration

pytestmark = pytest.mark.anyio

KEY = "key-canary-0123456789"


class AcmeError(Exception):
    """The service's own error."""

    def __init__(self, status):
        super().__init__(f"status {status}")
        self.status = status


class AcmeClient:
    """A client that has what it was opened with."""

    def __init__(self, key):
        self.key = key
        self.closed = False


class Acme(Integration[AcmeClient]):
    """A service with one method."""

    service = "Acme"
    icon = "acme"

    def __init__(self, key=None):
        super().__init__()
        self._key = Credential("Acme(key=...)", key, "ACME_KEY", "ACME_TOKEN")

    def open_client(self):
        return AcmeClient(self._key.read())

    async def close_client(self, client):
        client.closed = True

    def should_retry(self, error):
        if not isinstance(error, AcmeError):
            return None
        return RetryAt(30) if error.status == 429 else error.status >= 500

    def order(self, key, *, item, note=None, task_options=None):
        return self.task(
            key,
            _order,
            {"item": item, "note": note},
            name="Order",
            properties={"Item": item},
            task_options=task_options,
        )


def _order(params, client, task):
    task.output_properties = {"Order": task.idempotency_key[:8]}
    return {**params, "by": type(client).__name__}


@pytest.fixture
def acme():
    return Acme(KEY)


async def test_the_contract(acme):
    await check_integration(acme, [lambda acme: acme.order("order", item="socks")])


# The contract finds what is wrong ---------------------------------------------------------------


class ShowsItsKey(Acme):
    def __repr__(self):
        return f"<Acme {self._key.read()}>"


class ChangesItself(Acme):
    def bind(self, io):
        self._io = io
        return self


class HasNoIcon(Acme):
    icon = ""


class JudgesAll(Acme):
    def should_retry(self, error):
        return True


class NamesNoVariable(Acme):
    def open_client(self):
        if self._key.find() is None:
            raise KeyError("no key")
        return AcmeClient(self._key.read())


class Forgets(Acme):
    def order(self, key, *, item):
        async def order():
            return {"item": item}

        return order()


class ReadsWhatIsNotThere(Acme):
    def should_retry(self, error):
        return error.status >= 500


class GivesWhatCannotBeStored(Acme):
    def order(self, key, *, item):
        return self.task(key, lambda params, client: client, {"item": item}, name="Order")


class HasNoName(Acme):
    def order(self, key, *, item):
        return self.run_task(key, lambda client: {"item": item})


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (ShowsItsKey, "is in its repr"),
        (ChangesItself, "changes the original"),
        (HasNoIcon, "HasNoIcon.icon must be text"),
        (JudgesAll, "must return None for other errors than the service's"),
        (NamesNoVariable, "raises KeyError"),
        (Forgets, "no task"),
        (HasNoName, "has no name"),
        (ReadsWhatIsNotThere, "check the error's class first"),
        (GivesWhatCannotBeStored, "cannot be stored"),
    ],
)
async def test_the_contract_finds_what_is_wrong(broken, told):
    with pytest.raises(AssertionError, match=told):
        await check_integration(broken(KEY), [lambda acme: acme.order("order", item="socks")])


# Credentials --------------------------------------------------------------------------------------


def test_a_credential_is_given_or_found(monkeypatch):
    monkeypatch.setenv("ACME_TOKEN", "token-from-environment")
    assert Credential("Acme(key=...)", "given-by-hand", "ACME_TOKEN").read() == "given-by-hand"
    assert Credential("Acme(key=...)", SecretStr("given-as-secret"), "ACME_TOKEN").read() == "given-as-secret"
    assert Credential("Acme(key=...)", None, "ACME_KEY", "ACME_TOKEN").read() == "token-from-environment"
    assert Credential("Acme(key=...)", None, "ACME_KEY").find() is None


def test_a_credential_is_neither_shown_nor_pickled():
    credential = Credential("Acme(key=...)", KEY, "ACME_KEY")
    assert KEY not in f"{credential} {credential!r}"
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(credential)


def test_what_is_no_credential_is_refused():
    with pytest.raises(InvalidOptionError, match=r"Acme\(key=...\) takes text or a SecretStr, not int"):
        Acme(7)


async def test_a_missing_credential_is_told_when_it_is_needed_and_not_before(client, monkeypatch):
    """A replay needs no credential, a first pass says which variable to set; and the run goes on after it."""
    monkeypatch.delenv("ACME_KEY", raising=False)

    @client.job(integrations={"acme": Acme()})
    async def shop(payload, io):
        try:
            return await io.acme.order("order", item="socks")
        except Exception:
            return "swallowed"

    with pytest.raises(MissingCredentialError, match=r"Acme\(key=\.\.\.\).*ACME_KEY or ACME_TOKEN"):
        await shop.run()
    monkeypatch.setenv("ACME_KEY", KEY)
    assert (await shop.run())["item"] == "socks"
    monkeypatch.delenv("ACME_KEY")
    assert (await shop.run())["item"] == "socks"


async def test_another_credential_gets_another_client(monkeypatch):
    acme = Acme()
    monkeypatch.setenv("ACME_KEY", "first-credential")
    first = acme.native
    assert acme.native is first
    monkeypatch.setenv("ACME_KEY", "second-credential")
    assert (first.key, acme.native.key) == ("first-credential", "second-credential")


# Clients ------------------------------------------------------------------------------------------


def test_each_event_loop_has_a_client_of_its_own(acme):
    """An async client's connections belong to the loop that they were made on."""

    async def client():
        assert acme.native is acme.bind(None).native
        return acme.native

    assert asyncio.run(client()) is not asyncio.run(client())


def test_the_client_of_a_closed_loop_goes_with_it(acme):
    """A client refers to its loop: kept, it would keep both, with each `run_sync` one more."""

    async def client():
        acme.native.loop = asyncio.get_running_loop()
        return weakref.ref(acme.native)

    first = asyncio.run(client())
    asyncio.run(client())
    gc.collect()
    assert first() is None


async def test_aclose_closes_the_client_of_this_loop(acme):
    client = acme.native
    await acme.aclose()
    assert client.closed
    assert acme.native is not client
    await Acme(KEY).aclose()  # one that was never opened


def test_run_sync_closes_the_clients_of_its_loop(client, acme):
    """Which ends with it."""

    @client.job(integrations={"acme": acme})
    async def shop(payload, io):
        return await io.acme.run_task("client", opened.append_and_name)

    class Opened(list):
        def append_and_name(self, client):
            self.append(client)
            return type(client).__name__

    opened = Opened()
    assert shop.run_sync() == "AcmeClient"
    assert [each.closed for each in opened] == [True]


# In a run -----------------------------------------------------------------------------------------


async def test_a_method_is_a_task(client, acme):
    @client.job(integrations={"acme": acme})
    async def shop(payload, io):
        return await io.acme.order("order", item="socks")

    assert await shop.run() == {"item": "socks", "by": "AcmeClient"}
    task = client.runs()[0].task("order")
    assert (task.name, task.icon, task.params) == ("Order", "acme", {"item": "socks"})
    assert task.properties == [{"label": "Item", "text": "socks"}]
    assert task.output_properties[0]["label"] == "Order"


async def test_options_of_a_task_are_given_beside_the_parameters(client, acme):
    @client.job(integrations={"acme": acme})
    async def shop(payload, io):
        options = {"name": "Buy socks", "icon": "star", "properties": {"For": "Ada"}}
        return await io.acme.order("order", item="socks", task_options=options)

    await shop.run()
    task = client.runs()[0].task("order")
    assert (task.name, task.icon, task.properties) == (
        "Buy socks",
        "star",
        [{"label": "For", "text": "Ada"}],
    )
    with pytest.raises(InvalidOptionError, match="retries"):

        @client.job(integrations={"acme": acme})
        async def wrong(payload, io):
            await io.acme.order("order", item="socks", task_options={"retries": 3})

        await wrong.run()


async def test_io_use_takes_one_that_the_job_was_not_given(client, acme):
    @client.job
    async def shop(payload, io):
        return await io.use(acme).order("order", item="socks")

    assert (await shop.run())["item"] == "socks"


async def test_in_a_def_job_the_methods_block(client, acme):
    @client.job(integrations={"acme": acme})
    def shop(payload, io):
        first = io.acme.order("a", item="socks")
        second = io.use(acme).order("b", item="hat")
        third = io.acme.run_task("c", lambda client: client.key[:3])
        return [first["item"], second["item"], third]

    assert await shop.run() == ["socks", "hat", "key"]


async def test_in_a_body_the_task_is_a_subtask(client, acme):
    """I3: an integration that is used in a body is of that body's scope."""

    @client.job(integrations={"acme": acme})
    async def shop(payload, io):
        async def both(task, io):
            return await io.acme.order("order", item="socks")

        await io.acme.order("order", item="hat")
        return await io.run_task("both", both)

    await shop.run()
    assert [task.path for task in client.runs()[0].tasks] == ["order", "both", "both/order"]


async def test_a_place_is_the_users(client, acme):
    """I4: both places of a key that is met twice are in the user's code."""

    @client.job(integrations={"acme": acme})
    async def shop(payload, io):
        await io.acme.order("order", item="socks")
        await io.acme.run_task("order", lambda client: None)

    with pytest.raises(UsageError, match=r"(?s)test_base\.py.*test_base\.py"):
        await shop.run()


async def test_a_place_is_the_users_through_methods_that_call_methods(client):
    class Helped(Acme):
        def order_two(self, key, *, items):
            return [self.order((key, item), item=item) for item in items]

    @client.job(integrations={"acme": Helped(KEY)})
    async def shop(payload, io):
        for order in io.acme.order_two("order", items=["socks", "socks"]):  # here, the user asks twice
            await order

    with pytest.raises(UsageError) as refused:
        await shop.run()
    lines = Path(__file__).read_text().splitlines()
    assert all(
        "the user asks twice" in lines[int(place.rpartition("line ")[2]) - 1]
        for place in refused.value.places
    )


async def test_the_import_of_an_sdk_is_not_blamed_on_the_users_code(client, acme, monkeypatch):
    """R10: a second between two tasks that went into an import of ours is no code to make a task of."""
    seconds = [0.0]
    monkeypatch.setattr("trigger_nb._engine.decide.time.monotonic", lambda: seconds[0])
    client.runtime.patience = Patience()

    class Slow(Acme):
        def order(self, key, *, item):
            with self.needs_extra():
                seconds[0] += 5
            return super().order(key, item=item)

    @client.job(integrations={"acme": Slow(KEY)})
    async def shop(payload, io):
        await io.acme.order("first", item="socks")
        await io.acme.order("second", item="hat")
        seconds[0] += payload
        return await io.acme.order("third", item="gloves")

    await shop.run(0)
    await shop.run(2)
    hints = [" ".join(run.tree().split()).count("runs again on every pass") for run in client.runs()]
    assert hints == [1, 0]  # the newest first


async def test_it_is_not_used_outside_of_a_run(acme):
    with pytest.raises(UsageError, match=r'integrations=\{"acme": ...\}.*\.native'):
        acme.order("order", item="socks")


@pytest.mark.parametrize("name", ["wait", "run_task", "not a name", "_hidden", "store"])
def test_a_name_that_io_has_is_no_integrations(client, acme, name):
    with pytest.raises(InvalidOptionError, match="cannot be named"):

        @client.job(integrations={name: acme})
        async def job(payload, io): ...


# Errors -------------------------------------------------------------------------------------------


@pytest.fixture
def failing(client, acme):
    """A job whose task fails as its payload says, then does not; `retry` too."""

    @client.job(integrations={"acme": acme})
    async def shop(payload, io):
        async def fail(task):
            if task.attempt <= payload["times"]:
                raise AcmeError(payload["status"]) if payload["status"] else ZeroDivisionError

        options = {} if payload["retry"] is None else {"retry": payload["retry"]}
        await io.acme.run_task("order", fail, **options)

    return shop


@pytest.mark.parametrize(
    ("status", "retry", "times", "expected"),
    [
        (503, None, 1, (2, BACKOFF)),
        (404, None, 1, (1, None)),
        (404, 3, 1, (1, None)),  # the service says that it is final
        (429, None, 1, (2, 30)),
        (429, 1, 1, (2, 30)),  # to be told to wait is no attempt
        (429, 2, 1, (2, 30)),
        (503, 1, 1, (1, None)),
        (None, None, 1, (1, None)),  # an error of the user's own code
        (None, 2, 1, (2, BACKOFF)),
    ],
)
async def test_what_is_tried_again(failing, clock, status, retry, times, expected):
    payload = {"status": status, "retry": retry, "times": times}
    assert await attempts(failing, payload, clock) == expected


@pytest.mark.parametrize("retry", [None, 2, Retry(limit=2)])
async def test_to_be_told_to_wait_is_no_failure(failing, clock, client, retry):
    """A limit that is lifted later costs no attempt, neither of the default policy nor of the call's own."""
    await failing.run({"status": 429, "retry": retry, "times": 20})
    assert client.runs()[0].task("order").attempt == 21


@pytest.mark.parametrize("retry", [None, 2])
async def test_an_error_after_many_waits_has_all_its_attempts(client, acme, retry):
    """One 503 is tried again, however often the service had asked to wait; then the attempts are counted."""

    @client.job(integrations={"acme": acme})
    async def shop(payload, io):
        async def fail(task):
            if task.attempt <= 12:
                raise AcmeError(429)
            if task.attempt == 13 or payload == "always":
                raise AcmeError(503)
            return "done"

        return await io.acme.run_task("order", fail, **({} if retry is None else {"retry": retry}))

    assert await shop.run("once") == "done"
    with pytest.raises(AcmeError, match="503"):
        await shop.run("always")
    assert client.runs()[0].task("order").attempt == 12 + (8 if retry is None else retry)


async def test_one_refusal_holds_back_all_calls_of_the_integration(client, clock, acme):
    """Beside each other, in items of a map, in another job: and the row of the map says until when."""
    began, times = clock.time(), []
    refused = asyncio.Event()

    async def call(name, client):
        times.append((name, clock.time() - began))
        if len(times) == 1:
            refused.set()
            raise AcmeError(429)

    async def item(number, io):
        await io.acme.run_task("call", call, number)

    @client.job(integrations={"acme": acme})
    async def many(payload, io):
        await io.map("items", range(6), item, concurrency=2)

    @client.job(integrations={"acme": acme})
    async def other(payload, io):
        await refused.wait()
        await io.map("others", ["beside"], item)

    run, beside = many.start(), other.start()
    seen = [client.runtime.feed(each.id).subscribe() for each in (run, beside)]
    await asyncio.gather(run, beside)
    assert [name for name, when in times if when < 30] == [0]
    assert Counter(name for name, _ in times) == Counter({0: 2, 1: 1, 2: 1, 3: 1, 4: 1, 5: 1, "beside": 1})
    until = datetime.fromtimestamp(began + 30, UTC)
    for events, path in zip(seen, ("items", "others"), strict=True):
        told = [event.text for event in events.take() if isinstance(event, Progressed) and event.path == path]
        assert f"held back until {until:%H:%M:%S} UTC, as the service asks" in told


async def test_a_malformed_answer_of_a_method_is_asked_for_again(client, acme):
    """`check=` among the options of a method, and of `run_task`."""
    answers = ["{", '{"item": 1}', "[", '{"item": 2}']

    async def ask(client):
        return answers.pop(0)

    @client.job(integrations={"acme": acme})
    async def shop(payload, io):
        first = await io.acme.run_task("first", ask, check=json.loads, retry=2)
        method = io.acme.task(
            "second",
            lambda params: answers.pop(0),
            {},
            name="Ask",
            task_options={"check": json.loads, "retry": 2},
        )
        return [first, await method]

    assert await shop.run() == [{"item": 1}, {"item": 2}]
    assert await shop.run() == [{"item": 1}, {"item": 2}]
    assert answers == []


@pytest.mark.parametrize("when", [0, datetime(2020, 1, 1, tzinfo=UTC)])
async def test_a_limit_that_is_said_to_be_lifted_already_is_not_asked_again_at_once(
    client, clock, acme, when, monkeypatch
):
    monkeypatch.setattr(Acme, "should_retry", lambda self, error: RetryAt(when))

    @client.job(integrations={"acme": acme})
    async def shop(payload, io):
        async def fail(task):
            if task.attempt < 4:
                raise AcmeError(429)

        await io.acme.run_task("order", fail)

    began = clock.time()
    await shop.run()
    assert clock.time() == began + 3


@pytest.mark.parametrize(("retry", "tried"), [(None, 1), (2, 2)])
async def test_an_error_that_cannot_be_judged_is_an_error_like_others(
    client, failing, monkeypatch, retry, tried
):
    """A9: a fault in `should_retry` takes neither the error's place nor its record."""
    monkeypatch.setattr(Acme, "should_retry", lambda self, error: error.response.status >= 500)
    with pytest.raises(AcmeError, match="503") as raised:
        await failing.run({"status": 503, "retry": retry, "times": 9})
    assert "Acme.should_retry failed: AttributeError" in str(raised.value.__notes__)
    task = client.runs()[0].task("order")
    assert (task.status, task.attempt) == ("ERRORED", tried)


async def test_on_error_comes_first(client, acme):
    @client.job(integrations={"acme": acme})
    async def shop(payload, io):
        async def fail(task):
            if task.attempt == 1:
                raise AcmeError(404)
            return "found"

        return await io.acme.run_task(
            "order", fail, on_error=lambda error, task, io: RetryAt(5), retry=Retry()
        )

    assert await shop.run() == "found"


# Libraries ------------------------------------------------------------------------------------------


async def test_a_missing_library_is_told_with_the_line_that_installs_it(client):
    class Needy(Acme):
        extra = "acme"

        def open_client(self):
            import acme_sdk_that_is_not_there  # noqa: F401

    @client.job(integrations={"acme": Needy(KEY)})
    async def shop(payload, io):
        await io.acme.order("order", item="socks")

    with pytest.raises(MissingExtraError, match=r"pip install 'trigger-nb\[acme\]'"):
        await shop.run()


def test_no_sdk_is_imported_before_it_is_used():
    """The base install has none of them: importing, and making each integration, needs none."""
    code = """
import sys
before = set(sys.modules)
import trigger_nb.integrations as all, trigger_nb.testing.services
made = [kind() for kind in vars(all).values()
        if isinstance(kind, type) and issubclass(kind, all.Integration) and kind is not all.Integration]
assert len(made) >= 7, made
sdks = {"aiohttp", "githubkit", "httpx", "httpx2", "openai", "pandas", "pyairtable", "pydantic", "replicate",
        "requests", "resend", "sendgrid", "shopify", "slack_sdk", "sqlalchemy", "stripe", "supabase"}
print(sorted(sdks & {name.partition(".")[0] for name in sys.modules}))
"""
    env = {name: value for name, value in os.environ.items() if not name.startswith("COV_")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert done.stdout.strip() == "[]"
