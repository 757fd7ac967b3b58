"""Identity, keys, scopes of keys, and replay in value and in type (rules I1, I2, I4, I6, R1, R2, R7 to R9)."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import decimal
import enum
import logging
import pathlib
import uuid
from collections import namedtuple
from types import SimpleNamespace

import pytest
from pydantic import BaseModel

from tests.support.worlds import World, reasons
from trigger_nb import Property, Reason, RunStatus, TaskStatus, TriggerClient, invoke_trigger
from trigger_nb._engine import decide as _decide, state as _state
from trigger_nb.errors import (
    DuplicateKeyError,
    InvalidKeyError,
    InvalidPayloadError,
    RunStateError,
    UsageError,
)

# --- R1: what is done is not done again -----------------------------------------------------------


def test_completed_tasks_are_not_called_again(world):
    """R1: five tasks, then the cell again, then a new kernel: no body runs again."""

    @world.job
    def job(payload, io):
        total = 0
        for n in range(5):
            total += yield io.run_task(("step", n), world.body(lambda n: n, note="body"), n)
        return total

    assert world.run(job) == 10
    assert world.take() == ["body"] * 5
    assert world.run(job) == 10
    world.new_kernel()
    job = _again(world, job)
    assert world.run(job) == 10
    assert world.take() == []


def _again(world, job):
    """The cell that defines the job, run in the new kernel."""
    return world.client.job(id=job.id)(job.fn)


def test_resuming_runs_only_what_is_missing(world):
    """R1, R7: the fifth task fails in the first pass; the second runs that one alone and says why."""
    broken = [True]

    def last():
        world.note("last")
        if broken[0]:
            raise OSError("down")
        return "done"

    @world.job
    def job(payload, io):
        for n in range(4):
            yield io.run_task(("step", n), world.noting(n))
        return (yield io.run_task("last", world.body(last)))

    assert str(world.fail(job)) == "down"
    assert world.take() == [0, 1, 2, 3, "last"]
    broken[0] = False
    world.new_kernel()
    job = _again(world, job)
    assert world.run(job) == "done"
    assert world.take() == ["last"]


def test_every_task_says_why_it_ran_or_did_not(world):
    """R7: new, then replayed; retried after the error that ended the run."""

    @world.job
    def job(payload, io):
        yield io.run_task("first", world.noting("first"))
        return (yield io.run_task("second", failing))

    failing = world.failing("second", ValueError("once"))

    async def runs():
        run = job.start()
        with pytest.raises(ValueError, match="once"):
            await run
        before = reasons(run)
        run = job.start()
        assert await run == "second"
        between = reasons(run)
        run = job.start()
        await run
        return before, between, reasons(run)

    before, between, after = asyncio.run(runs())
    assert before == {"first": Reason.NEW, "second": Reason.NEW}
    assert between == {"first": Reason.REPLAYED, "second": Reason.RETRIED}
    assert after == {"first": Reason.REPLAYED, "second": Reason.REPLAYED}


def test_a_task_added_at_the_end_runs_alone(world):
    """R1: the job is longer now; what is stored is replayed."""

    def steps(names):
        def job(payload, io):
            done = []
            for name in names:
                done.append((yield io.run_task(name, world.noting(name))))
            return done

        return world.job(job, id="job")

    assert world.run(steps(["a", "b"])) == ["a", "b"]
    world.take()
    assert world.run(steps(["a", "b", "c"])) == ["a", "b", "c"]
    assert world.take() == ["c"]


def test_keys_that_are_not_met_stay(world):
    """R8: a key that this pass does not meet stays in the store, and replays when it is met again."""

    def steps(names):
        def job(payload, io):
            for name in names:
                yield io.run_task(name, world.noting(name))

        return world.job(job, id="job")

    async def started(job):
        run = job.start()
        await run
        return run

    world.run(steps(["a", "b"]))
    run = asyncio.run(started(steps(["a"])))
    assert [task.path for task in run.tasks] == ["a", "b"]
    assert run.task("b").reason is None
    assert "not reached" in run.tree()
    world.take()
    world.run(steps(["a", "b"]))
    assert world.take() == []


# --- R2: fresh and replayed values are the same ---------------------------------------------------


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.5


Pair = namedtuple("Pair", "left right")


class User(BaseModel):
    name: str
    age: int = 3


VALUES = {
    "none": None,
    "true": True,
    "one": 1,
    "float": 1.0,
    "nan-free": float("inf"),
    "text": "Zoë 📧 \u2028 \x00",
    "list": [1, [2, {"a": None}]],
    "dict": {"a": 1, "b": {"c": [True, 1, 1.0]}},
    "dict of ints": {1: "a", (2, 3): "b"},
    "tuple": (1, (2, 3)),
    "set": {1, 2},
    "frozenset": frozenset({"a"}),
    "bytes": b"\x00\xff",
    "bytearray": bytearray(b"ab"),
    "complex": 1 + 2j,
    "date": dt.date(2024, 2, 29),
    "datetime": dt.datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC),
    "naive": dt.datetime(2024, 1, 2, fold=1),
    "timedelta": dt.timedelta(days=-1, microseconds=3),
    "decimal": decimal.Decimal("1.10"),
    "uuid": uuid.UUID(int=7),
    "path": pathlib.PurePosixPath("/a/b"),
    "enum": Colour.RED,
    "int enum": Level.LOW,
    "dataclass": Point(1),
    "named tuple": Pair(1, (2,)),
    "model": User(name="Ana"),
    "error": KeyError("gone"),
    "large": "x" * 100_000,
    "big int": 2**70,
}


def same(one, other):
    """Equal in value and in type, all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return (
            list(one) == list(other)
            and all(same(a, b) for a, b in zip(one, other))
            and all(same(one[k], other[k]) for k in one)
        )
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, BaseException):
        return one.args == other.args
    return one == other


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_first_and_replayed_values_are_the_same(world, value):
    """R2: the caller gets the value decoded from the record, in the first pass too."""
    got = []

    @world.job
    def job(payload, io):
        got.append((yield io.run_task("value", world.body(lambda: value))))

    world.run(job)
    world.run(job)
    world.new_kernel()
    world.run(_again(world, job))
    assert len(got) == 3
    for each in got:
        assert same(each, value), each


