"""Questions to people: asked once, answered once, over kernels that come and go (rules R1, R3, R9, W1, W2, C4)."""

from __future__ import annotations

import enum
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import AwareDatetime, BaseModel, Field, HttpUrl, SecretStr, field_validator

from tests.support.worlds import World, failure, until
from trigger_nb import Approval, RunStatus, TaskStatus
from trigger_nb._store.protocol import Row
from trigger_nb.errors import (
    AlreadyAnsweredError,
    InvalidAnswerError,
    InvalidOptionError,
    NotFoundError,
    RunStateError,
    UsageError,
)

HOUR = 3600.0


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Budget(BaseModel):
    limit: Annotated[int, Field(ge=1, le=1000)]
    note: str = ""
    share: float | None = None
    kind: Literal["once", "monthly"] = "once"
    colour: Colour = Colour.RED
    day: date | None = None
    is_urgent: bool = False
    tags: list[str] = []

    @field_validator("note")
    @classmethod
    def no_shouting(cls, value: str) -> str:
        if value.isupper():
            raise ValueError("do not shout")
        return value


@pytest.fixture
def still_world(tmp_path):
    """A world whose clock stands still."""
    world = World(tmp_path / "store")
    world.clock._autojump = False
    yield world
    world.new_kernel()


def publishing(world, **question):
    """A job that asks between two tasks."""

    @world.job(id="job")
    def job(payload, io):
        yield io.run_task("before", world.noting("before"))
        approval = yield io.wait_for_approval("publish", **question)
        yield io.run_task("after", world.noting("after"))
        return approval

    return job


async def asked(job, payload=None, **options):
    run = job.start(payload, **options)
    await until(lambda: run.reason == "answer")
    return run


# An answer --------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_an_approval(still_world):
    """R1, R3: the run waits, one answer ends that, and a replay has the same value."""
    world, job = still_world, publishing(still_world, prompt="Publish?")
    run = await asked(job)
    assert (run.status, run.task("publish").status) == (RunStatus.WAITING, TaskStatus.WAITING)
    assert run.wake_at is None
    run.approve("publish", by="ada")
    approval = await run
    assert approval == Approval("approve", None, "ada", datetime(2030, 1, 1, tzinfo=UTC))
    assert approval
    assert await job.run() == approval
    assert world.take() == ["before", "after"]


@pytest.mark.anyio
async def test_whoever_answers_is_recorded(still_world):
    """By default the user of this process."""
    import getpass

    run = await asked(publishing(still_world))
    run.reject("publish")
    approval = await run
    assert (approval.choice, approval.by, bool(approval)) == ("reject", getpass.getuser(), False)
    assert run.task("publish").data["answer"]["by"] == getpass.getuser()


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["async def", "def"])
async def test_jobs_of_both_kinds(tmp_path, kind):
    """C4: an answer wakes an `async def` job and one in a thread."""
    world = World(tmp_path / "store", kind)
    world.clock._autojump = False

    @world.job(id="job")
    def job(payload, io):
        city = yield io.ask("city")
        approval = yield io.wait_for_approval("publish", schema=Budget)
        return [city, approval.data]

    run = await asked(job)
    run.answer("city", "Paris")
    await until(lambda: run.task("publish").status == TaskStatus.WAITING)
    run.approve("publish", data=Budget(limit=3, day=date(2026, 1, 2), colour=Colour.BLUE))
    assert await run == ["Paris", Budget(limit=3, day=date(2026, 1, 2), colour=Colour.BLUE)]
    world.new_kernel()


@pytest.mark.anyio
async def test_an_answer_while_no_kernel_drives_the_run_counts(still_world):
    """W2: it is taken by the next pass, in any kernel."""
    world, job = still_world, publishing(still_world)
    run = await asked(job)
    run.pause(now=True)
    await until(lambda: run.reason == "paused")
    world.new_kernel()

    run = world.client.run(run.id)
    run.approve("publish", by="ada")
    with pytest.raises(AlreadyAnsweredError, match='"approve" by ada') as error:
        run.reject("publish")
    assert (error.value.choice, error.value.by) == ("approve", "ada")
    assert (await publishing(world).run()).choice == "approve"
    assert world.take() == ["before", "after"]


@pytest.mark.anyio
async def test_the_first_answer_counts(still_world):
    """R3: a second one is refused, before and after the run has taken the first one."""
    run = await asked(publishing(still_world))
    run.approve("publish", by="ada")
    assert isinstance(await failure(_as_coroutine(lambda: run.reject("publish"))), AlreadyAnsweredError)
    await run
    with pytest.raises(RunStateError, match="it has completed"):
        run.reject("publish")


