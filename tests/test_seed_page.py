"""Every sample of the page that the project began with, in Python: it behaves as the page says.

The page is about Tasks: cached units of work in a run. Its database is SQLite here; the services that
it calls by their SDKs (Stripe, Resend, GitHub, Slack) are servers on the loopback, called in tasks.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from pydantic import BaseModel

from tests.services import MailService, PaymentService
from trigger_nb import Property, Retry, RunStatus, TaskStatus, TriggerClient, event_trigger
from trigger_nb.errors import DuplicateKeyError, InvalidPayloadError, NestingError, RunInterruptedError
from trigger_nb.testing import FakeClock

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[1]
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
    """The users table, and how to find a user in it."""
    file = tmp_path / "users.db"
    with closing(sqlite3.connect(file)) as table:
        table.execute("CREATE TABLE users (id TEXT PRIMARY KEY, email TEXT NOT NULL, name TEXT NOT NULL)")
        rows = [("u1", "ada@acme.inc", "Ada"), ("u2", "bob@acme.inc", "Bob")]
        table.executemany("INSERT INTO users VALUES (?, ?, ?)", rows)
        table.commit()

    def find_user(user_id):
        with closing(sqlite3.connect(file)) as table:
            row = table.execute("SELECT email, name FROM users WHERE id = ?", (user_id,)).fetchone()
        if row is None:
            raise LookupError(f"no user {user_id}")
        return {"email": row[0], "name": row[1]}

    return find_user


@pytest.fixture
def mail():
    with MailService() as service:
        yield service


@pytest.fixture
def payments():
    with PaymentService() as service:
        yield service


def welcome_email(name):
    return f"<h1>Welcome, {name}!</h1>"


async def send_email(service, message):
    async with httpx.AsyncClient() as http:
        answer = await http.post(f"{service.url}/emails", json=message)
    answer.raise_for_status()
    return answer.json()


# The first sample: a user, an e-mail, a wait, long running code ---------------------------------


def new_user_job(client, calls, users, mail):
    async def long_running_code(user_id):
        calls.append("long running code")
        return f"done for {user_id}"

    @client.job(
        id="new-user", name="Run when a new user signs up", version="1.0.0",
        trigger=event_trigger("new.user", schema=NewUser),
    )  # fmt: skip
    async def new_user(payload, io, ctx):
        # This code runs twice: when the run starts, and once more in the pass after the wait.
        calls.append("before")
        user = users(payload.user_id)
        await io.run_task(
            "welcome-email",
            send_email,
            mail,
            {"to": user["email"], "subject": "Welcome!", "html": welcome_email(user["name"])},
            params={"to": user["email"]},
        )
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
    assert [message["to"] for message in mail.sent] == ["ada@acme.inc"]


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
    assert (calls, len(mail.sent)) == (["before"], 1)

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
    assert len(mail.sent) == 1


async def test_a_completed_run_is_replayed(calls, users, mail):
    """R1: running the cell again calls no body."""
    client = TriggerClient("seed-page", display=False, clock=FakeClock())
    job = new_user_job(client, calls, users, mail)
    first = await job.run({"user_id": "u1"})
    assert await job.run({"user_id": "u1"}) == first
    assert calls == ["before", "long running code", "before"]
    assert len(mail.sent) == 1


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
    assert [message["to"] for message in mail.sent] == ["bob@acme.inc"]
    # The same cell again: the same event, so the same run (I1).
    again = await client.send_event("new.user", {"user_id": "u2"})
    assert [run.id for run in again.runs] == [run.id]
    await again.runs[0]
    assert len(mail.sent) == 1


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
import httpx
from trigger_nb import Retry, TriggerClient

client = TriggerClient("shop", display=False)

{definition}

@client.job(id="new-customer")
async def new_customer(payload, io):
    retry = Retry(limit=3, min_timeout=0.01)
    return await io.run_task("create-customer", create_customer, retry=retry)

print(new_customer.run_sync()["id"])
"""

CREATE_CUSTOMER = {
    "async def": """
async def create_customer(task):
    async with httpx.AsyncClient(base_url=sys.argv[1], timeout=60) as http:
        answer = await http.post(
            "/v1/customers",
            json={"email": "eric@trigger.dev"},
            headers={"Idempotency-Key": task.idempotency_key},
        )
    return answer.raise_for_status().json()
""",
    "def": """
def create_customer(task):
    answer = httpx.post(
        sys.argv[1] + "/v1/customers",
        json={"email": "eric@trigger.dev"},
        headers={"Idempotency-Key": task.idempotency_key},
        timeout=60,
    )
    return answer.raise_for_status().json()
""",
}


