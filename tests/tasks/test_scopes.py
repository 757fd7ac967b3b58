"""Scopes: where keys are unique, how deep they nest, and how they end (rules I3, I5, A6, C1)."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest

from tests.support.worlds import Gate, drive, until
from trigger_nb import Reason, RunStatus, TaskStatus
from trigger_nb._view.model.hints import hints
from trigger_nb.errors import (
    DuplicateKeyError,
    InvalidOptionError,
    NestingError,
    ScopeClosedError,
    ScopeUnknownError,
    UsageError,
)


def nested(world, depth):
    """A body with so many levels of subtasks in it."""
    if depth == 1:
        return world.noting(1)

    def body(io):
        return 1 + (yield io.run_task(f"level-{depth - 1}", nested(world, depth - 1)))

    return world.body(body)


# --- I5: depth ------------------------------------------------------------------------------------


def test_five_levels_work(world):
    """I5: tasks nest five levels deep, and replay."""

    @world.job
    def job(payload, io):
        return (yield io.run_task("level-5", nested(world, 5)))

    assert world.run(job) == 5
    assert "level-5/level-4/level-3/level-2/level-1" in {task.path for task in world.last(job).tasks}
    assert world.run(job) == 5
    assert world.take() == [1]


def test_the_sixth_level_is_refused(world):
    """I5, I4: NestingError names the path, also when it is swallowed on its way."""

    @world.job
    def job(payload, io):
        try:
            yield io.run_task("level-6", nested(world, 6))
        except NestingError:
            pass
        return "swallowed"

    error = world.fail(job)
    assert isinstance(error, NestingError)
    assert error.path == "level-6/level-5/level-4/level-3/level-2/level-1"
    assert world.calls == []


def test_the_limit_of_depth_is_the_clients(world):
    """I5: `max_depth=` is a setting of the client."""
    world.options = {"max_depth": 7}

    @world.job
    def job(payload, io):
        return (yield io.run_task("level-7", nested(world, 7)))

    assert world.run(job) == 7


# --- I3: whose scope a call is in -------------------------------------------------------------------


def test_an_outer_io_is_refined_by_the_context(world):
    """I3: a body that uses the run's `io` starts its subtasks in its own scope."""

    @world.job
    def job(payload, io):
        def body():
            return (yield io.run_task("child", world.noting("child")))

        yield io.run_task("one", world.body(body))
        yield io.run_task("two", world.body(body))

    world.run(job)
    assert {task.path for task in world.last(job).tasks} == {"one", "one/child", "two", "two/child"}


def test_gathered_bodies_know_their_scopes(world):
    """I3, C1: concurrently, each in its own."""

    @world.job
    def job(payload, io):
        def part(name):
            def body(io):
                yield io.run_task("child", world.noting(name))
                return (yield io.run_task("other", world.noting(name)))

            return (yield io.run_task(name, world.body(body)))

        return (yield world.gather(*(part(f"part-{n}") for n in range(5))))

    expected = [f"part-{n}" for n in range(5)]
    assert world.run(job) == expected
    assert sorted(world.take()) == sorted(expected * 2)
    assert world.run(job) == expected
    assert world.take() == []


def test_parallel_is_a_node_with_a_task_an_item(world):
    """C1: `io.parallel` keeps each item's result, and gives all in the items' order."""

    @world.job
    def job(payload, io):
        return (yield io.parallel("all", ["a", "b", "c"], world.body(lambda item, index: (item, index))))

    assert world.run(job) == [("a", 0), ("b", 1), ("c", 2)]
    assert [task.path for task in world.last(job).tasks] == ["all", "all/0", "all/1", "all/2"]
    assert world.run(job) == [("a", 0), ("b", 1), ("c", 2)]


def test_all_items_of_parallel_settle_and_only_the_failed_run_again(world):
    """R5, C1: the first error is raised when all have ended; in the next pass what failed runs again."""
    bodies = [
        world.failing("a"),
        world.failing("b", ValueError("b")),
        world.failing("c", KeyError("c")),
        world.failing("d"),
    ]

    @world.job
    def job(payload, io):
        return (yield io.parallel("all", range(4), parts))

    def one(index):
        return bodies[index]()

    if world.is_async:

        async def parts(item, index):
            return await one(index)
    else:

        def parts(item, index):
            return one(index)

    error = world.fail(job)
    assert isinstance(error, ValueError)
    assert sorted(world.take()) == ["a", "b", "c", "d"]
    assert world.run(job) == ["a", "b", "c", "d"]
    assert sorted(world.take()) == ["b", "c"]


