"""Attempts: retry policies, `on_error`, timeouts, crashes (rules A1 to A4)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, stop_after_delay, wait_fixed

from tests.support.worlds import Gate, World, let_pass, running_bodies, until
from trigger_nb import Retry, RetryAt, RunStatus, SkipRetrying, TaskStatus
from trigger_nb._engine.verdicts import RETRY_AT_LIMIT
from trigger_nb._records.records import TaskRecord
from trigger_nb.errors import TaskCrashedError, TaskTimeoutError


def job_of(world, body, **options):
    """A job with one task."""

    @world.job(id="job")
    def job(payload, io):
        return (yield io.run_task("task", body, **options))

    return job


def record_of(world, run):
    """The record of the only task of a run, as it is in the store."""
    (record,) = world.client.runtime.task_records(run.id)
    return record


# --- A1: how often, and when ----------------------------------------------------------------------


def test_a_number_of_attempts_in_all(world):
    """A1: `retry=3` is three attempts."""
    job = job_of(world, world.failing("body", *[OSError(str(n)) for n in range(9)]), retry=3)
    assert str(world.fail(job)) == "2"
    assert world.take() == ["body"] * 3
    assert world.last(job).task("task").attempt == 3


def test_it_ends_with_the_first_success(world):
    """A1: two errors, then a result; the attempt that counted is in the record."""
    job = job_of(world, world.failing("body", OSError("1"), OSError("2")), retry=5)
    assert world.run(job) == "body"
    assert world.take() == ["body"] * 3
    assert world.last(job).task("task").attempt == 3
    assert world.last(job).task("task").error is None


def test_no_retry_is_one_attempt(world):
    """Reference: no `retry`, no retry."""
    job = job_of(world, world.failing("body", OSError("1")))
    world.fail(job)
    assert world.take() == ["body"]


def test_the_delays_are_the_policys(world):
    """A1: the next attempt's time is stored; the clock jumps there."""
    times = []
    policy = Retry(limit=4, min_timeout=10, factor=2, max_timeout=30, randomize=False)

    def body():
        times.append(world.clock.time())
        raise OSError("no")

    world.fail(job_of(world, world.body(body), retry=policy))
    assert [b - a for a, b in zip(times, times[1:])] == [10, 10, 20]


def test_tenacitys_strategies_decide(world):
    """A1: AsyncRetrying as a description: what it retries, how long it waits, when it stops."""
    times = []

    def body():
        times.append(world.clock.time())
        raise OSError("no") if len(times) < 3 else ValueError("other")

    described = AsyncRetrying(
        retry=retry_if_exception_type(OSError), wait=wait_fixed(60), stop=stop_after_attempt(10)
    )
    assert isinstance(world.fail(job_of(world, world.body(body), retry=described)), ValueError)
    assert [b - a for a, b in zip(times, times[1:])] == [60, 60]


@pytest.mark.anyio
async def test_the_count_and_the_countdown_survive_a_restart(tmp_path):
    """A1: a new kernel goes on with attempt 3, and waits only for what is left."""
    world = World(tmp_path)
    world.clock._autojump = False
    attempts = []
    policy = Retry(limit=9, min_timeout=100, max_timeout=100, randomize=False)

    def body(task):
        attempts.append((task.attempt, world.clock.time()))
        if task.attempt < 4:
            raise OSError(str(task.attempt))
        return "done"

    def define():
        @world.client.job
        async def job(payload, io):
            return await io.run_task("task", body, retry=policy)

        return job

    start = world.clock.time()
    run = define().start()
    await until(lambda: world.clock.deadlines)
    world.clock.advance(100)
    await until(lambda: len(attempts) == 2 and world.clock.deadlines)
    world.clock.advance(70)
    (deadline,) = world.clock.deadlines
    task = run.task("task")
    assert (task.status, task.attempt, task.next_at.timestamp()) == (TaskStatus.WAITING, 2, deadline)
    assert (run.status, run.reason) == (RunStatus.WAITING, "retry")
    run.pause()
    await until(lambda: run.reason == "paused")
    world.new_kernel()

    run = define().start()
    await until(lambda: world.clock.deadlines)
    assert world.clock.deadlines == [deadline]
    world.clock.advance(30)
    await until(lambda: len(attempts) == 3 and world.clock.deadlines)
    world.clock.advance(100)
    assert await run == "done"
    assert attempts == [(1, start), (2, start + 100), (3, start + 200), (4, start + 300)]
    kept = record_of(world, run).attempts
    assert [(each["number"], each["type"], each["message"]) for each in kept] == [
        (number, "OSError", str(number)) for number in (1, 2, 3)
    ]
    assert [each["began"] for each in kept] == [pytest.approx(at, abs=30) for _, at in attempts[:3]]
    assert [each["next_at"] for each in kept] == [pytest.approx(at, abs=30) for _, at in attempts[1:]]
    assert all(0 <= each["took"] < 60 for each in kept)


