"""Help for tests of jobs and integrations: a fake clock, fake services, and a check of an integration's contract."""

from __future__ import annotations

from ._check_integration import check_integration
from .clock import FakeClock

__all__ = ["FakeClock", "check_integration"]
