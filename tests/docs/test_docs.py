"""The docs are complete, say what the code does, and show outputs that are real."""

from __future__ import annotations

import builtins
import dataclasses
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import openai
import pytest
import resend.exceptions
import sqlalchemy.exc
import stripe

import trigger_nb
import trigger_nb_pytest
from tests.support.doc_blocks import sources_of
from trigger_nb import errors, filters, integrations, retry, testing
from trigger_nb._io.key_values import KeyValues
from trigger_nb._io.logger import Logger
from trigger_nb._plans import plan
from trigger_nb._records import status as status_module
from trigger_nb._runs.job_options import JobOptions
from trigger_nb._runs.task_info import TaskInfo
from trigger_nb._tasks.options import Options
from trigger_nb._view.model.rows import SYMBOLS
from trigger_nb._view.render.store_table import Pruned, StoreInfo
from trigger_nb.client import TriggerClient

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
REFERENCE = {page.stem: page.read_text(encoding="utf-8") for page in (DOCS / "reference").glob("*.md")}


def members(cls):
    """The public methods and properties of a class, its own and inherited ones of ours."""
    return [name for name in dir(cls) if not name.startswith("_") and name not in dir(object)]


def parameters(function):
    return [name for name in inspect.signature(function).parameters if name not in ("self", "key")]


def missing(names, text):
    """Names that do not stand in inline code of the text."""
    code = " ".join(re.findall(r"`([^`\n]+)`", text))
    return [name for name in names if not re.search(rf"(?<!\w){re.escape(str(name))}(?!\w)", code)]


# Complete ------------------------------------------------------------------------------------------


def test_every_public_name_is_in_the_reference():
    assert missing(trigger_nb.__all__, "\n".join(REFERENCE.values())) == []


def test_every_option_and_method_of_io_is_in_its_page():
    assert missing(Options.__annotations__, REFERENCE["io"]) == []
    assert (
        missing([f"io.{name}" for name in members(trigger_nb.Io) if name != "store"], REFERENCE["io"]) == []
    )
    assert (
        missing(
            [f"task.{name}" for name in [*members(trigger_nb.Task), "output_properties"]], REFERENCE["io"]
        )
        == []
    )
    assert (
        missing(
            [*members(Logger), *members(KeyValues)],
            REFERENCE["io"].replace("io.logger.", ""),
        )
        == []
    )


@pytest.mark.parametrize("method", ["wait", "parallel", "random", "invoke_and_wait", "send_event"])
def test_arguments_of_io_methods_are_in_its_page(method):
    assert missing(parameters(getattr(trigger_nb.Io, method)), REFERENCE["io"].replace("=", " ")) == []


def test_every_argument_of_a_job_is_in_its_page():
    assert missing([field.name for field in dataclasses.fields(JobOptions)], REFERENCE["job"]) == []
    for start in (trigger_nb.Job.run, trigger_nb.Job.start, trigger_nb.Job.run_sync, trigger_nb.Job.plan):
        assert missing(parameters(start), REFERENCE["job"]) == []
    told = members(trigger_nb.Job)
    assert (
        missing([name for name in told if name not in ("run", "runs", "start", "run_sync")], REFERENCE["job"])
        == []
    )
    for kind in (plan.Plan, plan.PlannedTask, plan.PlannedWait):
        assert missing([field.name for field in dataclasses.fields(kind)], REFERENCE["job"]) == []
    for part in dataclasses.fields(trigger_nb.Context):
        assert missing([f"ctx.{part.name}"], REFERENCE["job"]) == []


def test_every_member_of_a_run_is_in_its_page():
    assert missing(members(trigger_nb.Run), REFERENCE["run"]) == []
    info = inspect.getsource(TaskInfo.__init__)
    assert missing(re.findall(r"self\.([a-z]\w*) =", info), REFERENCE["run"]) == []
    assert missing(members(TaskInfo), REFERENCE["run"]) == []
    for kind in (trigger_nb.RunStatus, trigger_nb.TaskStatus, trigger_nb.Reason):
        assert missing(kind, REFERENCE["run"]) == []


