"""The kernel's own interrupt (SIGINT) while a cell awaits a run, in a real kernel (A7, A5)."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.support.kernels import ROOT, TIMEOUT, Kernel

# What is interrupted would go on for an hour, so that a cell which ends has been stopped, however slow the machine.


def interrupted(kernel: Kernel, code: str, during: str):
    """Run a cell, interrupt it once a body has told `during`, and see it stop."""
    cell = kernel.submit(code)
    kernel.until_effect(during)
    ended = cell.interrupt().end()
    assert ended.error in ("CancelledError", "KeyboardInterrupt")
    return ended


def status_of(kernel: Kernel, job: str) -> str:
    return kernel.run(f"str({job}.runs()[0].status)").check().result or ""


BODIES = {
    "an idle async body": """
        async def body(name):
            await asyncio.sleep(3600 if effect(name) == 1 else 0)
            return name
    """,
    "an async body that blocks the loop": """
        async def body(name):
            time.sleep(3600 if effect(name) == 1 else 0)
            return name
    """,
    "an async body that computes": """
        async def body(name):
            again = effect(name) > 1
            while not again:
                sum(range(1000))
            return name
    """,
    "a sync body on the loop that sleeps": """
        def body(name):
            time.sleep(3600 if effect(name) == 1 else 0)
            return name
        options = {"thread": False}
    """,
    "a sync body on the loop that computes": """
        def body(name):
            again = effect(name) > 1
            while not again:
                sum(range(1000))
            return name
        options = {"thread": False}
    """,
}


@pytest.mark.parametrize("what", BODIES)
def test_a_body_is_stopped_and_runs_again(kernel, what):
    """A7: INTERRUPTED, not an error and not an attempt; the next run of the cell resumes."""
    name = f"body{list(BODIES).index(what)}"
    kernel.run("options = {}\n" + textwrap.dedent(BODIES[what])).check()
    kernel.run(f"""
        @client.job
        async def {name}(payload, io):
            await io.run_task("first", effect, "{name} first")
            return await io.run_task("long", body, "{name}", retry=5, **options)
    """).check()
    cell = interrupted(kernel, f"await {name}.run()", during=name)
    assert "INTERRUPTED" in cell.tree
    assert "trigger_nb" not in cell.traceback, "our frames are cut"
    assert status_of(kernel, name) == "'INTERRUPTED'"
    assert kernel.run(f"{name}.runs()[0].task('long').attempt").result == "1"
    again = kernel.run(f"await {name}.run()").check()
    assert again.result == repr(name)
    assert "COMPLETED" in again.tree
    assert kernel.effects.count(f"{name} first") == 1
    assert kernel.effects.count(name) == 2


@pytest.mark.parametrize("cell", ["await idle.run(display=False)", "await idle.start(display=False)"])
def test_an_idle_loop_is_woken(kernel, cell):
    """The kernel's own handler only acts when the loop next wakes; here nothing else would wake it."""
    kernel.run("""
        @client.job
        async def idle(payload, io):
            async def body():
                effect("idle")
                await asyncio.Event().wait()
            return await io.run_task("long", body)
    """).check()
    running = kernel.submit(f"effect('begins'); {cell}")
    kernel.pump(lambda: kernel.effects.count("idle") >= kernel.effects.count("begins") > 0)
    time.sleep(0.5)  # what the start of the run itself has scheduled is over
    running.interrupt().end()
    kernel.run("idle.runs()[0].cancel()").check()


def test_a_run_function_that_blocks_the_loop_is_stopped(kernel):
    kernel.run("""
        @client.job
        async def blocks(payload, io):
            await io.run_task("first", effect, "blocks first")
            if effect("blocks") == 1:
                time.sleep(3600)
            return "done"
    """).check()
    interrupted(kernel, "await blocks.run()", during="blocks")
    assert status_of(kernel, "blocks") == "'INTERRUPTED'"
    assert kernel.run("await blocks.run()").check().result == "'done'"
    assert kernel.effects.count("blocks first") == 1


@pytest.mark.parametrize("job", ["async def", "def"])
def test_a_body_in_a_thread_is_adopted_by_the_next_run(kernel, job):
    """A5: a thread cannot be stopped, so its body is not started a second time."""
    name = "thread_in_" + job.split()[0]
    await_ = "await " if job == "async def" else ""
    kernel.run(f"""
        def body():
            effect("{name}")
            until("go {name}")
            effect("{name} ended")
            return 42

        @client.job
        {job} {name}(payload, io):
            return {await_}io.run_task("long", body)
    """).check()
    interrupted(kernel, f"await {name}.run()", during=name)
    assert status_of(kernel, name) == "'INTERRUPTED'"
    again = kernel.submit(f"""
        async def adopted():
            while all(task.reason != "adopted" for task in {name}.runs()[0].tasks):
                await asyncio.sleep(0.01)
            effect("adopted by {name}")
        watching = asyncio.create_task(adopted())
        await {name}.run()
    """)
    kernel.until_effect(f"adopted by {name}")
    kernel.signal(f"go {name}")
    assert again.end().check().result == "42"
    assert [each for each in kernel.effects if each.startswith(name)] == [name, f"{name} ended"]


