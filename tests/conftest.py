"""What every test can rely on. Keep it small: what only some tests need belongs beside them."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

from tests.kernels import kernel_in
from tests.worlds import KINDS, World
from trigger_nb import _runtime

# No test depends on timing, hypothesis's own deadline included. In CI each run tries the same examples.
settings.register_profile("trigger_nb", deadline=None, derandomize="CI" in os.environ)
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
def _stores_of_its_own(tmp_path, monkeypatch):
    """Each test's stores are its own, none is left in the checkout, and none keeps its files open after it."""
    monkeypatch.setenv("TRIGGER_NB_DIR", str(tmp_path / "stores"))
    yield
    for runtime in list(_runtime._runtimes.values()):
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
