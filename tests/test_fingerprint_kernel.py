"""R6, in a real kernel: the table of edits, each made by running its cells and then the edited ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from jupyter_client.manager import start_new_kernel

from tests.edits import EDITS
from trigger_nb._fingerprint import differs

ROOT = Path(__file__).parents[1]
FINGERPRINT = "__import__('importlib').import_module('trigger_nb._fingerprint').Fingerprints().of(body)"


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    env = os.environ | {
        "PYTHONPATH": str(ROOT),
        "IPYTHONDIR": str(tmp_path_factory.mktemp("ipython")),
        "JUPYTER_RUNTIME_DIR": str(tmp_path_factory.mktemp("runtime")),
    }
    manager, client = start_new_kernel(
        kernel_name="python3", env=env, cwd=str(tmp_path_factory.mktemp("work"))
    )
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def run(kernel, cells: list[str]) -> str:
    """Run the cells one after the other and fingerprint the `body` that they leave."""
    for cell in cells[:-1]:
        execute(kernel, cell)
    found = execute(kernel, cells[-1], fingerprint=FINGERPRINT)["fingerprint"]
    assert found["status"] == "ok", found
    return found["data"]["text/plain"].strip("'")


def execute(kernel, cell: str, **expressions: str):
    reply = kernel.execute(cell, user_expressions=expressions, reply=True, timeout=60)["content"]
    assert reply["status"] == "ok", (cell, reply)
    return reply["user_expressions"]


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
def test_an_edited_cell_counts_or_does_not(edit, kernel):
    before, after = edit.cells()
    stored = run(kernel, ["%reset -f\n" + before[0], *before[1:]])
    now = run(kernel, after)
    assert stored
    assert now
    assert differs(stored, now) == (edit.verdict == "changed"), edit.why
