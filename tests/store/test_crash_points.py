"""R3 at every named point around the commit: the process kills itself there, again and again.

The points are those of `trigger_nb/_store/crashpoints.py`, found in the source, so a new one is tested too.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.crash.harness import REPLAYED, UNDISTURBED, findings, in_one_process, launch_once

PACKAGE = Path(__file__).parents[2] / "trigger_nb"
POINTS = sorted(
    {
        name
        for file in PACKAGE.rglob("*.py")
        for name in re.findall(r'\bpoint\("([^"]+)"\)', file.read_text("utf-8"))
        # No pass comes there: `test_housekeeping.py` and `tests/events/test_kill.py` do.
        if not name.startswith(("delete:", "shrink:", "change:"))
    }
)
PASSAGES = (1, 2, 9)  # in one process after the other, so that each begins with what is left
SEEDS = {"async def": 0, "def": 1}  # jobs made by hand that hold every kind of task


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The traces of the jobs left alone."""
    directory = tmp_path_factory.mktemp("alone")
    in_one_process(directory, UNDISTURBED, SEEDS.values())
    return directory


def test_the_points_are_found():
    around_the_commit = {
        "blob:before-rename",
        "blob:after-rename",
        "commit:before",
        "commit:within",
        "commit:after",
    }
    assert set(POINTS) >= around_the_commit


@pytest.mark.slow
@pytest.mark.parametrize("job", SEEDS)
@pytest.mark.parametrize("name", POINTS)
def test_killed_at(name, job, tmp_path, alone):
    """R3, R1, I6: nothing committed is lost or repeated, whichever side of the commit the kill falls on."""
    seed = SEEDS[job]
    ended = [launch_once(tmp_path, f"{name}:{n}", seed, crash_at=f"{name}:{n}") for n in PASSAGES]
    assert not ended[0], f"the point {name} was never passed"
    # A1: of a body in which the process has died three times the run stops and asks, once.
    assert launch_once(tmp_path, "left alone", seed) or launch_once(tmp_path, "asked", seed)
    in_one_process(tmp_path, REPLAYED, [seed])
    assert findings(tmp_path, alone, seed).faults == []


@pytest.mark.slow
@pytest.mark.parametrize("job", SEEDS)
def test_it_finds_out_a_commit_after_the_return(job, tmp_path, alone, monkeypatch):
    """A commit that comes after its value was handed out is one kill too late.

    On a busy machine the job may not have had its value yet when the commit is due: then the next
    passage of the point is tried.
    """
    monkeypatch.setenv("CRASH_TEST_DELAY", "0.25")
    seed = SEEDS[job]
    # The first passage is the run's own record, the second the first task's.
    for passage in (2, 3, 4, 5, 6):
        folder = tmp_path / str(passage)
        folder.mkdir()
        assert not launch_once(
            folder, "1", seed, crash_at=f"commit:before:{passage}", mutant="commit-after-return"
        )
        launch_once(folder, "2", seed, mutant="commit-after-return")
        if findings(folder, alone, seed).repeated:
            return
    pytest.fail("no body was called again whose result had been handed out")