def test_stop_after_delay_counts_from_the_first_attempt(world):
    """A1: across kernels too, since the state is built from the record and not from a monotonic clock."""
    body = world.failing("body", *[OSError(str(n)) for n in range(99)])
    job = job_of(world, body, retry=AsyncRetrying(stop=stop_after_delay(250), wait=wait_fixed(100)))
    world.fail(job)
    assert world.take() == ["body"] * 4  # at 0, 100, 200 and 300


@pytest.mark.anyio
async def test_skip_wait_ends_a_countdown(tmp_path):
    """A1: `run.skip_wait(path)` begins the next attempt now."""
    world = World(tmp_path)
    world.clock._autojump = False
    body = world.failing("body", OSError("no"))

    @world.client.job
    async def job(payload, io):
        return await io.run_task("task", body, retry=Retry(limit=2, min_timeout=3600))

    run = job.start()
    await until(lambda: world.clock.deadlines)
    run.skip_wait("task")
    assert await run == "body"


def test_a_task_that_gave_up_has_all_its_attempts_again_in_the_next_pass(world):
    """R5: the error ended the run, so the task starts anew: attempt 1, the same effect."""
    seen = []

    def body(task):
        seen.append(task.attempt)
        if len(seen) < 5:
            raise OSError("no")
        return "done"

    job = job_of(world, world.body(body), retry=2)
    world.fail(job)
    world.fail(job)
    assert world.run(job) == "done"
    assert seen == [1, 2, 1, 2, 1]


# --- A2: on_error -------------------------------------------------------------------------------------


def test_on_error_may_just_look(world):
    """A2: it gets error, task and io; nothing returned = the error as it was, and `retry` applies."""

    def handler(error, task, io):
        world.note((str(error), task.attempt))

    job = job_of(
        world,
        world.failing("body", OSError("1"), OSError("2"), OSError("3")),
        retry=2,
        on_error=world.body(handler),
    )
    assert str(world.fail(job)) == "2"
    assert world.take() == ["body", ("1", 1), "body", ("2", 2)]


def test_on_error_may_replace_the_error(world):
    """A2: a returned exception takes its place; what it raises does too."""
    job = job_of(
        world, world.failing("body", OSError("1")), on_error=world.body(lambda error: KeyError("other"))
    )
    assert world.fail(job).args == ("other",)

    def raises(error):
        raise LookupError("raised")

    job = job_of(world, world.failing("body", OSError("1")), on_error=world.body(raises))
    assert str(world.fail(job, 1)) == "raised"


def test_on_error_may_say_when(world):
    """A2: RetryAt needs no retry policy; a time in the past means now."""
    times = []

    def body():
        times.append(world.clock.time())
        if len(times) < 4:
            raise OSError("limit")
        return "done"

    def handler(error):
        return [
            None,
            RetryAt(timedelta(minutes=5)),
            RetryAt(datetime.fromtimestamp(world.clock.time() + 60, UTC)),
            RetryAt(datetime(2001, 1, 1, tzinfo=UTC)),
        ][len(times)]

    assert world.run(job_of(world, world.body(body), on_error=handler)) == "done"
    assert [b - a for a, b in zip(times, times[1:])] == [300, 60, 0]


@pytest.mark.parametrize("waits", [3, 12])
def test_being_told_to_wait_uses_up_no_attempt(world, waits):
    """A1, A2: after any number of `RetryAt`, all attempts of `retry=` are left, also in a new kernel."""
    errors = [*[BlockingIOError("wait")] * waits, OSError("1"), OSError("2")]

    def handler(error):
        return RetryAt(60) if isinstance(error, BlockingIOError) else None

    job = job_of(world, world.failing("body", *errors), retry=3, on_error=handler)
    assert world.run(job) == "body"
    assert len(world.take()) == waits + 3


