"""Five tasks in a notebook, the kernel killed before the last: how many bodies a new kernel runs."""

from __future__ import annotations

import pytest

from tests.support.kernels import kernel_in

# The notebook's cells, in order. Bodies tell by `effect` that they ran; the file named by `hold` keeps
# the job between the fourth task and the last, where a kernel of the test dies.
CELLS = [
    """
    numbers = {"a": 1, "b": 2}

    def first(task):
        effect("first")
        return numbers
    """,
    """
    async def second(given):
        effect("second")
        return {name: number * 10 for name, number in given.items()}

    async def third(given):
        effect("third")
        return sum(given.values())
    """,
    """
    def fourth(given):
        effect("fourth")
        return (given, given + 1)

    async def fifth(given):
        effect("fifth")
        return {"total": given}

    async def kept_here():
        while os.path.exists("hold"):
            await asyncio.sleep(0.01)
    """,
    """
    @job
    async def five(payload, io):
        numbers = await io.run_task("first", first)
        tens = await io.run_task("second", second, numbers)
        total = await io.run_task("third", third, tens)
        pair = await io.run_task("fourth", fourth, total)
        effect(f"four are done of {payload}")
        await kept_here()
        return await io.run_task("fifth", fifth, pair)
    """,
    """
    print(await five.run({payload}))
    """,
]
DONE = "{'total': (30, 31)}\n"
BODIES = {"first", "second", "third", "fourth", "fifth"}


@pytest.fixture
def kernel(tmp_path):
    with kernel_in(tmp_path / "notebook") as kernel:
        yield kernel


def run_cells(kernel, payload="1", edit=lambda cell: cell):
    """Run the notebook from top to bottom; the bodies that ran."""
    before = len(kernel.effects)
    for cell in CELLS[:-1]:
        kernel.run(edit(cell)).check()
    last = kernel.run(edit(CELLS[-1].replace("{payload}", payload))).check()
    assert last.printed == DONE
    return [effect for effect in kernel.effects[before:] if effect in BODIES]


def kill_before_the_last(kernel, payload="1"):
    """Run the notebook in this kernel, which dies when four of five tasks are done; the bodies that ran."""
    before = len(kernel.effects)
    (kernel.directory / "hold").touch()
    for cell in CELLS[:-1]:
        kernel.run(cell).check()
    kernel.submit(CELLS[-1].replace("{payload}", payload))
    kernel.until_effect(f"four are done of {payload}")
    bodies = [effect for effect in kernel.effects[before:] if effect in BODIES]
    kernel.kill()
    (kernel.directory / "hold").unlink()
    return bodies


def with_comments(cell):
    """A comment above and beside the code of a cell."""
    return "    # What follows was tidied up.\n" + cell.replace(":\n", ":  # as agreed\n")


def test_only_the_last_task_runs_in_a_new_kernel(kernel):
    """R1, R3, R6: 1 body in a new kernel, 0 when the cells run again, 1 when each cell got a comment."""
    assert kill_before_the_last(kernel) == ["first", "second", "third", "fourth"]
    kernel.start()
    assert run_cells(kernel) == ["fifth"]
    assert run_cells(kernel) == []

    assert kill_before_the_last(kernel, payload="2") == ["first", "second", "third", "fourth"]
    kernel.start()
    assert run_cells(kernel, "2", edit=with_comments) == ["fifth"]
    assert "changed" not in kernel.run("print(five.runs()[0].tree())").check().printed
    assert run_cells(kernel, edit=with_comments) == []  # the first run, too
