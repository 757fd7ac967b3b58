"""R6, in a real kernel: the table of edits, each made by running its cells and then the edited ones."""

from __future__ import annotations

import pytest

from tests.support.edits import EDITS
from trigger_nb._fingerprint.fingerprints import differs

FINGERPRINT = (
    "__import__('importlib').import_module('trigger_nb._fingerprint.fingerprints').Fingerprints().of(body)"
)


def run(kernel, cells: list[str]) -> str:
    """Run the cells one after the other and fingerprint the `body` that they leave."""
    for cell in cells[:-1]:
        execute(kernel, cell)
    found = execute(kernel, cells[-1], fingerprint=FINGERPRINT)["fingerprint"]
    assert found["status"] == "ok", found
    return found["data"]["text/plain"].strip("'")


def execute(kernel, cell: str, **expressions: str):
    reply = kernel.client.execute(cell, user_expressions=expressions, reply=True, timeout=60)["content"]
    assert reply["status"] == "ok", (cell, reply)
    return reply["user_expressions"]


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
def test_an_edited_cell_counts_or_does_not(edit, one_kernel):
    before, after = edit.cells()
    stored = run(one_kernel, ["%reset -f\n" + before[0], *before[1:]])
    now = run(one_kernel, after)
    kind = "c" if "exec(" in edit.before else "a1:"  # the source of each cell is found
    assert stored.startswith(kind)
    assert now.startswith(kind)
    assert differs(stored, now) == (edit.verdict == "changed"), edit.why
