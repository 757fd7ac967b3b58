"""`job.test` in a cell: with and without `await`, shown as a tree, and ended by an interrupt."""

from __future__ import annotations

import pytest

JOB = """
    import asyncio

    @client.job
    async def tested(payload, io):
        if payload == "hangs":
            effect("hangs")
            await asyncio.Event().wait()
        await io.wait("pause", days=3)
        return await io.run_task("fetch", effect, "fetched")
"""


@pytest.mark.parametrize("word", ["", "await "])
def test_a_test_in_a_cell_shows_its_run(kernel, word):
    kernel.run(JOB).check()
    shown = kernel.run(f"run = {word}tested.test(stubs={{'fetch': 'Ana'}})\nrun").check()
    assert "COMPLETED" in shown.tree
    assert "test run" in shown.tree
    assert kernel.run("run.output, len(tested.runs())").result == "('Ana', 0)"
    assert "fetched" not in kernel.effects


@pytest.mark.parametrize("word", ["", "await "])
def test_an_interrupt_ends_a_test_that_hangs(kernel, word):
    kernel.run(JOB).check()
    before = kernel.effects.count("hangs")
    running = kernel.submit(f"{word}tested.test('hangs')")
    kernel.pump(lambda: kernel.effects.count("hangs") > before)
    assert "KeyboardInterrupt" in running.interrupt().end().error
    assert kernel.run("1 + 1").result == "2"
