"""`CrashingStore`: what a job does when its kernel dies, or its disk is full, at a chosen write."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from trigger_nb import TriggerClient
from trigger_nb.errors import InvalidOptionError
from trigger_nb.testing import CrashingStore

ROOT = Path(__file__).parents[2]


@pytest.fixture
def order():
    @TriggerClient("shop").job
    async def order(payload, io):
        await io.run_task("charge", lambda: None)
        await io.wait("pause", days=1)
        return await io.run_task("ship", lambda: None)

    return order


@pytest.mark.parametrize("written", [False, True])
def test_a_job_survives_a_crash_at_any_write(order, written):
    """An effect happens again at most once, with the same idempotency key: when the crash was before its record."""
    for at in itertools.count(1):
        keys = []
        stubs = {"charge": lambda task, keys=keys: keys.append(task.idempotency_key), "ship": "shipped"}
        store = CrashingStore(at=at, written=written)
        first = order.test(stubs=stubs, store=store)
        if not store.crashed:
            assert first.output == "shipped"
            break
        run = order.test(stubs=stubs, store=store.directory)
        assert run.output == "shipped"
        assert len(keys) <= (1 if written else 2)
        assert len(set(keys)) == 1
    assert at > 4


def test_a_run_whose_store_crashed_is_interrupted_and_shows_what_was_kept(order):
    run = order.test(stubs={"charge": 1, "ship": 2}, store=CrashingStore(at=2))
    assert run.status == "INTERRUPTED"
    assert [task.key for task in run.tasks] == ["charge"]


def test_a_write_that_fails_once_loses_nothing(order):
    charge = Mock(return_value=1)
    store = CrashingStore(at=1, how="fail")
    order.test(stubs={"charge": charge, "ship": 2}, store=store)
    run = order.test(stubs={"charge": charge, "ship": 2}, store=store.directory)
    assert run.output == 2
    assert charge.call_count <= 2


def test_a_process_can_be_killed_at_a_write(tmp_path):
    script = f"""
from trigger_nb import TriggerClient
from trigger_nb.testing import CrashingStore

@TriggerClient("shop").job
async def order(payload, io):
    await io.run_task("charge", lambda: print("charged", flush=True))
    await io.run_task("ship", lambda: print("shipped", flush=True))

order.test(store=CrashingStore({str(tmp_path / "store")!r}, at=2, how="kill"))
print("not reached")
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert done.stdout == "charged\nshipped\n"


@pytest.mark.parametrize("options", [{"at": 0}, {"at": "1"}, {"at": True}, {"at": 1, "how": "explode"}])
def test_a_crash_that_cannot_be_is_refused(options):
    with pytest.raises(InvalidOptionError):
        CrashingStore(**options)
