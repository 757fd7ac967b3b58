"""`io.map(..., first=)` in a real kernel: killed at its stop, it stops again and calls nothing; a program that runs it goes on."""

from __future__ import annotations

import pytest

from tests.support.kernels import kernel_in

DEFINE = """
client = TriggerClient("first", dir=".store", display=False)

async def body(number):
    effect(number)
    return number

@client.job
async def numbers(payload, io):
    return len(await io.map("body", range(40), body, first=5))
"""


@pytest.fixture
def kernel(tmp_path):
    with kernel_in(tmp_path / "notebook") as kernel:
        yield kernel


def test_the_stop_holds_over_a_kill(kernel):
    """R1, R3, A7."""
    kernel.run(DEFINE).check()
    stopped = kernel.run("print(await numbers.run())")
    assert "Stopped after the first 5 of 40 items" in stopped.message
    begun = kernel.effects
    assert sorted(begun, key=int) == ["0", "8", "16", "24", "32"]
    kernel.kill()
    kernel.start()
    kernel.run(DEFINE).check()
    assert "Stopped after the first 5 of 40 items" in kernel.run("await numbers.run()").message
    assert kernel.effects == begun
    tried = kernel.run("trial = await numbers.runs()[0].try_map('body', 2)", "print(trial)").check().printed
    assert "2 of 40 items of 'body' tried, nothing recorded: 2 the same" in tried
    assert len(kernel.effects) == 7
    assert kernel.run("print(await numbers.runs()[0].resume())").check().printed == "40\n"
    assert len(kernel.effects) == 42


def test_a_program_that_runs_the_notebook_does_not_stop(kernel):
    """Such as nbclient and papermill, which answer no questions."""
    kernel.run(DEFINE).check()
    kernel.run("get_ipython().kernel._allow_stdin = False", "print(await numbers.run())").check()
    assert len(kernel.effects) == 40
