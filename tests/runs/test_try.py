"""Issue 15, Try before you run: today's body on stored arguments, old and new side by side; nothing is recorded."""

from __future__ import annotations

import asyncio
import re

import pytest

from tests.support.plans import rows
from trigger_nb import TaskStatus
from trigger_nb.errors import (
    InputsNotKeptError,
    InvalidOptionError,
    NotFoundError,
    RunStateError,
    UsageError,
)

PROMPT = "Summary"
CALLS: list[str] = []


@pytest.fixture(autouse=True)
def _prompt(monkeypatch):
    monkeypatch.setitem(globals(), "PROMPT", "Summary")
    CALLS.clear()


def summarize(text):
    CALLS.append(text)
    if text == "bad":
        raise ValueError("no text")
    return {"text": f"{PROMPT} of {text}", "usage": {"total_tokens": 10}}


def edited(monkeypatch):
    monkeypatch.setitem(globals(), "PROMPT", "Gist")
    CALLS.clear()


def summaries(world, texts=("a", "b", "c", "d"), body=summarize, **options):
    options.setdefault("return_errors", True)

    @world.job(id="job")
    def job(payload, io):
        given = yield io.run_task("texts", world.noting("texts", list(texts)))
        found = yield io.map("summarize", given, body, **options)
        return (yield io.run_task("count", world.noting("count", len(found))))

    return job


def finished(trial):
    """The try-out when its calls have ended: in these tests no loop runs when it begins."""
    assert trial._over
    return trial


def test_old_and_new_are_side_by_side_and_nothing_is_recorded(world, monkeypatch):
    """R6: the edited body is called, its results are shown beside the stored ones, and the store stays as it was."""
    job = summaries(world)
    world.run(job)
    edited(monkeypatch)
    before, run = rows(world), world.last(job)
    trial = finished(run.try_map("summarize", n=3))
    assert rows(world) == before
    assert len(trial) == len(list(trial)) == 3
    assert sorted(CALLS) == sorted(each.name for each in trial)
    for each in trial:
        assert each.old["text"] == f"Summary of {each.name}"
        assert each.new["text"] == f"Gist of {each.name}"
        assert each.differs
        assert each.usage == {"total_tokens": 10}
    assert trial.forecast.items == 4
    assert trial.forecast.usage == {"total_tokens": 40}
    text = repr(trial)
    assert "3 of 4 items of 'summarize' tried, nothing recorded: 3 differ" in text
    assert re.search(r'- .*"Summary of', text)
    assert re.search(r'\+ .*"Gist of', text)
    assert "40 total_tokens" in text
    page = trial._repr_html_()
    assert "<del>Summary</del>" in page
    assert "<ins>Gist</ins>" in page


def test_the_seed_chooses_the_items_and_failures_come_first_when_asked(world):
    texts = [*(f"text {number}" for number in range(30)), "bad"]
    job = summaries(world, texts, concurrency=5)
    world.run(job)
    run = world.last(job)

    def names(**options):
        return [each.name for each in run.try_map("summarize", 4, **options)]

    assert names() == names(seed=0) != names(seed=1)
    assert "bad" in names(failures_first=True, seed=1)
    (failed,) = [each for each in run.try_map("summarize", 4, failures_first=True) if each.name == "bad"]
    assert isinstance(failed.old_error, ValueError)
    assert isinstance(failed.new_error, ValueError)
    assert not failed.differs


def test_all_runs_what_other_code_made_and_what_follows(world, monkeypatch):
    """R9: as with `rerun_from`, with new idempotency keys; what today's code has made stays."""
    job = summaries(world)
    world.run(job)
    edited(monkeypatch)

    async def go():
        run = world.last(job)
        trial = await run.try_map("summarize", 1)
        await trial.only()
        (tried,) = trial
        assert [call for call in CALLS if call != tried.name] == []
        assert run.task(["summarize", tried.name]).output["text"] == f"Gist of {tried.name}"
        CALLS.clear()
        world.take()
        await (await run.try_map("summarize", 1)).all()
        return run, tried.name

    run, first = asyncio.run(go())
    again = CALLS[1:]  # after that of the try-out
    assert sorted(again) == sorted({"a", "b", "c", "d"} - {first})
    assert [task.output["text"] for task in run.tasks if task.path.startswith("summarize/")] == [
        f"Gist of {text}" for text in "abcd"
    ]
    assert world.take() == ["count"]
    trial = run.try_map("summarize", 2)
    with pytest.raises(RunStateError, match=r"run\.rerun_from\('summarize'\)"):
        trial.all()


def test_accept_old_keeps_the_results_without_a_mark(world, monkeypatch):
    job = summaries(world)
    world.run(job)
    edited(monkeypatch)
    trial = world.last(job).try_map("summarize", 2)
    trial.accept_old()
    CALLS.clear()
    world.run(job, on_change="only")
    assert CALLS == []
    assert "changed" not in world.last(job).tree()


def test_one_task(world, monkeypatch):
    job = summaries(world)
    world.run(job)
    edited(monkeypatch)
    run = world.last(job)
    (item,) = run.try_task(["summarize", "b"])
    assert (item.old["text"], item.new["text"]) == ("Summary of b", "Gist of b")
    (plain,) = run.try_task("texts")
    assert plain.old == plain.new == ["a", "b", "c", "d"]
    assert not plain.differs
    assert "task 'texts' tried, nothing recorded: 1 the same" in repr(run.try_task("texts"))


