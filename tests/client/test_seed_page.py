"""Every sample of the page that the project began with, in Python: it behaves as the page says.

The page is about Tasks: cached units of work in a run. Its database is SQLite here, by SQLAlchemy; the
services that it calls (Stripe, Resend, GitHub, Slack) are servers on the loopback, called by their own SDKs.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.exc import NoResultFound
from stripe import StripeClient

from tests.support.worlds import until
from trigger_nb import Property, RunStatus, TaskStatus, TriggerClient, event_trigger
from trigger_nb.errors import DuplicateKeyError, InvalidPayloadError, NestingError, RunInterruptedError
from trigger_nb.integrations import SQL, GitHub, Resend, Slack
from trigger_nb.testing import FakeClock
from trigger_nb.testing.services import Answer, FakeGitHub, FakeResend, FakeSlack, FakeStripe, route

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
HOUR = 3600


class NewUser(BaseModel):
    """The payload's schema: `z.object({ userId: z.string() })`."""

    user_id: str


@pytest.fixture
def client():
    return TriggerClient("seed-page", display=False)


@pytest.fixture
def calls():
    """What bodies and the code between tasks did, in order."""
    return []


@pytest.fixture
def users(tmp_path):
    """How to find a user in the database: `prisma.user.findUniqueOrThrow`, between tasks."""
    database = SQL(f"sqlite:///{tmp_path / 'users.db'}").native
    with database.begin() as connection:
        connection.execute(
            text("CREATE TABLE users (id TEXT PRIMARY KEY, email TEXT NOT NULL, name TEXT NOT NULL)")
        )
        rows = [
            {"id": "u1", "email": "ada@acme.inc", "name": "Ada"},
            {"id": "u2", "email": "bob@acme.inc", "name": "Bob"},
        ]
        connection.execute(text("INSERT INTO users VALUES (:id, :email, :name)"), rows)

    def find_user(user_id):
        with database.connect() as connection:
            query = text("SELECT email, name FROM users WHERE id = :id")
            return dict(connection.execute(query, {"id": user_id}).mappings().one())

    yield find_user
    database.dispose()


@pytest.fixture
def mail():
    with FakeResend() as service:
        yield service


@pytest.fixture
def payments():
    with FakeStripe() as service:
        yield service


def resend_of(mail):
    return Resend("re_0123456789", base_url=mail.url)


def welcome_email(name):
    return f"<h1>Welcome, {name}!</h1>"


# The first sample: a user, an e-mail, a wait, long running code ---------------------------------


def new_user_job(client, calls, users, mail):
    async def long_running_code(user_id):
        calls.append("long running code")
        return f"done for {user_id}"

    @client.job(
        id="new-user", name="Run when a new user signs up", version="1.0.0",
        trigger=event_trigger("new.user", schema=NewUser), integrations={"resend": resend_of(mail)},
    )  # fmt: skip
    async def new_user(payload, io, ctx):
        # This code runs twice: when the run starts, and once more in the pass after the wait.
        calls.append("before")
        user = users(payload.user_id)
        # This code runs once: the Resend integration makes a task of it, with the key "welcome-email".
        await io.resend.send_email(
            "welcome-email", to=user["email"], from_="jane@acme.inc", subject="Welcome!",
            html=welcome_email(user["name"]),
        )  # fmt: skip
        await io.wait("wait", 60 * 60 * 3)
        return await io.run_task("my-task", long_running_code, payload.user_id, name="My Task")

    return new_user


async def test_three_hours_pass_in_one_pass(client, calls, users, mail):
    """W1: a wait holds the code up; it raises nothing through it and starts nothing anew."""
    client = TriggerClient("seed-page", display=False, clock=(clock := FakeClock()))
    began = clock.time()
    assert await new_user_job(client, calls, users, mail).run({"user_id": "u1"}) == "done for u1"
    assert clock.time() == began + 3 * HOUR
    assert calls == ["before", "long running code"]
    assert [message["to"] for message in mail.emails] == ["ada@acme.inc"]


