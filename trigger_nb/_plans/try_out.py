"""Try-outs: today's body on stored arguments, beside the stored results. Nothing is recorded."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from functools import partial
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol, Self, cast, overload

from .. import _values
from .._callsite import ShowsPublicNames
from .._clock import is_number
from .._concurrency.limiter import Limiter, limiter_of, rate_of_line
from .._concurrency.threads import call_in_thread, threads
from .._engine.checking import apply_check
from .._keys import display_key, last_segment
from .._records.status import TaskStatus
from .._runs.awaiting import has_loop, in_cell
from .._runs.task_inputs import call_on
from .._runs.task_paths import NormalPath, TaskPath
from .._tasks.call import Scope
from .._tasks.exits import as_error
from .._tasks.signature import is_async
from ..errors import NotStorableError, RunStateError, TriggerError, UsageError
from . import try_table
from .tried import Forecast, Tried

if TYPE_CHECKING:
    from .._runs.runtime import Runtime
    from .._runs.task_info import TaskInfo
    from .._tasks.call import PassApi
    from .try_subjects import Subject, Subjects


class Mendable(Protocol):
    """The run of a try-out: what its methods do."""

    _runtime: Runtime
    _id: str

    def task(self, path: TaskPath) -> TaskInfo: ...
    def accept(self, path: TaskPath | None = None) -> Self: ...
    def rerun_from(self, path: TaskPath, *more: TaskPath) -> Any: ...


class TryOut(ShowsPublicNames, Sequence[Tried]):
    """Today's body on the arguments of some tasks: a sequence of `Tried`, shown as old and new side by side.

    It has begun. `await` it to wait for its end; in a notebook it also shows itself, and again when it has ended. Where no
    event loop runs, as in a script, it has ended already.
    """

    def __init__(self, run: Mendable, subjects: Subjects) -> None:
        self._run = run
        self._subjects = subjects
        self._done: dict[str, Tried] = {}
        self._fault: TriggerError | None = None
        self._over = False
        self._updates: list[str] = []  # ids of the displays to draw again at the end
        self._task: asyncio.Task[None] | None = None
        if has_loop():
            self._task = asyncio.get_running_loop().create_task(self._call_all())
        else:
            asyncio.run(self._call_all())
            self._check()

    # Results --------------------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, Any, Self]:
        """The try-out, when its calls have ended. Raises `UsageError` for a body that cannot be called outside of a run."""
        return in_cell(self._ended)

    async def _ended(self) -> Self:
        if self._task is not None:
            await self._task
        self._check()
        return self

    @overload
    def __getitem__(self, index: int) -> Tried: ...
    @overload
    def __getitem__(self, index: slice) -> list[Tried]: ...
    def __getitem__(self, index: int | slice) -> Tried | list[Tried]:
        return self._results()[index]

    def __len__(self) -> int:
        return len(self._subjects.chosen)

    def __iter__(self) -> Iterator[Tried]:
        return iter(self._results())

    @property
    def forecast(self) -> Forecast:
        """What all items would cost. Raises `RunStateError` before the calls have ended."""
        tried, subjects = self._results(), self._subjects
        seconds = median(each.seconds for each in tried) * subjects.items / subjects.concurrency
        call = subjects.chosen[0].call
        if call is not None and "rate" in call.options:
            rate = rate_of_line(call.options["rate"], call.place)
            seconds = max(seconds, (subjects.items / subjects.batch - 1) * rate.period / rate.count)
        done = [each.usage for each in tried if each.new_error is None]
        names = dict.fromkeys(name for each in done for name in each)
        usage: dict[str, float] = {
            name: round(sum(each.get(name, 0) for each in done) / len(done) * subjects.items)
            for name in names
        }
        return Forecast(subjects.items, seconds, usage)

    def _results(self) -> list[Tried]:
        self._check()
        return [self._done[each.record.path] for each in self._subjects.chosen]

    def _check(self) -> None:
        if self._fault is not None:
            raise self._fault
        if not self._over:
            raise RunStateError(
                f"{len(self._done)} of {len(self)} calls have ended. Await the try-out: trial = await run.try_map(...)"
            )

    # What to do then ------------------------------------------------------------------------------

    def all(self) -> Any:
        """Take today's code for all: the items whose results other code made run again, and what started after them.

        Failed items, and those that have not run, run too. Returns the run, which begins at once; its tree is shown.

        Raises `RunStateError` if no result was made by other code: nothing would run again.
        """
        if not self._subjects.outdated:
            path = self._subjects.path
            raise RunStateError(
                "every stored result was made by the code as it is now, so that none would run again. "
                f"run.rerun_from({try_table.shown_path(path)!r}) runs all again, and .only() these"
            )
        return self._rerun(self._subjects.outdated)

    def only(self) -> Any:
        """Run these again, and what started after them; the others keep their results. Returns the run, which begins at once.

        To keep the others for good, without a mark: `.only()`, and then `.accept_old()`.
        """
        return self._rerun([each.record.path for each in self._subjects.chosen])

    def accept_old(self) -> Any:
        """Take the change as none for all: the stored results stay, and their marks go, as with `run.accept`. Nothing runs."""
        return self._run.accept(NormalPath(self._subjects.path))

    def _rerun(self, paths: Sequence[str]) -> Any:
        return self._run.rerun_from(*map(NormalPath, paths))

    # Calling --------------------------------------------------------------------------------------

    async def _call_all(self) -> None:
        subjects = self._subjects
        slots = asyncio.Semaphore(subjects.concurrency)
        try:
            async with asyncio.TaskGroup() as group:
                for at in range(0, len(self), subjects.batch):
                    group.create_task(self._call(subjects.chosen[at : at + subjects.batch], slots))
        finally:
            self._over = len(self._done) == len(self)
            self._draw_again()

    async def _call(self, some: Sequence[Subject], slots: asyncio.Semaphore) -> None:
        """One call of the body: for one task, or for a batch of items."""
        async with slots:
            for limiter in self._limiters(some[0]):
                await limiter.acquire()
            began = perf_counter()
            values: list[Any] = []
            error: Exception | None = None
            try:
                values = await self._values_of(some)
            except UsageError as fault:
                self._fault = fault
                return
            except (Exception, SystemExit) as failure:  # noqa: BLE001  # of the body: it is what the try-out shows
                error = as_error(failure, "the body")
            seconds = (perf_counter() - began) / len(some)
            for subject, value in zip(some, values or [None] * len(some), strict=True):
                self._done[subject.record.path] = await self._tried(subject, value, error, seconds)

    def _limiters(self, subject: Subject) -> list[Limiter]:
        """Those that the run's own calls acquire, too."""
        call, clock = subject.call, self._run._runtime.clock
        service = self._subjects.today.service
        limiters = [] if service is None else [service.limiter(clock)]
        if call is not None and "rate" in call.options:
            limiters.append(limiter_of(rate_of_line(call.options["rate"], call.place), clock))
        return limiters

    async def _values_of(self, some: Sequence[Subject]) -> list[Any]:
        today, first = self._subjects.today, some[0]
        is_batch = self._subjects.batch > 1
        args = ([each.args[0] for each in some],) if is_batch else first.args
        run = self._run._runtime.require_run(self._run._id)
        call = partial(call_on, run, first.record, today, args)
        stays = first.call is not None and first.call.options.get("thread") is False
        if is_async(today.body) or stays:
            value = call()
        else:
            value = await call_in_thread(threads.spawn, call)
        if inspect.isawaitable(value):
            value = await value
        values = list(value) if is_batch else [value]
        if len(values) != len(some):
            raise ValueError(f"the body returned {len(values)} results for a batch of {len(some)} items")
        return values

    async def _tried(self, subject: Subject, value: Any, error: Exception | None, seconds: float) -> Tried:
        record, blobs = subject.record, _InMemory()
        if error is None:
            try:
                value = await self._checked(subject, value)
            except (Exception, SystemExit) as failure:  # noqa: BLE001  # of `check=`
                value, error = None, as_error(failure, "check=")
        new, text = _as_stored(value, blobs)
        task = self._run.task(NormalPath(record.path))
        old, old_error = None, task.error if record.status == TaskStatus.ERRORED else None
        try:
            old = task.output
        except TriggerError as unread:
            old_error = unread
        if error is not None or old_error is not None:
            lines = [try_table.error_text(each) for each in (old_error, error)]
            is_other = lines[0] != lines[1]
        else:
            is_other = text is None or text != _as_stored(old, blobs)[1]
        return Tried(
            path=task.path,
            name=record.name or display_key(last_segment(record.path)),
            old=old,
            old_error=old_error,
            new=new,
            new_error=error,
            differs=is_other,
            seconds=seconds,
            old_seconds=None if record.reused_from else task.duration,
            usage=_usage_of(value),
        )

    async def _checked(self, subject: Subject, value: Any) -> Any:
        """What `check=` makes of a result, as in a run."""
        call, dry = subject.call, self._subjects.dry
        if call is None or dry is None or call.options.get("check") is None:
            return value
        scope = Scope(cast("PassApi", dry), call.path)
        return await apply_check(call, subject.record.redact, scope, value, dry.returns_of(call))

    # Display --------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return try_table.as_text(self._state)

    def _repr_html_(self) -> str:
        return try_table.as_html(self._state)

    @property
    def _state(self) -> try_table.State:
        subjects = self._subjects
        redacted = [pattern for each in subjects.chosen for pattern in each.record.redact]
        state = try_table.State(
            path=subjects.path,
            tried=[
                self._done[each.record.path] for each in subjects.chosen if each.record.path in self._done
            ],
            chosen=len(self),
            items=subjects.items,
            concurrency=subjects.concurrency,
            outdated=len(subjects.outdated),
            redacted=list(dict.fromkeys(redacted)),
            fault="" if self._fault is None else str(self._fault),
        )
        if state.is_over:
            forecast = self.forecast
            state.seconds, state.usage = forecast.seconds, forecast.usage
        return state

    def _ipython_display_(self) -> None:
        from IPython import display  # only where there is one

        shown = cast("Any", display).display(
            try_table.Drawing(self.__repr__(), self._repr_html_()), display_id=True
        )
        if not self._is_settled and shown is not None:
            self._updates.append(shown)

    @property
    def _is_settled(self) -> bool:
        return self._over or self._fault is not None or (self._task is not None and self._task.done())

    def _draw_again(self) -> None:
        updates, self._updates = self._updates, []
        for each in cast("list[Any]", updates):
            each.update(try_table.Drawing(self.__repr__(), self._repr_html_()))

    def __reduce__(self) -> Any:
        raise TypeError("a try-out cannot be pickled: its results are in list(trial)")


class _InMemory:
    """The value files of a result that is compared, and not stored."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}

    def put(self, data: bytes) -> str:
        """Take a file."""
        name = str(len(self.contents))
        self.contents[name] = data
        return name

    def get(self, name: str) -> bytes:
        """The bytes of a file."""
        return self.contents[name]


def _as_stored(value: Any, blobs: _InMemory) -> tuple[Any, str | None]:
    """The value as a record would give it back, and its text; the value itself, and None, if none could hold it."""
    try:
        form, text = _values.encode(value, blobs)
        return _values.load(form, json.loads(text), blobs), f"{form}{text}"
    except (NotStorableError, TriggerError, Warning):
        return value, None


def _usage_of(value: Any) -> dict[str, float]:
    """The numbers in the `usage` of a result, as services return it beside their answer."""
    try:
        usage = _fields(_fields(value).get("usage"))
        return {str(name): count for name, count in usage.items() if is_number(count) and count >= 0}
    except Exception:  # noqa: BLE001  # of a user's class
        return {}


def _fields(value: Any) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return cast("Mapping[str, Any]", value)
    return cast("dict[str, Any]", vars(value)) if hasattr(value, "__dict__") else {}
