"""The snapshot under a cell, right after the live widget: what a file keeps of a run (D4)."""

from __future__ import annotations

import re
import textwrap
import time

import nbformat
import papermill
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter, MarkdownExporter
from papermill import iorw

from tests.support.front import WIDGET
from tests.support.kernels import ROOT, TIMEOUT, Kernel


def display_messages(cell) -> list[dict]:
    """All snapshots."""
    shown = [m for m in cell.messages if m["msg_type"] in ("display_data", "update_display_data")]
    return [m for m in shown if WIDGET not in m["content"]["data"]]


def widgets_of(cell) -> list[dict]:
    """The widgets that a cell shows."""
    shown = [m["content"]["data"] for m in cell.messages if m["msg_type"] == "display_data"]
    return [data for data in shown if WIDGET in data]


def test_a_widget_and_its_snapshot_which_is_left(kernel):
    """D4: the file keeps `text/html` and `text/plain`."""
    kernel.run("""
        @client.job(name="Several steps")
        async def steps(payload, io):
            async def body(name):
                effect(f"steps {name}")
                while not os.path.exists(payload):
                    await asyncio.sleep(0.01)
                return name
            await io.run_task("first", body, "first", name="The first <step>")
            return "the output"
    """).check()
    cell = kernel.submit(f"await steps.run({str(kernel.home / 'go steps')!r})")
    kernel.until_effect("steps first")
    kernel.pump(lambda: display_messages(cell))
    (shown,) = display_messages(cell)
    assert [set(data) for data in widgets_of(cell)] == [{WIDGET, "text/plain"}]
    assert shown["msg_type"] == "display_data"
    assert set(shown["content"]["data"]) == {"text/html", "text/plain"}
    assert "RUNNING" in shown["content"]["data"]["text/html"]
    assert "RUNNING" in shown["content"]["data"]["text/plain"]
    kernel.signal("go steps")
    ended = cell.end().check()
    assert ended.result == "'the output'"
    assert {m["content"]["transient"]["display_id"] for m in display_messages(ended)} == {
        shown["content"]["transient"]["display_id"]
    }
    (left,) = ended.displays
    assert set(left) == {"text/html", "text/plain"}
    assert "<details" in left["text/html"]
    assert "COMPLETED" in left["text/html"]
    assert "The first &lt;step&gt;" in left["text/html"]
    assert "<script" not in left["text/html"]
    assert "✔ Several steps · COMPLETED" in left["text/plain"]
    assert "✔ The first <step>" in left["text/plain"]


def test_the_place_is_drawn_again_for_no_task(kernel):
    """D4: the snapshot is sent again at changes of the run's status, and each is small."""
    kernel.run("""
        @client.job
        async def many(payload, io):
            for n in range(3000):
                await io.run_task(("n", n), asyncio.sleep, 0)
    """).check()
    cell = kernel.run("await many.run()").check()
    *shown, left = display_messages(cell)
    assert len(shown) <= 4, "on a slow machine it is refreshed while it runs"
    assert all(len(each["content"]["data"]["text/html"]) < 100_000 for each in shown)
    assert len(left["content"]["data"]["text/html"]) < 400_000
    assert "3,000 completed" in cell.tree


def test_what_runs_in_the_background_is_followed_while_no_cell_runs(kernel):
    """The status that a reader without the widget sees is never an old one."""
    kernel.run("""
        @client.job
        async def aside(payload, io):
            def body(n):
                until(f"go aside {n}")
                return n
            await io.run_task(("n", 0), body, 0)
            await io.wait("wait", hours=1)
            await io.run_task(("n", 1), body, 1)
    """).check()
    cell = kernel.run("aside.start()").check()
    assert cell.result is None, "a cell that ends in job.start(...) shows one tree, not two"
    (shown,) = [m for m in display_messages(cell) if m["msg_type"] == "display_data"]
    display_id = shown["content"]["transient"]["display_id"]

    def drawn(text: str) -> bool:
        return any(
            text in m["content"]["data"]["text/plain"]
            for m in kernel.updates()
            if m["content"]["transient"]["display_id"] == display_id
        )

    kernel.signal("go aside 0")
    kernel.pump(lambda: drawn("WAITING"))
    kernel.run("aside.runs()[0].skip_wait('wait')").check()
    kernel.pump(lambda: drawn("RUNNING"))
    kernel.signal("go aside 1")
    kernel.pump(lambda: drawn("✔ aside · COMPLETED"))


