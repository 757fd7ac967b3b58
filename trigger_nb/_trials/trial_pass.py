"""A pass of a trial: every call is decided and recorded as in any pass, and stubs are called in place of bodies."""

from __future__ import annotations

import inspect
from contextvars import copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, cast

from .._engine.bodies import Bodies
from .._engine.pass_ import Pass
from .._engine.questions import Questions
from .._io.forms import as_json
from .._io.questions import Approval
from .._keys import display_path
from .._records.questions import INPUT, Answer
from .._tasks.call import current_scope
from .._tasks.outside import Polling
from .._tasks.signature import signature_of
from ..errors import InvalidAnswerError, InvalidOptionError, MissingCredentialError, NoStubError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._callsite import Place
    from .._concurrency.threads import Start
    from .._engine.off_loop import OffLoop
    from .._engine.results import Results
    from .._records.records import TaskRecord
    from .._tasks.call import AnyCall, Scope
    from .._tasks.options import Options
    from .._tasks.running import RunningBody


class Observer(Protocol):
    """A trial, as its passes see it."""

    reached: list[NoStubError]  # by calls without a stub

    def met(self, call: AnyCall) -> None:
        """Note that the code has called a task. May be called from any thread."""
        ...

    def stub_of(self, call: AnyCall) -> Callable[[], object] | None:
        """How to get what stands for the body of a call: a value, or a function to call. None: the body itself."""
        ...

    def ended(self, pass_: TrialPass, call: AnyCall) -> None:
        """A task has ended that was not replayed. On the loop."""
        ...

    def refuse(self, what: str, call: AnyCall | None = None) -> NoReturn:
        """Raise `NoStubError` for a call that reaches for a service."""
        ...


@dataclass(kw_only=True, eq=False, repr=False)
class TrialPass(Pass):
    """A pass of a trial, which its observer looks at."""

    trial: Observer

    def __post_init__(self) -> None:
        super().__post_init__()
        self.places: dict[str, Place] = {}  # of the tasks that were called in this pass, by path
        decide = self.replay

        def replay(call: Any) -> Any:
            value = decide(call)
            self.places.setdefault(call.path, call.place)
            self.trial.met(call)
            return value

        self.replay = replay

    def make_bodies(self, results: Results, off_loop: OffLoop) -> Bodies:
        """The part that calls stubs, and bodies that have none."""
        bodies = _TrialBodies(self, self._stored, results, self.waits, off_loop, self.make_io)
        bodies.trial = self.trial
        return bodies

    def make_questions(self) -> Questions:
        """The part that lets stubs answer."""
        questions = _TrialQuestions(self, self._stored, self.records, self.waits)
        questions.trial = self.trial
        return questions

    async def perform(self, call: Any) -> Any:
        """As any pass, and tell the observer. Nothing is looked for again and again: the stub has the result."""
        if isinstance(call.outside, Polling):
            call.outside = None
        try:
            return await super().perform(call)
        finally:
            self.trial.ended(self, call)

    def about_to_start(self, what: str) -> None:
        """Refuse a run or an event that code starts by itself: it would be stored with the real ones."""
        self.trial.refuse(
            f"starts {what} by itself, in its own store. Use io.invoke_and_wait or io.send_event"
        )


class _TrialBodies(Bodies):
    trial: Observer

    async def _call_body(self, call: AnyCall, record: TaskRecord, running: RunningBody) -> Any:
        stub = self.trial.stub_of(call)
        if stub is not None:
            return await self._call_stub(call, running, stub())
        call.options = _here(call.options)
        try:
            value = await super()._call_body(call, record, running)
        except MissingCredentialError as error:
            self.trial.refuse(f"needs a credential ({error})", call)
        except Exception:
            if self.trial.reached:  # a library has made another error of it
                raise self.trial.reached[0] from None
            raise
        return value

    async def _call_stub(self, call: AnyCall, running: RunningBody, stub: Any) -> Any:
        if not callable(stub):
            return stub
        args, named = self._arguments(call, signature_of(stub), running)
        context = copy_context()
        context.run(current_scope.set, running.scope)
        value = context.run(stub, *args, **named)
        return await cast("Any", value) if inspect.isawaitable(value) else value

    def start_of_batch(self, first: AnyCall, items: list[Any], node: Scope) -> Start | None:
        """The batch runs here, not in its executor."""
        first.options = _here(first.options)
        return super().start_of_batch(first, items, node)


class _TrialQuestions(Questions):
    trial: Observer

    async def answer_to(self, call: Any, key: str, until: float | None) -> Answer:
        """The answer of the stub: the value, or for an approval its choice, perhaps with data: `("approve", {"limit": 3})`.

        Without a stub, nobody answers: the time limit is over at once.
        """
        stub = self.trial.stub_of(call)
        if stub is None and until is not None:
            return await super().answer_to(call, key, until)
        if stub is None:
            self.trial.refuse("asks a person", call)
        value: Any = stub()
        value = value() if callable(value) else value
        return _as_answer(value, call.options["data"].get("asks"), self._state.now())

    async def _refuse(
        self, record: TaskRecord, key: str, answer: Answer, error: InvalidAnswerError
    ) -> TaskRecord:
        """What does not fit is a mistake in the test."""
        name = display_path(record.path)
        raise self._state.stopping.misused(
            InvalidOptionError(f"the stub of {name!r} does not answer it: {error}")
        )


def _as_answer(value: Any, asks: str, now: float) -> Answer:
    by = "a stub"
    if asks == INPUT:
        return Answer(None, as_json(value), by, now)
    if isinstance(value, Approval):
        given = cast("Approval[Any]", value)
        return Answer(
            given.choice,
            None if given.data is None else as_json(given.data),
            given.by or by,
            now,
            timed_out=given.timed_out,
        )
    if isinstance(value, (tuple, list)):
        choice, data = cast("tuple[Any, Any]", value)
        return Answer(str(choice), as_json(data), by, now)
    return Answer(str(value), None, by, now)


def _here(options: Options) -> Options:
    """The options of a task without its executor: in a trial, bodies run in this process."""
    return {**options, "executor": None} if options.get("executor") is not None else options
