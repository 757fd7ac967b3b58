"""The kept arguments of a task as objects, and a call of its body on them that is not recorded."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, cast

from .. import _values
from .._keys import display_path
from .._records.feed import Feed
from .._records.records import TaskRecord
from .._redact import redact
from .._tasks.call import Scope
from .._tasks.signature import bind_body, signature_of
from .._tasks.task import Task
from ..errors import InputsNotKeptError, RunInterrupted, UsageError

if TYPE_CHECKING:
    from .._tasks.call import PassApi
    from .._tasks.service import Service
    from .runtime import Runtime


@dataclass(frozen=True, slots=True, repr=False)
class TaskInputs:
    """The arguments that a task's body was called with.

    - `args`: by position. Of an item of a map with `batch=`, the item.
    - `kwargs`: by name, of the method of an integration, such as `{"channel": "#new"}`.
    - `altered`: True if the body had changed an argument in place before it failed: these are the changed ones.

    >>> run.task("charge").inputs.args  # doctest: +SKIP
    ({'id': 'u1', 'amount': 40},)
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict[str, Any])
    altered: bool = False
    _hidden: tuple[str, ...] = ()  # the patterns of `redact=`

    def __repr__(self) -> str:
        patterns = [*self._hidden, *(f"*.{each}" for each in self._hidden)]
        args = redact(patterns, [_values.preview(each) for each in self.args])
        kwargs = redact(self._hidden, _values.preview(self.kwargs))
        parts = [f"args={tuple(args)!r}", *([f"kwargs={kwargs!r}"] if self.kwargs else [])]
        return f"<inputs {', '.join([*parts, *(['altered=True'] if self.altered else [])])}>"


def inputs_of(runtime: Runtime, run_id: str, record: TaskRecord) -> TaskInputs:
    """The kept arguments of a task.

    Raises `InputsNotKeptError`, and `ValueNotLoadedError` or `StoreError` if they cannot be read.
    """
    given = record.given
    if "form" not in given:
        raise InputsNotKeptError(_why_not(run_id, record))
    args = _values.load(given["form"], given["value"], runtime.store.blobs(run_id))
    hidden = tuple(record.redact)
    if given.get("named"):
        return TaskInputs((), cast("dict[str, Any]", args[0]), "altered" in given, hidden)
    return TaskInputs(tuple(args), {}, "altered" in given, hidden)


def _why_not(run_id: str, record: TaskRecord) -> str:
    task = f"the arguments of task {display_path(record.path)!r} of run {run_id} were not kept: "
    if record.kind not in ("task", "own", ""):
        return f"{task}a {record.kind} has no body of yours that they could be for"
    again = "Type keep_inputs=True on the task, its map, job or client, and run the task again"
    why = record.given.get("why")
    if why and why.startswith("redact="):
        return f"{task}{why}. {again}: they are then stored whole, and hidden where they are shown"
    if why:
        return f"{task}{why}. The task has only its params, as shown: run.task(path).params"
    if record.given or record.status == "ERRORED":
        return f"{task}it has keep_inputs=False, or an older version of trigger_nb ran it. {again}"
    return f"{task}by default those of failed tasks are, and it is {record.status}. {again}"


class TodaysBody(NamedTuple):
    """The body that a task would call now, and the integration whose method it is."""

    body: Callable[..., Any]
    service: Service | None = None


def call_body(run: Any, record: TaskRecord, today: TodaysBody, inputs: TaskInputs) -> Any:
    """Call the body here, on this thread. What a coroutine function returns is to be awaited.

    Nothing of this package stands between the error of a body and `%debug`, and nothing is recorded.
    """
    args: tuple[Any, ...] = (dict(inputs.kwargs),) if record.given.get("named") else inputs.args
    is_batch = bool(record.given.get("batch"))
    value = call_on(run, record, today, ([args[0]],) if is_batch else args)
    if not is_batch:
        return value
    return _first_of(value) if inspect.isawaitable(value) else value[0]


def call_on(run: Any, record: TaskRecord, today: TodaysBody, args: tuple[Any, ...]) -> Any:
    """Call the body on these arguments, as `call_body` does."""
    offers: dict[str, Callable[[], object]] = {
        "task": lambda: _task(run, record),
        "io": lambda: _no_io(record),
    }
    if today.service is not None:
        offers = {"client": today.service.client, **offers}
    positional, named = bind_body(signature_of(today.body), args, offers)
    try:
        return today.body(*positional, **named)
    except RunInterrupted:  # of the `io` of a rehearsal, in the closure of the body
        _no_io(record)


async def _first_of(batch: Awaitable[Any]) -> Any:
    return (await batch)[0]


def _task(run: Any, record: TaskRecord) -> Task:
    """The parameter `task` of the body: with the idempotency key of the recorded task, and without a run to report to."""
    nobody = SimpleNamespace(run=run, feed=Feed(), log=_tell_nothing, show=_tell_nothing)
    return Task(Scope(cast("PassApi", nobody), record.path), record.generation, record.attempt)


def _tell_nothing(*_told: object) -> None:
    """A log line, or what is shown, of a body that is called outside of a run."""


def _no_io(record: TaskRecord) -> NoReturn:
    path = display_path(record.path)
    raise UsageError(
        f"the body of task {path!r} uses `io`, and a call outside of a run has none: nothing is recorded. Call the subtask that "
        f"failed, run.task({path + '/...'!r}).call(), or run the task again with run.retry(which=[{path!r}])"
    )


def refuse_io(record: TaskRecord) -> Callable[..., NoReturn]:
    """What stands for the `io` of a rehearsal that is over: the closure of a body may hold it."""

    def refuse(*_args: object) -> NoReturn:
        _no_io(record)

    return refuse


def not_found(record: TaskRecord, why: str) -> str:
    """The message that today's body of a task cannot be found."""
    return f"the body of task {display_path(record.path)!r} cannot be found: {why}"
