"""What every test can rely on. Keep it small: what only some tests need belongs beside them."""

from __future__ import annotations

import math
import os
import signal
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings

from tests.support.kernels import kernel_in
from tests.support.worlds import KINDS, PATIENCE, World
from trigger_nb._clock import Patience
from trigger_nb._runs import runtime as runtime_module
from trigger_nb._tasks import running as running_module

# A shell starts what runs in its background with interrupts ignored, and each process would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No test depends on timing, nor on how fast hypothesis makes its examples. In CI each run tries the same ones.
settings.register_profile(
    "trigger_nb",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("trigger_nb")


@pytest.fixture
def anyio_backend():
    """What `@pytest.mark.anyio` runs on; a test of both asks for it by parametrizing "anyio_backend"."""
    return "asyncio"


@pytest.fixture
def async_world(tmp_path):
    """The same, with `async def` jobs only."""
    world = World(tmp_path / "store", "async def")
    yield world
    world.new_kernel()


@pytest.fixture(autouse=True)
def _slow_machines_leave_no_trace(monkeypatch):
    """However long a body or the code between tasks takes: only a test of that has its start recorded, or a
    hint given. And a run that is stopped has the time that it needs to unwind."""
    patience = Patience(unwind=PATIENCE, cell=PATIENCE, slow_code=math.inf, start=math.inf)
    monkeypatch.setattr(runtime_module.Runtime, "patience", patience)


@pytest.fixture
def starts_are_recorded(_slow_machines_leave_no_trace, monkeypatch):
    """Each body counts as one that has run a while, whose start is recorded."""
    runtime = runtime_module.Runtime
    monkeypatch.setattr(runtime, "patience", replace(runtime.patience, start=0.0))


@pytest.fixture(autouse=True)
def _stores_of_its_own(tmp_path, monkeypatch):
    """Each test's stores are its own, none is left in the checkout, and none keeps its files open after it."""
    monkeypatch.setenv("TRIGGER_NB_DIR", str(tmp_path / "stores"))
    yield
    running_module.running_bodies.clear()
    for runtime in list(runtime_module._runtimes.values()):
        runtime.store.close()


@pytest.fixture(params=KINDS)
def world(request, tmp_path):
    """A store with jobs over it: the whole replay suite runs with `async def` and with `def` jobs."""
    world = World(tmp_path / "store", request.param)
    yield world
    world.new_kernel()


@pytest.fixture(scope="module")
def one_kernel(tmp_path_factory):
    """A real kernel that all tests of a file share."""
    with kernel_in(tmp_path_factory.mktemp("kernel") / "nb") as kernel:
        yield kernel


@pytest.fixture
def kernel(one_kernel):
    """The same, ready for the cells of a test, which have a `client` to begin with."""
    one_kernel.ready().run('client = TriggerClient("tests")').check()
    return one_kernel