def test_every_part_of_a_client_is_in_its_page():
    assert missing(parameters(TriggerClient), REFERENCE["client"]) == []
    assert missing(members(TriggerClient), REFERENCE["client"].replace("client.", "")) == []
    for method in (TriggerClient.send_event, TriggerClient.runs, TriggerClient.prune):
        assert missing(parameters(method), REFERENCE["client"]) == []
    for kind in (trigger_nb.Event, trigger_nb.Notification, StoreInfo, Pruned):
        assert missing([field.name for field in dataclasses.fields(kind)], REFERENCE["client"]) == []


def test_every_part_of_the_testing_kit_is_in_its_page():
    page = REFERENCE["testing"].replace("=", " ")
    assert missing(testing.__all__, page) == []
    for function in (
        trigger_nb.Job.test,
        testing.replay,
        testing.replay_every_step,
        testing.CrashingStore,
        testing.FakeClock,
    ):
        assert missing(parameters(function), page) == []
    assert missing(members(testing.FakeClock), page) == []
    fixtures = [
        name for name, value in vars(trigger_nb_pytest).items() if hasattr(value, "_fixture_function")
    ]
    assert fixtures
    assert missing(fixtures, page) == []


def test_every_part_of_retry_triggers_and_filters_is_in_its_page():
    for kind in (trigger_nb.Retry, trigger_nb.RetryAt, trigger_nb.SkipRetrying):
        assert (
            missing([field.name for field in dataclasses.fields(kind)], REFERENCE["retry"].replace("=", " "))
            == []
        )
    for name in ("event_trigger", "invoke_trigger"):
        page = REFERENCE["triggers-and-filters"]
        assert missing(parameters(getattr(trigger_nb, name)), page.replace("=", " ")) == []
    assert [name for name in filters._MATCHERS if f"`{name}`" not in REFERENCE["triggers-and-filters"]] == []


# True ----------------------------------------------------------------------------------------------


def test_no_page_tells_of_what_is_not_there():
    # The names of another system are checked in `test_trigger_dev`.
    pages = [page for page in PAGES if page.stem not in ("roadmap", "trigger-dev")]
    told = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    known = {
        kind.icon for kind in vars(integrations).values() if isinstance(kind, type) and hasattr(kind, "icon")
    }
    known |= {"shop"}  # the one that a page builds
    assert [
        name
        for name in re.findall(r"`io\.(\w+)", told)
        if not hasattr(trigger_nb.Io, name) and name not in known
    ] == []
    assert [name for name in re.findall(r"\brun\.(\w+)\(", told) if not hasattr(trigger_nb.Run, name)] == []
    assert [name for name in re.findall(r"`(\w+Error)`", told) if not is_error(name)] == []


def is_error(name):
    if any(hasattr(sdk, name) for sdk in (httpx, openai, resend.exceptions, sqlalchemy.exc, stripe)):
        return True
    return hasattr(errors, name) or hasattr(builtins, name) or name in {"ValidationError", "CancelledError"}


def test_the_table_of_operations_is_that_of_the_code():
    rows = [line for line in REFERENCE["run"].splitlines() if line.startswith("| **")]
    told = {
        cells[1].strip("* "): [cell.strip() for cell in cells[2:-1]]
        for cells in (row.split("|") for row in rows)
    }
    head = next(line for line in REFERENCE["run"].splitlines() if line.startswith("| | start"))
    operations = [cell.strip() for cell in head.split("|")[2:-1]]
    assert operations == list(status_module.OPERATIONS)
    assert told == {
        str(status): [str(status_module.OPERATIONS[operation][status]) for operation in operations]
        for status in trigger_nb.RunStatus
    }


