"""A trial: one run of a job in a test, in a store and a time of its own, with stubs in place of the outside world."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeAlias

from .._callsite import Place, show_place
from .._clock import Clock
from .._concurrency.interrupt import calls_user_code, interruptible
from .._keys import display_path, parent_path
from .._records.reading import readable_task
from .._records.records import FAN_OUT
from .._records.status import RunStatus
from .._runs.awaiting import has_loop
from .._runs.outcome import users_frames
from .._runs.run_spec import RunSpec
from .._runs.runtime import Runtime
from .._store.disk import DiskStore
from .._store.protocol import Store
from .._tasks.call import current_scope
from .._view.model.run_model import RunModel
from ..errors import InvalidOptionError, NoStubError, TriggerError
from ..run import Run
from . import outside
from .clock import FakeClock
from .guarded_loop import GuardedLoop
from .stubs import StubMap, Stubs, stub_name
from .trial_pass import TrialPass

if TYPE_CHECKING:
    from .._io.starter import Host
    from .._tasks.call import AnyCall

StoreOption: TypeAlias = str | os.PathLike[str] | Store | None
Begin: TypeAlias = Callable[[], Run]
Close: TypeAlias = Callable[[], Awaitable[None]]
GRACE = 2.0  # seconds that a trial may take to stop after an interrupt


class TrialRun(Run):
    """The run of a test (`job.test`), which has ended. It has everything that a `Run` has to look at.

    `await` gives the run itself, so that `await job.test(...)` works as well.
    """

    def __await__(self) -> Generator[Any, Any, TrialRun]:
        return self
        yield

    def model(self, *, lazy: bool = False) -> RunModel:
        """As of any run, without lines to type: a test is run again instead."""
        model = super().model(lazy=lazy)
        model.offers_actions = False
        return model

    def __repr__(self) -> str:
        error = self.error
        told = "" if error is None else f", {type(error).__name__}: {error!s:.200}"
        return f"<Run {self._id} of job {self.job!r}: {self.status}{told}>"


@dataclass(eq=False)
class Trial:
    """One trial. `below` makes one for a child run, which shares everything but the path."""

    stubs: Stubs
    runtime: Runtime
    prefix: str = ""  # of the paths of a child run: the task that started it
    # By path, of the tasks that were called: their kinds, and where they were called first.
    kinds: dict[str, str] = field(default_factory=dict[str, str])
    places: dict[str, Place] = field(default_factory=dict[str, Place])
    # Errors of calls without a stub, the first one first.
    reached: list[NoStubError] = field(default_factory=list[NoStubError])

    @classmethod
    def of(cls, stubs: StubMap | None, clock: Clock | None, store: StoreOption) -> Self:
        """A new trial. Raises `InvalidOptionError` and `StoreError`."""
        return cls(Stubs(stubs), Runtime(open_store(store), clock or FakeClock()))

    def below(self, path: str) -> Self:
        """The trial of a child run that a task starts."""
        return replace(self, prefix=f"{self.prefix}{path}/")

    # Running ----------------------------------------------------------------------------------------

    def play(self, begin: Begin, close: Close) -> TrialRun:
        """Run a job on an event loop of its own, and wait for its end.

        `close` closes what the job opened on that loop. Raises errors of `begin`, and of the test itself: `NoStubError`,
        `UnknownStubError`.
        """
        try:
            play = self._run_in_thread if has_loop() else self._run
            run = play(asyncio.Runner(loop_factory=GuardedLoop), begin, close)
        except TriggerError as error:
            raise error.with_traceback(users_frames(error.__traceback__)) from error.__cause__
        finally:
            self.runtime.store.close()
        self._check(run)
        return TrialRun(self.runtime, run.id)

    def _run(self, runner: asyncio.Runner, begin: Begin, close: Close) -> Run:
        """Run the job in this thread."""
        with runner:
            return runner.run(self._drive(begin, close))

    def _run_in_thread(self, runner: asyncio.Runner, begin: Begin, close: Close) -> Run:
        """Run the job in another thread: the event loop of this one is running, and calls this code."""
        over: Future[Run] = Future()

        def work() -> None:
            try:
                over.set_result(self._run(runner, begin, close))
            except BaseException as error:  # noqa: BLE001  # raised in the caller's thread
                over.set_exception(error)

        thread = threading.Thread(
            target=copy_context().run, args=(work,), name="trigger_nb test", daemon=True
        )
        thread.start()
        try:
            return _wait_for(over)
        except KeyboardInterrupt:
            with suppress(RuntimeError):  # it has ended meanwhile
                loop = runner.get_loop()
                loop.call_soon_threadsafe(lambda: [task.cancel() for task in asyncio.all_tasks(loop)])
            raise
        finally:
            thread.join(GRACE)

    async def _drive(self, begin: Begin, close: Close) -> Run:
        outside.watch()
        current_scope.set(None)
        guard = outside.Guard(lambda host: self._of_caller().refuse(f"reaches for {host}"))
        outside.guard.set(guard)
        try:
            # The system may hand a signal to another thread: it wakes the loop all the same.
            with interruptible(lambda: None):
                run = begin()
                while self.runtime.executions:  # child runs that nobody awaits, too
                    await next(iter(self.runtime.executions.values())).wait_finished()
        finally:
            await close()
            guard.is_over = True
        return run

    def _of_caller(self) -> Trial:
        """The trial of the code that runs now: this one, or that of a child run."""
        scope = current_scope.get()
        owner = None if scope is None else scope.owner
        trial = owner.trial if isinstance(owner, TrialPass) else self
        return trial if isinstance(trial, Trial) else self

    def _check(self, run: Run) -> None:
        if self.reached:
            raise self.reached[0].with_traceback(None) from None
        kinds = dict(self.kinds)
        for key, text in self.runtime.store.select(run.id, abridge=True):
            path = key.removeprefix(f"{run.id}/")
            kinds.setdefault(path, readable_task(path, text).kind)
        self.stubs.check(
            {path: kind for path, kind in kinds.items() if kind != "log"},
            has_ended=run.status == RunStatus.COMPLETED,
        )

    # The job in a trial -----------------------------------------------------------------------------

    def prepare(self, spec: RunSpec) -> RunSpec:
        """Have a run executed with the passes of this trial."""
        make_host = spec.host
        spec.make_pass = partial(TrialPass, trial=self)
        spec.host = lambda: _TrialHost(make_host(), self)
        spec.settings.executor = None
        spec.on_success = spec.on_failure = spec.limiter = None
        spec.notify = ()
        return spec

    # What its passes tell and ask -------------------------------------------------------------------

    def met(self, call: AnyCall) -> None:
        path = self.prefix + call.path
        self.kinds[path] = call.kind
        self.places.setdefault(path, call.place)

    def stub_of(self, call: AnyCall) -> Callable[[], object] | None:
        return self.stubs.find(self.prefix + call.path)

    def ended(self, pass_: TrialPass, call: AnyCall) -> None:
        """Nothing follows from it."""

    def refuse(self, what: str, call: AnyCall | None = None) -> NoReturn:
        scope = current_scope.get()
        path = call.path if call is not None else scope.path if scope is not None else ""
        full = self.prefix + path
        if full not in self.places:
            text = f"in this test, code between the tasks {what}: move it into a task, and give that a stub"
        else:
            around = parent_path(full)
            name = f"{around}/*" if self.kinds.get(around) in FAN_OUT else full
            near = self.stubs.near(full, self.kinds)
            hint = f" (no task has the path of the stub {near!r})" if near else ""
            text = (
                f"in this test, task {display_path(full)!r}, called at {show_place(self.places[full])}, {what}. "
                f"Give it a stub: stubs={{{stub_name(name)}: output}}{hint}"
            )
        error = NoStubError(text, full)
        self.reached.append(error)
        raise error if scope is None else scope.owner.stopping.misused(error)


class _TrialHost:
    """The job and its client, as `io` sees them in a trial."""

    def __init__(self, host: Host, trial: Trial) -> None:
        self.log_level = host.log_level
        self.integrations = host.integrations
        self.store, self.post = trial.runtime.store, trial.runtime.post
        self._trial = trial

    @property
    def client(self) -> Any:
        """The client knows the real events: a trial needs stubs for these tasks."""
        self._trial.refuse("asks the client for events, which are not those of the test")

    def start_child(self, job: Any, payload: object, *, parent_task: str, **known: Any) -> Any:
        """Start the run in the store of the trial, with the stubs for paths below the task."""
        child = job._in_trial(self._trial.below(parent_task))
        return child._start_child(payload, parent_task=parent_task, **known)

    async def send_event(self, name: str, payload: object, **options: Any) -> NoReturn:
        self._trial.refuse(f"sends the event {name!r}, which could start other jobs")


@calls_user_code
def _wait_for(over: Future[Run]) -> Run:
    """Wait for the end of a trial. An interrupt raises here."""
    with interruptible(lambda: None):
        return over.result()


def open_store(given: StoreOption) -> Store:
    """The store in a folder, or in a new one that lasts as long as the store is used."""
    if given is None:
        return keep_tidy(DiskStore(folder := new_folder()), folder)
    if isinstance(given, (str, os.PathLike)):
        return keep_tidy(DiskStore(given))
    if not hasattr(given, "commit"):
        raise InvalidOptionError(f"store is a folder, or a CrashingStore, not {given!r:.100}")
    return given


def new_folder() -> str:
    """A new folder for a store."""
    return tempfile.mkdtemp(prefix="trigger-nb-")


def keep_tidy(store: DiskStore, folder: str | None = None) -> DiskStore:
    """Have the store closed, and its folder removed, when nothing refers to the store any more."""
    weakref.finalize(store, _tidy_up, store._database.close, folder)
    return store


def _tidy_up(close: Callable[[], None], folder: str | None) -> None:
    close()
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