@pytest.mark.anyio
async def test_task_groups_of_asyncio_and_anyio_work(tmp_path):
    """C1: `create_task` takes a task as it is."""
    from tests.support.worlds import World

    world = World(tmp_path)

    @world.client.job
    async def job(payload, io):
        async with asyncio.TaskGroup() as group:
            first = group.create_task(io.run_task("first", world.noting(1)))
            second = group.create_task(io.run_task("second", world.noting(2)))
        third = asyncio.create_task(io.run_task("third", world.noting(3)))
        got = []

        async def fourth():
            got.append(await io.run_task("fourth", world.noting(4)))

        async with anyio.create_task_group() as group:
            group.start_soon(fourth)
        fifth = await asyncio.shield(io.run_task("fifth", world.noting(5)))
        done = [await each for each in asyncio.as_completed([io.run_task("sixth", world.noting(6))])]
        return [first.result(), second.result(), await third, *got, fifth, *done]

    assert await job.run() == [1, 2, 3, 4, 5, 6]
    assert sorted(world.take()) == [1, 2, 3, 4, 5, 6]
    assert await job.run() == [1, 2, 3, 4, 5, 6]
    assert world.take() == []


def test_a_threads_context_carries_the_scope(world):
    """I3: worker threads with a copied context know their scope; `io` as a parameter needs none."""

    @world.job
    def job(payload, io):
        def in_pool(io):
            with ThreadPoolExecutor(2) as pool:
                jobs = [
                    pool.submit(contextvars.copy_context().run, io.run_task, f"t{n}", world.noting(n))
                    for n in range(2)
                ]
                return [each.result() for each in jobs]

        return (yield io.run_task("pool", in_pool))

    if world.is_async:
        # The body is `def`, so it gets a blocking `io` also in an `async def` job.
        pass
    assert sorted(world.run(job)) == [0, 1]
    assert {task.path for task in world.last(job).tasks} == {"pool", "pool/t0", "pool/t1"}


def test_a_thread_made_by_hand_is_refused_while_bodies_are_open(world):
    """I3, I4: such a call could belong to any of them; it fails the run though the thread swallows it."""

    @world.job
    def job(payload, io):
        def body():
            def lost():
                try:
                    call = io.run_task("child", world.noting("child"))
                    getattr(call, "close", lambda: None)()
                except ScopeUnknownError as error:
                    world.note(type(error).__name__)

            thread = threading.Thread(target=lost)
            thread.start()
            thread.join()

        yield io.run_task("body", body)

    error = world.fail(job)
    assert isinstance(error, ScopeUnknownError)
    assert "Take `io` as a parameter" in str(error)
    assert world.take() == ["ScopeUnknownError"]


def test_an_inner_io_used_after_its_body_has_ended_is_refused(world):
    """A6, I4: ScopeClosedError, which fails the run even when it is swallowed."""
    kept = []

    @world.job
    def job(payload, io):
        yield io.run_task("body", world.body(lambda io: kept.append(io)))
        try:
            yield kept[0].run_task("late", world.noting("late"))
        except ScopeClosedError:
            pass
        return "swallowed"

    error = world.fail(job)
    assert isinstance(error, ScopeClosedError)
    assert "'late'" in str(error)
    assert __file__ in str(error)
    assert world.calls == []


def test_a_def_body_on_the_loop_cannot_block_it(world):
    """A `thread=False` body that uses a blocking `io` is told why it cannot."""

    @world.job
    def job(payload, io):
        def body(io):
            io.run_task("child", lambda: 1)

        yield io.run_task("body", body, thread=False)

    assert "thread=False" in str(world.fail(job))


