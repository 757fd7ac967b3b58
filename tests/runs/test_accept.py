"""Issue 15, Accept: a change of code or params is taken as none; the mark goes, and nothing runs."""

from __future__ import annotations

import importlib
import sys

import pytest

from tests.support.worlds import World
from trigger_nb._redact import secrets
from trigger_nb.errors import NotFoundError, RunStateError

PROMPT = "Summarize"
API_KEY = ""


def connect(api_key):
    return str(api_key)


def label(text):
    return f"{PROMPT}: {text}"


def labels(world, *, body=None, params=("a", "b"), **options):
    """A job that maps a body over texts."""

    def noting(text):
        world.note(text)
        return (body or label)(text)

    noting.__wrapped__ = body or label

    @world.job(id="job", **options)
    def job(payload, io):
        return (yield io.map("label", params, noting))

    return job


def marks(job):
    """The tasks that the last pass marks as changed, with what has changed."""
    run = job.runs()[0]
    return {row.path: row.difference for row in run.model().root.walk() if row.changed}


def test_a_change_of_a_global_is_named_and_accepted(world, monkeypatch):
    """The mark goes, nothing runs, the result stays, and a new kernel has no mark either."""
    job = labels(world)
    assert world.run(job) == ["Summarize: a", "Summarize: b"]
    world.take()
    monkeypatch.setitem(globals(), "PROMPT", "Shorten")
    assert world.run(job) == ["Summarize: a", "Summarize: b"]
    assert set(marks(job)) == {"label/a", "label/b"}
    assert all("global PROMPT" in what for what in marks(job).values())
    run = world.last(job)
    assert run.accept() is run
    assert marks(job) == {}
    assert "changed" not in run.tree()
    for _ in range(2):
        assert world.run(job, on_change="only") == ["Summarize: a", "Summarize: b"]
        assert marks(job) == {}
        world.new_kernel()
        job = labels(world)
    assert world.take() == []


def test_the_difference_of_the_source_is_shown(world, monkeypatch, tmp_path):
    """Of a global: in the details, in the HTML, and as `run.task(path).diff`; in a new kernel too."""
    world.run(labels(world))
    world.new_kernel()
    monkeypatch.setitem(globals(), "PROMPT", "Shorten")
    job = labels(world)
    world.run(job)
    run = world.last(job)
    task = run.task(["label", "a"])
    assert task.diff == "-PROMPT = 'Summarize'\n+PROMPT = 'Shorten'"
    assert "global PROMPT" in task.changed
    page = run.export_html(tmp_path / "run.html").read_text(encoding="utf-8")
    assert "PROMPT = &#x27;Shorten&#x27;" in page
    run.accept()
    task = run.task(["label", "a"])
    assert (task.diff, task.changed) == ("", "")
    monkeypatch.setitem(globals(), "PROMPT", "Expand")
    world.run(job)
    assert run.task(["label", "a"]).diff == "-PROMPT = 'Shorten'\n+PROMPT = 'Expand'"


def test_the_difference_of_a_function_shows_the_lines_around(world, tmp_path, monkeypatch):
    """Of a module beside the notebook, which is edited."""
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    file = tmp_path / "helpers_of_accept.py"
    text = "def double(number):\n    # twice\n    factor = 2\n    return number * factor\n"
    file.write_text(text)
    helpers = importlib.import_module("helpers_of_accept")
    try:

        @world.job
        def job(payload, io):
            return (yield io.run_task("double", helpers.double, 4))

        assert world.run(job) == 8
        file.write_text(text.replace("factor = 2", "factor = 20"))
        importlib.reload(helpers)
        assert world.run(job) == 8
        task = world.last(job).task("double")
        assert "-    factor = 2\n+    factor = 20" in task.diff
        assert " def double(number):" in task.diff
        assert "function double" in task.changed
    finally:
        del sys.modules["helpers_of_accept"]


def test_sources_are_kept_once_for_each_version_and_go_with_the_run(world, monkeypatch):
    job = labels(world)
    world.run(job)
    run = world.last(job)
    store = world.client.runtime.store
    assert len(store.select(f"kv/source/{run.id}")) == 1
    monkeypatch.setitem(globals(), "PROMPT", "Shorten")
    world.run(job, on_change="only")
    world.run(job, on_change="only")
    assert len(store.select(f"kv/source/{run.id}")) == 2
    fork = run.fork(["label", "a"])
    assert len(store.select(f"kv/source/{fork.id}")) == 2
    run.delete()
    assert store.select(f"kv/source/{run.id}") == []


def test_a_credential_in_the_code_is_not_stored(world, monkeypatch):
    """S8: one that is known, and whatever a global of such a name holds."""
    secrets.add("sk-known-0123456789")
    monkeypatch.setitem(globals(), "PROMPT", "uses sk-known-0123456789")
    monkeypatch.setitem(globals(), "API_KEY", "canary-in-a-global")

    def ask(text, *, token="canary-of-a-default"):
        headers = {"authorization": f"Bearer canary-{text}", "accept": "json"}
        password = "canary-é-of-a-name"
        return len(f"{PROMPT} {API_KEY} {headers} {password} {connect(api_key='canary-of-a-call')}")

    job = labels(world, body=ask)
    world.run(job)
    (row,) = world.client.runtime.store.select(f"kv/source/{world.last(job).id}")
    assert "sk-known" not in row[1]
    assert "canary" not in row[1]
    assert "PROMPT = " in row[1]
    assert r"\"accept\": \"json\"" in row[1]


