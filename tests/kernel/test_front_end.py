"""What bodies ask of the notebook: answers to `input()` go to the question that is seen, and the tree stays."""

from __future__ import annotations

import pytest

from tests.support.kernels import Kernel

ASKING = """
import getpass
from IPython.display import clear_output, display

def ask(question):
    return input(question)

def ask_once_more(question):
    try:
        return getpass.getpass(question)
    except:  # "no answer"
        return "default"

async def ask_on_the_loop(question):
    return input(question)

@job
async def in_thread(payload, io):
    return await io.run_task("ask", ask, payload)

@job
async def swallowed(payload, io):
    return await io.run_task("ask", ask_once_more, payload)

@job
async def on_loop(payload, io):
    return await io.run_task("ask", ask_on_the_loop, payload)

@job
def in_def_job(payload, io):
    return input(payload)

@job
async def several(payload, io):
    return await io.map("ask", payload, ask)

def fail():
    until("failing")
    raise ValueError("a task beside it")

@job
async def beside(payload, io):
    async with asyncio.TaskGroup() as group:
        group.create_task(io.run_task("ask", ask, payload))
        if failing:
            group.create_task(io.run_task("fail", fail))

failing = True
"""


@pytest.mark.parametrize("name", ["in_thread", "swallowed", "on_loop", "in_def_job"])
def test_an_interrupted_input_does_not_take_the_next_runs_answer(kernel: Kernel, name):
    kernel.run(ASKING).check()
    asking = kernel.submit(f"await {name}.run('name? ')")
    assert kernel.question() == "name? "
    assert not asking.interrupt().end().ok

    other = kernel.submit(f"await {name}.run('age? ')")
    assert kernel.question() == "age? "
    kernel.client.input("42")
    assert other.end().check().result == "'42'"

    again = kernel.submit(f"await {name}.run('name? ')")
    assert kernel.question() == "name? "
    kernel.client.input("Ada")
    assert again.end().check().result == "'Ada'"


def test_the_question_of_a_run_that_failed_is_asked_again(kernel: Kernel):
    kernel.run(ASKING).check()
    cell = kernel.submit("await beside.run('name? ')")
    assert kernel.question() == "name? "
    kernel.signal("failing")
    assert not cell.end().ok
    again = kernel.submit("failing = False", "await beside.run('name? ')")
    assert kernel.question() == "name? "
    kernel.client.input("Ada")
    again.end().check()


def test_questions_at_the_same_time_get_their_own_answers(kernel: Kernel):
    kernel.run(ASKING).check()
    cell = kernel.submit("await several.run(['a', 'b', 'c'])")
    for _ in range(3):
        kernel.client.input(kernel.question().upper())
    assert cell.end().check().result == "['A', 'B', 'C']"


CLEARING = """
from IPython.display import clear_output, display

def in_body(wait):
    clear_output(wait)
    print("in the body")

@job
async def clearing(payload, io):
    clear_output(payload)
    print("in the job")
    await io.run_task("clear", in_body, payload)
    await io.run_task("display", lambda: display("shown", clear=True))
"""


@pytest.mark.parametrize("wait", [False, True])
def test_clear_output_in_a_body_leaves_the_tree(kernel: Kernel, wait):
    kernel.run(CLEARING).check()
    cell = kernel.run(f"await clearing.run({wait})").check()
    tree, shown = cell.displays
    assert "✔ clearing · COMPLETED" in tree["text/plain"]
    assert shown["text/plain"] == "'shown'"
    assert cell.printed == "in the job\nin the body\n"


def test_clear_output_clears_where_no_tree_is(kernel: Kernel):
    kernel.run(CLEARING).check()
    cell = kernel.run("display('before')", "await clearing.run('no tree', display=False)").check()
    assert [each["text/plain"] for each in cell.displays] == ["'shown'"]
    cell = kernel.run("await clearing.run('own')", "clear_output()", "display('after')").check()
    assert [each["text/plain"] for each in cell.displays] == ["'after'"]


def test_clear_output_in_a_body_clears_an_output_widget(kernel: Kernel):
    kernel.run(
        """
        import ipywidgets
        out = ipywidgets.Output()

        async def plot():
            with out:
                print("first")
                out.clear_output(wait=False)

        @job
        async def plots(payload, io):
            await io.run_task("plot", plot)
        """
    ).check()
    cell = kernel.submit("await plots.run()")
    cell.end().check()
    assert "clear_output" in [message["msg_type"] for message in cell.messages]


@pytest.mark.parametrize(
    "later", ["await in_thread.run('later? ')", "input('later? ')", "await on_loop.run('later? ')"]
)
def test_a_background_run_that_asks_takes_no_answer_of_a_later_cell(kernel: Kernel, later):
    kernel.run(ASKING).check()
    name = later.partition("(")[0]
    starting = kernel.submit(
        f"run = in_thread.start('earlier? ', run_id={name!r})", f"await asyncio.to_thread(until, {name!r})"
    )
    assert kernel.question() == "earlier? "
    kernel.signal(name)
    starting.end().check()
    cell = kernel.submit(later)
    assert kernel.question() == "later? "
    kernel.client.input("42")
    assert cell.end().check().result == "'42'"

    assert kernel.question() == "earlier? "  # asked again
    kernel.client.input("Ada")
    assert kernel.run("await run").check().result == "'Ada'"
