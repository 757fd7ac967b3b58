from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.remote.effects import Effects
from trigger_nb import TriggerClient
from trigger_nb.testing import FakeClock

# Dask takes a process that is silent for half a minute for dead, and a busy machine can be. Processes inherit this.
for name in ("CONNECT", "TCP"):
    os.environ[f"DASK_DISTRIBUTED__COMM__TIMEOUTS__{name}"] = "600s"


@pytest.fixture
def effects(tmp_path):
    return Effects(tmp_path / "effects")


@pytest.fixture
def client():
    return TriggerClient("tests", display=False, clock=FakeClock())


def make_pool(workers=2, how="forkserver", initializer=None, *initargs):
    context = multiprocessing.get_context(how)
    return ProcessPoolExecutor(workers, mp_context=context, initializer=initializer, initargs=initargs)


@pytest.fixture(scope="module")
def pool():
    """Two processes that the tests of a module share."""
    with make_pool() as pool:
        yield pool


@pytest.fixture
def small_pool():
    """One process, for a test alone."""
    with make_pool(1) as pool:
        yield pool