async def _as_coroutine(call):
    return call()


@pytest.mark.anyio
async def test_it_is_asked_again_on_request(still_world):
    """R9: a generation has an answer of its own."""
    world = still_world
    run = await asked(publishing(world))
    run.approve("publish", by="ada")
    await run
    run.rerun_from("publish")
    await until(lambda: run.reason == "answer")
    run.reject("publish", by="bob")
    assert (await run).by == "bob"
    assert world.take() == ["before", "after", "after"]


@pytest.mark.anyio
async def test_many_questions_at_once(still_world):
    """C1: each has its own answer, in any order."""
    world = still_world

    @world.job(id="job")
    def job(payload, io):
        return (yield world.gather(*(part(io, n) for n in range(20))))

    def part(io, number):
        approval = yield io.wait_for_approval(("item", number))
        return approval.choice

    run = job.start()
    await until(lambda: len(world.client.approvals()) == 20)
    for number in reversed(range(20)):
        run.approve([("item", number)], "approve" if number % 2 else "reject")
    assert await run == ["approve" if number % 2 else "reject" for number in range(20)]


@pytest.mark.anyio
async def test_waiting_costs_no_slot(still_world):
    """C4: another run of the job goes on meanwhile."""
    world = still_world

    @world.job(id="job", concurrency_limit=1)
    def job(payload, io):
        if payload:
            return (yield io.wait_for_approval("publish"))
        return "done"

    run = await asked(job, 1)
    assert await job.run(0) == "done"
    run.approve("publish")
    assert await run


@pytest.mark.anyio
async def test_an_attempt_s_time_does_not_run(still_world):
    """A3: inside a body with a time limit."""
    world = still_world

    @world.job(id="job")
    def job(payload, io):
        def body(io):
            return (yield io.ask("city"))

        return (yield io.run_task("outer", world.body(body), timeout=0.05))

    run = await asked(job)
    import asyncio

    await asyncio.sleep(0.1)
    run.answer("outer/city", "Rome")
    assert await run == "Rome"


# Time limits ------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_nobody_answers_in_time(still_world):
    """W1: one absolute deadline, also over kernels; the end is a result."""
    world = still_world
    run = await asked(publishing(world, timeout=2 * HOUR))
    deadline = run.wake_at
    assert deadline.timestamp() == world.clock.time() + 2 * HOUR
    world.clock.advance(HOUR)
    run.pause(now=True)
    await until(lambda: run.reason == "paused")
    world.new_kernel()
    run = await asked(publishing(world, timeout=2 * HOUR))
    assert run.wake_at == deadline
    world.clock.advance(HOUR)
    approval = await run
    assert (approval.choice, approval.by, approval.timed_out, bool(approval)) == (None, None, True, False)
    with pytest.raises(RunStateError):
        run.approve("publish")


@pytest.mark.anyio
async def test_time_that_ran_out_without_a_kernel(still_world):
    """W2: the next pass finds it so, unless there is an answer."""
    world = still_world
    runs = [await asked(publishing(world, timeout=HOUR), n) for n in (1, 2)]
    for run in runs:
        run.pause(now=True)
    await until(lambda: all(run.reason == "paused" for run in runs))
    world.clock.advance(2 * HOUR)
    world.new_kernel()
    world.client.run(runs[0].id).approve("publish")
    job = publishing(world, timeout=HOUR)
    assert (await job.run(1)).choice == "approve"
    assert (await job.run(2)).timed_out


@pytest.mark.anyio
async def test_an_answer_and_the_end_of_time_at_once(still_world):
    """R3: one of them is in the store first, and that one counts."""
    world = still_world
    run = await asked(publishing(world, timeout=HOUR))
    world.clock.advance(HOUR)  # the loop has not looked yet
    run.approve("publish", by="ada")
    assert (await run).by == "ada"


@pytest.mark.anyio
async def test_input_with_a_default(still_world):
    """The default is the result if nobody answers in time."""
    world = still_world

    @world.job(id="job")
    def job(payload, io):
        return (yield io.ask("city", default="Paris", timeout=HOUR))

    run = await asked(job)
    world.clock.advance(HOUR)
    assert await run == "Paris"