def test_bodies_that_wait_for_a_thread_never_begin(kernel):
    """A6: the button stops the other thousands, too."""
    kernel.run("""
        @client.job
        async def crowd(payload, io):
            def body(n):
                effect(f"crowd {n}")
                until("go crowd")
                return n
            return sum(await io.parallel("all", range(60), body))
    """).check()

    def bodies() -> list[str]:
        return [each for each in kernel.effects if each.startswith("crowd")]

    cell = kernel.submit("await crowd.run()")
    kernel.pump(lambda: len(bodies()) == 40)
    cell.interrupt().end()
    kernel.signal("go crowd")
    kernel.run("""
        while sum(task.status == "COMPLETED" for task in crowd.runs()[0].tasks) < 40:
            await asyncio.sleep(0.01)
    """).check()
    assert len(bodies()) == 40
    assert kernel.run("await crowd.run()").check().result == str(sum(range(60)))
    assert sorted(bodies()) == sorted(f"crowd {n}" for n in range(60))


def test_what_a_thread_brings_after_the_interrupt_is_kept(kernel):
    """A5: a thread's result is recorded when it comes, whoever still waits."""
    kernel.run("""
        def body():
            effect("late")
            until("go late")
            return [1, 2]

        @client.job
        async def late(payload, io):
            return await io.run_task("long", body)
    """).check()
    interrupted(kernel, "await late.run()", during="late")
    kernel.signal("go late")
    kernel.run("""
        while [str(task.status) for task in late.runs()[0].tasks] != ["COMPLETED"]:
            await asyncio.sleep(0.01)
    """).check()
    again = kernel.run("await late.run()").check()
    assert again.result == "[1, 2]"
    assert "replayed" in again.tree
    assert kernel.effects.count("late") == 1


@pytest.mark.parametrize("job", ["async def", "def"])
def test_a_wait_goes_on_with_what_is_left(kernel, job):
    """W1: the deadline is fixed when the wait is first reached; an interrupt does not move it."""
    name = "waits_in_" + job.split()[0]
    await_ = "await " if job == "async def" else ""
    kernel.run(f"""
        @client.job
        {job} {name}(payload, io):
            effect("{name}")
            {await_}io.wait("nap", minutes=10)
            return "awake"
    """).check()
    kernel.run(f"""
        def nap():
            return {name}.runs()[0].task("nap")
    """).check()
    cell = kernel.submit(f"await {name}.run()")
    kernel.pump(lambda: "WAITING" in str(cell.messages))
    cell.interrupt().end()
    assert status_of(kernel, name) == "'INTERRUPTED'"
    kernel.run("before = nap().next_at").check()
    again = kernel.submit(f"await {name}.run()")
    kernel.pump(lambda: "WAITING" in str(again.messages))
    again.interrupt().end()
    assert kernel.run("nap().next_at == before").result == "True"
    assert (
        kernel.run(f"{name}.runs()[0].skip_wait('nap'); await {name}.run(display=False)").result == "'awake'"
    )


def test_a_def_jobs_own_code_holds_no_cell(kernel):
    kernel.run("""
        @client.job
        def stubborn(payload, io):
            io.run_task("first", effect, "stubborn first")
            if effect("stubborn") == 1:
                until("go stubborn")
                try:
                    io.run_task("never", effect, "stubborn never")
                except BaseException as error:
                    effect("stubborn " + type(error).__name__)
                    raise
            return "done"
    """).check()
    interrupted(kernel, "await stubborn.run()", during="stubborn")
    assert status_of(kernel, "stubborn") == "'INTERRUPTED'"
    assert kernel.run("await stubborn.run()").check().result == "'done'"
    kernel.signal("go stubborn")
    kernel.until_effect("stubborn RunInterrupted")
    assert "stubborn never" not in kernel.effects, "W3: no io call of the interrupted pass does anything"


def test_code_that_swallows_the_cancellation_holds_no_cell(kernel):
    """A7: what is written about an interrupt is bounded."""
    kernel.run("""
        @client.job
        async def swallows(payload, io):
            async def body():
                try:
                    effect("swallows")
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    await asyncio.sleep(3600)
            await io.run_task("long", body)
    """).check()
    interrupted(kernel, "await swallows.run()", during="swallows")
    kernel.run("""
        while swallows.runs()[0].status != "INTERRUPTED":
            await asyncio.sleep(0.01)
    """).check()


