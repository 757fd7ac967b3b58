"""Cells that are run, edited, run again, and taken up by a new kernel (R1, R6, I1, I7)."""

from __future__ import annotations

import pytest

from tests.support.kernels import Kernel, cell, kernel_in


def job(name: str, last: str = "bye", more: str = "", options: str = "") -> str:
    """A cell that defines a job of three tasks; `last` is what is edited."""
    return f"""
        @client.job
        async def {name}(payload, io):
            def goodbye():
                effect("{name} third")
                return "{last}"
            a = await io.run_task("first", effect, "{name} first")
            b = await io.run_task("second", lambda: effect("{name} second"))
            c = await io.run_task("third", goodbye{options})
            {more}
            return c
    """


def effects(kernel: Kernel, name: str) -> list[str]:
    return [each.removeprefix(name + " ") for each in kernel.effects if each.startswith(name + " ")]


THREE = ["first", "second", "third"]


def test_the_same_cell_again_replays(kernel):
    """I1, R1."""
    kernel.run(job("same")).check()
    assert kernel.run("await same.run({'id': 7})").check().result == "'bye'"
    again = kernel.run("await same.run({'id': 7})").check()
    assert again.result == "'bye'"
    assert "3 completed · 3 replayed" in again.tree
    assert "Everything was replayed" in again.tree
    assert "fresh=True" in again.tree
    assert effects(kernel, "same") == THREE


def test_the_defining_cell_again_replays_too(kernel):
    """R6: comments, layout and where the cell stands do not count."""
    kernel.run(job("defined")).check()
    kernel.run("await defined.run()").check()
    kernel.run(cell("# a comment\n", job("defined").replace("return c", "return c  # and another"))).check()
    assert "3 replayed" in kernel.run("await defined.run()").check().tree
    assert effects(kernel, "defined") == THREE


def test_another_payload_or_version_or_fresh_is_another_run(kernel):
    """I1."""
    kernel.run(job("other")).check()
    for call in ("other.run(1)", "other.run(1.0)", "other.run(True)", "other.run(1, fresh=True)"):
        kernel.run(f"await {call}").check()
    assert kernel.run("len(other.runs())").result == "4"
    kernel.run(job("other").replace("@client.job", '@client.job(version="2")')).check()
    kernel.run("await other.run(1)").check()
    assert kernel.run("len(other.runs())").result == "5"
    assert len(effects(kernel, "other")) == 15


def test_an_edited_task_is_kept_and_marked(kernel):
    """R6: `keep` is the default: a side effect is never repeated unasked."""
    kernel.run(job("edited")).check()
    kernel.run("await edited.run()").check()
    kernel.run(job("edited", last="farewell")).check()
    again = kernel.run("await edited.run()").check()
    assert again.result == "'bye'"
    assert "third · replayed · changed: code" in again.tree
    assert 'on_change="only"' in again.tree
    assert "first · replayed ·" not in again.tree
    assert effects(kernel, "edited") == THREE


@pytest.mark.parametrize("on_change", ["only", "rerun"])
def test_an_edited_task_runs_again_when_asked(kernel, on_change):
    """R6: only it runs; it is the last one, so nothing started after it."""
    name = f"asked_{on_change}"
    kernel.run(job(name)).check()
    kernel.run(f"await {name}.run()").check()
    kernel.run(job(name, last="farewell")).check()
    again = kernel.run(f"await {name}.run(on_change={on_change!r})").check()
    assert again.result == "'farewell'"
    assert "2 replayed" in again.tree
    assert effects(kernel, name) == [*THREE, "third"]
    assert kernel.run(f"await {name}.run()").check().result == "'farewell'"
    assert effects(kernel, name) == [*THREE, "third"]


