"""A script with a pool of two processes, which a test kills: `python -m tests.remote.killed_kernel fork starting folder`.

"starting": each process is still in its initializer. "idle": one of the two has no body yet.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from tests.remote.conftest import make_pool
from tests.remote.effects import Effects
from trigger_nb import TriggerClient


def initialize(effects: Effects, moment: str) -> None:
    effects.add(os.getpid())
    if moment == "starting":
        wait_for_ever()


def wait_for_ever() -> None:
    threading.Event().wait()


def main(how: str, moment: str, folder: str) -> None:
    pool = make_pool(2, how, initialize, Effects(Path(folder) / "effects"), moment)
    client = TriggerClient("killed", dir=Path(folder) / "store", display=False)

    @client.job(executor=pool)
    async def job(payload, io):
        await io.run_task("task", wait_for_ever)

    job.run_sync()


if __name__ == "__main__":
    main(*sys.argv[1:])
