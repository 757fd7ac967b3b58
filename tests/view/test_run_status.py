"""The state of a run, as a shape and a colour."""

from __future__ import annotations

import pytest

from trigger_nb import RunStatus
from trigger_nb._records.records import RunRecord
from trigger_nb._view.model.run_status import run_state


@pytest.mark.parametrize("status", RunStatus)
def test_every_status_has_a_state(status):
    assert run_state(RunRecord(status=status)) is not None
