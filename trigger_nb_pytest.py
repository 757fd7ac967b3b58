"""The pytest plugin of trigger_nb: fixtures for tests of jobs.

pytest imports this file at every start, so it imports nothing of the package before a test asks for a fixture.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

    from trigger_nb import TriggerClient
    from trigger_nb.testing import FakeClock


@pytest.fixture
def fake_clock() -> FakeClock:
    """A clock that stands at 2030-01-01, and jumps over waits: the one of `trigger_client`."""
    from trigger_nb.testing import FakeClock

    return FakeClock()


@pytest.fixture
def trigger_client(tmp_path: Path, fake_clock: FakeClock) -> Generator[TriggerClient]:
    """A client whose store and time are the test's own, for jobs that the test defines."""
    from trigger_nb import TriggerClient

    client = TriggerClient("test", dir=tmp_path, clock=fake_clock, display=False)
    yield client
    client.runtime.store.close()
