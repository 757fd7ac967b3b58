"""Issue 15, A failed task in a cell, in a real kernel: `breakpoint()`, `%debug`, and a run that is mended by hand."""

from __future__ import annotations

import pytest

from tests.support.kernels import kernel_in

CRAWL = """
    client = TriggerClient("tests")

    def fetch(page):
        effect("fetch " + page["url"])
        title = page["title"]
        return title.upper()

    @client.job
    async def crawl(payload, io):
        pages = [{"url": "a", "title": "one"}, {"url": "b"}, {"url": "c", "title": "three"}]
        titles = await io.map("fetch", pages, fetch, item_key=lambda page: page["url"])
        return await io.run_task("join", lambda titles: "-".join(titles), titles)
"""
EDITED = """
    def fetch(page):
        effect("edited " + page["url"])
        return page.get("title", "none").upper()
"""


@pytest.fixture
def nb(tmp_path):
    with kernel_in(tmp_path / "nb") as kernel:
        yield kernel


def test_a_failed_item_is_opened_and_mended_by_hand_in_a_new_kernel(nb):
    """The run goes on, no completed item runs again, and its record says that a person set it."""
    nb.run(CRAWL).check()
    assert "MapError" in nb.run("await crawl.run()").complained
    nb.restart()
    nb.run(CRAWL).check()
    nb.run('run = crawl.runs()[0]; task = run.task(["fetch", "b"])').check()
    assert nb.run("task.inputs.args").check().result == "({'url': 'b'},)"
    before = len(nb.effects)
    assert nb.run("task.call()").error == "KeyError"
    nb.run(EDITED).check()
    assert nb.run('run.task(["fetch", "b"]).call()').check().result == "'NONE'"
    assert nb.effects[before:] == ["fetch b", "edited b"]
    nb.run('run.set_output(["fetch", "b"], "TYPED")').check()
    nb.restart()
    nb.run(CRAWL).check()
    cell = nb.run("run = crawl.runs()[0]; run.retry(); print(await run)").check()
    assert "ONE-TYPED-THREE" in cell.printed
    assert "set by hand" in nb.run("print(run.tree())").check().printed
    assert nb.run('run.task(["fetch", "b"]).set_by_hand is not None').check().result == "True"
    assert nb.effects[before:] == ["fetch b", "edited b"]


def test_breakpoint_and_debug_look_into_the_body(nb):
    """The body runs on the kernel's main thread, in the cell."""
    nb.run(CRAWL).check()
    assert "MapError" in nb.run("await crawl.run()").complained
    nb.run('task = crawl.runs()[0].task(["fetch", "b"])').check()
    cell = nb.run("task.call()")
    assert cell.error == "KeyError"
    assert "title = page[" in cell.traceback
    running = nb.submit("%debug")
    assert "ipdb" in nb.question()
    nb.client.input("p page, page.get('title')")
    assert "ipdb" in nb.question()
    nb.client.input("q")
    assert "({'url': 'b'}, None)" in running.end().printed
    nb.run("""
        import sys
        sys.breakpointhook = sys.__breakpointhook__  # that of the kernel needs the debugger of a front end

        def fetch(page):
            breakpoint()
            return "seen " + page["url"]
    """).check()
    running = nb.submit("print(task.call())")
    assert "pdb" in nb.question().lower()
    nb.client.input("p page['url']")
    nb.question()
    nb.client.input("c")
    printed = running.end().check().printed
    assert "'b'" in printed
    assert "seen b" in printed


def test_an_async_body_is_awaited_in_the_cell(nb):
    nb.run("""
        client = TriggerClient("tests")
        calls = []

        async def ask(question):
            await asyncio.sleep(0)
            calls.append(question)
            if len(calls) == 1:
                raise ValueError("busy")
            return "answer to " + question

        @client.job
        async def asking(payload, io):
            return await io.run_task("ask", ask, "why")
    """).check()
    assert nb.run("await asking.run()").error == "ValueError"
    assert nb.run('await asking.runs()[0].task("ask").call()').check().result == "'answer to why'"


def test_another_kernel_that_drives_the_run_is_not_disturbed(nb, tmp_path):
    """C5: `set_output` is refused, and names the holder."""
    nb.run("""
        client = TriggerClient("tests")

        @client.job
        async def slow(payload, io):
            await io.run_task("first", effect, "first")
            await io.run_task("second", until, "go")
            return "done"

        run = slow.start(display=False)
    """).check()
    nb.until_effect("first")
    with kernel_in(tmp_path / "nb") as other:
        other.run('run = TriggerClient("tests").runs()[0]').check()
        assert other.run('run.set_output("first", 1)').error == "RunLockedError"
        assert other.run("run.accept()").error == "RunStateError"
    nb.signal("go")
    assert nb.run("await run").check().result == "'done'"


def test_an_accepted_change_stays_accepted_in_a_new_kernel(nb):
    """The mark names what has changed, and goes."""
    cells = """
        client = TriggerClient("tests")
        PROMPT = {prompt!r}

        def label(text):
            return effect(PROMPT + text)

        @client.job
        async def labels(payload, io):
            return await io.map("label", ["a", "b"], label)
    """
    nb.run(cells.format(prompt="Old ")).check()
    nb.run("await labels.run()").check()
    nb.run(cells.format(prompt="New ")).check()
    nb.run("await labels.run()").check()
    tree = nb.run("run = labels.runs()[0]; print(run.tree())").check().printed
    assert "changed: code" in tree
    assert "global PROMPT" in tree
    diff = nb.run("print(run.task(['label', 'a']).diff)").check().printed
    assert diff == "-PROMPT = 'Old '\n+PROMPT = 'New '\n"
    tree = nb.run("run.accept(); print(run.tree())").check().printed
    assert "changed" not in tree
    nb.restart()
    nb.run(cells.format(prompt="New ")).check()
    nb.run("await labels.run(on_change='only')").check()
    assert "changed" not in nb.run("print(labels.runs()[0].tree())").check().printed
    assert nb.effects == ["Old a", "Old b"]
