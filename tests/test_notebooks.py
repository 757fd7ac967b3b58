"""The notebooks run in real kernels, replay in later ones, and the demo's proof can fail."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from .kernels import kernel_in

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"

# Counts the bodies that the engine calls. They are what a replay must not call.
COUNT_BODIES = """
from trigger_nb._engine import Pass
bodies = []
_call_body = Pass._call_body
async def counted(self, call, *args):
    bodies.append(call.path)
    return await _call_body(self, call, *args)
Pass._call_body = counted
"""


def code_cells(name):
    return [cell for cell in nbformat.read(NOTEBOOKS / name, as_version=4).cells if cell.cell_type == "code"]


def run_all(kernel, name):
    """All cells of a notebook, top to bottom; only those that say so may fail."""
    done = []
    for cell in code_cells(name):
        ran = kernel.run(cell.source)
        if "raises-exception" not in cell.metadata.get("tags", []):
            ran.check()
        done.append((cell.source, ran))
    return done


def of(done, text):
    """What came of the one cell that has this text."""
    [found] = [ran for source, ran in done if text in source]
    return found


# quickstart ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    """The quickstart, run in one kernel and then in another."""
    directory = tmp_path_factory.mktemp("quickstart") / "notebooks"
    directory.mkdir()
    shutil.copy(NOTEBOOKS / "loopback.py", directory)
    with kernel_in(directory) as kernel:
        kernel.run(COUNT_BODIES).check()
        first = run_all(kernel, "quickstart.ipynb")
        ran = json.loads(kernel.run("import json; print(json.dumps(bodies))").printed)
        kernel.restart()
        kernel.run(COUNT_BODIES).check()
        second = run_all(kernel, "quickstart.ipynb")
        ran_again = json.loads(kernel.run("import json; print(json.dumps(bodies))").printed)
    return first, ran, second, ran_again


def test_in_a_second_kernel_all_of_the_quickstart_is_replayed(quickstart):
    """R1: not one body is called again, and no letter is sent."""
    first, ran, second, ran_again = quickstart
    assert len(ran) > 30
    assert ran_again == []
    assert of(second, 'print("letters sent by this kernel:"').printed == "letters sent by this kernel: 0\n"


def test_in_a_second_kernel_every_output_is_what_it_was(quickstart):
    """R2."""
    first, _, second, _ = quickstart
    fails_only_once = "mail.be_busy(1)"
    same = [
        (a.result, b.result)
        for (source, a), (_, b) in zip(first, second, strict=True)
        if fails_only_once not in source
    ]
    same = [pair for pair in same if not (pair[0] or "").strip().startswith("Job")]  # the table of runs
    assert [pair for pair in same if pair[0] != pair[1]] == []


def test_the_service_sees_one_key_in_every_attempt(quickstart):
    """I6: the retry that succeeds on the third attempt."""
    first, _, second, _ = quickstart
    keys = json.loads(of(first, "third_time_lucky(").printed.splitlines()[-1].replace("'", '"'))
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert of(second, "third_time_lucky(").printed.endswith("[]\n")


def test_a_failed_task_alone_runs_again(quickstart):
    """R5."""
    first, _, _, _ = quickstart
    assert of(first, "mail.be_busy(1)").error == "MailError"
    assert "2 replayed" in of(first, "mail.be_busy(0)").tree


def test_no_frame_of_ours_stands_under_a_cell(quickstart):
    first, _, _, _ = quickstart
    for _, ran in first:
        if ran.error:
            assert str(ROOT / "trigger_nb") not in ran.traceback


def test_a_changed_task_is_kept_until_its_change_is_asked_for(quickstart):
    """R6."""
    first, _, _, _ = quickstart
    letters = [ran for source, ran in first if "letter.run(" in source]
    assert [ran.printed.split()[0] for ran in letters] == ["Dear", "Dear", "Hello"]
    assert "changed: code" in letters[1].tree


# What is committed ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["quickstart.ipynb", "resume.ipynb"])
def test_a_notebook_shows_its_outputs_to_those_who_have_no_kernel(name):
    cells = code_cells(name)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    trees = [output for cell in cells for output in cell.outputs if output.output_type == "display_data"]
    assert trees
    for tree in trees:
        assert re.search("COMPLETED|FAILED", tree.data["text/plain"])
        assert "<div" in tree.data["text/html"]
    for cell in cells:
        failed = any(output.output_type == "error" for output in cell.outputs)
        assert failed == ("raises-exception" in cell.metadata.get("tags", []))


@pytest.mark.parametrize("name", ["quickstart.ipynb", "resume.ipynb"])
def test_a_notebook_is_small_enough_to_be_shown(name):
    assert (NOTEBOOKS / name).stat().st_size < 500_000


# resume and the demo -------------------------------------------------------------------------------

SMALL_LIBRARY = """
import time
sysconfig.get_path = lambda name: {library!r}
_note = note
def note(task):
    _note(task)
    time.sleep(0.03)
