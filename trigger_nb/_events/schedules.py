"""The schedules of a store: when each is due next, and which due times have been dealt with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from .._schedules.times import CatchUp, Times, check_catch_up, load_times
from .._store.protocol import Changes, Row, Store
from .._values.json_text import dumps, loads
from ..errors import InvalidOptionError
from . import keys
from .keys import TAG, end_of
from .post import PATIENCE, Post

# Seconds after which a due time counts as missed, for `catch_up="none"`.
LATE = 60.0
_PREFIX = "post/schedule/"


@dataclass(frozen=True, slots=True)
class StoredSchedule:
    """A schedule: of a job (`key` is ""), or one of a `DynamicSchedule`. Times are UTC seconds."""

    id: str
    owner: str  # the id of the job, or of the DynamicSchedule
    key: str
    times: Times
    catch_up: CatchUp
    began: float
    due: float | None  # None: never again
    last: float | None  # the due time of its last run

    @property
    def is_dynamic(self) -> bool:
        """Whether it was registered with a `DynamicSchedule`."""
        return self.id.startswith("dynamic/")

    def next_run(self, now: float) -> tuple[float | None, float | None]:
        """The due time to start a run for, now that the schedule is due, if any; and the due time after it."""
        assert self.due is not None
        if self.catch_up == "all":
            return self.due, self.times.following(self.due, self.began)
        latest = max(self.due, self.times.latest(now, self.began) or self.due)
        following = self.times.following(latest, self.began)
        is_missed = self.catch_up == "none" and now - latest > LATE
        return (None if is_missed else latest), following

    def row(self) -> Row:
        """The row that keeps it."""
        data = {
            "owner": self.owner,
            "key": self.key,
            "times": self.times.dump(),
            "catch_up": self.catch_up,
            "began": self.began,
            "due": self.due,
            "last": self.last,
        }
        return Row(_PREFIX + quote(self.id, safe=""), TAG, dumps(data))


def id_of_job(job_id: str) -> str:
    """The id of the schedule of a job's own trigger."""
    return f"job/{job_id}"


def id_of_dynamic(schedule: str, key: str) -> str:
    """The id of a schedule that was registered with a `DynamicSchedule`."""
    return f"dynamic/{quote(schedule, safe='')}/{key}"


class Schedules:
    """The schedules of one store. Methods raise `StoreError`."""

    def __init__(self, store: Store, post: Post) -> None:
        self._store = store
        self._post = post

    def all(self) -> list[StoredSchedule]:
        """All schedules of the store."""
        found = [_read(*row) for row in self._store.between(_PREFIX, end_of(_PREFIX))]
        return [each for each in found if each is not None]

    def get(self, schedule_id: str) -> StoredSchedule | None:
        """A schedule; None if there is none with this id."""
        key = _PREFIX + quote(schedule_id, safe="")
        text = self._store.get(key)
        return None if text is None else _read(key, text)

    def keep(
        self, schedule_id: str, owner: str, key: str, times: Times, catch_up: CatchUp, now: float
    ) -> StoredSchedule:
        """Add a schedule, or change it. One that stays as it was keeps its times, and what was missed of them."""
        known = self.get(schedule_id)
        if known is not None and (known.times, known.catch_up) == (times, catch_up):
            return known
        found = known

        def decide() -> Changes:
            nonlocal found
            known = self.get(schedule_id)
            if known is not None and known.times == times:
                found = StoredSchedule(
                    schedule_id, owner, key, times, catch_up, known.began, known.due, known.last
                )
                return Changes([found.row()])
            last = None if known is None else known.last
            due = times.following(now, now)
            found = StoredSchedule(schedule_id, owner, key, times, catch_up, now, due, last)
            return Changes([found.row(), *_tick(found)], _old_tick(known, found))

        self._change(decide)
        assert found is not None
        return found

    def remove(self, schedule_id: str) -> bool:
        """Remove a schedule; whether there was one."""
        known = self.get(schedule_id)
        if known is None:
            return False
        self._change(lambda: Changes(delete=[known.row().key, *_old_tick(self.get(schedule_id), None)]))
        return True

    def advance(self, schedule: StoredSchedule, ran: float | None, following: float | None) -> None:
        """A due time is dealt with: the schedule is due at `following`. Does nothing if another process has done so."""

        def decide() -> Changes | None:
            known = self.get(schedule.id)
            if known is None or known.due != schedule.due or known.times != schedule.times:
                return None
            last = known.last if ran is None else ran
            moved = StoredSchedule(
                known.id, known.owner, known.key, known.times, known.catch_up, known.began, following, last
            )
            return Changes([moved.row(), *_tick(moved)], _old_tick(known, moved))

        self._change(decide)

    def is_due(self, schedule: StoredSchedule) -> bool:
        """Whether no process has dealt with the due time of this schedule yet."""
        known = self.get(schedule.id)
        return known is not None and known.due == schedule.due

    def _change(self, decide: Any) -> None:
        self._store.change(decide, patience=PATIENCE)
        self._post.tell()


def _tick(schedule: StoredSchedule) -> list[Row]:
    return [] if schedule.due is None else [Row(keys.due(schedule.due, "tick", schedule.id), TAG, "{}")]


def _old_tick(known: StoredSchedule | None, now: StoredSchedule | None) -> list[str]:
    """The key of the due time before, unless it is the one now, too."""
    if known is None or known.due is None:
        return []
    key = keys.due(known.due, "tick", known.id)
    return [] if now is not None and any(row.key == key for row in _tick(now)) else [key]


def _read(key: str, text: str) -> StoredSchedule | None:
    """A schedule out of its row; None if that is damaged."""
    try:
        data: Mapping[str, Any] = loads(text)
        return StoredSchedule(
            keys.last(key),
            str(data["owner"]),
            str(data["key"]),
            load_times(data["times"]),
            check_catch_up(data["catch_up"]),
            float(data["began"]),
            None if data["due"] is None else float(data["due"]),
            None if data["last"] is None else float(data["last"]),
        )
    except (ValueError, KeyError, TypeError, InvalidOptionError):
        return None
