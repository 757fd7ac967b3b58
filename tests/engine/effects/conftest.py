"""What the tests of effects share: a world in which bodies outlive passes."""

from __future__ import annotations

import pytest

from tests.support.worlds import World, running_bodies, until


@pytest.fixture
async def world(tmp_path):
    """A world of `async def` jobs, which ends once no body is running any more."""
    world = World(tmp_path / "store")
    yield world
    await until(lambda: not running_bodies)
    world.new_kernel()
