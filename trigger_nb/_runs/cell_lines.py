"""The lines of code that take a task of a run into a cell: what the button *Open in a cell* puts there."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from .._fingerprint.fingerprints import resolve
from .._keys import display_path
from .._records.records import TaskRecord
from .._tasks.signature import is_async
from .runtime import Runtime


def cell_lines(runtime: Runtime, run_id: str, record: TaskRecord) -> str:
    """Lines that run in this kernel's notebook: they name what it has a name for."""
    names: Mapping[str, Any] = vars(sys.modules["__main__"])
    run, lines = _run(runtime, run_id, names)
    lines.append(f"task = {run}.task({display_path(record.path)!r})")
    if "form" in record.given:
        lines.append("print(task.inputs)")
    call = "await task.call()" if _is_async(runtime, run_id, record) else "task.call()"
    lines.append(f"{call}  # the body as it is now: nothing is recorded, and %debug looks into an error")
    return "\n".join(lines)


def _run(runtime: Runtime, run_id: str, names: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The name of the run, and the lines that give it one."""
    job = runtime.jobs.get(runtime.require_run(run_id).job)
    client = f"client.run({run_id!r})  # the client of job {runtime.require_run(run_id).job!r}"
    for name, value in list(names.items()):
        if name.startswith("_"):  # such as the results of cells
            continue
        is_run = (type(value).__module__, type(value).__name__) == ("trigger_nb", "Run")
        if is_run and value.id == run_id and value._runtime is runtime:
            return name, []
        if value is job and job is not None:
            client = f"{name}.client.run({run_id!r})"
    return "run", [f"run = {client}"]


def _is_async(runtime: Runtime, run_id: str, record: TaskRecord) -> bool:
    body = resolve(record.body)
    pass_ = runtime.passes.get(run_id)
    if body is None and pass_ is not None and record.path in pass_.failed_bodies:
        body = pass_.failed_bodies[record.path][0]
    return callable(body) and is_async(body)
