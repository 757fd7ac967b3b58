"""The statuses of a run (`io.create_status`) as lines of its header."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from ..._keys import display_key, last_segment
from ..._records.records import RunRecord
from ..._records.status import RunStatus
from ..._records.statuses import in_force, progress_of, said, status_path
from ..escape import visible
from ..pretty import preview
from .rows import Row, State

_Standing: TypeAlias = dict[str, Any]  # the data of one status: label, order, and the arguments of its calls
_MOST = 8  # statuses that are shown at most, and parts of the data of each
_VALUE = 200  # characters of each part


@dataclass(frozen=True, slots=True)
class StatusLine:
    """One status. Its text has passed `visible` and still has to be escaped for HTML."""

    state: State  # selects the shape
    label: str
    share: float | None  # filled part of the bar, from 0 to 1
    text: str  # all other data

    @property
    def percent(self) -> str:
        """The share as text: `50%`. It is 100% only if the share is 1."""
        return "" if self.share is None else f"{int(100 * self.share + 1e-9)}%"


class Board:
    """The statuses of one run, updated with each call."""

    def __init__(self) -> None:
        # The rows of the calls on each status: by the path of the call that made the status, then by path.
        self._calls: dict[str, dict[str, Row]] = {}
        self._standing: dict[str, _Standing] = {}  # the current data of each status, computed on demand

    def note(self, row: Row) -> None:
        """Note that the row of a call may have changed."""
        if row.record is not None:
            path = status_path(row.record)
            self._calls.setdefault(path, {})[row.path] = row
            self._standing.pop(path, None)

    def forget_pass(self) -> None:
        """Reset the statuses for a new pass."""
        self._standing.clear()

    def lines(self, run: RunRecord) -> tuple[list[StatusLine], int]:
        """The lines to show, in the order in which the statuses were made, and the number of omitted ones.

        If there are too many, failed and loading statuses come first.
        """
        for path, calls in self._calls.items():
            if path not in self._standing:
                self._standing[path] = _standing(path, calls)
        known = [each for each in self._standing.values() if each]
        known.sort(key=lambda each: each["order"])
        if len(known) > _MOST:
            known = sorted(known, key=lambda each: each.get("state") not in ("failure", "loading"))
        return [_line(each, run) for each in known[:_MOST]], max(0, len(known) - _MOST)


def _standing(path: str, rows: Mapping[str, Row]) -> _Standing:
    """The data of a status, merged from the calls in force; later calls win. Empty if no call is in force."""
    records = [row.record for row in rows.values() if row.record is not None]
    calls = in_force(records, lambda record: rows[record.path].reason is not None)
    if not calls:
        return {}
    standing = {"label": display_key(last_segment(path)), "order": calls[0].ended}
    for record in calls:
        standing.update(said(record))
    return standing


def _line(standing: _Standing, run: RunRecord) -> StatusLine:
    data = standing.get("data")
    share = progress_of(data)
    text = " · ".join(_parts(cast("dict[str, object]", data), share)) if isinstance(data, dict) else ""
    label = visible(str(standing["label"]), 200)
    return StatusLine(_state(standing.get("state"), run), label, share, text)


def _state(state: object, run: RunRecord) -> State:
    if state == "loading":
        if run.status in (RunStatus.FAILED, RunStatus.INTERRUPTED, RunStatus.CANCELED):
            return State.UNFINISHED
        return State.PENDING if run.status == RunStatus.COMPLETED else State.RUNNING
    return {"success": State.COMPLETED, "failure": State.FAILED}.get(str(state), State.LOG)


def _parts(data: Mapping[str, object], share: float | None) -> Iterator[str]:
    shown = [name for name in data if name != "progress" or share is None]
    for name in shown[:_MOST]:
        value = data[name]
        text = value if isinstance(value, str) else preview(value, _VALUE)
        yield f"{visible(name, 40)}: {visible(text, _VALUE)}"
    if len(shown) > _MOST:
        yield f"{len(shown) - _MOST} more"
