"""What bodies print and log, in a real kernel: under the cell as ever, and kept with the task (issue 3, cell prints)."""

from __future__ import annotations

import pytest

from tests.support.kernels import kernel_in


@pytest.fixture
def kernel(kernel):
    kernel.run("import logging, sys, warnings").check()
    return kernel


def prints(kernel, name, path="task"):
    """What is kept of a task of the run that was made last."""
    return eval(kernel.run(f"{name}.runs()[0].task({path!r}).prints").check().result)


BODIES = """
    @client.job
    async def kinds(payload, io):
        async def coroutine():
            print("async")
            await asyncio.sleep(0)
            print("to stderr", file=sys.stderr)
            await asyncio.to_thread(print, "in a thread")
            return 1

        def function():
            print("def")
            warnings.warn("careful")
            return 2

        print("of the job")
        return await io.run_task("a", coroutine) + await io.run_task("b", function)
"""


def test_prints_of_every_kind_of_body(kernel):
    """Issue 3: shown under the cell as well, kept with the task, and not repeated on replay (R1)."""
    kernel.run(BODIES).check()
    first = kernel.run("await kinds.run()").check()
    assert first.printed == "of the job\nasync\nin a thread\ndef\n"
    assert first.complained.startswith("to stderr\n")
    assert "UserWarning: careful" in first.complained
    assert prints(kernel, "kinds", "a") == "async\nto stderr\nin a thread\n"
    assert prints(kernel, "kinds", "b").startswith("def\n")
    assert "UserWarning: careful" in prints(kernel, "kinds", "b")
    again = kernel.run("await kinds.run()").check()
    assert again.printed == "of the job\n"
    assert again.complained == ""
    assert prints(kernel, "kinds", "a") == "async\nto stderr\nin a thread\n"


def test_what_remains_shows_them(kernel):
    """D4: the static HTML has them in the task's details."""
    kernel.run(
        """
        @client.job
        async def remains(payload, io):
            await io.run_task("task", print, "for <b>all</b> to see")
        """
    ).check()
    (shown,) = kernel.run("await remains.run()").check().displays
    assert "for &lt;b&gt;all&lt;/b&gt; to see" in shown["text/html"]


def test_logging_as_a_notebook_uses_it(kernel):
    """Without configuration, then with `basicConfig` in a later cell, which still does its work."""
    kernel.run(
        """
        @client.job
        async def logs(payload, io):
            def body():
                logging.getLogger("shop").warning("seen")
                logging.getLogger("shop").info("perhaps")
            await io.run_task("task", body)
        """
    ).check()
    assert kernel.run("await logs.run(1)").check().complained == "seen\n"
    assert prints(kernel, "logs") == "WARNING:shop:seen\n"
    kernel.run('logging.basicConfig(level="INFO", format="%(message)s!")').check()
    began, *inner, ended = kernel.run("await logs.run(2)").check().complained.splitlines()
    assert inner == ["seen!", "perhaps!"]
    assert "of job logs begins" in began  # the logger `trigger_nb.run`
    assert "is COMPLETED" in ended
    assert prints(kernel, "logs") == "WARNING:shop:seen\nINFO:shop:perhaps\n"
    kernel.run("logging.root.handlers.clear(); logging.root.setLevel('WARNING')").check()
    kernel.run("await logs.run(3)").check()
    assert kernel.run("len(logging.root.handlers)").result == "0"
    kernel.run(
        """
        @client.job
        async def plain(payload, io):
            await io.run_task("task", lambda: logging.warning("the one that configures by itself"))
        """
    ).check()
    shown = kernel.run("await plain.run()").check().complained
    assert shown == prints(kernel, "plain") == "WARNING:root:the one that configures by itself\n"


def test_captures_of_the_notebook(kernel):
    """`%%capture` around a run and `redirect_stdout` in a body get what they would have got."""
    kernel.run(
        """
        import contextlib, io as files

        @client.job
        async def captured(payload, io):
            def body():
                print("a")
                with contextlib.redirect_stdout(files.StringIO()) as into:
                    print("b")
                print("c")
                return into.getvalue()
            return await io.run_task("task", body)
        """
    ).check()
    kernel.run(
        """
        from IPython.utils.capture import capture_output  # what %%capture is made of; that takes no await

        with capture_output() as caught:
            output = await captured.run(display=False)
        """
    ).check()
    assert kernel.run("caught.stdout, output").check().result == r"('a\nc\n', 'b\n')"
    assert prints(kernel, "captured") == "a\nc\n"
    assert kernel.run("await captured.run(fresh=True)").check().printed == "a\nc\n"
    assert prints(kernel, "captured") == "a\nc\n"