# --- Invalid options and calls -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"retrys": 3}, "Did you mean 'retry'"),
        ({"user": 3}, "Arguments for the body follow it by position, and have names in a partial"),
        ({"retry": "3"}, "retry takes the number of attempts"),
        ({"retry": 0}, "1 or more"),
        ({"timeout": -1}, "timeout"),
        ({"timeout": "1"}, "timeout"),
        ({"delay_until": 3}, "delay_until"),
        ({"properties": [("a", 1)]}, "Property"),
        ({"returns": "User"}, "a type such as list[User], itself and not its name, not 'User'"),
        ({"returns": 5}, "returns must be a class"),
        ({"thread": "no"}, "thread is True or False; not 'no'"),
        ({"repeatable": "x"}, "repeatable is True or False; not 'x'"),
    ],
)
def test_options_that_cannot_be_meant_are_refused_before_the_body_runs(world, options, words):
    """I4: a mistake in the options is found before the body has had its effect, and fails the run."""

    @world.job
    def job(payload, io):
        try:
            yield io.run_task("task", world.noting("body"), **options)
        except InvalidOptionError:
            pass
        return "swallowed"

    error = world.fail(job)
    assert isinstance(error, InvalidOptionError)
    assert words in str(error)
    assert world.calls == []


def test_a_body_that_is_no_function_is_refused(world):
    """The usual slip: the function was called instead of given."""

    @world.job
    def job(payload, io):
        yield io.run_task("task", {"id": 1})

    assert "without calling it" in str(world.fail(job))


def test_a_body_that_lacks_its_arguments_is_refused(world):
    """The message says how arguments are given."""

    @world.job
    def job(payload, io):
        yield io.run_task("task", world.body(lambda a, b, c: None))

    error = world.fail(job)
    assert isinstance(error, UsageError)
    assert "pass the arguments after the body" in str(error)


def test_parameters_are_filled(world):
    """`task` and `io` by name; one or two other required parameters get task and io by position."""
    got = []

    @world.job
    def job(payload, io):
        yield io.run_task("none", world.body(lambda: got.append(())))
        yield io.run_task("task", world.body(lambda task: got.append(task.path)))
        yield io.run_task("io", world.body(lambda io: got.append(type(io).__name__)))
        yield io.run_task("position", world.body(lambda t: got.append(t.path)))
        yield io.run_task("positions", world.body(lambda t, o: got.append((t.path, type(o).__name__))))
        yield io.run_task("args", world.body(lambda a, task: got.append((a, task.path))), 1)
        yield io.run_task("default", world.body(lambda a=5: got.append(a)))

    world.run(job)
    name = "Io" if world.is_async else "BlockingIo"
    assert got == [(), "task", name, "position", ("positions", name), (1, "args"), 5]


# --- A6: how scopes end -------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_the_end_of_a_body_waits_for_its_subtasks(tmp_path):
    """A6: no parent is COMPLETED over a child that is not; the warning names path and line."""
    from tests.support.worlds import World

    world = World(tmp_path)
    gate = Gate()
    left = []

    @world.client.job
    async def job(payload, io):
        async def parent(io):
            left.append(asyncio.ensure_future(io.run_task("child", gate.pass_through_async)))
            await until(gate.reached.is_set)
            return "parent"

        return await io.run_task("parent", parent)

    run = job.start()
    with pytest.warns(RuntimeWarning, match=r"'parent' returned while task 'parent/child' .*test_scopes"):
        await until(lambda: any("returned while" in hint for hint in hints(run.model())))
        assert "parent" not in {t.path for t in run.tasks if t.status == TaskStatus.COMPLETED}
        gate.open()
        assert await run == "parent"
    assert run.task("parent/child").status == TaskStatus.COMPLETED


@pytest.mark.anyio
async def test_the_end_of_the_run_waits_for_its_tasks(tmp_path):
    """A6: the same for the run itself."""
    from tests.support.worlds import World

    world = World(tmp_path)
    gate = Gate()
    left = []

    @world.client.job
    async def job(payload, io):
        left.append(asyncio.ensure_future(io.run_task("child", gate.pass_through_async)))
        await until(gate.reached.is_set)
        return "run"

    with pytest.warns(RuntimeWarning, match="body of 'the run' returned"):
        run = job.start()
        await until(lambda: any("returned while" in hint for hint in hints(run.model())))
        assert run.status == RunStatus.RUNNING
        gate.open()
        assert await run == "run"
    assert run.task("child").status == TaskStatus.COMPLETED