def test_changing_a_value_changes_neither_the_store_nor_another_replay(world):
    """R2: what the caller does to a value stays with the caller."""
    seen = []
    original = {"list": [1]}

    @world.job
    def job(payload, io):
        value = yield io.run_task("value", world.body(lambda: original))
        seen.append(value["list"][:])
        value["list"].append(2)
        value["new"] = value
        original["list"].append(3)

    for _ in range(3):
        world.run(job)
    assert seen == [[1], [1], [1]]
    assert world.last(job).task("value").output == {"list": [1]}


def test_a_return_annotation_gives_a_typed_result(world):
    """S3: `returns=` and the body's own annotation give an instance of the type, fresh and replayed."""
    got = []

    def fetch() -> User:
        return {"name": "Ana"}  # what an API gives

    @world.job
    def job(payload, io):
        first = yield io.run_task("annotated", fetch)
        second = yield io.run_task("said", world.body(lambda: {"name": "Ben"}), returns=User)
        got.append((first, second))

    world.run(job)
    world.run(job)
    assert got == [(User(name="Ana"), User(name="Ben"))] * 2
    assert all(type(each) is User for pair in got for each in pair)


def test_bodies_of_one_decorator_are_told_apart(world):
    """S3: functions that share their wrapper's code have their own annotations and parameters."""
    import functools

    def decorated(function):
        @functools.wraps(function)
        def wrapper(*args, **named):
            return function(*args, **named)

        return wrapper

    @decorated
    def plain():
        return {"name": "Ana"}

    @decorated
    def typed() -> User:
        return {"name": "Ana"}

    @decorated
    def with_task(task):
        return task.path

    got = []

    @world.job
    def job(payload, io):
        got.append((yield io.run_task("plain", plain)))
        got.append((yield io.run_task("typed", typed)))
        got.append((yield io.run_task("task", with_task)))

    world.run(job)
    world.run(job)
    assert got == [{"name": "Ana"}, User(name="Ana"), "task"] * 2


