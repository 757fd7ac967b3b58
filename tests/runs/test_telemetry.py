"""Spans of OpenTelemetry, and lines in Python's logging (issue 16, point 10)."""

from __future__ import annotations

import logging
import sys

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode


@pytest.fixture
def spans(monkeypatch):
    """What is exported, with a provider for this test only."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter
    provider.shutdown()


def test_a_pass_a_task_and_an_attempt_have_spans(world, spans):
    """Children of each other, with errors as they may be shown; a pass links to the one before it, replays have none."""

    @world.job(redact=["token"])
    def job(payload, io):
        yield io.run_task("first", world.noting("first"))
        return (yield io.run_task(("second", 1), body, {"token": "s3cret"}, retry=2, redact=["0.token"]))

    def fail(given):
        world.note(trace.get_current_span().name)
        if len(world.calls) < 4:
            raise OSError(f"down with {given['token']}")
        return "up"

    body = world.body(fail)
    world.clock.auto = True
    world.fail(job, {"token": "s3cret"})
    first, second, run, *_ = by_name(spans, "task first", "task second", "run job")
    assert (first.parent.span_id, run.parent) == (run.context.span_id, None)
    assert dict(run.attributes)["trigger_nb.run.status"] == "FAILED"
    attempts = [each for each in spans.get_finished_spans() if each.name.startswith("attempt")]
    assert [each.name for each in attempts] == ["attempt 1", "attempt 1", "attempt 2"]
    assert {each.parent.span_id for each in attempts[1:]} == {second.context.span_id}
    for failed in (run, second, *attempts[1:]):
        assert failed.status.status_code == StatusCode.ERROR
        assert failed.events[0].attributes["exception.message"] == "down with •••"
    assert world.calls[1:] == ["attempt 1", "attempt 2"]  # in the body, its attempt is the current span

    spans.clear()
    world.new_kernel()
    assert world.run(job, {"token": "s3cret"}) == "up"
    again = by_name(spans, "task second", "run job")
    assert [each.name for each in spans.get_finished_spans()] == ["attempt 1", "task second", "run job"]
    assert again[1].links[0].context.span_id == run.context.span_id
    assert dict(again[1].attributes)["trigger_nb.replayed"] == 1
    assert again[1].status.status_code == StatusCode.UNSET


def test_without_a_provider_there_is_nothing(world):
    """No span, and nothing is kept with the run."""

    @world.job
    def job(payload, io):
        return (yield io.run_task("task", world.noting(1)))

    assert world.run(job) == 1
    assert world.last(job)._record.trace == ""


def by_name(spans, *names):
    found = {each.name: each for each in spans.get_finished_spans()}
    return [found[name] for name in names]


def test_what_happens_is_logged_where_logging_is_set_up(world, caplog):
    """Passes, ends of tasks and lines of io.logger, each once; a body does not print them."""

    @world.job
    def job(payload, io):
        io.logger.warning("careful")

        def body(io):
            io.logger.info("inside")
            yield from ()
            return 1

        yield io.run_task("good", world.body(body))
        yield io.run_task("bad", failing)

    failing = world.failing("bad", ValueError("broken"))
    with caplog.at_level(logging.DEBUG, "trigger_nb"):
        world.fail(job)
        run = world.last(job)
        world.run(job)
    told = [(each.name, each.levelname, each.getMessage().split(" in ")[0]) for each in caplog.records]
    mine = [each for each in told if each[0].startswith("trigger_nb.")]
    assert sorted(mine) == sorted(
        [
            ("trigger_nb.run", "INFO", f"run {run.id} of job job begins pass 1"),
            ("trigger_nb.log", "WARNING", "careful"),
            ("trigger_nb.log", "INFO", "inside"),
            ("trigger_nb.task", "DEBUG", f"task good of run {run.id} completed"),
            ("trigger_nb.task", "WARNING", f"task bad of run {run.id} failed: ValueError: broken"),
            ("trigger_nb.run", "ERROR", f"run {run.id} of job job failed: ValueError: broken"),
            ("trigger_nb.run", "INFO", f"run {run.id} of job job begins pass 2"),
            ("trigger_nb.task", "DEBUG", f"task bad of run {run.id} completed"),
            ("trigger_nb.run", "INFO", f"run {run.id} of job job is COMPLETED"),
        ]
    )
    assert run.task("good").prints == ""


def test_nothing_is_printed_unasked(world, capfd, monkeypatch):
    """A warning of io.logger belongs to the tree, not to stderr, in a program that has not set up logging."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])

    @world.job
    def job(payload, io):
        io.logger.error("in the tree")
        return sys.version_info[0]

    assert world.run(job) == 3
    assert "in the tree" not in capfd.readouterr().err
    assert "in the tree" in str(world.last(job).tree())