@pytest.mark.anyio
async def test_a_new_kernel_knows_which_attempts_did_not_count(tmp_path):
    """A1: the process ends while the task waits as it was told to."""
    world = World(tmp_path)
    world.clock._autojump = False
    calls = []

    def body():
        calls.append(None)
        raise BlockingIOError("wait") if len(calls) <= 4 else OSError("no")

    def define():
        @world.client.job
        async def job(payload, io):
            on_error = lambda error: RetryAt(60) if isinstance(error, BlockingIOError) else None
            return await io.run_task("task", body, retry=Retry(limit=2, min_timeout=60), on_error=on_error)

        return job

    run = define().start()
    for count in range(1, 4):
        await until(lambda count=count: len(calls) == count and world.clock.deadlines)
        if count < 3:
            world.clock.advance(60)
    run.pause()
    await until(lambda: run.reason == "paused")
    world.new_kernel()
    world.clock._autojump = True
    with pytest.raises(OSError, match="no"):
        await define().start()
    assert len(calls) == 4 + 2


def test_on_error_cannot_ask_for_ever(world):
    """A2: RetryAt is capped where there is no policy."""
    job = job_of(
        world,
        world.failing("body", *[OSError(str(n)) for n in range(RETRY_AT_LIMIT + 9)]),
        on_error=lambda e: RetryAt(1),
    )
    assert isinstance(world.fail(job), OSError)
    assert len(world.take()) == RETRY_AT_LIMIT


def test_on_error_may_end_it(world):
    """A2: SkipRetrying beats the policy."""
    job = job_of(
        world,
        world.failing("body", OSError("1"), OSError("2")),
        retry=9,
        on_error=lambda error: SkipRetrying(ValueError("final")),
    )
    assert isinstance(world.fail(job), ValueError)
    assert world.take() == ["body"]


def test_on_error_that_returns_something_else_is_refused(world):
    """A2, I4: an invalid value fails the run."""
    job = job_of(world, world.failing("body", OSError("1")), on_error=lambda error: "again")
    assert "on_error of task 'task' returned 'again'" in str(world.fail(job))


def test_on_error_may_start_tasks(world):
    """A2: in the scope of the attempt, where they are kept like any other."""

    def handler(error, task, io):
        yield io.run_task("clean-up", world.noting("clean-up"))
        return SkipRetrying()

    job = job_of(world, world.failing("body", OSError("1"), OSError("2")), on_error=world.body(handler))
    assert isinstance(world.fail(job), OSError)
    assert {task.path for task in world.last(job).tasks} == {"task", "task/clean-up"}


# --- A3: timeouts -------------------------------------------------------------------------------------


def test_a_timeout_bounds_an_attempt(world):
    """A3: TaskTimeoutError, a TimeoutError too; `retry` applies to it."""

    async def body():
        world.note("body")
        await asyncio.sleep(3600)

    job = job_of(world, body, timeout=0.01, retry=2)
    error = world.fail(job)
    assert isinstance(error, TaskTimeoutError)
    assert isinstance(error, TimeoutError)
    assert "0.01 s (attempt 2)" in str(error)
    assert world.take() == ["body", "body"]


def test_a_jobs_duration_is_the_default(world):
    """A3: `max_task_duration` of the job; a task's own timeout wins."""

    async def body():
        await asyncio.sleep(3600)

    @world.job(max_task_duration=timedelta(milliseconds=10))
    def job(payload, io):
        try:
            yield io.run_task("default", body)
        except TaskTimeoutError:
            world.note("default")
        yield io.run_task("own", asyncio.sleep, 0.05, timeout=3600)
        return "done"

    assert world.run(job) == "done"
    assert world.take() == ["default"]


def test_waits_inside_do_not_count(world):
    """A3: a parent that waits three days for itself and a child's retry keeps within its hour."""

    @world.job
    def job(payload, io):
        def parent(io):
            yield io.wait("wait", days=3)
            return (
                yield io.run_task(
                    "child", world.failing("child", OSError("1")), retry=Retry(limit=2, min_timeout=3600)
                )
            )

        return (yield io.run_task("parent", world.body(parent), timeout=3600))

    assert world.run(job) == "child"


@pytest.mark.anyio
async def test_time_stands_still_while_something_inside_waits(tmp_path):
    """A3: more time passes in the wait than the timeout allows, and the attempt goes on."""
    world = World(tmp_path)
    world.clock._autojump = False

    @world.client.job
    async def job(payload, io):
        async def parent(io):
            await io.wait("wait", days=3)
            return "done"

        return await io.run_task("parent", parent, timeout=1800)

    run = job.start()
    await until(lambda: world.clock.deadlines)
    let_pass(3600)
    await asyncio.sleep(0.001)  # a timer: those that are due come before it
    world.clock.advance(3 * 24 * 3600)
    assert await run == "done"