def test_rerun_also_runs_what_started_after_the_edited_task(kernel):
    """R6, R9."""
    middle = """
        @client.job
        async def middle(payload, io):
            a = await io.run_task("first", effect, "middle first")
            b = await io.run_task("second", lambda: (effect("middle second"), "{}")[1])
            return await io.run_task("third", lambda: (effect("middle third"), b)[1])
    """
    kernel.run(middle.format("old")).check()
    assert kernel.run("await middle.run()").check().result == "'old'"
    kernel.run(middle.format("new")).check()
    assert kernel.run("await middle.run(on_change='rerun')").check().result == "'new'"
    assert effects(kernel, "middle") == [*THREE, "second", "third"]


def test_rerun_logs_again(kernel):
    """R9: what was said after the edited task is said again, with what is true now."""
    logging = """
        @client.job
        async def logging(payload, io):
            rows = await io.run_task("count", lambda: {})
            io.logger.warning("counted", {{"rows": rows}})
    """
    kernel.run(logging.format(3)).check()
    kernel.run("run = logging.start(); await run").check()
    assert kernel.run("[(line.level, line.data) for line in run.logs]").result == "[('warning', {'rows': 3})]"
    kernel.run(logging.format(5)).check()
    kernel.run("run = logging.start(on_change='rerun'); await run").check()
    assert kernel.run("[(line.level, line.data) for line in run.logs]").result == "[('warning', {'rows': 5})]"
    assert "runs again" not in kernel.run("print(run.tree())").printed
    inside = """
        @client.job
        async def inside(payload, io):
            def body(io):
                io.logger.info("found", {})
                return {}
            return await io.run_task("body", body)
    """
    kernel.run(inside.format(3, 3)).check()
    kernel.run("run = inside.start(); await run").check()
    for result, how in ((5, "only"), (7, "rerun")):
        kernel.run(inside.format(result, result)).check()
        assert kernel.run(f"run = inside.start(on_change='{how}'); await run").check().result == str(result)
        assert kernel.run("[line.data for line in run.logs]").result == f"[{result}]"
        assert kernel.run("run = inside.start(); await run").check().result == str(result)
        assert kernel.run("[line.data for line in run.logs]").result == f"[{result}]"


def test_of_an_added_task_only_it_runs(kernel):
    kernel.run(job("added")).check()
    kernel.run("await added.run()").check()
    kernel.run(job("added", more='await io.run_task("fourth", effect, "added fourth")')).check()
    again = kernel.run("await added.run()").check()
    assert "4 completed · 3 replayed" in again.tree
    assert effects(kernel, "added") == [*THREE, "fourth"]


def test_a_task_taken_away_stays_in_the_store_and_is_drawn_faint(kernel):
    """R8."""
    kernel.run(job("taken", more='await io.run_task("fourth", effect, "taken fourth")')).check()
    kernel.run("await taken.run()").check()
    kernel.run(job("taken")).check()
    assert "not reached" in kernel.run("await taken.run()").check().tree
    kernel.run(job("taken", more='await io.run_task("fourth", effect, "taken fourth")')).check()
    assert "4 replayed" in kernel.run("await taken.run()").check().tree
    assert effects(kernel, "taken") == [*THREE, "fourth"]


def test_a_failed_task_is_mended_in_its_cell_and_the_run_goes_on(kernel):
    """R5: what Ana does all day."""
    failing = 'await io.run_task("fourth", lambda: 1 / {})'
    kernel.run(job("mended", more=failing.format(0))).check()
    failed = kernel.run("await mended.run()")
    assert failed.error == "ZeroDivisionError"
    assert "FAILED" in failed.tree
    kernel.run(job("mended", more=failing.format(1))).check()
    assert "COMPLETED" in kernel.run("await mended.run()").check().tree
    assert effects(kernel, "mended") == THREE


def test_an_edited_helper_or_global_is_a_change(kernel):
    """R6: helpers and plain globals of the notebook count."""
    kernel.run("""
        LIMIT = 10
        def helper():
            return 1

        @client.job
        async def helped(payload, io):
            await io.run_task("global", lambda: LIMIT)
            await io.run_task("helper", lambda: helper())
    """).check()
    kernel.run("await helped.run()").check()
    kernel.run("def helper():\n    return 2").check()
    tree = kernel.run("await helped.run()").check().tree
    assert "helper · replayed · changed: code" in tree
    assert "global · replayed · changed" not in tree
    kernel.run("LIMIT = 11").check()
    assert "global · replayed · changed: code" in kernel.run("await helped.run()").check().tree


