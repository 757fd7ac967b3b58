"""A notebook's runs go on in `trigger-nb`, and are watched in the notebook."""

from __future__ import annotations

import json

import nbformat
import pytest

from tests.cli.programs import Folder
from tests.support.kernels import kernel_in

CELLS = [
    ("from __future__ import annotations\n%config IPCompleter.greedy = False\nimport functools, random\n"
    "from dataclasses import dataclass\nimport beside\nfrom beside import price"),
    '''
RATE = {"a": 1}
RATE["b"] = 2
GREETING = """
% no magic?
"""
rows = [1, 2, 3]

@dataclass
class Part:
    """A part."""
    number: int
    def doubled(self) -> int:
        return self.number * RATE["b"]

def told(function):
    @functools.wraps(function)
    def wrapper(*args):
        effect(function.__name__)
        return function(*args)
    return wrapper
''',
    """
@told
def make(number):
    display(number)
    return Part(number)

@told
def priced(part):
    return price(part.doubled()) + beside.TAX + len(GREETING)

async def label(item):
    effect(f"label {item}")
    return f"{item}: {RATE['a']}"
""",
    """
@job
async def order(payload, io):
    part = await io.run_task("make", make, payload["number"])
    cost = await io.run_task("priced", priced, part)
    labels = await io.map("label", rows, label)
    doubled = await io.run_task("method", part.doubled)
    async def held():
        effect("held")
        await until("go")
        return Part(cost)
    last = await io.run_task("held", held)
    return [last.number, doubled, labels]

run = order.start({"number": 7})
""",
    "run.status\nrows.append(4)",
]  # fmt: skip
EFFECTS = ["make", "priced", "label 1", "label 2", "label 3", "held"]


@pytest.fixture
def folder(tmp_path):
    made = Folder(tmp_path / "nbs")
    made.script("beside.py", "TAX = 3\ndef price(n):\n    return 10 * n\n", prelude=False)
    made.notebook("order.ipynb", made.prelude(), *CELLS)
    yield made
    made.end()


def half_in_the_notebook(folder):
    """The notebook's cells in a real kernel, which is killed while the last task runs."""
    with kernel_in(folder.path, notebook="order.ipynb", home=folder.path.parent / "home") as kernel:
        for cell in nbformat.read(folder.path / "order.ipynb", 4).cells[:-1]:
            kernel.run(cell.source).check()
        kernel.pump(lambda: "held" in folder.effects)
        kernel.kill()
    assert folder.effects == EFFECTS


@pytest.mark.parametrize("finish", ["run", "work", "resume"])
def test_a_run_that_a_kernel_began_is_finished_and_nothing_is_repeated_or_changed(folder, finish):
    """R3, R6, S9: the same store, the same fingerprints."""
    half_in_the_notebook(folder)
    folder.signal("go")
    if finish == "run":
        done = folder.call("run", "order.ipynb:order", "--payload", '{"number": 7}')
        assert json.loads(done.stdout) == [156, 14, ["1: 1", "2: 1", "3: 1"]]
    elif finish == "work":
        done = folder.call("work", "order.ipynb", "--once")
        assert "completed job order" in done.stderr
        assert "order.ipynb, code cell 6: left out `rows.append(4)`" in done.stderr
    else:
        (run,) = folder.runs()
        done = folder.call("resume", run["id"])
    assert folder.effects == [*EFFECTS, "held"]
    assert "changed" not in done.stderr
    (run,) = folder.runs("--store", "order.ipynb")
    assert (run["status"], run["passes"]) == ("COMPLETED", 2)
    assert [path.name for path in (folder.path / ".trigger_nb").iterdir()] == ["order"]
    # And back in the notebook.
    with kernel_in(folder.path, notebook="order.ipynb", home=folder.path.parent / "home") as kernel:
        for cell in nbformat.read(folder.path / "order.ipynb", 4).cells[:-1]:
            kernel.run(cell.source).check()
        again = kernel.run("print(await run)\nprint(run.tree())").check()
    assert again.printed.startswith("[156, 14, ['1: 1', '2: 1', '3: 1']]")
    assert "changed" not in again.printed
    assert folder.effects == [*EFFECTS, "held"]


def test_a_notebook_follows_a_run_that_another_process_drives(folder):
    folder.script(
        "serve.py",
        "client = TriggerClient('serve')\n@client.job\nasync def steps(payload, io):\n    for number in range(3):\n"
        "        await io.run_task(f'step-{number}', until, f'go{number}')\n    return 'all done'\n",
    )
    driver = folder.begin("run", "serve.py", "--run-id", "mine")
    driver.until_said("RUNNING")
    with kernel_in(folder.path, notebook="a.ipynb", home=folder.path.parent / "home") as kernel:
        kernel.run("client = TriggerClient('serve')").check()
        shown = kernel.run("run = client.watch('mine')\nrun").check()
        assert "● steps" in shown.tree
        folder.signal("go0")
        kernel.pump(
            lambda: any("✔ step-0" in each["content"]["data"]["text/plain"] for each in kernel.updates())
        )
        assert kernel.run("print(run.status, len(run.tasks))").check().printed.startswith("RUNNING")
        running = kernel.submit("print(await run)")
        folder.signal("go1")
        folder.signal("go2")
        assert running.end().check().printed == "all done\n"
        kernel.pump(lambda: "✔ steps · COMPLETED" in kernel.updates()[-1]["content"]["data"]["text/plain"])
        assert kernel.run("client.watch('none')").error == "NotFoundError"
    assert driver.ended() == 0
