"""The first steps of every call: its path, its record, and the decision on it. Synchronous, and the whole of a replay."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from .._callsite import show_place
from .._keys import ancestors, display_key, display_path
from .._records.forget import open_again
from .._records.records import TaskRecord, first_ordinal, had_company, plain_value
from .._records.status import Reason, RunStatus, TaskStatus
from .._tasks.call import MISS
from .._tasks.running import running_bodies
from ..errors import DuplicateKeyError, NestingError, ScopeClosedError, UsageError
from .decide import Adopt, Decision, Replay, Run, decide
from .ledger import Unreadable

if TYPE_CHECKING:
    from .._callsite import Place
    from .._tasks.call import Call
    from .._tasks.options import OnChange
    from .state import PassState
    from .stored import StoredResults

T = TypeVar("T")


class Decider:
    """Meets the calls of one pass. `replay` may be called from threads, too."""

    def __init__(self, state: PassState, stored: StoredResults) -> None:
        self._state = state
        self._stored = stored
        self._ledger = state.ledger
        self._changes = state.changes
        self._header = state.header
        self._has_hinted = False  # at code that is not deterministic
        self._met_again: set[str] = set()  # paths of tasks that were called again after they had ended
        self._latest_within: dict[str, int] | None = None  # see `made_progress`

    def replay(self, call: Call[T]) -> T:
        """The stored value of a call, or `MISS`. Then `call.decision` says what to do, if it could be decided here."""
        path = self._meet(call)
        text = self._ledger.texts.get(path)
        if text is None:
            return MISS
        try:
            if path not in self._changes.parents:
                value = plain_value(text, self._changes.head(call), MISS)
                if value is not MISS:
                    if had_company(text):
                        call.turn = self._state.turns.turn_of(call)
                    if self._state.feed.watched:
                        self._header.saw(path, Reason.REPLAYED)
                    else:
                        self._header.reasons[path] = Reason.REPLAYED
                    return value
            decision = self._decided(call)
            if isinstance(decision, Replay):
                value = self._stored.value(call, decision.record)
                if value is not MISS:
                    self._header.saw(path, Reason.REPLAYED)
                    return value
                decision = self.unless_living(call, Run(Reason.LOST_VALUE, open_again(decision.record)))
            call.decision = decision
        except (Exception, Unreadable):  # noqa: BLE001, S110  # `decision` meets the same, and its caller can wait (A9, R13)
            pass
        return MISS

    def decision(self, call: Call[Any]) -> Decision:
        """The decision on a call that `replay` had no value for. Raises `Unreadable` and errors of misuse."""
        if call.scope.depth >= self._state.settings.max_depth:
            name = display_path(call.path)
            raise self._state.stopping.misused(NestingError(call.path, self._state.settings.max_depth, name))
        decision: Decision = call.decision or self._decided(call)
        call.decision = None
        return decision

    def decide_again(self, call: Call[Any]) -> Decision:
        """The decision after a body that was adopted ended with neither result nor error."""
        return self._decided(call)

    def _decided(self, call: Call[Any]) -> Decision:
        record = self._ledger.record(call.path)
        if record is not None:
            call.record = record
            if record.beside and call.turn is None:
                call.turn = self._state.turns.turn_of(call)
        decision = decide(call, record, self)
        return decision if isinstance(decision, Replay) else self.unless_living(call, decision)

    def unless_living(self, call: Call[Any], decision: Decision) -> Decision:
        """`decision`, unless a body of an earlier attempt or pass is still running: then its result is the one (A5)."""
        living = running_bodies.get(self._state.body_key(call.path))
        return decision if living is None else Adopt(living)

    # Meeting a call ---------------------------------------------------------------------------------

    def _meet(self, call: Call[Any]) -> str:
        """Give the call its path. Its key must be new in its scope, and the scope open."""
        scope = call.scope
        if self._state.stopping.why is not None or scope.closed:
            self._refuse(call)
        segment = call.segment
        path = scope.prefix + segment
        if segment in scope.seen:
            self._refuse_again(call, path)
        call.path = path
        scope.seen[segment] = call.place
        if scope.parent is None:
            self._header.meet(call)
        return path

    def _refuse_again(self, call: Call[Any], path: str) -> NoReturn:
        """I4: the key was used before. A loop of the user's around the call would meet this error for ever."""
        stopping, scope = self._state.stopping, call.scope
        if not any(other.path == path for other in scope.subtasks or ()):
            if path in self._met_again:
                stopping.end_for_misuse()
            self._met_again.add(path)
        raise stopping.misused(_met_twice(call, path, scope.seen[call.segment]))

    def _refuse(self, call: Call[Any]) -> NoReturn:
        stopping = self._state.stopping
        if any(scope.failed for scope in call.scope.outward()) or stopping.is_cut_short:
            call.scope.interrupted = call.scope.interrupted or stopping.is_cut_short
            raise stopping.cancellation()
        raise stopping.misused(
            ScopeClosedError(
                f"the task {display_key(call.segment)!r} is started at {show_place(call.place)} after the body "
                f"of {call.scope.path or 'the run'!r} had ended. Await every task inside the body that starts it."
            )
        )

    def has_final_error(self, path: str) -> bool:
        """Whether a task ended in an error that is replayed. A record that cannot be read ends the pass at its call."""
        record = self._ledger.glance(path)
        with suppress(Unreadable):
            return record is not None and record.status == TaskStatus.ERRORED and self.is_final(record)
        return False

    # Facts that `decide` asks for -------------------------------------------------------------------

    def on_change(self, call: Call[Any], record: TaskRecord) -> OnChange:
        """The action on changes since the result was stored; "keep" if there are none (R6)."""
        difference = self._changes.difference(call, record)
        if not difference:
            return "keep"
        if difference == "params":
            self._look_for_chance(call, record)
        return call.options.get("on_change", self._state.settings.on_change)

    def _look_for_chance(self, call: Call[Any], record: TaskRecord) -> None:
        """Hint at a run function that is not deterministic: a task has other params than in an earlier pass with the same
        code and payload, and no task before it has run since. One such task is enough."""
        since = self._state.run.stable_since
        if self._has_hinted or not since or record.started < first_ordinal(since):
            return
        before = map(self._ledger.glance, self._header.reasons)
        if any(each is None or each.ended > record.started for each in before):
            return
        self._has_hinted = True
        self._header.hint(
            f"The code is not deterministic: task {display_path(call.path)!r}, called at {show_place(call.place)}, has other "
            "params than in an earlier pass, with the same code and the same payload. Its stored result is used. Move what "
            "differs each time (the time, a random number, the order of a set, a global) into a task of its own, and pass on "
            "its result."
        )

    def is_final(self, record: TaskRecord) -> bool:
        """Whether an error is replayed (R5)."""
        return self._state.finality.is_final(record)

    def was_lost_with_the_run(self, record: TaskRecord) -> bool:
        """Whether the task was cancelled in an earlier pass as the run failed (R5): by the group of a task that failed, or
        by a time limit of the user's that nothing caught. Were that final, the run could never get any further."""
        return (
            self._state.run.last_ending == RunStatus.FAILED
            and record.ended < self._ledger.first_ordinal
            and not self._state.finality.is_final(record)
        )

    def made_progress(self, record: TaskRecord) -> bool:
        """Whether a subtask started or ended after the body did, so that the body itself did not kill the process."""
        if self._latest_within is None:  # once a pass: many bodies may have run when the process died
            latest = self._latest_within = {}
            for path in list(self._ledger.texts):
                if "/" in path and (each := self._ledger.glance(path)) is not None:
                    ordinal = max(each.began, each.ended)
                    for around in ancestors(path):
                        latest[around] = max(latest.get(around, 0), ordinal)
        return self._latest_within.get(record.path, 0) > record.began


def _met_twice(call: Call[Any], path: str, first: Place) -> UsageError:
    name = display_path(path)
    if call.path:
        return UsageError(
            f"the task {name!r}, called at {show_place(call.place)}, is awaited twice; a call is awaited once. Keep "
            f"what that gives: result = await io.run_task({display_key(call.segment)!r}, ...)"
        )
    return DuplicateKeyError(path, show_place(first), show_place(call.place), name)
