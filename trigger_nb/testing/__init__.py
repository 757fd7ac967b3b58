"""Help for tests of jobs and integrations.

`job.test` runs a job in a test. Here are a clock, replays, a store that crashes, notebooks as modules, fake services, and a
check of an integration's contract.
"""

from __future__ import annotations

from .._trials.clock import FakeClock
from .._trials.trial import TrialRun
from ._check_integration import check_integration
from .crashing_store import CrashingStore
from .notebooks import load_notebook
from .replays import replay, replay_every_step

__all__ = [
    "CrashingStore",
    "FakeClock",
    "TrialRun",
    "check_integration",
    "load_notebook",
    "replay",
    "replay_every_step",
]