def test_a_started_run_is_shown_once_wherever_it_stands_in_the_cell(kernel):
    kernel.run("@client.job\nasync def quick(payload, io): return await io.run_task('a', lambda: 1)").check()
    for code in ("run = quick.start()", "run = quick.start()\nrun", "run = quick.start(); await run; run"):
        cell = kernel.run(code).check()
        assert len(cell.displays) == len(widgets_of(cell)) == 1, code
        assert cell.result is None, code
    for code in ("run", "display(run)", "client.run(run.id)"):
        cell = kernel.run(code).check()
        assert "COMPLETED" in cell.tree, code
        assert cell.result is None, code
    assert "COMPLETED" in kernel.run("print(run.tree())").printed


def test_shown_twice_it_is_the_same_widget_and_both_places_are_left(kernel):
    """Any number of views of one run."""
    kernel.run("""
        @client.job
        async def seen_twice(payload, io):
            return await io.run_task("a", until, "go seen twice")
    """).check()
    cells = [kernel.run(code).check() for code in ("run = seen_twice.start()", "run")]
    ids = {display_messages(cell)[-1]["content"]["transient"]["display_id"] for cell in cells}
    assert len(ids) == 2
    first, second = [widgets_of(cell)[-1] for cell in cells]
    assert first == second
    before = len(kernel.updates())
    kernel.signal("go seen twice")
    kernel.run("await run").check()
    after = kernel.updates()[before:]
    assert {m["content"]["transient"]["display_id"] for m in after} == ids
    for message in after:
        assert set(message["content"]["data"]) == {"text/html", "text/plain"}
        assert "COMPLETED" in message["content"]["data"]["text/plain"]


def test_a_run_that_is_run_twice_in_a_cell_shows_both_endings(kernel):
    cell = kernel.run("""
        @client.job
        async def twice(payload, io):
            return await io.run_task("a", lambda: 1)
        await twice.run()
        await twice.run()
    """).check()
    drawn = {m["content"]["transient"]["display_id"]: m for m in display_messages(cell)}
    first, second = [m["content"]["data"]["text/plain"] for m in drawn.values()]
    assert "COMPLETED" in first
    assert "replayed" not in first
    assert "COMPLETED" in second
    assert "1 replayed" in second


def test_a_failed_run_shows_the_lines_to_type(kernel):
    kernel.run("""
        @client.job
        async def fails(payload, io):
            async def parent(io):
                await io.run_task("child", lambda: 1 / 0)
            await io.run_task("parent", parent)
    """).check()
    failed = kernel.run("run = fails.start()\nawait run")
    assert failed.error == "ZeroDivisionError"
    (left,) = failed.displays
    for kind in ("text/html", "text/plain"):
        assert "FAILED" in left[kind]
        assert "run.retry()" in left[kind]
        assert "ZeroDivisionError: division by zero" in left[kind]
    # The lines do what they say.
    line = re.search(r"run = client\.run\('run_\w+'\)", left["text/plain"])
    if line is not None:
        kernel.run(line.group()).check()
    kernel.run("run.retry()").check()
    assert kernel.run("await run").error == "ZeroDivisionError"
    assert kernel.run("run.rerun_from('parent/child'); await run").error == "ZeroDivisionError"


def test_an_interrupted_run_shows_how_to_go_on(kernel):
    kernel.run("""
        @client.job
        async def stops(payload, io):
            async def body():
                await asyncio.sleep(60 if effect("stops") == 1 else 0)
                return "done"
            return await io.run_task("long", body)
    """).check()
    cell = kernel.submit("await stops.run()")
    kernel.until_effect("stops")
    left = cell.interrupt().end()
    assert "INTERRUPTED" in left.tree
    assert "Continue where the run stopped" in left.tree
    assert "◐ long · unfinished" in left.tree
    assert "run the cell again to continue where it stopped" in left.message
    assert kernel.run("await stops.run()").check().result == "'done'"


@pytest.mark.parametrize(
    "code",
    ["await quiet.run(display=False)", "quiet.start(display=False)", "await hushed.run()", "hushed.start()"],
)
def test_without_display_nothing_is_shown(kernel, code):
    kernel.run("""
        silent = TriggerClient("silent", display=False)

        @client.job
        async def quiet(payload, io):
            return await io.run_task("a", lambda: 1)

        @silent.job
        async def hushed(payload, io):
            return await io.run_task("a", lambda: 1)
    """).check()
    cell = kernel.run(f"run = {code}").check()
    assert cell.displays == []


def test_jobs_started_by_an_event_show_their_trees(kernel):
    kernel.run("""
        from trigger_nb import event_trigger

        @client.job(trigger=event_trigger("new.user"))
        async def welcome(payload, io):
            return await io.run_task("a", lambda: "welcome " + payload["name"])

        @client.job(trigger=event_trigger("new.user"))
        async def record(payload, io):
            return await io.run_task("a", lambda: "recorded")
    """).check()
    cell = kernel.run("""
        event = await client.send_event("new.user", {"name": "Ana"})
        [await run for run in event.runs]
    """).check()
    assert cell.result == "['welcome Ana', 'recorded']"
    assert sorted(shown["text/plain"].split()[1] for shown in cell.displays) == ["record", "welcome"]
    assert all("COMPLETED" in shown["text/plain"] for shown in cell.displays)