@pytest.mark.anyio
async def test_a_second_body_never_starts_beside_a_thread(tmp_path):
    """A3, A5: however many attempts time out, the thread's body is one."""
    world = World(tmp_path)
    gate = Gate()

    def body():
        world.note("body")
        gate.pass_through()
        return "late"

    @world.client.job
    async def job(payload, io):
        return await io.run_task("task", body, timeout=0.01, retry=Retry(limit=4, min_timeout=0))

    with pytest.raises(TaskTimeoutError, match="attempt 4"):
        await job.run()
    gate.open()
    await until(lambda: not running_bodies)
    assert await job.run() == "late"
    assert world.take() == ["body"]


# --- A4: errors of subtasks -----------------------------------------------------------------------------


def parent_of(world, raises):
    """A job whose parent task has a policy and ends in an error that `raises` makes of its child's."""

    @world.job(id="job")
    def job(payload, io):
        def parent(io):
            world.note("parent")
            try:
                yield io.run_task("child", world.failing("child", *[OSError(str(n)) for n in range(9)]))
            except OSError as error:
                raises(error)

        return (yield io.run_task("parent", world.body(parent), retry=3))

    return job


def same(error):
    raise error


def grouped(error):
    raise ExceptionGroup("several", [ValueError("own"), error])


def caused(error):
    raise ValueError("own") from error


def unrelated(error):
    raise ValueError("own")


@pytest.mark.parametrize("raises", [same, grouped, caused])
def test_a_parent_is_not_retried_for_its_childs_error(world, raises):
    """A4: itself, in a group, or as a cause: the child had its own policy."""
    world.fail(parent_of(world, raises))
    assert world.take() == ["parent", "child"]


def test_a_parent_is_retried_for_an_error_of_its_own(world):
    """A4: that another one was being handled is no reason not to."""
    world.fail(parent_of(world, unrelated))
    assert world.take().count("parent") == 3


# --- D2: what is kept of failed attempts ----------------------------------------------------------------


def test_only_the_last_attempts_are_kept_and_little_of_each(world):
    """D2: in bounded size, whatever the errors say."""
    errors = [OSError(f"{n} " + "x" * 10_000) for n in range(40)]
    world.fail(job := job_of(world, world.failing("body", *errors), retry=30))
    kept = record_of(world, world.last(job)).attempts
    assert [each["number"] for each in kept] == list(range(21, 31))
    assert {len(each["message"]) for each in kept} == {300}
    assert "next_at" not in kept[-1]
    assert len(str(kept)) < 10_000


def test_nothing_is_kept_twice_of_a_single_attempt(world):
    """Its error is in the record as it is; a task that starts over has no attempts behind it."""
    world.fail(job := job_of(world, world.failing("body", OSError("1"))))
    assert record_of(world, world.last(job)).attempts == []
    world.fail(job := job_of(world, world.failing("body", OSError("2"), OSError("3")), retry=2))
    assert len(record_of(world, world.last(job)).attempts) == 2
    world.run(job_of(world, world.noting("body")))
    assert record_of(world, world.last(job)).attempts == []


def test_what_redact_hides_is_not_in_the_attempts(world):
    """S8: the record keeps the message for the replay; what is shown of attempts is scrubbed."""
    body = world.body(lambda user: (_ for _ in ()).throw(OSError(f"no account for {user}")))

    @world.job(id="job")
    def job(payload, io):
        return (yield io.run_task("task", body, "ana@example.org", params={"email": "ana@example.org"},
                                  retry=2, redact=["email"]))  # fmt: skip

    world.fail(job)
    kept = record_of(world, world.last(job)).attempts
    assert len(kept) == 2
    assert "ana" not in str(kept)


def test_the_attempts_stand_behind_what_a_replay_compares(world):
    """A replay compares the beginning of a record's text: it is the same with and without attempts."""
    job = job_of(world, world.failing("body", OSError("1")), retry=2)
    world.run(job)
    record = record_of(world, world.last(job))
    text = record.dumps()
    assert text.index('"attempts"') > text.index('"value"')
    bare = record.copy(attempts=[]).dumps()
    assert text.replace(text[text.index('"attempts"') : text.index("}],") + 3], "") == bare
    assert TaskRecord.loads(bare).attempts == []


# --- A1: crashes ----------------------------------------------------------------------------------------