def test_a_job_edited_while_it_runs_is_taken_over(kernel):
    """I7: no new body starts in the old pass, the one in flight is adopted, the new code goes on."""
    cell = """
        @client.job
        async def taken_over(payload, io):
            def slow():
                effect("taken_over slow")
                until("go taken_over")
                return "slow"
            await io.run_task("slow", slow)
            return await io.run_task("last", lambda: (effect("taken_over {0}"), "{0}")[1])
    """
    kernel.run(cell.format("old")).check()
    kernel.run("run = taken_over.start()").check()
    kernel.until_effect("taken_over slow")
    kernel.run(cell.format("new")).check()
    kernel.run("again = taken_over.start(); again.id == run.id").check()
    kernel.signal("go taken_over")
    assert kernel.run("await run, await again").check().result == "('new', 'new')"
    assert effects(kernel, "taken_over") == ["slow", "new"]


def test_runs_can_be_awaited_in_all_the_usual_ways(kernel):
    """C1, for `job.run()` and started runs as for tasks."""
    kernel.run("""
        @client.job
        async def usual(payload, io):
            return await io.run_task("a", effect, f"usual {payload}")
    """).check()
    assert (
        kernel.run("""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(usual.run(n)) for n in range(2)]
        one = asyncio.create_task(usual.run(2))
        run = usual.start(3)
        results = [task.result() for task in tasks]
        results += [await one, *await asyncio.gather(usual.run(4), usual.start(5), run, run)]
        results += [await asyncio.wait_for(usual.run(6), 60)]
        results
    """)
        .check()
        .result
        == "[1, 1, 1, 1, 1, 1, 1, 1]"
    )
    cell = kernel.run("""
        task = asyncio.create_task(usual.run(7, display=False))
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            del task
        await asyncio.sleep(0.05)
    """).check()
    assert cell.complained == ""
    assert "usual 7" not in kernel.effects, "cancelled before it began"


def test_a_cell_that_redefines_a_job_replaces_it(kernel):
    """A job that is defined again under its id takes the place of the earlier one."""
    kernel.run('@client.job(id="one")\nasync def a(payload, io): return "a"').check()
    kernel.run('@client.job(id="one")\nasync def b(payload, io): return "b"').check()
    assert kernel.run("[job.fn.__name__ for job in client.jobs if job.id == 'one']").result == "['b']"


def test_a_client_of_the_same_id_has_the_same_store_jobs_and_live_runs(kernel):
    """A second `TriggerClient` in the kernel, also after a change of the working directory."""
    kernel.run(
        """
        @client.job
        async def living(payload, io):
            async def body():
                while not os.path.exists(payload):
                    await asyncio.sleep(0.01)
                return effect("living done")
            return await io.run_task("body", body)

        run = living.start(PAYLOAD)
        other = TriggerClient("tests")
    """.replace("PAYLOAD", repr(str(kernel.home / "go living")))
    ).check()
    assert kernel.run("other.dir == client.dir, living in other.jobs").result == "(True, True)"
    kernel.run("import os; here = os.getcwd(); os.chdir('/tmp')").check()
    assert kernel.run("str(other.run(run.id).status), client.dir == other.dir").result == "('RUNNING', True)"
    kernel.run("os.chdir(here)").check()
    kernel.signal("go living")
    assert kernel.run("await other.run(run.id)").check().result == "1"