@pytest.mark.parametrize("body", CREATE_CUSTOMER)
def test_the_service_sees_one_key_in_every_attempt_and_after_a_kill(body, payments, tmp_path):
    """I6: so its own deduplication makes one customer of four requests."""
    # Refused; done, but the answer is lost on the way; done, and the process is killed before the answer.
    payments.plan += [500, "drop", "hold"]
    script = tmp_path / "shop.py"
    script.write_text(CUSTOMER_JOB.format(definition=CREATE_CUSTOMER[body]))

    with process(script, payments.url) as first:
        payments.until_asked(3)
        first.kill()
        assert first.wait() == -signal.SIGKILL
    payments.release()
    with process(script, payments.url) as second:
        assert second.communicate(timeout=60) == ("cus_1\n", "")
    assert len(payments.keys) == 4
    assert len(set(payments.keys)) == 1
    assert [customer["email"] for customer in payments.customers] == ["eric@trigger.dev"]

    with process(script, payments.url) as third:  # its result is kept: nobody is asked
        assert third.communicate(timeout=60) == ("cus_1\n", "")
    assert len(payments.keys) == 4


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

    async def create_customer(email, task):
        async with httpx.AsyncClient(base_url=payments.url) as http:
            headers = {"Idempotency-Key": task.idempotency_key}
            answer = await http.post("/v1/customers", json={"email": email}, headers=headers)
        return answer.raise_for_status().json()["id"]

    @client.job
    async def job(payload, io):
        return [
            await io.run_task(("create-customer", email), create_customer, email)
            for email in ("eric@trigger.dev", "matt@trigger.dev")
        ]

    assert await job.run("first") == ["cus_1", "cus_2"]
    assert await job.run("second") == ["cus_3", "cus_4"]
    assert len(set(payments.keys)) == 4


# Tasks of integrations, written by hand --------------------------------------------------------


async def test_a_services_client_is_handed_to_the_body(client, mail):
    """`io.github.runTask(key, async (client, task) => ...)`, `io.slack.postMessage(key, {...})`: a retried
    request, its icon, and the response's id as a property."""
    mail.plan += [503, "answer"]

    async def post_message(service, channel, text, task):
        sent = await send_email(service, {"channel": channel, "text": text})
        task.output_properties = {"Message ID": sent["id"]}
        return sent

    @client.job(id="send-welcome-message", trigger=event_trigger("new.user"))
    async def job(payload, io):
        return await io.run_task(
            "send-message",
            post_message,
            mail,
            "#new",
            f"New user {payload['user']['name']} signed up!",
            params={"channel": "#new"},
            name="Post message",
            icon="slack",
            retry=Retry(min_timeout=0),
        )

    (run,) = (await client.send_event("new.user", {"user": {"name": "Ada"}})).runs
    assert await run == {"id": "mail_1"}
    assert [message["text"] for message in mail.sent] == ["New user Ada signed up!"]
    task = run.task("send-message")
    assert (task.attempt, task.icon) == (2, "slack")
    assert [(each["label"], each["text"]) for each in task.output_properties] == [("Message ID", "mail_1")]


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
    """`sendWelcomeEmail(cacheKey, io, userId)`."""

    def fetch_user(user_id):
        calls.append(f"fetch {user_id}")
        return users(user_id)

    async def send_welcome_email(cache_key, io, user_id):
        async def body(io):
            user = await io.run_task("fetch-user", fetch_user, user_id)
            message = {"to": user["email"], "subject": "Welcome!", "html": welcome_email(user["name"])}
            await io.run_task("📧", send_email, mail, message, params={"to": user["email"]})

        return await io.run_task(cache_key, body)

    return send_welcome_email


async def test_a_shared_function_with_a_key_for_each_use(client, send_welcome_email, mail, calls):
    @client.job(id="new-user", trigger=event_trigger("new.user", schema=NewUser))
    async def job(payload, io):
        await send_welcome_email("🫡", io, payload.user_id)
        await send_welcome_email(("welcome", "u2"), io, "u2")

    run = job.start({"user_id": "u1"})
    await run
    await job.run({"user_id": "u1"})
    assert [message["html"] for message in mail.sent] == ["<h1>Welcome, Ada!</h1>", "<h1>Welcome, Bob!</h1>"]
    assert calls == ["fetch u1", "fetch u2"]
    assert [task.path for task in run.tasks][:3] == ["🫡", "🫡/fetch-user", "🫡/📧"]
    assert run.task("🫡/📧").status == TaskStatus.COMPLETED
    assert run.task([("welcome", "u2"), "📧"]).status == TaskStatus.COMPLETED


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_shared_function_with_the_same_key(client, send_welcome_email, mail, at_once):
    """A key has to be unique, "so the tasks are not accidentally reused": refused, with both places (I4)."""

    async def welcome(cache_key, io, user_id):
        return await send_welcome_email(cache_key, io, user_id)

    @client.job
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
        assert len(mail.sent) <= 1
    else:
        assert lines[1] == lines[0] + 1
        assert 'io.run_task("🫡"' in source[lines[0] - 1]


# Retryable, logged -----------------------------------------------------------------------------


async def test_a_task_that_fails_is_tried_again_and_said_so(client, mail):
    mail.plan += [500, 502, "answer"]

    @client.job
    async def job(payload, io):
        return await io.run_task(
            "send", send_email, mail, {"to": "u1"}, params={}, retry=Retry(min_timeout=0)
        )

    run = job.start()
    assert await run == {"id": "mail_1"}
    assert run.task("send").attempt == 3
    assert len(mail.asked) == 3


async def until(condition):
    """Give the run's loop its turns until something holds."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)
