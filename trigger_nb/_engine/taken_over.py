"""Results that a pass takes over from other runs, and their way to the store.

A task of the run function whose result is found gets it at once, as a replay does. Its record rides along, so that results taken
over one after the other share a commit: before the next call that is no replay does anything, so that no effect rests on
what is not stored; in the next turn of the loop, so that others see it and deleting keeps it (`_runs/housekeeping.py`); or at
the end of the pass. One that dies before has called no body: the next pass looks again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .._records.status import Reason
from .._tasks.call import MISS
from .._tasks.running import running_bodies
from .._values.files import FilesInUse, files_in
from .ledger import LOOP_PATIENCE, commit_loose, settle_loose, take_over
from .readings import Unreadable

if TYPE_CHECKING:
    from .._tasks.call import AnyCall
    from .state import PassState

_OPTIONS = frozenset({"name", "reuse", "expires_after"})  # they need no check, and nothing before the body


class TakenOver:
    """The results that a pass has taken over at once."""

    def __init__(self, state: PassState) -> None:
        self._state = state
        self.are_loose = False  # some are not committed yet

    def take(self, call: AnyCall) -> object:
        """The value of another run's result for a call without a record. `MISS` if there is none, or if it takes more than
        copying a text: then `Attempts.take_over` does it."""
        state, scope = self._state, call.scope
        reuses = state.reuses
        if (
            scope is not state.root
            or scope.subtasks
            or call.kind != "task"
            or call.service is not None
            or call.from_thread
            or (FilesInUse.begun and any(files_in(call.args)))
            or not _OPTIONS.issuperset(call.options)
            or state.body_key(call.path) in running_bodies
        ):
            return MISS
        try:
            if (found := reuses.find(call)) is None or (value := reuses.plain(call, found)) is MISS:
                return MISS
            text = reuses.copied(call, found, state.now())
        except (Exception, Unreadable):  # noqa: BLE001  # `perform` meets the same, and can wait (A9, R13)
            return MISS
        if text is None:
            return MISS
        take_over(state.ledger, call.path, text)
        if not self.are_loose:
            self.are_loose = True
            state.home.soon(self._commit)
        state.saw(call.path, Reason.REUSED)
        return value

    async def settle(self) -> None:
        """Commit what was taken over. A fault of the store ends the pass (A9)."""
        self.are_loose = False
        await settle_loose(self._state.ledger)

    def _commit(self) -> None:
        if not self.are_loose:
            return
        if commit_loose(self._state.ledger):
            self.are_loose = False
        else:  # another process writes
            asyncio.get_running_loop().call_later(LOOP_PATIENCE, self._commit)
