"""What `io` has beside tasks: log lines, stable values, checkpoints and key values."""

from __future__ import annotations

import uuid

# --- Log lines ----------------------------------------------------------------------------------------


def test_log_lines_are_not_repeated(world):
    """Reference: plain calls, a row each; the same line twice in one scope is fine."""

    @world.job
    def job(payload, io):
        io.logger.info("hello", {"rows": 3})
        io.logger.info("hello")
        io.logger.debug("too quiet")
        io.logger.warning("careful")
        io.logger.error("bad")

        def body(io, task):
            io.logger.log("inside")
            task.log("from the task", level="warning")

        yield io.run_task("task", world.body(body))

    for _ in range(2):
        world.run(job)
    world.new_kernel()
    job = world.again(job)
    world.run(job)
    lines = [(line.level, line.name, line.data) for line in world.last(job).logs]
    assert lines == [
        ("info", "hello", {"rows": 3}),
        ("info", "hello", None),
        ("warning", "careful", None),
        ("error", "bad", None),
        ("info", "inside", None),
        ("warning", "from the task", None),
    ]
    assert [task.path for task in world.last(job).tasks] == ["task"]


def test_a_log_line_that_cannot_be_told_fails_no_run(world):
    """Reference: plain calls; whatever is said, and whatever is said with it."""

    class Mute:
        def __str__(self):
            raise ValueError("I say nothing")

        __repr__ = __str__

    @world.job
    def job(payload, io):
        def body(task):
            task.log(Mute(), Mute())

        io.logger.info(Mute(), {"who": Mute()})
        yield io.run_task("task", world.body(body))

    for _ in range(2):
        world.run(job)
    lines = world.last(job).logs
    assert len(lines) == 2
    assert all("Mute" in line.name for line in lines)


def test_a_log_call_may_be_awaited(world):
    """Reference: it needs no `await`; one that is there all the same does nothing."""

    @world.job
    def job(payload, io):
        yield io.logger.info("awaited")
        returned = yield io.run_task("task", world.body(lambda io: io.logger.info("returned")))
        failed = yield io.try_(world.failing("x", ValueError()), lambda _: io.logger.warning("failed"))
        assert (returned, failed) == (None, None)
        return io.logger.info("the end")

    for _ in range(2):
        assert world.run(job) is None
    assert [line.name for line in world.last(job).logs] == ["awaited", "returned", "failed", "the end"]


def test_the_log_level_is_the_jobs(world):
    """Reference: `log_level`."""

    @world.job(log_level="warning")
    def job(payload, io):
        io.logger.info("quiet")
        io.logger.warning("loud")

    world.run(job)
    assert [line.name for line in world.last(job).logs] == ["loud"]


# --- Values that would differ at every pass -------------------------------------------------------------


def test_random_now_and_uuid_are_stable(world):
    """Reference: they do not change on replay."""
    got = []

    @world.job
    def job(payload, io):
        got.append(
            (
                (yield io.random("random", 5, 6)),
                (yield io.random("dice", 1, 6, round=True)),
                (yield io.now("now")),
                (yield io.uuid("uuid")),
            )
        )

    world.run(job)
    world.clock.advance(3600)
    world.new_kernel()
    world.run(world.again(job))
    assert got[0] == got[1]
    number, dice, now, unique = got[0]
    assert 5 <= number <= 6
    assert type(dice) is int
    assert now.timestamp() == world.clock.time() - 3600
    assert type(unique) is uuid.UUID


def test_checkpoints(world):
    """Reference: `yield_` and `brb` are durable and do nothing else."""

    @world.job
    def job(payload, io):
        yield io.yield_("here")
        yield io.brb("there")
        return "done"

    assert world.run(job) == "done"
    assert [task.path for task in world.last(job).tasks] == ["here", "there"]


def test_key_values(world):
    """Reference: `store.run / .job / .env`, each call a task."""

    @world.job
    def job(payload, io):
        before = yield io.store.run.get("before", "name", "default")
        yield io.store.run.set("set", "name", {"n": (1, 2)})
        yield io.store.job.set("set-job", "count", payload)
        yield io.store.env.set("set-env", "all", True)
        after = yield io.store.run.get("after", "name")
        had = yield io.store.run.has("has", "name")
        yield io.store.run.delete("delete", "name")
        return before, after, had, (yield io.store.run.has("gone", "name"))

    for _ in range(2):
        assert world.run(job, 5) == ("default", {"n": (1, 2)}, True, False)

    @world.job(id="other")
    def other(payload, io):
        return (yield io.store.env.get("env", "all")), (yield io.store.job.get("job", "count"))

    assert world.run(other) == (True, None)

    @world.job(id="job")
    def job(payload, io):
        return (yield io.store.job.get("count", "count")), (yield io.store.run.get("name", "name"))

    assert world.run(job, 6) == (5, None)


def test_try_(world):
    """Reference: kept for those who port jobs."""

    @world.job
    def job(payload, io):
        fails = world.failing("body", OSError("1"))
        body = lambda: io.run_task("task", fails)  # noqa: E731
        return (yield io.try_(body, lambda error: f"handled {error}"))

    for _ in range(2):
        assert world.run(job) == "handled 1"
    assert world.take() == ["body"]