SWALLOWS = """
    async def page(n):
        try:
            await asyncio.sleep(3600 if effect(f"page {n}") == 1 else 0)
            return {"page": n}
        except:  # "a page that fails is no page"
            return None

    @client.job
    async def crawl(payload, io):
        return await io.map("pages", range(4), page)
"""


@pytest.mark.parametrize("how", ["stop button", "restart from the menu"])
def test_what_a_body_makes_of_being_stopped_is_not_its_result(kernel, how):
    """W3: a bare `except` in a body; what was cut short runs again."""
    kernel.run('client = TriggerClient("swallows ' + how + '")', SWALLOWS).check()
    before = kernel.effects.count("page 3")
    cell = kernel.submit("await crawl.run()")
    kernel.pump(lambda: kernel.effects.count("page 3") > before)
    if how == "stop button":
        cell.interrupt().end()
    else:
        kernel.restart_from_menu()
        kernel.run('client = TriggerClient("swallows ' + how + '")', SWALLOWS).check()
    expected = str([{"page": n} for n in range(4)])
    assert kernel.run("await crawl.run()").check().result == expected


def test_runs_awaited_at_the_same_time_are_all_stopped(kernel):
    kernel.run("""
        @client.job
        async def several(payload, io):
            async def body(n):
                await asyncio.sleep(3600 if effect(f"several {n}") == 1 else 0)
                return n
            return await io.run_task("long", body, payload)
    """).check()
    cell = kernel.submit("await asyncio.gather(several.run(1), several.run(2))")
    kernel.until_effect("several 1")
    kernel.until_effect("several 2")
    cell.interrupt().end()
    assert (
        kernel.run("[str(run.status) for run in several.runs()]").result == "['INTERRUPTED', 'INTERRUPTED']"
    )
    assert kernel.run("await asyncio.gather(several.run(1), several.run(2))").check().result == "[1, 2]"


def test_a_child_run_stops_and_resumes_with_its_parent(kernel):
    """I8: `job.run()` inside a body is a run of its own."""
    kernel.run("""
        @client.job
        async def child(payload, io):
            async def body():
                await asyncio.sleep(3600 if effect("child") == 1 else 0)
                return payload + 1
            await io.run_task("first", effect, "child first")
            return await io.run_task("long", body)

        @client.job
        async def parent(payload, io):
            async def body():
                return await child.run(payload)
            return await io.run_task("calls", body)
    """).check()
    interrupted(kernel, "await parent.run(1)", during="child")
    assert status_of(kernel, "parent") == status_of(kernel, "child") == "'INTERRUPTED'"
    assert kernel.run("await parent.run(1)").check().result == "2"
    assert kernel.effects.count("child first") == 1


def waiting_job(name):
    """A cell with a job whose body waits until the file is there that the payload names."""
    return f"""
        @client.job
        async def {name}(payload, io):
            async def body():
                effect({name!r})
                while not os.path.exists(payload):
                    await asyncio.sleep(0.01)
                return "done"
            return await io.run_task("long", body)
    """


def test_whoever_merely_awaits_a_started_run_loses_only_the_wait(kernel):
    """A7."""
    kernel.run(waiting_job("background")).check()
    kernel.run(f"run = background.start({str(kernel.home / 'go background')!r})").check()
    kernel.until_effect("background")
    cell = interrupted(kernel, "effect('awaits it'); await run", during="awaits it")
    assert "continues; await it again" in cell.message
    assert "trigger_nb" not in cell.traceback
    assert kernel.run("str(run.status)").result == "'RUNNING'"
    joins = f"await background.run({str(kernel.home / 'go background')!r})"
    interrupted(kernel, f"effect('joins it'); {joins}", during="joins it")
    assert kernel.run("str(run.status)").result == "'RUNNING'"
    kernel.signal("go background")
    assert kernel.run("await run").check().result == "'done'"
    assert kernel.effects.count("background") == 1


def test_a_run_awaited_behind_the_cells_back_goes_on(kernel):
    """Only what the interrupted cell awaits is stopped, and its interrupt works as ever."""
    kernel.run(waiting_job("aside")).check()
    kernel.run("""
        async def wait_for_it():
            return await aside.run(payload, display=False)
    """).check()
    kernel.run(f"payload = {str(kernel.home / 'go aside')!r}; waiting = asyncio.create_task(wait_for_it())")
    cell = kernel.submit("effect('loops')\nwhile True: await asyncio.sleep(0.02)")
    kernel.until_effect("loops")
    assert cell.interrupt().end().error == "CancelledError"
    assert status_of(kernel, "aside") == "'RUNNING'"
    kernel.signal("go aside")
    assert kernel.run("await waiting").check().result == "'done'"