"""


@pytest.fixture
def small_resume(tmp_path):
    """resume.ipynb over a library of forty modules, two of which do not parse."""
    library = tmp_path / "library"
    (library / "site-packages").mkdir(parents=True)
    for n in range(38):
        (library / f"module_{n:02d}.py").write_text(f"def function():\n    return {n}\n\nclass Class: ...\n")
    (library / "bad_syntax.py").write_text("print 'hello'\n")
    (library / "bad_text.py").write_bytes(b"'\xff'\n")
    (library / "site-packages" / "other.py").write_text("not counted\n")
    notebook = nbformat.read(NOTEBOOKS / "resume.ipynb", as_version=4)
    at = next(n for n, cell in enumerate(notebook.cells) if "def note(" in cell.source)
    notebook.cells[at].source += SMALL_LIBRARY.format(library=str(library))
    nbformat.write(notebook, tmp_path / "resume.ipynb")
    return tmp_path / "resume.ipynb"


def test_the_demo_kills_a_kernel_and_proves_that_nothing_is_done_twice(small_resume, tmp_path):
    """R3."""
    out = tmp_path / "out"
    code = "import sys, run_demo, pathlib; sys.exit(run_demo.main(*map(pathlib.Path, sys.argv[1:])))"
    env = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "JPY"))}
    (tmp_path / "home").mkdir()
    places = ("HOME", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")
    env |= dict.fromkeys(places, str(tmp_path / "home")) | {"PYTHONPATH": f"{ROOT}{os.pathsep}{NOTEBOOKS}"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(out), str(small_resume)], env=env,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing was done twice, and nothing was lost." in done.stdout
    assert re.search(r"41 tasks: 39 completed, 2 failed · \d+ replayed", done.stdout)
    assert "◐ Every module of the standard library · INTERRUPTED" in done.stdout
    tables = [
        output.data["text/markdown"]
        for cell in nbformat.read(out / "resume.ipynb", as_version=4).cells
        for output in cell.get("outputs", [])
        if "text/markdown" in output.get("data", {})
    ]
    assert "| 40 | 152 | 38 | 38 | 0 |" in tables[0]
    assert "bad\\_syntax.py" in tables[2]
    assert "bad\\_text.py" in tables[2]
    assert (out / "resume.html").exists()


@pytest.fixture
def demo():
    spec = importlib.util.spec_from_file_location("run_demo", NOTEBOOKS / "run_demo.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def proof(
    demo,
    first=("a", "b", "c"),
    second=("c", "d"),
    recorded=("a", "b"),
    status="COMPLETED",
    end="abcd",
    shown=2,
):
    at_kill = demo.Stored("INTERRUPTED", "", set(recorded), set())
    at_end = demo.Stored(status, "", set(end), set())
    return demo.prove(list(first), list(second), at_kill, at_end, f"4 tasks: 4 completed · {shown} replayed")


def test_the_proof_holds_for_what_it_should_hold_for(demo, capsys):
    assert proof(demo)
    assert re.search(r"1 +was in flight", capsys.readouterr().out)


@pytest.mark.parametrize(
    "what",
    [
        {"second": "bcd", "shown": 1},  # a recorded body ran again
        {"first": "aabc"},  # a body ran twice in one kernel
        {"end": "bcd"},  # a recorded result is gone
        {"second": "c"},  # a result without a body
        {"status": "FAILED"},
        {"shown": 3},  # the notebook says something else
    ],
)
def test_the_proof_fails_when_something_is_amiss(demo, what):
    assert not proof(demo, **what)