def test_the_next_change_is_a_change_again(world, monkeypatch):
    """And it is named, too: the parts of the accepted code are kept."""
    job = labels(world)
    world.run(job)
    monkeypatch.setitem(globals(), "PROMPT", "Shorten")
    world.run(job)
    world.last(job).accept()
    monkeypatch.setitem(globals(), "PROMPT", "Expand")
    world.take()
    world.run(job)
    assert all("global PROMPT" in what for what in marks(job).values())
    assert len(marks(job)) == 2
    monkeypatch.setitem(globals(), "PROMPT", "Shorten")
    world.run(job)
    assert marks(job) == {}


def test_one_task_is_accepted_by_its_path(world, monkeypatch):
    job = labels(world)
    world.run(job)
    monkeypatch.setitem(globals(), "PROMPT", "Shorten")
    world.run(job)
    world.take()
    run = world.last(job).accept(["label", "a"])
    assert set(marks(job)) == {"label/b"}
    assert world.run(job, on_change="only") == ["Summarize: a", "Shorten: b"]
    assert world.take() == ["b"]
    assert run.accept(["label", "a"]) is run
    with pytest.raises(NotFoundError):
        run.accept("nothing")


def test_it_needs_no_pass_since_the_edit(world, monkeypatch):
    """Accepted before the cell is run: then nothing runs again, whatever `on_change=` says, and nothing is marked."""
    world.run(labels(world, on_change="rerun"))
    world.new_kernel()
    monkeypatch.setitem(globals(), "PROMPT", "Shorten")
    job = labels(world, on_change="rerun")
    world.take()
    world.last(job).accept()
    assert world.run(job) == ["Summarize: a", "Summarize: b"]
    assert world.take() == []
    assert marks(job) == {}


def test_changed_params_are_accepted(world):
    """Also of several tasks in a row, of which each would run again."""
    given = {"a": 1}

    @world.job(on_change="only")
    def job(payload, io):
        one = yield io.run_task("one", world.body(lambda given: given["a"], note="one"), dict(given))
        return (yield io.run_task("two", world.body(lambda one, a: one + a, note="two"), one, given["a"]))

    assert world.run(job) == 2
    world.take()
    given["a"] = 5
    assert {task.key for task in job.plan().runs} == {"one"}
    world.last(job).accept()
    assert job.plan().ends == "complete"
    assert world.run(job) == 2
    assert world.take() == []


def nested(world, factor):
    def inner():
        world.note("inner")
        return factor()

    inner.__wrapped__ = factor
    inner.__name__ = inner.__qualname__ = "inner_of_test"
    globals()["inner_of_test"] = inner
    inner.__module__ = __name__

    def outer(io):
        return (yield io.run_task("inner", inner))

    body = world.body(outer)

    @world.job(id="job")
    def job(payload, io):
        return (yield io.run_task("outer", body))

    return job


def test_a_changed_subtask_is_accepted_with_the_mark_of_its_parent(world):
    """R6: the parent was marked for its sake."""
    assert world.run(nested(world, lambda: 1)) == 1
    job = nested(world, lambda: 2)
    assert world.run(job) == 1
    assert marks(job)["outer"].startswith("subtask")
    world.take()
    world.last(job).accept("outer")
    assert marks(job) == {}
    world.new_kernel()
    job = nested(world, lambda: 2)
    assert world.run(job, on_change="only") == 1
    assert world.take() == []
    job = nested(world, lambda: 3)
    assert world.run(job, on_change="only") == 3


def test_nothing_that_has_not_changed_is_written(world):
    job = labels(world)
    world.run(job)
    run = world.last(job)
    before = dict(world.client.runtime.store.select(run.id))
    run.accept()
    assert dict(world.client.runtime.store.select(run.id)) == before


def test_long_values_and_files_stay(world, monkeypatch):
    """The records are written again with their values."""
    job = labels(world, body=lambda text: PROMPT + text * 50_000)
    before = world.run(job)
    monkeypatch.setitem(globals(), "PROMPT", "Shorten")
    job = labels(world, body=lambda text: PROMPT + text * 50_000)
    world.run(job)
    world.last(job).accept()
    world.new_kernel()
    job = labels(world, body=lambda text: PROMPT + text * 50_000)
    assert world.run(job, on_change="only") == before


def test_without_the_job_the_message_names_it(world):
    job = labels(world)
    world.run(job)
    run_id = world.last(job).id
    world.new_kernel()
    with pytest.raises(NotFoundError, match="job 'job' of run .* is not defined"):
        world.client.run(run_id).accept()


@pytest.mark.anyio
async def test_a_run_under_way_is_refused(tmp_path):
    """Its pass has the fingerprints in memory."""
    world = World(tmp_path)

    @world.client.job
    async def job(payload, io):
        await io.wait("w", days=1)

    run = job.start(display=False)
    with pytest.raises(RunStateError, match=r"pause\(\) it first"):
        run.accept()
    run.cancel()
