"""Many runs at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from ._records import RunRecord
from .run import Run
from .view import table


class Runs(Sequence[Run]):
    """Runs, newest first; shown as a table."""

    def __init__(self, runs: list[Run]) -> None:
        self._runs = runs

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> Runs: ...
    def __getitem__(self, index: int | slice) -> Run | Runs:
        return Runs(self._runs[index]) if isinstance(index, slice) else self._runs[index]

    def __len__(self) -> int:
        return len(self._runs)

    def _records(self) -> list[RunRecord]:
        return [run._record.copy(status=run.status) for run in self._runs]  # pyright: ignore[reportPrivateUsage]

    def _repr_html_(self) -> str:
        return table.as_html(self._records(), self._now)

    def __repr__(self) -> str:
        return table.as_text(self._records(), self._now)

    @property
    def _now(self) -> float:
        return self._runs[0]._runtime.clock.time() if self._runs else 0.0  # pyright: ignore[reportPrivateUsage]