async def test_code_before_the_wait_runs_twice_and_tasks_run_once(calls, users, mail):
    """The page: "once when the run first starts, and once after the wait"; tasks once (R1, R10, W2)."""
    clock = FakeClock(autojump=False)
    client = TriggerClient("seed-page", display=False, clock=clock)
    job = new_user_job(client, calls, users, mail)

    run = job.start({"user_id": "u1"})
    await until(lambda: clock.deadlines)
    assert (run.status, run.reason) == (RunStatus.WAITING, "wait")
    run.pause()
    with pytest.raises(RunInterruptedError):
        await run
    assert (calls, len(mail.emails)) == (["before"], 1)

    clock.advance(2 * HOUR)  # while nothing runs; an hour is left
    again = job.start({"user_id": "u1"})
    assert again.id == run.id
    await until(lambda: clock.deadlines)
    clock.advance(HOUR - 1)
    await asyncio.sleep(0.01)
    assert "long running code" not in calls
    clock.advance(1)
    assert await again == "done for u1"
    assert calls == ["before", "before", "long running code"]
    assert len(mail.emails) == 1


async def test_a_completed_run_is_replayed(calls, users, mail):
    """R1: running the cell again calls no body."""
    client = TriggerClient("seed-page", display=False, clock=FakeClock())
    job = new_user_job(client, calls, users, mail)
    first = await job.run({"user_id": "u1"})
    assert await job.run({"user_id": "u1"}) == first
    assert calls == ["before", "long running code", "before"]
    assert len(mail.emails) == 1


async def test_the_job_is_what_it_was_defined_as(client, calls, users, mail):
    job = new_user_job(client, calls, users, mail)
    assert (job.id, job.name, job.version) == ("new-user", "Run when a new user signs up", "1.0.0")
    assert job.trigger.schema is NewUser


# The trigger and its schema --------------------------------------------------------------------


async def test_an_event_starts_the_job_once(calls, users, mail):
    client = TriggerClient("seed-page", display=False, clock=FakeClock())
    new_user_job(client, calls, users, mail)
    event = await client.send_event("new.user", {"user_id": "u2"})
    (run,) = event.runs
    assert await run == "done for u2"
    assert [message["to"] for message in mail.emails] == ["bob@acme.inc"]
    # The same cell again: the same event, so the same run (I1).
    again = await client.send_event("new.user", {"user_id": "u2"})
    assert [run.id for run in again.runs] == [run.id]
    await again.runs[0]
    assert len(mail.emails) == 1


async def test_another_event_starts_nothing(client, calls, users, mail):
    new_user_job(client, calls, users, mail)
    event = await client.send_event("user.deleted", {"user_id": "u2"})
    assert (event.runs, calls) == ([], [])


async def test_a_payload_that_does_not_fit_the_schema(client, calls, users, mail):
    job = new_user_job(client, calls, users, mail)
    with pytest.raises(InvalidPayloadError, match="user_id"):
        await job.run({"userId": "u1"})
    assert (len(client.runs()), calls) == (0, [])


# io.run_task -----------------------------------------------------------------------------------


async def test_the_body_is_called_only_when_the_task_is_not_cached(client, calls):
    @client.job
    async def job(payload, io):
        async def body(task):
            calls.append(task.key)
            return payload * 2

        return await io.run_task("my-task", body)

    assert [await job.run(21), await job.run(21), await job.run(1)] == [42, 42, 2]
    assert calls == ["my-task", "my-task"]  # two runs: another payload is another one


async def test_how_a_task_is_shown(client):
    """A name, properties and an icon."""

    async def long_running_code(user_id):
        return f"done for {user_id}"

    @client.job
    async def job(payload, io):
        return await io.run_task(
            "my-task",
            long_running_code,
            payload["user_id"],
            name="My Task",
            properties=[Property("User ID", payload["user_id"])],
            icon="user",
        )

    run = job.start({"user_id": "u1"})
    assert await run == "done for u1"
    task = run.task("my-task")
    assert (task.name, task.icon, task.status) == ("My Task", "user", TaskStatus.COMPLETED)
    assert [(each["label"], each["text"]) for each in task.properties] == [("User ID", "u1")]
    tree = str(run.tree())
    assert all(text in tree for text in ("My Task", "my-task", "User ID", "u1"))