# Data -------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_data_that_do_not_fit(still_world):
    """The schema refuses them, field by field, and nothing is recorded."""
    run = await asked(publishing(still_world, schema=Budget))
    for data, field, text in [
        (None, "limit", "Field required"),
        ({"limit": 0}, "limit", "greater than or equal to 1"),
        ({"limit": 1, "note": "LOUD"}, "note", "do not shout"),
        ({"limit": 1, "lmit": 2}, "lmit", "no such field"),
        ({"limit": 1, "kind": "never"}, "kind", "'once' or 'monthly'"),
        ({"limit": 1, "day": "tomorrow"}, "day", "date"),
    ]:
        with pytest.raises(InvalidAnswerError) as error:
            run.approve("publish", data=data)
        assert text in error.value.fields[field]
    assert run.status == RunStatus.WAITING
    run.approve("publish", data={"limit": "7", "colour": "blue"})
    assert (await run).data == Budget(limit=7, colour=Colour.BLUE)


@pytest.mark.anyio
async def test_reject_needs_no_data(still_world):
    """What is given nevertheless is checked."""
    run = await asked(publishing(still_world, schema=Budget))
    with pytest.raises(InvalidAnswerError):
        run.reject("publish", {"limit": -1})
    run.reject("publish")
    assert (await run).data is None


@pytest.mark.anyio
async def test_without_the_class_the_fields_are_checked(still_world):
    """Another process has only the fields; the kernel that drives the run refuses what passes them, and asks again."""
    world = still_world
    run = await asked(publishing(world, schema=Budget))
    run.pause(now=True)
    await until(lambda: run.reason == "paused")
    world.new_kernel()
    run = world.client.run(run.id)
    for data in ({"limit": 0}, {"limit": "many"}, {"limit": 1, "kind": "never"}, {}, {"lmit": 1}, [1]):
        with pytest.raises(InvalidAnswerError):
            run.approve("publish", data=data)
    run.approve("publish", data={"limit": 1, "note": "LOUD"})  # only the class knows
    job = publishing(world, schema=Budget)
    run = await asked(job)
    await until(lambda: "refused" in run.task("publish").data)
    assert "do not shout" in run.task("publish").data["refused"]
    assert "do not shout" in run.tree()
    run.approve("publish", data={"limit": 1, "note": "quiet"})
    assert (await run).data.note == "quiet"
    assert world.take() == ["before", "after"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("schema", "given", "value"),
    [
        (str, "Paris", "Paris"),
        (int, "7", 7),
        (float, 0.5, 0.5),
        (bool, True, True),
        (date, "2026-01-02", date(2026, 1, 2)),
        (Literal["a", "b"], "b", "b"),
        (Colour, "blue", Colour.BLUE),
        (list[int], ["1", 2], [1, 2]),
        (datetime, "2030-01-31 09:30", datetime(2030, 1, 31, 9, 30)),
        (AwareDatetime, "2030-01-31T09:30:00Z", datetime(2030, 1, 31, 9, 30, tzinfo=UTC)),
        (timedelta, timedelta(hours=2), timedelta(hours=2)),
        (Decimal, "12.50", Decimal("12.50")),
        (Path, Path("a/b"), Path("a/b")),
        (int | None, None, None),
        (Budget, {"limit": 2}, Budget(limit=2)),
    ],
)
async def test_inputs_of_many_kinds(still_world, schema, given, value):
    """S3: the value is of its type, also on replay."""
    world = still_world

    @world.job(id="job")
    def job(payload, io):
        return (yield io.ask("value", schema))

    run = await asked(job)
    with pytest.raises(InvalidAnswerError):
        run.answer("value", {"limit": "x", "no": object} if schema not in (str, Path) else ["x"])
    run.answer("value", given)
    assert await run == value
    world.new_kernel()
    assert type(await job.run()) is type(value)


class Meeting(BaseModel):
    at: datetime = Field(description="When it begins")
    lasts: timedelta = timedelta(hours=1)
    until: AwareDatetime | None = None
    cost: Decimal = Field(Decimal("12.50"), gt=0)
    page: HttpUrl | None = None
    who: SecretStr | None = None
    days: list[datetime] = []


@pytest.mark.anyio
async def test_what_pydantic_reads_from_text_is_typed_as_text(still_world):
    """W4: the form asks for no JSON, and the kernel that knows no class takes it as well."""
    world = still_world
    run = await asked(publishing(world, schema=Meeting))
    (question,) = world.client.approvals()
    fields = {field["name"]: field for field in question.fields}
    assert [name for name, field in fields.items() if field["kind"] == "written"] == [
        "at", "lasts", "until", "cost", "page"
    ]  # fmt: skip
    assert [fields[name].get("about") for name in ("at", "lasts", "page")] == [
        "When it begins", "Such as 1:30:00", None
    ]  # fmt: skip
    assert fields["cost"]["default"] == "12.50"
    run.pause(now=True)
    await until(lambda: run.reason == "paused")
    world.new_kernel()
    given = {
        "at": "2030-01-31 09:30",
        "until": "2030-01-31T10:30:00Z",
        "cost": "13.70",
        "page": "https://a.b",
    }
    with pytest.raises(InvalidAnswerError):
        world.client.run(run.id).approve("publish", data={**given, "at": ["x"]})
    world.client.run(run.id).approve("publish", data=given)
    assert (await publishing(world, schema=Meeting).run()).data == Meeting.model_validate(given)