def test_nothing_is_left_behind(kernel):
    """The streams of the kernel are what they were, during a run and after it; IPython patches them, too."""
    look = "(sys.stdout, sys.stderr, logging.Logger.callHandlers, type(sys.stdout.write), type(sys.stderr.write))"
    kernel.run(
        f"""
        @client.job
        async def tidy(payload, io):
            return await io.run_task("task", lambda: (sys.stdout, sys.stderr) == before[:2])

        await asyncio.sleep(0)
        before = {look}
        """
    ).check()
    assert kernel.run("await tidy.run()").check().result == "True"
    assert kernel.run(f"await asyncio.sleep(0)\nbefore == {look}").check().result == "True"
    kernel.run("tidy.start(fresh=True)").check()
    assert kernel.run(f"await tidy.runs()[0]\nbefore == {look}").check().result == "True"


def test_a_progress_bar_is_kept_as_it_was_left(kernel):
    """What a bar writes over and over is one line."""
    kernel.run(
        """
        @client.job
        async def bar(payload, io):
            def body():
                for n in range(501):
                    print(f"\\r{n / 5:.0f}%", end="", file=sys.stderr, flush=n % 100 == 0)
                print(file=sys.stderr)
            await io.run_task("task", body)
        """
    ).check()
    assert kernel.run("await bar.run()").check().complained.count("\r") == 501
    assert prints(kernel, "bar") == "100%\n"


def test_a_background_run_prints_while_other_cells_run(kernel):
    """C6: also under `%%capture`, in whatever cell a body happens to print."""
    kernel.run(
        """
        @client.job
        async def background(payload, io):
            async def body():
                print("first")
                effect("background printed")
                await asyncio.to_thread(until, "captured")
                print("second")
            await io.run_task("task", body)

        run = background.start()
        """
    ).check()
    kernel.until_effect("background printed")
    kernel.run("%%capture caught\nprint('mine')").check()
    assert kernel.run("caught.stdout").check().result == r"'mine\n'"
    assert prints(kernel, "background") == "first\n"
    kernel.signal("captured")
    kernel.run("await run").check()
    assert prints(kernel, "background") == "first\nsecond\n"


def test_a_crash_in_the_middle_of_a_body(tmp_path):
    """R3: what is committed is kept with its prints; the body that was cut short prints anew."""
    cells = """
        client = TriggerClient("tests")

        @client.job
        async def crashes(payload, io):
            await io.run_task("whole", print, "whole")
            def cut():
                print("call", effect("cut"))
                if effect("again") == 1:
                    until("the end of time")
            await io.run_task("cut", cut)
    """
    with kernel_in(tmp_path / "nb") as kernel:
        kernel.run(cells).check()
        kernel.submit("await crashes.run()")
        kernel.until_effect("again")
        kernel.restart().run(cells).check()
        assert prints(kernel, "crashes", "whole") == "whole\n"
        assert kernel.run("await crashes.run()").check().printed == "call 2\n"
        assert prints(kernel, "crashes", "whole") == "whole\n"
        assert prints(kernel, "crashes", "cut") == "call 2\n"


def test_a_flood_of_prints(kernel):
    """Issue 3: bounded, and the body's own time stays what it was, more or less."""
    kernel.run(
        """
        from unittest.mock import patch

        @client.job
        async def flood(payload, io):
            def body():
                for _ in range(20_000):
                    print("x" * 99)
                print("the end")
            await io.run_task("task", body)
        """
    ).check()
    kernel.run(
        "import io as files, contextlib\nwith contextlib.redirect_stdout(files.StringIO()): await flood.run()"
    ).check()
    kept = prints(kernel, "flood")
    assert len(kept) < 17_000
    assert kept.startswith("x" * 99 + "\nxx")
    assert "… 1,984,008 characters left out …" in kept
    assert kept.endswith("x\nthe end\n")
