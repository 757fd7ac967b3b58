"""`Runs`: several runs, as users get them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import overload

from ._awaiting import has_loop
from ._records import RunRecord
from ._runlist import RunList, RunQuery
from .run import Run
from .view import table
from .view.notebook import Bundle, in_notebook, to_kernel


class Runs(Sequence[Run]):
    """Runs, newest first. Displayed as an interactive list in a notebook, else as a table."""

    def __init__(self, runs: list[Run], query: RunQuery | None = None) -> None:
        self._runs = runs
        self._query = query  # None for a slice

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> Runs: ...
    def __getitem__(self, index: int | slice) -> Run | Runs:
        return Runs(self._runs[index]) if isinstance(index, slice) else self._runs[index]

    def __len__(self) -> int:
        return len(self._runs)

    def _ipython_display_(self) -> None:
        if self._query is not None and in_notebook() and has_loop():
            RunList(self._query, asyncio.get_running_loop(), self._bundle).show()
        else:
            to_kernel(self._bundle())

    def _bundle(self) -> Bundle:
        return {"text/html": table.as_html(self._records(), self._now), "text/plain": repr(self)}

    def _records(self) -> list[RunRecord]:
        return [run._current for run in self._runs if run._exists]

    def _repr_html_(self) -> str:
        return table.as_html(self._records(), self._now)

    def __repr__(self) -> str:
        return table.as_text(self._records(), self._now)

    @property
    def _now(self) -> float:
        return self._runs[0]._runtime.clock.time() if self._runs else 0.0  # pyright: ignore[reportPrivateUsage]
