"""For tests of jobs: a clock that does not make them wait."""

from .clock import FakeClock

__all__ = ["FakeClock"]
