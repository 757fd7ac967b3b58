"""One run is driven by one kernel at a time (C5), between real kernels in one directory."""

from __future__ import annotations

import os
import signal

import pytest

from tests.support.kernels import Kernel

CELLS = [
    'client = TriggerClient("shared")',
    """
        @client.job
        async def shared(payload, io):
            async def body():
                effect(f"{payload} slow")
                while not os.path.exists(f"HOME/go {payload}"):
                    await asyncio.sleep(0.01)
                return "slow"
            await io.run_task("quick", effect, f"{payload} quick")
            return await io.run_task("slow", body)
    """,
]


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    directory = tmp_path_factory.mktemp("locks") / "nb"
    pair = [Kernel(directory, notebook=f"{name}.ipynb") for name in ("first", "second")]
    try:
        yield [kernel.start() for kernel in pair]
    finally:
        for kernel in pair:
            kernel.stop()


@pytest.fixture
def pair(kernels):
    """Two kernels that have run the same cells."""
    for kernel in kernels:
        kernel.ready()
        define(kernel)
    return kernels


def define(kernel: Kernel) -> None:
    for code in CELLS:
        kernel.run(code.replace("HOME", str(kernel.home))).check()


def start(kernel: Kernel, payload: str) -> None:
    kernel.run(f"run = shared.start({payload!r})").check()
    kernel.until_effect(f"{payload} slow")


def effects(kernel: Kernel, payload: str) -> list[str]:
    return [each.removeprefix(payload + " ") for each in kernel.effects if each.startswith(payload + " ")]


def test_a_second_kernel_is_told_who_drives_the_run(pair):
    first, second = pair
    start(first, "locked")
    for call in ("await shared.run('locked')", "shared.start('locked')"):
        refused = second.run(call)
        assert refused.error == "RunLockedError"
        assert str(first.pid) in refused.message
        assert "first.ipynb" in refused.message
    assert second.run("str(shared.runs()[0].status)").result == "'RUNNING'"
    first.signal("go locked")
    assert first.run("await run").check().result == "'slow'"
    assert effects(first, "locked") == ["quick", "slow"]


@pytest.mark.parametrize(("operation", "status"), [("cancel()", "CANCELED"), ("pause(now=True)", "WAITING")])
def test_a_run_of_another_kernel_is_stopped_there_on_request(pair, operation, status):
    """C7: the request goes by the store; a kernel looks for it while it drives a run."""
    first, second = pair
    payload = "asked " + operation.partition("(")[0]
    start(first, payload)
    second.run(f"run = shared.runs()[0]; run.{operation}").check()
    until = f"while str(run.status) != '{status}': await asyncio.sleep(0.01)"
    second.run(until).check()
    assert first.run("str(run.status)").result == f"'{status}'"
    first.signal(f"go {payload}")
    assert second.run("await run.resume()").check().result == "'slow'"
    assert effects(first, payload) == ["quick", "slow", "slow"]


@pytest.mark.parametrize("operation", ["retry()", "rerun_from('quick')", "delete()"])
def test_a_run_of_another_kernel_is_not_changed_from_here(pair, operation):
    first, second = pair
    payload = "kept " + operation.partition("(")[0]
    start(first, payload)
    refused = second.run(f"shared.runs()[0].{operation}")
    assert refused.error in ("RunLockedError", "RunStateError")
    first.signal(f"go {payload}")
    assert first.run("await run").check().result == "'slow'"
    assert effects(first, payload) == ["quick", "slow"]


def test_a_run_that_has_ended_is_free(pair):
    first, second = pair
    first.signal("go ended")
    assert first.run("await shared.run('ended')").check().result == "'slow'"
    again = second.run("await shared.run('ended')").check()
    assert again.result == "'slow'"
    assert "2 replayed" in again.tree
    assert first.run("await shared.run('ended')").check().result == "'slow'"
    assert effects(first, "ended") == ["quick", "slow"]


def test_an_interrupted_run_is_free(pair):
    first, second = pair
    cell = first.submit("await shared.run('interrupted')")
    first.until_effect("interrupted slow")
    cell.interrupt().end()
    second.signal("go interrupted")
    assert second.run("await shared.run('interrupted')").check().result == "'slow'"
    assert effects(first, "interrupted") == ["quick", "slow", "slow"]


def test_when_the_holder_is_killed_the_second_takes_over(pair):
    first, second = pair
    start(first, "killed")
    assert second.run("str(shared.runs()[0].status)").result == "'RUNNING'"
    first.kill()  # and nothing is waited for: dead is taken over at once
    assert second.run("str(shared.runs()[0].status)").result == "'INTERRUPTED'"
    assert second.run("str(client.runs(status='INTERRUPTED')[0].payload)").result == "'killed'"
    assert "INTERRUPTED" in second.run("print(client.runs())").printed
    assert "INTERRUPTED" in second.run("print(shared.runs()[0].tree())").printed
    second.signal("go killed")
    again = second.run("await shared.run('killed')").check()
    assert again.result == "'slow'"
    assert effects(second, "killed") == ["quick", "slow", "slow"]
    first.start()


def test_a_holder_that_is_stopped_is_alive(pair):
    """Alive means locked: a suspended kernel goes on where it was."""
    first, second = pair
    start(first, "stopped")
    os.kill(first.pid, signal.SIGSTOP)
    try:
        assert second.run("await shared.run('stopped')").error == "RunLockedError"
    finally:
        os.kill(first.pid, signal.SIGCONT)
    first.signal("go stopped")
    assert first.run("await run").check().result == "'slow'"
    assert effects(first, "stopped") == ["quick", "slow"]


def test_two_kernels_work_in_one_store_at_the_same_time(pair):
    first, second = pair
    for kernel in pair:
        kernel.signal("go both")
        kernel.run("""
            @client.job
            async def many(payload, io):
                return sum([await io.run_task(("n", n), lambda n: n, n) for n in range(payload)])
        """).check()
    cells = [
        kernel.submit("[await many.run(200, run_id=f'{os.getpid()}-{n}') for n in range(3)]")
        for kernel in pair
    ]
    for cell in cells:
        assert cell.end().check().result == "[19900, 19900, 19900]"
    for kernel in pair:
        assert kernel.run("len(many.runs())").result == "6"