def test_the_tree_of_errors_is_that_of_the_code():
    tree = errors.__doc__.split("```")[1].strip("\n")
    assert f"```text\n{tree}\n```" in REFERENCE["errors"]
    lines = tree.splitlines()
    for name in errors.__all__:
        base = getattr(errors, name).__mro__[1]
        at = next(n for n, line in enumerate(lines) if re.search(rf"(?<!\w){name}(?!\w)", line))
        indent = re.match(r"[│├└─ ]*", lines[at]).end()
        above = next(line for line in reversed(lines[:at]) if re.match(r"[│├└─ ]*", line).end() < indent)
        assert base.__name__ in above


def test_the_presets_of_retry_are_those_of_the_code():
    for name in ("standard_backoff", "exponential_backoff"):
        preset = getattr(retry, name)
        row = next(line for line in REFERENCE["retry"].splitlines() if f"{name}`" in line)
        numbers = [float(cell.strip(" s")) for cell in row.split("|")[2:-1]]
        assert numbers == [preset.limit, preset.factor, preset.min_timeout, preset.max_timeout]


def test_the_signs_of_the_tree_are_those_of_the_code():
    page = (DOCS / "explanation" / "display.md").read_text(encoding="utf-8")
    assert [line[2] for line in page.splitlines() if re.match(r"\| [^-a-z] \|", line)] == list(
        SYMBOLS.values()
    )


def test_the_map_of_the_first_page_runs_only_what_is_new(tmp_path):
    blocks = ["\n".join(lines) for _, lines in sources_of(ROOT / "README.md")]
    (block,) = (block for block in blocks if "io.map(" in block)
    items, body = '[f"sentence {number}" for number in range(5_000)]', "async def embed(text):\n"
    assert items in block
    assert body in block
    block = block.replace(items, "texts").replace(body, f"{body}    calls.append(text)\n")
    cells = ["import random\nfrom trigger_nb import job\ntexts = [str(n) for n in range(200)]"]
    for edit in ("", "texts.insert(7, 'new')", "del texts[100]", "random.shuffle(texts)"):
        cells += [f"calls = []\n{edit}", block, "print(chr(0), calls if len(calls) < 3 else len(calls))"]
    page = tmp_path / "page.md"
    page.write_text("\n".join(f"```python\n{cell}\n```\n" for cell in cells), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.doc_blocks", str(page)], cwd=tmp_path, stdin=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TRIGGER_NB_DIR": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.findall("\0 (.*)", done.stdout) == ["200", "['new']", "[]", "[]"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http:", "https:")):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}, (
                target
            )


# Real ----------------------------------------------------------------------------------------------

_SHOWN = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<output>.*?)^```\n)?", re.MULTILINE | re.DOTALL
)

_RUNNER = """
import asyncio, sys
from pathlib import Path
from tests.support.doc_blocks import blocks_of, run
from trigger_nb._clock import Patience
from trigger_nb._runs.runtime import Runtime
Runtime.patience = Patience(slow_code=1e9)  # a slow machine gets no hint of its own
mark = compile("print(chr(0))", "mark", "exec")
asyncio.run(run([each for block in blocks_of(Path(sys.argv[1])) for each in (block, mark)]))
"""


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_outputs_are_what_the_blocks_print(page, tmp_path):
    env = {name: value for name, value in os.environ.items() if name != "TRIGGER_NB_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", _RUNNER, str(ROOT / page)], cwd=tmp_path, stdin=subprocess.DEVNULL,
        env=env | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    printed = done.stdout.split("\0\n")[:-1]
    shown = [match["output"] or "" for match in _SHOWN.finditer((ROOT / page).read_text(encoding="utf-8"))]
    assert list(map(settled, shown)) == list(map(settled, printed))


def settled(output):
    """An output without what differs from machine to machine and from time to time."""
    for pattern, name in (
        # Of a console, as here, and of `hello.ipynb`, as on the page.
        (r"\.trigger_nb/(default|hello)$", "STORE"),
        (r"[\d,.]+/s\b", "RATE"),
        (r" *<?\d+(\.\d+)? (ms|s|min)(?= |$)", " TIME"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \w+", "DATE"),
    ):
        output = re.sub(pattern, name, output, flags=re.MULTILINE)
    return output.strip().splitlines()