# Mistakes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "question",
    [
        {"choices": []},
        {"choices": "approve"},
        {"choices": ["a", "a"]},
        {"choices": ["a", 1]},
        {"choices": ["a", " "]},
        {"prompt": 7},
        {"schema": "Budget"},
        {"schema": object()},
        {"timeout": -1},
        {"timeout": "1"},
    ],
)
def test_a_question_that_cannot_be_meant(world, question):
    """The call says what is wrong."""
    assert isinstance(world.fail(publishing(world, **question)), InvalidOptionError)


@pytest.mark.parametrize("question", [{"timeout": 1}, {"schema": int, "default": "x"}, {"schema": 3}])
def test_an_input_that_cannot_be_meant(world, question):
    """A time limit needs a default, which fits the schema."""

    @world.job(id="job")
    def job(payload, io):
        return (yield io.ask("city", **question))

    assert isinstance(world.fail(job), InvalidOptionError)


@pytest.mark.anyio
async def test_answers_that_go_nowhere(still_world):
    """Each error says what to type."""
    world = still_world

    @world.job(id="job")
    def job(payload, io):
        yield io.run_task("before", world.noting("before"))
        yield io.ask("city")

    run = await asked(job)
    for call, error, text in [
        (lambda: run.approve("city"), InvalidAnswerError, "run.answer('city', ...)"),
        (lambda: run.approve("before"), RunStateError, "asks nothing"),
        (lambda: run.approve("nowhere"), NotFoundError, "no task 'nowhere'"),
        (lambda: run.answer("city", object()), InvalidAnswerError, "plain data"),
        (lambda: run.answer("city", "x", by=3), InvalidAnswerError, "by is who answers"),
        (lambda: run.skip_wait("city"), RunStateError, "run.answer('city', ...)"),
    ]:
        with pytest.raises(error, match=text.replace("(", r"\(").replace(")", r"\)").replace(".", r"\.")):
            call()
    run.answer("city", "Rome")
    await run


@pytest.mark.anyio
async def test_choices_of_ones_own(still_world):
    """They have no meaning of yes or no."""
    run = await asked(publishing(still_world, choices=["ship", "wait"]))
    assert "run.approve('publish', 'ship')" in run.tree()
    with pytest.raises(InvalidAnswerError, match="'ship', 'wait'"):
        run.approve("publish")
    run.approve("publish", "ship")
    approval = await run
    with pytest.raises(UsageError, match=r"approval.choice == 'ship'"):
        bool(approval)


@pytest.mark.anyio
async def test_a_damaged_answer_is_asked_for_again(still_world):
    """S10: it breaks nothing, and is not taken for another one."""
    world = still_world
    run = await asked(publishing(world))
    key = f"answer/{run.id}/0/publish"
    world.client.runtime.journal.commit([Row(key, f"answer/{run.id}", '{"at": "noon"}', 1)])
    run._runtime.executions[run.id].pass_.questions.look()
    await until(lambda: world.client.runtime.store.get(key) is None)
    run.approve("publish", by="ada")
    assert (await run).by == "ada"


@pytest.mark.anyio
async def test_a_deleted_run_leaves_no_answers(still_world):
    """S1: its answers go with it."""
    world = still_world
    run = await asked(publishing(world))
    run.approve("publish")
    await run
    assert world.client.runtime.store.tally()[f"answer/{run.id}"] == 1
    assert world.client.check().ok
    run.delete()
    assert f"answer/{run.id}" not in world.client.runtime.store.tally()


# Other ways -------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_plan_says_that_it_would_ask(still_world):
    """The plan ends at the question, and asks nobody."""
    world, job = still_world, publishing(still_world)
    run = await asked(job)
    run.pause(now=True)
    await until(lambda: run.reason == "paused")
    plan = job.plan()
    assert (plan.replays, [task.path for task in plan.runs]) == (("before",), ["publish"])
    assert world.take() == ["before"]


@pytest.mark.anyio
async def test_set_output_and_fork(still_world):
    """A result by hand takes the place of an answer; a fork asks anew."""
    run = await asked(publishing(still_world))
    run.set_output("publish", "by hand")
    assert await run == "by hand"
    fork = run.fork("publish")
    await until(lambda: fork.reason == "answer")
    fork.approve("publish")
    assert (await fork).choice == "approve"