def test_the_default_client_has_the_notebooks_name_and_its_store_lies_beside_it(tmp_path):
    """`job` is used without a client."""
    with kernel_in(tmp_path / "nb", notebook="My analysis 2.ipynb") as kernel:
        kernel.run("""
            import os
            os.mkdir("elsewhere")

            @job
            async def greet(payload, io):
                return await io.run_task("a", effect, "greeted")

            os.chdir("elsewhere")
        """).check()
        assert kernel.run("await greet.run({'id': 7})").check().result == "1"
        assert kernel.run("greet.client.id").result == "'My analysis 2'"
        assert kernel.run("greet.id, greet.version, greet.client.dir.name").result
        store = kernel.directory / ".trigger_nb" / "My analysis 2"
        assert (store / "cache.db").exists()
        assert store.stat().st_mode & 0o777 == 0o700
        assert not (kernel.directory / "elsewhere" / ".trigger_nb").exists()
        # Defined again after the chdir, it is the same job of the same client, with the same runs.
        kernel.run("""
            @job
            async def greet(payload, io):
                return await io.run_task("a", effect, "greeted")
        """).check()
        assert "1 replayed" in kernel.run("await greet.run({'id': 7})").check().tree
        assert kernel.effects == ["greeted"]


CLASSES = """
    import enum, dataclasses
    from pydantic import BaseModel

    class User(BaseModel):
        name: str
        age: int = 0

    @dataclasses.dataclass
    class Point:
        x: int
        y: float

    class Colour(enum.Enum):
        RED = 1

    class Refused(Exception):
        def __init__(self, reason, *, code):
            super().__init__(reason)
            self.code = code

    def helper(user):
        return user.name.upper()
"""
JOB_OF_CLASSES = """
    @client.job
    async def classes(payload, io):
        def refuse():
            effect("classes refuse")
            raise Refused("no", code=402)

        user = await io.run_task("user", lambda: (effect("classes user"), User(name="Ana", age=7))[1])
        point = await io.run_task("point", lambda: (effect("classes point"), Point(1, 2.0))[1])
        colour = await io.run_task("colour", lambda: (effect("classes colour"), Colour.RED)[1])
        try:
            await io.run_task("refuse", refuse)
        except Refused as error:
            code = error.code, str(error), type(error) is Refused
            await io.run_task("tell", effect, "classes tell")
        assert (type(user), type(point), type(colour)) == (User, Point, Colour)
        if effect("classes pass") == 1:
            os.kill(os.getpid(), 9)
        return [helper(user), point, colour, code]
"""


def test_a_killed_kernel_resumes_with_what_cells_define(tmp_path):
    """R3, R4, S3: values and errors of classes in `__main__`, decoded into the classes as they are now."""
    with kernel_in(tmp_path / "nb") as kernel:
        cells = ['client = TriggerClient("killed")', CLASSES, JOB_OF_CLASSES]
        for code in cells:
            kernel.run(code).check()
        kernel.submit("await classes.run()")
        kernel.until_dead()
        kernel.restart()
        for code in cells:
            kernel.run(cell("# restarted", code)).check()
        again = kernel.run("await classes.run()").check()
        assert again.result == ("['ANA', Point(x=1, y=2.0), <Colour.RED: 1>, (402, 'no', True)]")
        assert "5 replayed" in again.tree
        assert effects(kernel, "classes") == ["user", "point", "colour", "refuse", "tell", "pass", "pass"]

        # A class that has changed: the stored data is validated into the class as it is now.
        kernel.run(CLASSES.replace("age: int = 0", "age: int = 0\n        team: str = 'new'")).check()
        kernel.run(JOB_OF_CLASSES.replace("helper(user)", "(helper(user), user.team, user.age)")).check()
        assert kernel.run("(await classes.run())[0]").check().result == "('ANA', 'new', 7)"
        kernel.run(CLASSES.replace("age: int = 0", "age: int = 0\n        needed: str")).check()
        kernel.run(JOB_OF_CLASSES).check()
        refused = kernel.run("await classes.run()")
        assert refused.error, "a class that no longer fits its data is an error that names it"
        assert "needed" in refused.traceback
        assert effects(kernel, "classes").count("user") == 1
