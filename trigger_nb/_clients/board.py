"""The display below a cell that listens: what is coming, and what is under way."""

from __future__ import annotations

import logging
import time
from datetime import datetime
from typing import Protocol
from uuid import uuid4

from .._events import keys
from .._runs.runtime import Runtime
from .._schedules.times import zone_of
from .._view.live.notebook import cell_number, in_notebook, to_kernel
from .._view.render import coming_table, tables
from .._view.render.coming_table import Coming
from .._view.render.snapshot import Bundle
from .._view.words import plural
from ..errors import StoreError

logger = logging.getLogger("trigger_nb")
_MOST = 12  # rows
_EVERY = 1.0  # seconds between two updates
_ELSEWHERE = "Shown below another cell"
_NOTHING = "nothing is due: events start their runs when they come"


class Subject(Protocol):
    """A listener, as its display sees it."""

    started: int

    @property
    def is_listening(self) -> bool:
        """Whether it starts what is due."""
        ...


class Board:
    """A table that is drawn again when something has changed, and stays in the notebook as it was last."""

    def __init__(self, runtime: Runtime, subject: Subject) -> None:
        self._runtime = runtime
        self._subject = subject
        self._place = ""  # the id of the output below a cell
        self._cell = -1  # the number of the cell that shows it
        self._shown = ""
        self._renewed_at = 0.0

    def show(self) -> None:
        """Show the table below the running cell."""
        if not in_notebook() or self._cell == cell_number():
            return  # a cell that ends in client.listen() shows one table, not two
        if self._place:
            elsewhere = {"text/plain": _ELSEWHERE, "text/html": tables.block(tables.note(_ELSEWHERE))}
            to_kernel(elsewhere, {}, self._place, True)
        self._cell = cell_number()
        self._place = f"trigger_nb-{uuid4().hex}"
        bundle = self._bundle()
        self._shown = str(bundle["text/plain"])
        to_kernel(bundle, {}, self._place, False)

    def renew(self, *, at_once: bool = False) -> None:
        """Draw the table again if it is another one now."""
        now = time.monotonic()
        if not self._place or (not at_once and now < self._renewed_at + _EVERY):
            return
        try:
            bundle = self._bundle()
            if bundle["text/plain"] != self._shown:
                self._shown, self._renewed_at = str(bundle["text/plain"]), now
                to_kernel(bundle, {}, self._place, True)
        except Exception:
            logger.debug("the table of what is coming could not be drawn", exc_info=True)

    def text(self) -> str:
        """The table as text."""
        return str(self._bundle()["text/plain"])

    def _bundle(self) -> Bundle:
        now = self._runtime.clock.time()
        try:
            rows = self._rows(now)
        except StoreError:
            rows = []
        head = self._head()
        return {
            "text/html": coming_table.as_html(rows, now, none=_NOTHING, head=head),
            "text/plain": coming_table.as_text(rows, now, none=_NOTHING, head=head),
        }

    def _head(self) -> str:
        jobs = [job for job in self._runtime.jobs.values() if job.enabled]
        names = sorted({name for job in jobs for name in job.trigger.listens_to()})
        state = "Listening" if self._subject.is_listening else "Stopped"
        parts = [
            f"{state} with {plural(len(jobs), 'job')}",
            f"events {', '.join(names[:5])}{', …' if len(names) > 5 else ''}" if names else "",
            f"{plural(self._subject.started, 'run')} started",
            f"{len(self._runtime.executions)} under way" if self._runtime.executions else "",
        ]
        return " · ".join(filter(None, parts))

    def _rows(self, now: float) -> list[Coming]:
        post = self._runtime.post
        rows: list[Coming] = []
        for key in post.coming(now, _MOST):
            row = self._row(*keys.split_due(key))
            if row is not None:
                rows.append(row)
        return rows

    def _row(self, at: float, kind: str, name: str) -> Coming | None:
        if kind == "tick":
            found = self._runtime.schedules.get(name)
            if found is None or found.due is None:
                return None
            local = datetime.fromtimestamp(found.due, zone_of(found.times.zone))
            what = f"{found.owner} · {found.key}" if found.key else found.owner
            return Coming(what, found.times.text, found.due, found.times.zone, local, found.last)
        if kind == "event":
            return Coming(f"event {name}", "is delivered", at)
        record = self._runtime.run_record(name)
        return None if record is None else Coming(record.name or record.job, f"run {name} goes on", at)