def test_the_list_of_runs_is_a_table(kernel):
    kernel.run(
        "@client.job\nasync def listed(payload, io): return 1\nawait listed.run({'id': '<7>'})"
    ).check()
    cell = kernel.run("listed.runs()").check()
    (shown,) = cell.displays
    assert "<table>" in shown["text/html"]
    assert "&lt;7&gt;" in shown["text/html"]
    assert "COMPLETED" in shown["text/plain"]


@pytest.mark.parametrize(
    "function",
    [
        *(
            "_view.render.html.live",
            "_view.render.html.final",
            "_view.live.wire.row",
            "_view.live.wire.header",
        ),
        *("_view.render.text.tree", "_view.render.text.excerpt", "_view.live.stream.Stream"),
        *("_view.live.widget.LiveWidget", "_view.render.snapshot.bundle", "_view.render.snapshot.drawing"),
        *("_runs.showing.RunModel", "_runs.showing.RunDisplay", "_runs.showing.RunControls"),
    ],
)
def test_a_fault_in_drawing_harms_no_run(kernel, function):
    """D1: a rendering error never fails a run."""
    module, name = function.rsplit(".", 1)
    kernel.run(f"""
        import trigger_nb._view.live.widget
        import trigger_nb.{module} as module

        @client.job
        async def harmed(payload, io):
            await io.run_task("a", asyncio.sleep, 0.1)
            return "unharmed"

        before = module.{name}

        def broken(*_args, **_options):
            raise RuntimeError("nothing is drawn")

        module.{name} = broken
    """).check()
    cell = kernel.run("await harmed.run(fresh=True)")
    background = kernel.run("run = harmed.start(fresh=True)\nrun")
    waited = kernel.run("await run")
    kernel.run(f"module.{name} = before").check()
    assert cell.check().result == "'unharmed'"
    background.check()
    assert waited.check().result == "'unharmed'"
    assert "COMPLETED" in kernel.run("run").check().tree


def test_a_tree_printed_in_a_body_and_in_a_cell(kernel):
    kernel.run("""
        @client.job
        async def prints(payload, io):
            async def body():
                print("from the body")
            def thread():
                print("from the thread")
            await io.run_task("a", body)
            await io.run_task("b", thread)
            print("from the job")
    """).check()
    cell = kernel.run("await prints.run()").check()
    assert sorted(cell.printed.splitlines()) == ["from the body", "from the job", "from the thread"]


CELLS = [
    """
    import asyncio
    from trigger_nb import TriggerClient
    client = TriggerClient("saved")

    @client.job(name="A saved run")
    async def saved(payload, io):
        for n in range(5):
            await io.run_task(("step", n), asyncio.sleep, 0.02, name=f"Step number {n}")
        return {"answer": 42}
    """,
    "await saved.run()",
    """
    @client.job(name="A failing run")
    async def failing(payload, io):
        await io.run_task("divide", lambda: 1 / 0)

    try:
        await failing.run()
    except ZeroDivisionError:
        pass
    """,
    "run = saved.start(run_id='in-the-background')",
    "await run",
    "client.runs()",
    "'the last cell'",
]


