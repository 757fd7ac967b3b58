"""The lines that the button *Open in a cell* puts into a notebook, and what *Accept* and *Continue* do there."""

from __future__ import annotations

import sys

import pytest

from trigger_nb._runs.controls import RunControls


def fail(text):
    raise ValueError(f"no {text}")


def failed_run(world):
    @world.job(id="job")
    def job(payload, io):
        return (yield io.map("part", ["a", "b"], fail, max_failures=9))

    world.fail(job)
    return job, world.last(job)


@pytest.mark.parametrize("name", ["run", "job", ""])
def test_the_lines_name_what_the_notebook_has(world, monkeypatch, name):
    """They run as they are; where the notebook has no name, a comment says what is meant."""
    job, run = failed_run(world)
    main = sys.modules["__main__"]
    if name:
        monkeypatch.setattr(main, f"my_{name}", {"run": run, "job": job}[name], raising=False)
    lines = RunControls(run._runtime, run.id).lines_of(run.task(["part", "b"]).path)
    begin = {
        "run": "task = my_run.task",
        "job": f"run = my_job.client.run({run.id!r})",
        "": f"run = client.run({run.id!r})  #",
    }
    assert lines.startswith(begin[name])
    assert ".task('part/b')\nprint(task.inputs)\ntask.call()" in lines
    if name:
        with pytest.raises(ValueError, match="no b"):
            exec(lines, vars(main).copy())  # noqa: S102


def test_accept_is_done_by_the_button(world, monkeypatch):
    @world.job(id="job")
    def job(payload, io):
        return (yield io.run_task("one", lambda: 1))

    world.run(job)

    @world.job(id="job")
    def job(payload, io):
        return (yield io.run_task("one", lambda: 2))

    world.run(job)
    run = world.last(job)
    assert run.task("one").changed
    RunControls(run._runtime, run.id).do("accept", run.task("one").path)
    assert not run.task("one").changed
