"""`job.plan` in a real kernel: in a cell without `await`, while the kernel's own loop is held."""

from __future__ import annotations

import pytest


def test_a_plan_shows_itself_and_the_code_between_the_tasks_prints(kernel):
    """R10, D4."""
    kernel.run("""
        @client.job
        async def planned(payload, io):
            print("between the tasks")
            await asyncio.sleep(0)
            first = await io.run_task("first", effect, "planned")
            return await io.run_task("second", str, first)
    """).check()
    cell = kernel.run("plan = planned.plan(); plan").check()
    assert cell.printed == "between the tasks\n"
    (result,) = cell._content("execute_result")
    assert "executes 1 task" in result["data"]["text/plain"]
    assert "executes 1 task" in result["data"]["text/html"]
    assert cell.displays == []  # no tree: there is no run
    assert kernel.run("len(planned.runs())").check().result == "0"
    assert kernel.effects.count("planned") == 0
    kernel.run("await planned.run(display=False)").check()
    assert kernel.run("(await planned.plan()).ends").check().result == "'complete'"
    assert kernel.effects.count("planned") == 1


@pytest.mark.parametrize("cell", ["endless.plan()", "await asyncio.sleep(0); endless.plan()"])
@pytest.mark.parametrize("how", ["await asyncio.Event().wait()", "time.sleep(3600)"])
def test_a_plan_that_does_not_end_is_interrupted(kernel, cell, how):
    """A7: the cell stops, which would go on for an hour; so does what can be stopped of the run function."""
    kernel.run(f"""
        @client.job
        async def endless(payload, io):
            effect("endless")
            {how}
    """).check()
    before = kernel.effects.count("endless")
    running = kernel.submit(cell)
    kernel.pump(lambda: kernel.effects.count("endless") > before)
    ended = running.interrupt().end()
    assert ended.error in ("KeyboardInterrupt", "CancelledError")
    assert kernel.run("1 + 1").check().result == "2"
