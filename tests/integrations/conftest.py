"""What all tests of integrations use."""

from __future__ import annotations

import pytest

from trigger_nb import TriggerClient
from trigger_nb.testing import FakeClock


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def client(tmp_path, clock):
    return TriggerClient("integrations", dir=tmp_path / "store", clock=clock, display=False)
