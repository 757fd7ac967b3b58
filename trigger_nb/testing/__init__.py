"""For tests of jobs: a clock that does not make them wait, services on this machine, and the contract of an
integration as a test."""

from ._check_integration import check_integration
from .clock import FakeClock

__all__ = ["FakeClock", "check_integration"]