@pytest.mark.anyio
async def test_a_failed_bodys_subtasks_finish_and_no_new_one_starts(tmp_path):
    """A6: the caller gets its error at once; what is in flight is recorded, what follows it does not start."""
    from tests.support.worlds import World

    world = World(tmp_path)
    gate = Gate()

    @world.client.job
    async def job(payload, io):
        async def chain(io):
            await io.run_task("slow", gate.pass_through_async)
            try:
                await io.run_task("after", world.noting("after"))
            except BaseException as error:
                world.note(type(error).__name__)
                raise

        async def breaks():
            await until(gate.reached.is_set)
            raise ValueError("first")

        async def parent(io):
            await asyncio.gather(chain(io), io.run_task("breaks", breaks))

        try:
            await io.run_task("parent", parent)
        except ValueError:
            world.note("handled")
        gate.open()
        await until(lambda: len(world.calls) == 2)
        await io.run_task("next", world.noting("next"))
        return "done"

    run = job.start()
    assert await run == "done"
    await until(lambda: {"parent", "parent/slow"} <= {task.path for task in run.tasks})
    assert world.take() == ["handled", "CancelledError", "next"]  # and no misuse, though nobody awaits it
    assert run.task("parent").status == TaskStatus.ERRORED
    assert {task.path for task in run.tasks} == {"parent", "parent/slow", "parent/breaks", "next"}


@pytest.mark.anyio
async def test_a_failed_parents_end_is_committed_after_its_childrens(tmp_path):
    """A6: while a subtask is in flight its parent has no end in the store."""
    from tests.support.worlds import World

    world = World(tmp_path)
    gate = Gate()

    @world.client.job
    async def job(payload, io):
        async def parent(io):
            task = asyncio.ensure_future(io.run_task("slow", gate.pass_through_async))
            await until(gate.reached.is_set)
            try:
                raise ValueError("parent")
            finally:
                world.note(task)

        await io.run_task("parent", parent)

    run = job.start()
    with pytest.raises(ValueError, match="parent"):
        await run
    assert "parent" not in {task.path for task in run.tasks}
    finishing = "Still finishing: 1 subtask of 'parent', which has failed. What they return is kept."
    assert finishing in hints(run.model())
    gate.open()
    await until(lambda: {"parent", "parent/slow"} <= {task.path for task in run.tasks})
    assert finishing not in hints(run.model())
    assert run.task("parent").status == TaskStatus.ERRORED
    assert run.task("parent/slow").status == TaskStatus.COMPLETED


@pytest.mark.anyio
async def test_no_cancel_scope_sees_a_users_own_task(tmp_path):
    """A6: a task that the user created goes on when the body that created it has ended."""
    from tests.support.worlds import World

    world = World(tmp_path)
    gate = Gate()
    mine = []

    @world.client.job
    async def job(payload, io):
        async def body():
            mine.append(asyncio.ensure_future(gate.pass_through_async()))

        await io.run_task("body", body, timeout=5)
        return "done"

    assert await job.run() == "done"
    gate.open()
    await mine[0]
    assert not mine[0].cancelled()


@pytest.mark.anyio
async def test_concurrent_duplicates_name_both_places(tmp_path):
    """I4: in a gather, too; the other one's effect is not lost."""
    from tests.support.worlds import World

    world = World(tmp_path)

    @world.client.job
    async def job(payload, io):
        return await asyncio.gather(
            io.run_task("same", world.noting(1)),
            io.run_task("same", world.noting(2)),
        )

    with pytest.raises(DuplicateKeyError) as caught:
        await job.run()
    first, second = (int(place.rpartition("line ")[2]) for place in caught.value.places)
    assert second == first + 1


@pytest.mark.anyio
async def test_a_replayed_gather_calls_no_body_and_keeps_the_order(tmp_path):
    """C1, R1: each result is kept as it completes."""
    from tests.support.worlds import World

    world = World(tmp_path)

    @world.client.job
    async def job(payload, io):
        return await asyncio.gather(*(io.run_task(("item", n), world.noting(n)) for n in range(50)))

    assert await job.run() == list(range(50))
    world.take()
    run = job.start()
    assert await run == list(range(50))
    assert {task.reason for task in run.tasks} == {Reason.REPLAYED}
    assert world.take() == []
    assert await drive(iter_nothing()) is None


def iter_nothing():
    return
    yield