def executed(directory, cells, gap: float = 0.0):
    """A notebook after a program has run it, which takes this long to save it after each cell (nbclient, papermill)."""
    kernel = Kernel(directory)  # for its environment alone
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(textwrap.dedent(code).strip()) for code in cells]
    )
    NotebookClient(
        notebook,
        timeout=TIMEOUT,
        resources={"metadata": {"path": str(directory)}},
        on_cell_executed=lambda **_: time.sleep(gap),
    ).execute(env=kernel.environment)
    path = directory / "notebook.ipynb"
    nbformat.write(notebook, path)
    return nbformat.read(path, as_version=4)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A notebook that was executed, saved and read again."""
    return executed(tmp_path_factory.mktemp("saved"), CELLS)


def trees(cell) -> list[str]:
    return [output.data["text/plain"] for output in cell.outputs if output.output_type == "display_data"]


def test_a_saved_notebook_holds_the_trees(saved):
    """D4: they survive saving and reopening without a kernel."""
    nbformat.validate(saved)
    (completed,) = trees(saved.cells[1])
    assert "✔ A saved run · COMPLETED" in completed
    assert "✔ Step number 4" in completed
    (failed,) = trees(saved.cells[2])
    assert "✘ A failing run · FAILED" in failed
    (background,) = trees(saved.cells[3])
    assert "✔ A saved run · COMPLETED" in background, "what ended in a later cell is replaced in its own"
    assert_static(saved)


WAITING = CELLS[0].replace("asyncio.sleep, 0.02", "asyncio.sleep, payload or 0.02")


@pytest.mark.parametrize(
    "cells",
    [
        pytest.param(["run = saved.start(60)\nrun.cancel()", "1"], id="last line"),
        pytest.param(["run = saved.start(60)\nrun.cancel()"], id="last line of the notebook"),
        pytest.param(["run = saved.start(60)", "run.cancel()"], id="a later cell, which is the last one"),
    ],
)
def test_a_run_that_a_cell_cancels_in_its_last_line_is_canceled_in_the_file(tmp_path, cells):
    """D4: it ends after the cell, when a program takes no update any more."""
    notebook = executed(tmp_path, [WAITING, *cells])
    (tree,) = trees(notebook.cells[1])
    assert "A saved run · CANCELED" in tree
    assert_static(notebook)


@pytest.mark.parametrize(("end", "status"), [("1", "COMPLETED"), ("1 / 0", "FAILED")])
def test_a_run_that_ends_between_two_cells_has_its_end_in_the_file(tmp_path, end, status):
    """D4: a program ignores what comes then; saving takes papermill a while."""
    job = f"""
        @client.job
        async def quick(payload, io):
            await io.run_task("a", asyncio.sleep, 0.1)
            return {end}
    """
    notebook = executed(tmp_path, [CELLS[0], job, "run = quick.start()", "run", "1"], gap=1.0)
    for cell in (2, 3):
        (tree,) = trees(notebook.cells[cell])
        assert f"quick · {status}" in tree
    assert_static(notebook)


def test_a_run_that_goes_on_when_the_program_ends_says_when_it_was_seen(tmp_path):
    notebook = executed(tmp_path, [WAITING, "run = saved.start(60)", "1"])
    (tree,) = trees(notebook.cells[1])
    assert "A saved run · RUNNING" in tree
    assert re.search(r"Last seen running at \S+ \S+ UTC", tree)
    assert_static(notebook)


def assert_static(notebook) -> None:
    """No widget, and no rule that hides anything."""
    for cell in notebook.cells:
        for output in cell.outputs:
            assert WIDGET not in output.get("data", {})
            assert "tnb-fallback" not in output.get("data", {}).get("text/html", "")


def test_papermill_with_slow_saves(tmp_path):
    """D4: it saves the notebook after each cell, and takes its outputs from the kernel while a cell runs only."""

    class Slow(iorw.LocalHandler):
        def write(self, text, path):
            time.sleep(0.5)
            return super().write(text, path)

    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(code) for code in [textwrap.dedent(CELLS[0]), *CELLS[3:5]]],
        metadata={"kernelspec": {"name": "python3", "display_name": "", "language": "python"}},
    )
    nbformat.write(notebook, tmp_path / "in.ipynb")
    iorw.papermill_io._handlers.insert(0, (str(tmp_path), Slow()))
    papermill.execute_notebook(
        tmp_path / "in.ipynb", tmp_path / "out.ipynb", progress_bar=False, cwd=tmp_path
    )
    done = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    (tree,) = trees(done.cells[1])
    assert "A saved run · COMPLETED" in tree
    assert_static(done)


def test_nbconvert_makes_pages_of_it(saved):
    page, _ = HTMLExporter().from_notebook_node(saved)
    assert page.count("A saved run") >= 2
    assert "Step number 4" in page
    assert "<details" in page
    markdown, _ = MarkdownExporter().from_notebook_node(saved)
    assert "Step number 4" in markdown
    assert not re.search(r"\n\s*\n", re.search(r'<div class="tnb.*?</style>', markdown, re.DOTALL).group()), (
        "a blank line would end the HTML in Markdown"
    )


def test_it_is_readable_with_every_style_stripped(saved):
    """As GitHub shows it."""
    shown = saved.cells[1].outputs[0].data["text/html"]
    plain = re.sub(r"<style>.*?</style>", "", shown, flags=re.DOTALL)
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", plain))
    assert "A saved run" in words
    assert "COMPLETED" in words
    assert "Step number 0" in words
    assert "<script" not in shown


def test_outside_a_notebook_the_tree_is_text(tmp_path):
    import subprocess
    import sys

    code = (
        "from trigger_nb import TriggerClient\n"
        "client = TriggerClient('script')\n"
        "@client.job\n"
        "def script(payload, io): return io.run_task('a', lambda: 1)\n"
        "assert script.run_sync() == 1\n"
        "print(script.runs()[0].tree())\n"
        "print(client.runs())\n"
        "import sys; assert 'IPython' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "✔ script · COMPLETED" in done.stdout