# --- S4: a value that cannot be stored ------------------------------------------------------------


def test_a_value_that_cannot_be_stored_is_not_computed_twice(world):
    """S4: this kernel keeps the live object; a new one gets a placeholder that raises when it is used."""
    from trigger_nb.errors import ValueNotStoredError

    live = []

    class Client:
        def __init__(self):
            self.answers = 42

    @world.job
    def job(payload, io):
        live.append((yield io.run_task("client", world.body(Client, note="body"))))
        return "fine"

    with pytest.warns(RuntimeWarning, match=r"the value of task 'client' cannot be stored"):
        world.run(job)
    assert world.run(job) == "fine"
    assert live[0] is live[1]
    assert live[0].answers == 42
    world.new_kernel()
    assert world.run(_again(world, job)) == "fine"  # ignoring it is safe
    with pytest.raises(ValueNotStoredError, match="client"):
        live[2].answers
    assert world.take() == ["body"]


def test_a_repeatable_task_runs_again_when_its_value_is_lost(world):
    """S4: `repeatable=True` says that running it again is fine; the reason is "lost value"."""

    class Client:
        pass

    @world.job
    def job(payload, io):
        value = yield io.run_task("client", world.body(Client, note="body"), repeatable=True)
        return type(value).__name__

    assert world.run(job) == "Client"
    world.new_kernel()
    job = _again(world, job)
    assert world.run(job) == "Client"
    assert world.take() == ["body", "body"]


def test_a_secret_is_not_written(world):
    """S8: what comes back of a secret raises on use and says what to do."""
    from pydantic import SecretStr

    from trigger_nb.errors import RedactedError

    got = []

    @world.job
    def job(payload, io):
        got.append((yield io.run_task("token", world.body(lambda: {"token": SecretStr("hunter2")}))))

    world.run(job)
    world.run(job)
    for each in got:
        with pytest.raises(RedactedError):
            each["token"].get_secret_value()
    assert b"hunter2" not in b"".join(p.read_bytes() for p in world.directory.rglob("*") if p.is_file())


# --- I1: which run it is --------------------------------------------------------------------------


def ids(job, *payloads, **options):
    async def start():
        runs = [job.start(payload, **options) for payload in payloads]
        for run in runs:
            await run
        return [run.id for run in runs]

    return asyncio.run(start())


def plain_job(world, **options):
    @world.job(**options)
    def job(payload, io):
        return (yield io.run_task("a", world.noting("a")))

    return job