def test_check_applies_and_what_it_refuses_has_failed(world):
    """A11: what `check=` returns is what would be recorded."""

    def check(found):
        if found["text"].endswith("of c"):
            raise ValueError("c is refused")
        return found["text"]

    job = summaries(world, check=check)
    world.run(job)
    tried = {each.name: each for each in world.last(job).try_map("summarize", 4)}
    assert tried["a"].new == tried["a"].old == "Summary of a"
    assert not tried["a"].differs
    assert str(tried["c"].new_error) == "c is refused"


def test_a_batch_is_tried_as_a_batch(world):
    def body(texts):
        CALLS.append(len(texts))
        return [text.upper() for text in texts]

    job = summaries(world, "abcdef", body, batch=3)
    world.run(job)
    CALLS.clear()
    tried = list(world.last(job).try_map("summarize", 5))
    assert sorted(CALLS) == [2, 3]
    assert [each.new for each in tried] == [each.old for each in tried]


def test_kept_arguments_serve_where_the_job_does_not_come_to_the_map(world):
    """A map in the body of a task; and without kept arguments, an error says what to type."""

    def job_with(**options):
        @world.job(id="job")
        def job(payload, io):
            @world.body
            def chapter():
                return (yield io.map("summarize", ["a", "b", "c"], summarize, **options))

            return (yield io.run_task("chapter", chapter))

        return job

    job = job_with()
    world.run(job)
    run = world.last(job)
    with pytest.raises(InputsNotKeptError, match=r"Type items=\[\.\.\.\] .*keep_inputs=True"):
        run.try_map("chapter/summarize")
    assert [each.new["text"] for each in run.try_map("chapter/summarize", items=["b"])] == ["Summary of b"]
    run.delete()
    world.run(job_with(keep_inputs=True))
    assert len(list(world.last(job).try_map("chapter/summarize"))) == 3


def test_items_by_key(world):
    job = summaries(
        world,
        [{"id": n, "text": f"t{n}"} for n in range(3)],
        lambda item: item["text"],
        item_key=lambda item: (item["id"],),
    )
    world.run(job)
    (tried,) = world.last(job).try_map("summarize", items={1: {"id": 1, "text": "other"}})
    assert (tried.old, tried.new) == ("t1", "other")


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda run: run.try_map("summarise"), NotFoundError, "summarize"),
        (lambda run: run.try_map("texts"), InvalidOptionError, r"run\.try_task\('texts'\)"),
        (lambda run: run.try_task("summarize"), InvalidOptionError, r"run\.try_map\('summarize'\)"),
        (lambda run: run.try_map("summarize", 0), InvalidOptionError, "n is a whole number"),
        (lambda run: run.try_map("summarize", seed=1.5), InvalidOptionError, "seed is a number or text"),
        (lambda run: run.try_map("summarize", failures_first=1), InvalidOptionError, "True or False"),
        (lambda run: run.try_map("summarize", items="a"), InvalidOptionError, "as a list"),
        (lambda run: run.try_map("summarize", items=["zz"]), InputsNotKeptError, "none of items="),
    ],
)
def test_a_mistake_says_what_to_type(world, call, error, says):
    job = summaries(world)
    world.run(job)
    with pytest.raises(error, match=says):
        call(world.last(job))


def test_a_job_that_stops_before_the_map_is_named(world):
    job = summaries(world)
    world.run(job)
    world.new_kernel()

    @world.job(id="job")
    def job(payload, io):
        yield io.run_task("new", world.noting("new"))
        return (yield io.map("summarize", ["a"], summarize))

    with pytest.raises(InputsNotKeptError, match="task 'new', which comes before it, has no result yet"):
        world.last(job).try_map("summarize")


def test_a_body_that_uses_io_is_refused(world):
    @world.job(id="job")
    def job(payload, io):
        @world.body
        def item(text):
            return (yield io.run_task("inner", lambda: text))

        return (yield io.map("items", ["a", "b"], item))

    world.run(job)
    with pytest.raises(UsageError, match="`io`"):
        world.last(job).try_map("items")
    assert {task.status for task in world.last(job).tasks} == {TaskStatus.COMPLETED}


def test_a_failing_job_that_has_not_begun_has_nothing_to_try(world):
    @world.job(id="job")
    def job(payload, io):
        yield io.run_task("before", world.failing("before", ValueError("no")))
        return (yield io.map("summarize", ["a"], summarize))

    world.fail(job)
    with pytest.raises(NotFoundError):
        world.last(job).try_map("summarize")


def test_long_results_are_cut_at_their_difference(world, monkeypatch):
    filler = "same words " * 500

    def body(text):
        return f"{filler}{PROMPT}{filler}"

    job = summaries(world, "ab", body)
    world.run(job)
    edited(monkeypatch)
    page = world.last(job).try_map("summarize", 2)._repr_html_()
    assert "<del>Summary</del>" in page or "Summarysame" in page
    assert len(page) < 60_000


def test_what_redact_hides_is_hidden(world):
    job = summaries(world, ["a", "b"], lambda text: {"token": f"secret {text}", "n": 1}, redact=["token"])
    world.run(job)
    trial = world.last(job).try_map("summarize", 2)
    assert "secret" not in repr(trial)
    assert "secret" not in trial._repr_html_()


def test_html_of_values_is_escaped(world):
    """D5."""
    job = summaries(world, ["a"], lambda text: "<script>alert(1)</script>")
    world.run(job)
    page = world.last(job).try_map("summarize", 1)._repr_html_()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