def test_a_body_that_kills_the_kernel_does_not_loop(world):
    """A1: three starts that never ended; then the run stops and asks, and `retry()` tries again."""
    job = job_of(world, world.failing("body", OSError("1")))
    world.fail(job)
    world.take()
    world.leave_running(job, "task", crashes=2)
    error = world.fail(job)
    assert isinstance(error, TaskCrashedError)
    assert "3 times" in str(error)
    assert world.take() == []
    world.new_kernel()
    job = world.again(job)

    async def retry():
        return await job.runs()[0].retry()

    assert asyncio.run(retry()) == "body"
    assert world.take() == ["body"]


def test_a_crash_is_counted_and_the_attempt_kept(world):
    """A1: two starts without an end are two crashes; the body runs with the same attempt number."""
    attempts = []

    def body(task):
        attempts.append(task.attempt)
        return "done"

    job = job_of(world, world.failing("body", OSError("1")))
    world.fail(job)
    world.leave_running(job, "task", attempt=3, crashes=1)
    assert world.run(job_of(world, world.body(body))) == "done"
    assert attempts == [3]


def test_a_parent_that_got_on_is_not_what_crashed(world):
    """A1: something in it began or ended after its start, so the crash is not counted against it."""
    broken = [True]

    @world.job
    def job(payload, io):
        def parent(io):
            yield io.run_task("child", world.noting("child"))
            if broken[0]:
                raise OSError("once")
            return "done"

        return (yield io.run_task("parent", world.body(parent)))

    world.fail(job)
    broken[0] = False
    world.leave_running(job, "parent", crashes=2, began=1)
    assert world.run(job) == "done"


@pytest.mark.anyio
async def test_the_start_of_a_body_that_runs_a_while_is_recorded(tmp_path, starts_are_recorded):
    """A1: the watch's thread writes it, so that a death of the kernel is known."""
    world = World(tmp_path)
    gate = Gate()

    @world.client.job
    async def job(payload, io):
        return await io.run_task("slow", gate.pass_through_async)

    run = job.start()
    store = world.client.runtime.store
    await until(lambda: '"status":"RUNNING"' in (store.get(f"{run.id}/slow") or ""))
    gate.open()
    await run
    assert '"status"' not in store.get(f"{run.id}/slow")


@pytest.mark.anyio
async def test_a_short_task_costs_one_commit(tmp_path, monkeypatch):
    """On the plain path a task's first commit is its result."""
    world = World(tmp_path)
    commits = []
    store = world.client.runtime.store
    commit = store.commit

    def counted(rows, **options):
        commits.append([row.key for row in rows])
        return commit(rows, **options)

    monkeypatch.setattr(store, "commit", counted)

    @world.client.job
    async def job(payload, io):
        for n in range(10):
            await io.run_task(f"t{n}", world.noting(n))

    run = job.start()
    await run
    # What the body is made of is kept in the run's row, and its source in another one. Both go with the first result.
    others = {f"run/{run.id}"} | {key for keys in commits for key in keys if key.startswith("kv/source/")}
    tasks = [[key for key in keys if key not in others] for keys in commits if keys != [f"run/{run.id}"]]
    assert tasks == [[f"{run.id}/t{n}"] for n in range(10)]


@pytest.mark.anyio
async def test_the_error_of_the_pass_before_does_not_stand_under_a_task_that_runs_again(async_world):
    """R5: it runs again, and has no error now."""
    gate = Gate()

    async def body():
        async_world.note("body")
        if async_world.calls == ["body"]:
            raise OSError("once")
        await gate.pass_through_async()

    @async_world.client.job
    async def job(payload, io):
        await io.run_task("task", body)

    with pytest.raises(OSError, match="once"):
        await job.run()
    run = job.start()
    await until(gate.reached.is_set)
    assert (run.task("task").status, run.task("task").error) == (TaskStatus.RUNNING, None)
    assert "once" not in run.tree()
    gate.open()
    await run


@pytest.mark.anyio
@pytest.mark.parametrize("then", ["returns", "awaits"])
async def test_an_async_body_that_blocks_past_its_time_limit_says_so(async_world, then):
    """A3: no limit stops code that blocks the event loop: a hint, or the error, says what to write instead."""

    async def body():
        let_pass(3600)  # as time.sleep(3600) would
        if then == "awaits":
            await asyncio.sleep(7200)
        return "done"

    @async_world.client.job
    async def job(payload, io):
        return await io.run_task("task", body, timeout=60)

    run = job.start()
    if then == "returns":
        assert await run == "done"
        (text,) = run.model().engine_hints
    else:
        with pytest.raises(TaskTimeoutError) as caught:
            await run
        text = str(caught.value)
    assert "blocked" in text
    assert "belongs in a `def` body, which runs in a thread" in text
