"""Reuse of results when the process is killed at any moment (issue 15, Must hold)."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from tests.crash.forks import Launched
from trigger_nb._records.records import TaskRecord
from trigger_nb._store.crashpoints import VARIABLE as CRASH_AT

from .reuse_child import STEP

RUNS = 4
_POINTS = (
    "commit:before",
    "commit:within",
    "commit:after",
    "blob:before-rename",
    "delete:before",
    "delete:rows",
)


def committed(directory: Path) -> set[int]:
    """The items that the store has a result of: none of them may be called again."""
    found = list(directory.glob("store/**/cache.db"))
    if not found:
        return set()
    with closing(sqlite3.connect(found[0])) as sql:
        rows = sql.execute("SELECT key, value FROM Cache WHERE instr(key, '/items/')").fetchall()
    records = [(key, TaskRecord.loads(text)) for key, text in rows]
    return {int(key.rsplit("~i", 1)[1][:-1]) for key, record in records if record.is_shareable}


def called(directory: Path) -> list[int]:
    file = directory / "trace"
    lines = file.read_text().splitlines() if file.exists() else []
    return [int(line.split()[1]) for line in lines if line.startswith("call")]


def launch(directory: Path, number: int, random: Random, *, kill: bool, point: str = "") -> bool:
    """Run the job in a process, which is killed at a random moment or at this point; whether it ended by itself."""
    if kill and not point and random.random() < 0.6:
        point = f"{random.choice(_POINTS)}:{random.randint(1, 25)}"
    process = Launched(
        "tests.crash.reuse_child",
        [str(directory), str(number)],
        directory=directory,
        environment=os.environ | {CRASH_AT: point},
    )
    if kill and not point:
        time.sleep(random.uniform(0.0, 0.4))
        process.kill()
    code = process.wait(timeout=120)
    assert code in (0, -signal.SIGKILL), process.complaints()
    return code == 0


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(1, 6))
def test_nothing_committed_is_called_again_in_a_later_run(tmp_path, seed):
    """Issue 15, Must hold: SIGKILL at random moments with reuse, deleting and pruning."""
    random = Random(seed)
    kills = 0
    for number in range(RUNS):
        for attempt in range(8):
            done, before = committed(tmp_path), len(called(tmp_path))
            # A slow machine has few commits, so that the points by chance may never come.
            first = "commit:within:1" if number == attempt == 0 else ""
            ended = launch(tmp_path, number, random, kill=attempt < 3, point=first)
            again = done.intersection(called(tmp_path)[before:])
            assert not again, f"run {number}, launch {attempt}: called again although committed"
            lost = done - committed(tmp_path)
            assert not lost, f"run {number}, launch {attempt}: results lost"
            kills += not ended
            if ended:
                break
        assert committed(tmp_path) == set(range(STEP * (number + 1)))
    assert kills
