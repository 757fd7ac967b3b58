"""Following a run that another process drives: what it commits becomes the events of the run's feed.

A look asks the database for a number that changes with each commit of another process. Only if it has changed, rows are read:
those that are new, and those of tasks that had not ended. All rows of the run are compared again when the record of the
run has changed, because only then results may have been forgotten or set.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from pathlib import Path
from time import monotonic

from .._keys import parent_path
from .._main_file import near
from .._records.feed import Hinted, PassBegan, Saved, SavedRun
from .._records.reading import readable_task
from .._records.records import TaskRecord
from .._records.status import RunStatus, TaskStatus
from .._records.statuses import KIND as STATUS
from ..errors import StoreError, UsageError
from . import moves
from .awaiting import has_loop
from .runtime import Runtime

_log = logging.getLogger("trigger_nb")
_LOOK = 0.2  # seconds between two looks
_ALL = 2.0  # seconds at least between two readings of all rows while the run is under way
_NODE = 20  # tasks under one that has no record: those of a map, whose own record is written at its end
OVER = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELED})
_UNDER_WAY = frozenset({TaskStatus.PENDING, TaskStatus.RUNNING, TaskStatus.WAITING, TaskStatus.CANCELED})


class Follower:
    """Follows one run until it has ended, is deleted, or is continued in this process.

    A run that is interrupted, or whose process has died, is followed on: another process may continue it.
    """

    def __init__(self, runtime: Runtime, run_id: str, *, aloud: bool = False) -> None:
        self._runtime = runtime
        self._run_id = run_id
        self._feed = runtime.feed(run_id)
        self._over = asyncio.Event()
        self._hint = _where(runtime, run_id) if aloud else ""
        self._version = -1
        self._newest = 0  # number of the newest row that was read
        self._texts: dict[str, int] = {}  # hashes of the texts of all records, by path
        self._under_way: set[str] = set()  # paths of tasks that have not ended
        self._inside: Counter[str] = (
            Counter()
        )  # by path of a task without a record: the number of its subtasks
        self._nodes: dict[str, TaskRecord] = {}  # stand-ins for the records of maps under way
        self._untold: set[str] = set()  # paths of those that the feed does not have yet
        self._run_text = ""
        self._told: tuple[str, ...] = ()  # the status in the last event about the run
        self._all_at = 0.0
        self._is_stale = False  # whether the record of the run has changed since all rows were read
        if aloud:
            self._feed.emit(PassBegan(0))
        if self._hint:
            self._feed.emit(Hinted(self._hint))
        self.look(silently=not aloud)
        self._task = asyncio.get_running_loop().create_task(
            self._follow(), name=f"trigger_nb follow {run_id}"
        )

    async def over(self) -> None:
        """Wait for the end of the run."""
        await self._over.wait()

    @property
    def is_over(self) -> bool:
        """Whether there is nothing to follow any more."""
        return self._over.is_set()

    def stop(self) -> None:
        """Stop following; the run goes on."""
        self._end()
        self._task.cancel()

    async def _follow(self) -> None:
        try:
            while not self.is_over:
                await asyncio.sleep(_LOOK)
                self.look()
        finally:
            self._end()

    def _end(self) -> None:
        if self._hint and not self.is_over:
            self._feed.emit(Hinted(self._hint, over=True))
        self._over.set()
        if self._runtime.followers.get(self._run_id) is self:
            del self._runtime.followers[self._run_id]

    # Looking ----------------------------------------------------------------------------------

    def look(self, *, silently: bool = False) -> None:
        """Send what is new to the feed; `silently` only notes it, before a model is made of the same rows."""
        if self._run_id in self._runtime.executions:
            self._end()  # its own pass sends its events
            return
        try:
            self._look(silently=silently)
        except StoreError:  # for the moment, or until somebody mends it
            _log.debug("run %s cannot be followed at the moment", self._run_id, exc_info=True)

    def _look(self, *, silently: bool) -> None:
        version = self._runtime.store.version()
        text = self._run_text if version == self._version else self._runtime.store.get("run/" + self._run_id)
        if text is None:
            self._end()
            return
        is_changed = version != self._version
        run = self._runtime.require_run(self._run_id)
        status = self._runtime.status_of(run)  # it may change without a commit: a process dies
        self._is_stale |= text != self._run_text
        is_over = status in OVER and status == run.status
        everything = self._is_stale and (silently or is_over or monotonic() - self._all_at >= _ALL)
        if is_changed or everything:
            self._read(everything=everything, silently=silently)
        if not silently:
            self._tell_nodes()
        self._version, self._run_text = version, text
        told = (status, run.reason, text)
        if told != self._told:
            self._told = told
            if not silently:
                self._feed.emit(SavedRun(run.copy(status=status)))
        if is_over:
            self._end()

    def _read(self, *, everything: bool, silently: bool) -> None:
        prefix = len(self._run_id) + 1
        if everything:
            self._newest, self._all_at, self._is_stale = 0, monotonic(), False
        keys = [f"{self._run_id}/{path}" for path in self._under_way]
        self._newest, rows = self._runtime.store.news(self._run_id, self._newest, keys)
        for key, text in rows:
            path, found = key[prefix:], hash(text)
            if self._texts.get(path) == found:
                continue
            record = readable_task(path, text)
            self._note(record)
            self._texts[path] = found
            if not silently:
                self._feed.emit(Saved(record))

    def _note(self, record: TaskRecord) -> None:
        path = record.path
        if record.status in _UNDER_WAY or record.kind == STATUS:
            self._under_way.add(path)
        else:
            self._under_way.discard(path)
        around = parent_path(path)
        if around and path not in self._texts and around not in self._texts and record.kind != "log":
            self._inside[around] += 1
            if self._inside[around] >= _NODE:
                self._stand_in(around, record)

    def _stand_in(self, path: str, item: TaskRecord) -> None:
        """Make, or date back, the record of a map that is under way."""
        node = self._nodes.get(path)
        if node is None or item.started < node.started:
            self._untold.add(path)
            self._nodes[path] = TaskRecord(
                path=path,
                kind="map",
                status=TaskStatus.RUNNING,
                started=item.started,
                started_at=item.started_at,
            )

    def _tell_nodes(self) -> None:
        for path in self._untold:
            if path not in self._texts:
                self._feed.emit(Saved(self._nodes[path], live=True))
        self._untold.clear()


def follow(runtime: Runtime, run_id: str) -> Follower | None:
    """Follow a run in the background; None if it is under way in this process, or has ended.

    Raises `UsageError` where no event loop is running.
    """
    if not has_loop():
        raise UsageError(
            "client.watch(...) needs a running event loop, as a notebook has one. In a terminal, "
            f"trigger-nb show {run_id} --watch follows the run"
        )
    if run_id in runtime.executions:
        return None
    follower: Follower | None = runtime.followers.get(run_id)
    if follower is None:
        _forget_pass(runtime, run_id)
        follower = Follower(runtime, run_id)
        if follower.is_over:
            return None
        runtime.followers[run_id] = follower
    return follower


def follow_on(runtime: Runtime, run_id: str) -> None:
    """Follow a run that this process has left to another one: the trees that show it go on."""
    runtime.passes.pop(run_id, None)
    if run_id not in runtime.followers:
        follower = Follower(runtime, run_id, aloud=True)
        if not follower.is_over:
            runtime.followers[run_id] = follower


def _where(runtime: Runtime, run_id: str) -> str:
    """What the header says of a run that was detached."""
    move = moves.of(runtime, run_id)
    if move is None or not move.is_out:
        return ""
    log = f" What it logs is in `{near(Path(move.log))}`." if move.log else ""
    return f"Detached: a worker drives the run, and the notebook can be closed. `run.attach()` brings it back.{log}"


def _forget_pass(runtime: Runtime, run_id: str) -> None:
    """Show the run as another process has it, and no more as the last pass of this one has seen it."""
    runtime.passes.pop(run_id, None)
    if (display := runtime.views.get(run_id)) is not None:
        display.close()
