"""Deaths of a kernel that are announced: they are no crashes of the bodies that ran meanwhile (A1)."""

from __future__ import annotations

import os
import signal
import sqlite3

import pytest

from tests.support.kernels import cell

CODE = """
    client = TriggerClient(NAME)

    def is_first():
        return effect(NAME) <= 3

    def in_a_thread():
        until("never") if is_first() else None
        return "done"

    async def that_blocks_the_loop():
        time.sleep(3600 if is_first() else 0)
        return "done"

    async def that_waits():
        await asyncio.sleep(3600 if is_first() else 0)
        return "done"

    @client.job
    async def job(payload, io):
        return await io.run_task("body", globals()[payload])
"""


def restart_from_the_menu(kernel):
    kernel.restart_from_menu()


def terminate(kernel):
    os.kill(kernel.pid, signal.SIGTERM)
    kernel.until_dead()
    kernel.stop()
    kernel.start()


def kill(kernel):
    kernel.kill()
    kernel.start()


def die_three_times(kernel, body, die):
    name = f"{die.__name__}_{body}"
    code = cell(f"NAME = {name!r}", CODE)
    before = ""
    for n in range(1, 4):
        kernel.run(code).check()
        # In the background: jupyter_client interrupts a cell before it ends the kernel.
        kernel.submit(f"run = job.start({body!r}, display=False)")
        kernel.pump(lambda n=n: kernel.effects.count(name) == n)
        (store,) = (kernel.directory / ".trigger_nb").glob(f"*{name}*")
        kernel.pump(lambda store=store, before=before: stored(store) not in ("", before))
        die(kernel)
        before = stored(store)
    kernel.run(code).check()
    return kernel.run(f"await job.run({body!r}, display=False)")


def stored(store):
    """What the store says of the body, as another process reads it."""
    with sqlite3.connect(f"file:{store / 'cache.db'}?mode=ro", uri=True) as database:
        rows = database.execute("SELECT value FROM Cache WHERE key LIKE '%/body'").fetchall()
    return str(rows[0][0]) if rows else ""


@pytest.mark.parametrize("body", ["in_a_thread", "that_blocks_the_loop", "that_waits"])
@pytest.mark.parametrize("die", [restart_from_the_menu, terminate])
def test_a_kernel_that_is_told_to_end_has_not_crashed(kernel, body, die):
    assert die_three_times(kernel, body, die).check().result == "'done'"


def test_a_kernel_that_is_killed_has_crashed(kernel):
    assert die_three_times(kernel, "in_a_thread", kill).error == "TaskCrashedError"