def test_afterwards_the_kernels_own_interrupt_works_as_before(kernel):
    kernel.run("""
        @client.job
        async def quick(payload, io):
            return await io.run_task("a", lambda: 1)
    """).check()
    seen = kernel.run("""
        import signal
        handlers = [signal.getsignal(signal.SIGINT)]
        await quick.run(fresh=True)
        handlers.append(signal.getsignal(signal.SIGINT))
        await asyncio.gather(quick.run(1), quick.run(2), quick.start(3))
        handlers.append(signal.getsignal(signal.SIGINT))
        [handler is handlers[0] for handler in handlers]
    """).check()
    assert seen.result == "[True, True, True]"
    cell = kernel.submit("effect('sleeps'); time.sleep(3600)")
    kernel.until_effect("sleeps")
    assert cell.interrupt().end().error == "KeyboardInterrupt"
    cell = kernel.submit("effect('sleeps on')\nwhile True: await asyncio.sleep(0.02)")
    kernel.until_effect("sleeps on")
    assert cell.interrupt().end().error == "CancelledError"


def test_started_again_while_it_is_being_stopped_it_begins_once_more(kernel):
    """The stop button, and the cell again at once: it does not get the end of the run before."""
    kernel.run("""
        @client.job
        async def again(payload, io):
            async def body():
                try:
                    await asyncio.sleep(3600 if effect("again") == 1 else 0)
                finally:
                    await asyncio.sleep(0.3)
                return "done"
            return await io.run_task("long", body)

        async def stop_and_run():
            run = again.start()
            while effect("looks") and os.path.exists("nothing") or "again" not in open(EFFECTS).read():
                await asyncio.sleep(0.01)
            run._execution.stop("interrupt")
            return await again.run(display=False)
    """).check()
    kernel.run(f"EFFECTS = {str(kernel.home / 'effects.txt')!r}").check()
    assert kernel.run("await stop_and_run()").check().result == "'done'"


def test_a_cancellation_reaches_whoever_cancelled(kernel):
    """Time limits around a wait know their own cancellation: asyncio's by count, anyio's by its message."""
    kernel.run("""
        import anyio

        @client.job
        async def limited(payload, io):
            async def body():
                await asyncio.sleep(3600 if effect("limited") <= 4 else 0)
                return "done"
            return await io.run_task("long", body)
    """).check()
    for wait in ("limited.run()", "limited.start()"):
        kernel.run(f"""
            with anyio.move_on_after(0.1) as scope:
                await {wait}
            assert scope.cancelled_caught
            try:
                async with asyncio.timeout(0.1):
                    await {wait}
            except TimeoutError:
                pass
            try:
                await asyncio.wait_for({wait}, 0.1)
            except TimeoutError:
                pass
            limited.runs()[0].cancel()
        """).check()


SCRIPT = """
import asyncio, os, signal, sys, threading, time
from trigger_nb import TriggerClient

client = TriggerClient("script", dir=sys.argv[1])

@client.job
async def slow(payload, io):
    async def body():
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        BLOCK
    await io.run_task("long", body)

async def main():
    await slow.run()

try:
    START
except KeyboardInterrupt:
    print("KeyboardInterrupt", client.runs()[0].status)
"""


@pytest.mark.parametrize("start", ["slow.run_sync()", "asyncio.run(main())", "asyncio.run(slow.run())"])
@pytest.mark.parametrize("block", ["await asyncio.sleep(3600)", "time.sleep(3600)"])
def test_in_a_script_control_c_is_a_keyboard_interrupt(tmp_path: Path, block: str, start: str):
    code = SCRIPT.replace("BLOCK", block).replace("START", start)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert done.stdout.split() == ["KeyboardInterrupt", "INTERRUPTED"], done.stderr


def test_a_run_that_is_queued_is_interrupted_and_leaves_the_line(kernel):
    """C4: an idle wait for a place ends as soon as any other, and the place is still there."""
    kernel.run("""
        gate = asyncio.Event()
        async def body(name):
            effect(name)
            await gate.wait()
            return name
        @client.job(concurrency_limit=1)
        async def queued(payload, io):
            return await io.run_task("body", body, payload)
        first = queued.start("first")
    """).check()
    kernel.until_effect("first")
    cell = kernel.submit('effect("submitted")\nawait queued.run("second")')
    kernel.until_effect("submitted")
    ended = cell.interrupt().end()
    assert ended.error == "CancelledError"
    assert status_of(kernel, "queued") == "'INTERRUPTED'"
    again = 'gate.set()\n(await first, await queued.run("third"), await queued.run("second"))'
    assert kernel.run(again).check().result == "('first', 'third', 'second')"