# The idempotency key: Stripe -------------------------------------------------------------------

CUSTOMER_JOB = """
import sys
import stripe
from trigger_nb import Retry, TriggerClient

client = TriggerClient("shop", display=False)
shop = stripe.StripeClient("sk_test_0123456789", base_addresses={{"api": sys.argv[1]}}, max_network_retries=0)

{definition}

@client.job(id="new-customer")
async def new_customer(payload, io):
    retry = Retry(limit=3, min_timeout=0.01)
    return await io.run_task("create-customer", create_customer, retry=retry)

print(new_customer.run_sync()["id"])
"""

CREATE_CUSTOMER = {
    "async def": """
import asyncio

async def create_customer(task):
    customer = await asyncio.to_thread(
        shop.v1.customers.create, {"email": "eric@trigger.dev"}, {"idempotency_key": task.idempotency_key}
    )
    return customer.to_dict()
""",
    "def": """
def create_customer(task):
    options = {"idempotency_key": task.idempotency_key}
    return shop.v1.customers.create({"email": "eric@trigger.dev"}, options).to_dict()
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("body", CREATE_CUSTOMER)
def test_the_service_sees_one_key_in_every_attempt_and_after_a_kill(body, payments, tmp_path):
    """I6: so its own deduplication makes one customer of four requests."""
    # Refused; done, but the answer is lost on the way; done, and the process is killed before the answer.
    payments.plan(500, "drop", "hold")
    script = tmp_path / "shop.py"
    script.write_text(CUSTOMER_JOB.format(definition=CREATE_CUSTOMER[body]))

    with process(script, payments.url) as first:
        payments.until_asked(3)
        first.kill()
        assert first.wait() == -signal.SIGKILL
    payments.release()
    with process(script, payments.url) as second:
        assert second.communicate() == ("cus_1\n", "")
    assert len(payments.requests) == 4
    assert len(keys_of(payments)) == 1
    assert [customer["email"] for customer in payments.customers] == ["eric@trigger.dev"]

    with process(script, payments.url) as third:  # its result is kept: nobody is asked
        assert third.communicate() == ("cus_1\n", "")
    assert len(payments.requests) == 4


def keys_of(service):
    return {request.idempotency_key for request in service.requests}


def process(script, *arguments):
    return subprocess.Popen(
        [sys.executable, script, *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=script.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def test_every_task_has_a_key_of_its_own(client, payments):
    """The same task in another run, and another task in the same run, want another effect."""
    shop = StripeClient("sk_test_0123456789", base_addresses={"api": payments.url}, max_network_retries=0)

    def create_customer(email, task):
        return shop.v1.customers.create({"email": email}, {"idempotency_key": task.idempotency_key}).id

    @client.job
    async def job(payload, io):
        return [
            await io.run_task(("create-customer", email), create_customer, email)
            for email in ("eric@trigger.dev", "matt@trigger.dev")
        ]

    assert await job.run("first") == ["cus_1", "cus_2"]
    assert await job.run("second") == ["cus_3", "cus_4"]
    assert len(keys_of(payments)) == 4


# io.<integration>.run_task, and an integration's own functions ---------------------------------------


class Boards(FakeGitHub):
    """A GitHub that has project boards with cards, as it had when the page was written."""

    def __init__(self):
        super().__init__()
        self.cards = []

    @route("POST", "/projects/columns/{column}/cards")
    def create_card(self, request, column):
        self.cards.append({"id": len(self.cards) + 1, "column": column, **request.json})
        return Answer(201, self.cards[-1])


async def test_the_github_client_is_handed_to_the_body(client):
    """`io.github.runTask(key, async (client, task) => ..., { name: "Create card" })`."""
    with Boards() as boards:
        github = GitHub("ghp_0123456789", base_url=boards.url)

        @client.job(
            id="create-project-card", name="Create Project Card", version="1.0.0",
            trigger=event_trigger("new.user"), integrations={"github": github},
        )  # fmt: skip
        async def job(payload, io, ctx):
            async def create_card(client, task):
                note = f"New User {payload['user']['name']} signed up!"
                card = await client.arequest("POST", "/projects/columns/7/cards", json={"note": note})
                return card.json()

            return await io.github.run_task("create-card", create_card, name="Create card")

        boards.plan(502)
        (run,) = (await client.send_event("new.user", {"user": {"name": "Ada"}})).runs
        assert (await run)["note"] == "New User Ada signed up!"
        assert await job.run(run_id=run.id) == await run
        await github.aclose()
    task = run.task("create-card")
    assert (task.name, task.icon, task.attempt) == ("Create card", "github", 2)
    assert [card["column"] for card in boards.cards] == ["7"]


async def test_slacks_own_function_for_posting_a_message(client):
    """`io.slack.postMessage("send-message", { channel, text })`."""
    with FakeSlack() as workspace:
        slack = Slack("xoxb-0123456789", base_url=f"{workspace.url}/api/")

        @client.job(
            id="send-welcome-message", name="Send welcome message", version="1.0.0",
            trigger=event_trigger("new.user"), integrations={"slack": slack},
        )  # fmt: skip
        async def job(payload, io, ctx):
            await io.slack.post_message(
                "send-message", channel="C1", text=f"New user {payload['user']['name']} signed up!"
            )

        (run,) = (await client.send_event("new.user", {"user": {"name": "Ada"}})).runs
        await run
    assert [message["text"] for message in workspace.messages] == ["New user Ada signed up!"]
    assert (run.task("send-message").icon, run.task("send-message").name) == ("slack", "Post message")


# Subtasks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["async def", "def"])
async def test_keys_are_scoped_by_the_parent(client, calls, form):
    """A key in two parents, and at the top: three tasks, none of which is another (I3)."""

    def child(task):
        calls.append(task.path)
        return task.path

    if form == "async def":

        async def parent(io):
            return [await io.run_task("child-1", child), await io.run_task("child-2", child)]

        @client.job
        async def job(payload, io):
            first = await io.run_task("parent-task", parent)
            second = await io.run_task("other-parent", parent)
            # This does not conflict with the child-1 tasks above.
            return [*first, *second, await io.run_task("child-1", child)]

    else:

        def parent(io):
            return [io.run_task("child-1", child), io.run_task("child-2", child)]

        @client.job
        def job(payload, io):
            first = io.run_task("parent-task", parent)
            second = io.run_task("other-parent", parent)
            return [*first, *second, io.run_task("child-1", child)]

    paths = [
        "parent-task/child-1",
        "parent-task/child-2",
        "other-parent/child-1",
        "other-parent/child-2",
        "child-1",
    ]
    run = job.start()
    assert await run == paths
    assert [task.path for task in run.tasks] == [
        "parent-task", *paths[:2], "other-parent", *paths[2:4], "child-1",
    ]  # fmt: skip
    assert await job.run() == paths
    assert calls == paths
    assert len({task.idempotency_key for task in run.tasks}) == 7


async def test_a_subtask_by_the_outer_io(client):
    """As the page writes it: the body of the parent uses the `io` of the run."""

    @client.job
    async def job(payload, io):
        async def parent(task):
            return await io.run_task("child-1", lambda: "inner")

        inner = await io.run_task("parent-task", parent)
        return [inner, await io.run_task("child-1", lambda: "outer")]

    run = job.start()
    assert await run == ["inner", "outer"]
    assert [task.path for task in run.tasks] == ["parent-task", "parent-task/child-1", "child-1"]


@pytest.mark.parametrize("form", ["async def", "def"])
async def test_five_levels(client, form):
    """ "We currently support nesting up to 5 levels": the sixth is refused by its path (I5)."""

    async def deeper(level, io):
        return await io.run_task(f"level-{level}", deeper, level + 1) if level <= wanted[0] else level - 1

    def deeper_sync(level, io):
        return io.run_task(f"level-{level}", deeper_sync, level + 1) if level <= wanted[0] else level - 1

    wanted = [5]
    if form == "async def":

        @client.job
        async def job(payload, io):
            return await deeper(1, io)

    else:

        @client.job
        def job(payload, io):
            return deeper_sync(1, io)

    assert await job.run("five") == 5
    wanted[0] = 6
    with pytest.raises(NestingError, match="level-1/level-2/level-3/level-4/level-5/level-6"):
        await job.run("six")


# The function that tasks have in common ---------------------------------------------------------


@pytest.fixture
def send_welcome_email(users, mail, calls):
    """`sendWelcomeEmail(cacheKey, io, resend, userId)`."""

    def fetch_user(user_id):
        calls.append(f"fetch {user_id}")
        return users(user_id)

    async def send_welcome_email(cache_key, io, resend, user_id):
        async def body(io):
            user = await io.run_task("fetch-user", fetch_user, user_id)
            message = {"to": user["email"], "subject": "Welcome!", "html": welcome_email(user["name"])}
            message["from_"] = "eric@trigger.dev"
            await resend.send_email("📧", **message)

        return await io.run_task(cache_key, body)

    return send_welcome_email


async def test_a_shared_function_with_a_key_for_each_use(client, send_welcome_email, mail, calls):
    @client.job(
        id="new-user", trigger=event_trigger("new.user", schema=NewUser),
        integrations={"resend": resend_of(mail)},
    )  # fmt: skip
    async def job(payload, io):
        await send_welcome_email("🫡", io, io.resend, payload.user_id)
        await send_welcome_email(("welcome", "u2"), io, io.resend, "u2")

    run = job.start({"user_id": "u1"})
    await run
    await job.run({"user_id": "u1"})
    assert [message["html"] for message in mail.emails] == [
        "<h1>Welcome, Ada!</h1>",
        "<h1>Welcome, Bob!</h1>",
    ]
    assert calls == ["fetch u1", "fetch u2"]
    assert [task.path for task in run.tasks][:3] == ["🫡", "🫡/fetch-user", "🫡/📧"]
    assert run.task("🫡/📧").status == TaskStatus.COMPLETED
    assert run.task([("welcome", "u2"), "📧"]).status == TaskStatus.COMPLETED


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_shared_function_with_the_same_key(client, send_welcome_email, mail, at_once):
    """A key has to be unique, "so the tasks are not accidentally reused": refused, with both places (I4)."""

    async def welcome(cache_key, io, user_id):
        return await send_welcome_email(cache_key, io, io.resend, user_id)

    @client.job(integrations={"resend": resend_of(mail)})
    async def job(payload, io):
        if at_once:
            await asyncio.gather(welcome("🫡", io, "u1"), welcome("🫡", io, "u2"))
        else:
            await io.run_task("🫡", lambda: None)
            await io.run_task("🫡", lambda: None)

    with pytest.raises(DuplicateKeyError) as refused:
        await job.run()
    assert refused.value.path == "🫡"
    first, second = refused.value.places
    source = Path(__file__).read_text().splitlines()
    lines = [int(place.rpartition("line ")[2]) for place in (first, second)]
    assert all(__file__ in place for place in (first, second))
    if at_once:  # one line of the shared function, met twice
        assert lines[0] == lines[1]
        assert "io.run_task(cache_key, body)" in source[lines[0] - 1]
        assert len(mail.emails) <= 1
    else:
        assert lines[1] == lines[0] + 1
        assert 'io.run_task("🫡"' in source[lines[0] - 1]


# Retryable, logged -----------------------------------------------------------------------------


async def test_a_task_that_fails_is_tried_again_and_said_so(mail):
    client = TriggerClient("seed-page", display=False, clock=FakeClock())
    mail.plan(500, 502)

    @client.job(integrations={"resend": resend_of(mail)})
    async def job(payload, io):
        await io.resend.send_email("send", to="ada@acme.inc", from_="jane@acme.inc", text="Hello")

    run = job.start()
    await run
    assert run.task("send").attempt == 3
    assert len(mail.requests) == 3
    assert len(mail.emails) == 1


async def test_a_user_who_is_not_there_fails_the_run(client, calls, users, mail):
    """`findUniqueOrThrow` throws."""
    with pytest.raises(NoResultFound):
        await new_user_job(client, calls, users, mail).run({"user_id": "u3"})
    assert mail.emails == []