def test_the_same_payload_is_the_same_run(world):
    """I1: the order of keys does not count, types do."""
    job = plain_job(world)
    one, again = ids(job, {"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert one == again
    assert len(set(ids(job, 1, 1.0, True, "1", None, [1], (1,), {"a": 1}, {"a": 1.0}))) == 9


def test_another_version_or_identity_is_another_run(world):
    """I1: job, version, and what `identity=` makes of the payload."""
    first = ids(plain_job(world, version="1"), 7)
    assert first != ids(plain_job(world, version="2"), 7)
    assert first != ids(plain_job(world, version="1", id="other"), 7)
    by_user = plain_job(world, id="by-user", identity=lambda payload: payload["user"])
    assert len(set(ids(by_user, {"user": 1, "at": 10}, {"user": 1, "at": 20}, {"user": 2, "at": 20}))) == 2


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("options", "run_id"),
    [({"identity": lambda payload: "all"}, None), ({}, "mine")],
    ids=["identity", "run_id"],
)
async def test_a_retry_goes_on_with_the_payload_that_was_given_last(tmp_path, options, run_id):
    """I1: a run that other payloads find, too, is retried with the one that its last pass ran on."""
    down = {"b"}

    @TriggerClient("given", dir=tmp_path).job(**options)
    async def job(payload, io):
        if down & set(payload):
            raise ConnectionError
        return payload

    assert await job.run(["a"], run_id=run_id) == ["a"]
    run = job.start(["a", "b"], run_id=run_id)
    with pytest.raises(ConnectionError):
        await run
    down.clear()
    run.retry()
    assert (await run, run.payload) == (["a", "b"], ["a", "b"])


def test_run_id_and_fresh_name_a_run(world):
    """I1: `run_id=` names one, `fresh=True` starts a new one."""
    job = plain_job(world)
    assert ids(job, 1, run_id="mine") == ["mine"]
    assert ids(job, 2, run_id="mine") == ["mine"]
    world.take()
    one, other = ids(job, 1, 1, fresh=True)
    assert one != other
    assert world.take() == ["a", "a"]


def test_a_run_belongs_to_one_job(world):
    """I1: a run's id cannot be taken by another job."""
    ids(plain_job(world), 1, run_id="mine")
    with pytest.raises(RunStateError, match="belongs to job 'job'"):
        ids(plain_job(world, id="other"), 1, run_id="mine")


def test_a_model_counts_by_what_differs_from_its_defaults(world):
    """I1: a new field with a default and an edited default make no other run, and neither does spelling it out."""

    class Payload(BaseModel):
        user: str
        limit: int = 10

    def define(schema):
        return plain_job(world, trigger=invoke_trigger(schema=schema))

    before = ids(define(Payload), {"user": "u1"})

    class Payload(BaseModel):
        user: str
        limit: int = 20
        colour: str = "red"

    assert ids(define(Payload), {"user": "u1"}, Payload(user="u1")) == before * 2
    assert ids(define(Payload), {"user": "u1", "limit": 20}) == before
    assert ids(define(Payload), {"user": "u1", "limit": 10}) != before


def test_a_payload_that_does_not_fit_starts_no_run(world):
    """I1: the schema is asked first."""

    class Payload(BaseModel):
        user: str

    job = plain_job(world, trigger=invoke_trigger(schema=Payload))
    error = world.fail(job, {"usr": 1})
    assert isinstance(error, InvalidPayloadError)
    assert "user" in str(error)
    assert len(job.runs()) == 0


def test_a_payload_that_cannot_name_a_run_says_what_to_do(world):
    """I1: an object without a stored form needs `identity=` or `run_id=`."""
    job = plain_job(world)
    error = world.fail(job, object())
    assert isinstance(error, InvalidPayloadError)
    assert "identity=" in str(error)
    assert "run_id=" in str(error)


# --- I2, I4: keys ---------------------------------------------------------------------------------


def test_keys_of_all_kinds_are_told_apart(world):
    """I2: text in any script, tuples; 1 and True and "1", ("a:b",) and ("a", "b") differ."""
    keys = [
        "a", "A", "📧", "a b", "a/b", "a~1b", ("a",), ("a", "b"), ("a:b",), ("a,b",), (1,), (True,), ("1",), (1.0,),
        (dt.date(2024, 1, 1),), (uuid.UUID(int=1),), (Colour.RED,), (Level.LOW,), (decimal.Decimal(1),),
    ]  # fmt: skip

    @world.job
    def job(payload, io):
        got = []
        for number, key in enumerate(keys):
            got.append((yield io.run_task(key, world.body(lambda number: number), number)))
        return got

    assert world.run(job) == list(range(len(keys)))
    world.new_kernel()
    assert world.run(_again(world, job)) == list(range(len(keys)))


def test_text_keys_are_the_same_in_nfc(world):
    """I2: "é" composed and decomposed is one key, so the second use in a scope is refused."""

    @world.job
    def job(payload, io):
        yield io.run_task("caf\u00e9", world.noting(1))
        yield io.run_task("cafe\u0301", world.noting(2))

    assert isinstance(world.fail(job), DuplicateKeyError)


@pytest.mark.parametrize("key", [None, "", 7, 1.5, b"a", {"a": 1}, (), (None,), (object(),), (float("nan"),)])
def test_other_keys_are_refused(world, key):
    """I2, I4: anything else is an InvalidKeyError, which fails the run even when it is swallowed."""

    @world.job
    def job(payload, io):
        try:
            yield io.run_task(key, world.noting("body"))
        except InvalidKeyError:
            pass
        return "swallowed"

    assert isinstance(world.fail(job), InvalidKeyError)
    assert world.calls == []


def test_a_key_twice_in_a_scope_is_refused_with_both_places(world):
    """I4: the message names the path and both lines."""

    @world.job
    def job(payload, io):
        yield io.run_task("same", world.noting(1))
        yield io.run_task("same", world.noting(2))

    error = world.fail(job)
    assert isinstance(error, DuplicateKeyError)
    assert error.path == "same"
    lines = [int(place.rpartition("line ")[2]) for place in error.places]
    assert lines[1] == lines[0] + 1
    assert all(__file__ in place for place in error.places)
    assert world.calls == [1]


@pytest.mark.anyio
async def test_a_call_that_is_awaited_twice_is_refused(tmp_path):
    """I4: it is one call, at one place: the message says so, and how to use its result twice."""
    world = World(tmp_path)

    @world.client.job
    async def job(payload, io):
        call = io.run_task("once", world.noting(1))
        return await call, await call

    with pytest.raises(
        UsageError, match=r"'once', called at .*test_replay.py, line \d+, is awaited twice.*result ="
    ):
        await job.run()
    assert world.calls == [1]


def test_a_key_twice_at_the_same_time_is_refused(world):
    """I4: concurrent uses too, whoever comes second."""

    def one(io, number):
        return (yield io.run_task("same", world.noting(number)))

    @world.job
    def job(payload, io):
        try:
            yield world.gather(one(io, 1), one(io, 2))
        except DuplicateKeyError:
            pass
        return "swallowed"

    assert isinstance(world.fail(job), DuplicateKeyError)
    assert len(world.calls) <= 1


def test_misuse_is_never_recorded_nor_retried(world):
    """I4: a duplicate key inside a body is no result of the body, whatever its retry policy says."""

    @world.job
    def job(payload, io):
        def parent(io):
            world.note("parent")
            yield io.run_task("same", world.noting("child"))
            yield io.run_task("same", world.noting("child"))

        try:
            yield io.run_task("parent", world.body(parent), retry=5)
        except DuplicateKeyError:
            pass
        return "swallowed"

    assert isinstance(world.fail(job), DuplicateKeyError)
    assert world.take() == ["parent", "child"]
    run = world.last(job)
    assert run.status == RunStatus.FAILED
    assert run.task("parent/same").status == TaskStatus.COMPLETED
    assert [task.path for task in run.tasks if task.status == TaskStatus.ERRORED] == []


def test_the_same_key_in_two_parents_is_two_tasks(world):
    """I3: keys are unique in a scope, not in the run."""

    def send(io, user):
        return (yield io.run_task("send", world.noting(("sent", user))))

    @world.job
    def job(payload, io):
        first = yield io.run_task("ana", world.body(lambda io: send(io, "ana")))
        second = yield io.run_task("ben", world.body(lambda io: send(io, "ben")))
        return [first, second]

    assert world.run(job) == [("sent", "ana"), ("sent", "ben")]
    assert {task.path for task in world.last(job).tasks} == {"ana", "ana/send", "ben", "ben/send"}


# --- I6: idempotency keys ---------------------------------------------------------------------------


def test_the_idempotency_key_is_kept_by_attempts_passes_and_kernels(world):
    """I6: a function of run, path and generation."""
    keys = []
    errors = [OSError("1"), OSError("2"), OSError("3"), None]

    def charge(task):
        keys.append((task.attempt, task.idempotency_key))
        if (error := errors.pop(0)) is not None:
            raise error

    @world.job
    def job(payload, io):
        yield io.run_task("charge", world.body(charge), retry=2)

    world.fail(job)
    world.new_kernel()
    job = _again(world, job)
    world.run(job)
    assert [attempt for attempt, _ in keys] == [1, 2, 1, 2]
    assert len({key for _, key in keys}) == 1
    assert keys[0][1] == world.last(job).task("charge").idempotency_key


def test_a_wanted_second_effect_gets_another_key(world):
    """I6, R9: forgetting a completed result on purpose raises the generation."""
    keys = []

    def charge(task):
        keys.append(task.idempotency_key)
        return len(keys)

    @world.job
    def job(payload, io):
        return (yield io.run_task("charge", world.body(charge)))

    async def rerun():
        return await job.runs()[0].rerun_from("charge")

    world.run(job)
    assert asyncio.run(rerun()) == 2
    world.new_kernel()
    job = _again(world, job)
    assert world.run(job) == 2
    assert asyncio.run(rerun()) == 3
    assert len(set(keys)) == 3


# --- What a row says ----------------------------------------------------------------------------------


def test_a_task_is_described(world):
    """Names, icons, properties and parameters are in the record, and redacted there where asked."""

    def fetch(user, task):
        task.output_properties = {"Remaining": 7}
        return user

    @world.job
    def job(payload, io):
        yield io.run_task(
            "fetch", world.body(fetch), {"id": "u1", "email": "a@b.c"}, name="Fetch user", icon="user",
            description="from the API", properties=[Property("User", "u1", url="https://x.y")], redact=["*.email"],
        )  # fmt: skip

    world.run(job)
    world.new_kernel()
    task = world.last(_again(world, job)).task("fetch")
    assert (task.name, task.icon) == ("Fetch user", "user")
    assert task.properties == [{"label": "User", "text": "u1", "url": "https://x.y"}]
    assert task.output_properties == [{"label": "Remaining", "text": "7"}]
    assert task.output == {"id": "u1", "email": "a@b.c"}


def test_a_client_made_again_gives_the_same_jobs_and_runs(world):
    """`TriggerClient("x")` in a cell that runs again is a client on the same store, jobs and live runs."""
    job = plain_job(world)
    assert [each.id for each in world.client.jobs] == [job.id]
    world.run(job)
    assert [run.id for run in world.client.runs()] == [run.id for run in job.runs()]
    assert isinstance(world.client, TriggerClient)


def test_logging_is_not_touched(world, caplog):
    """Nothing is logged on the plain path."""
    with caplog.at_level(logging.WARNING):
        world.run(plain_job(world))
    assert caplog.records == []


# --- R10: code between tasks ----------------------------------------------------------------------------


def hints_by_the_clock(world, monkeypatch):
    """A second by the clock of the test counts as slow."""
    world.set_patience(slow_code=1.0)
    for module in (_decide, _state):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=world.clock.time))


def test_slow_code_between_tasks_gets_a_hint(world, monkeypatch):
    """R10: it runs at every pass; the hint names the tasks around it and the line."""
    hints_by_the_clock(world, monkeypatch)

    @world.job
    def job(payload, io):
        yield io.run_task("before", world.noting("before"))
        world.clock.advance(2)
        yield io.run_task("after", world.noting("after"))

    world.run(job)
    world.run(job)
    (hint,) = [each for each in world.last(job)._record.hints if "runs again on every pass" in each]
    assert "task 'before' and" in hint
    assert "test_replay.py, line" in hint


def test_waiting_is_no_slow_code(world, monkeypatch):
    """R10: time in a body or a wait is not between tasks."""
    hints_by_the_clock(world, monkeypatch)

    @world.job
    def job(payload, io):
        yield io.run_task("before", world.noting("before"))
        yield io.run_task("slow", world.body(lambda: world.clock.advance(2)))
        yield io.wait("wait", days=1)
        yield io.run_task("after", world.noting("after"))

    world.run(job)
    assert [each for each in world.last(job)._record.hints if "runs again on every pass" in each] == []
