"""`io.wait_for_approval` and `io.ask`: questions that a run asks people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

from .._clock import to_datetime, to_seconds
from .._keys import display_path
from .._records.questions import APPROVAL, INPUT, KIND, REJECT, Answer, Field, Question
from .._redact import secrets
from .._tasks.call import Call
from ..errors import InvalidOptionError, UsageError
from . import forms
from .starter import TaskStarter, caller

if TYPE_CHECKING:
    from .._callsite import Place

D = TypeVar("D")
T = TypeVar("T")


@dataclass(frozen=True)
class Approval(Generic[D]):
    """The answer to `io.wait_for_approval`: what was chosen, by whom, and when.

    - `choice`: one of the choices; None if nobody answered in time.
    - `data`: what was filled in, as an instance of the `schema`; None without one.
    - `by`: who has answered, as far as known.
    - `at`: when, in UTC.

    It is true for "approve" and false for "reject" and for no answer in time. For other choices, compare `choice`.

    ```
    approval = await io.wait_for_approval("publish", prompt="Publish the report?")
    if approval:
        print("approved by", approval.by)
    ```
    """

    choice: str | None
    data: D
    by: str | None
    at: datetime

    @property
    def timed_out(self) -> bool:
        """Whether nobody has answered in time."""
        return self.choice is None

    def __bool__(self) -> bool:
        if self.choice in ("approve", REJECT, None):
            return self.choice == "approve"
        raise UsageError(
            f"whether {self.choice!r} means yes is not known: compare it, if approval.choice == {self.choice!r}"
        )


class QuestionCall(Call[T]):
    """The call of a question; `build` makes its value of an answer, and raises `InvalidAnswerError` for one that does not fit."""

    __slots__ = ("build",)

    build: Callable[[Answer], T]


class Questions(TaskStarter):
    """The part of `io` that asks people."""

    @overload
    def wait_for_approval(
        self,
        key: object,
        prompt: str = ...,
        *,
        choices: Sequence[str] = ...,
        schema: type[D],
        timeout: float | timedelta | None = ...,
    ) -> Call[Approval[D]]: ...
    @overload
    def wait_for_approval(
        self,
        key: object,
        prompt: str = ...,
        *,
        choices: Sequence[str] = ...,
        schema: None = ...,
        timeout: float | timedelta | None = ...,
    ) -> Call[Approval[None]]: ...
    def wait_for_approval(
        self,
        key: object,
        prompt: str = "",
        *,
        choices: Sequence[str] = ("approve", REJECT),
        schema: Any = None,
        timeout: float | timedelta | None = None,
    ) -> Call[Any]:
        """Wait until a person decides: in the tree, with `run.approve(key)`, or on the command line. Returns an `Approval`.

        Meanwhile the run is WAITING, and needs no kernel: an answer that comes while none drives it counts. The first
        answer counts, whoever gives it; the record says whose it is.

        - `prompt`: what the person is asked.
        - `choices`: the buttons. The data of "reject" may be left out.
        - `schema`: a pydantic model: its fields are a form, and the `data` of the answer.
        - `timeout`: seconds, or a `timedelta`: if nobody has answered by then, the `choice` is None.

        Raises `InvalidOptionError` for choices that are no different texts, or a schema that pydantic cannot use.

        ```
        approval = await io.wait_for_approval("publish", prompt="Publish the report?", timeout=86_400)
        if not approval:
            return "not published"
        ```
        """
        place = caller()
        try:
            question = self._approval(prompt, choices, schema)
            seconds = None if timeout is None else to_seconds(timeout, "timeout")
        except UsageError as error:
            raise self._pass.stopping.misused(error)  # noqa: B904  # the same error

        def build(answer: Answer) -> Approval[Any]:
            data: Any = None
            if (
                not answer.timed_out
                and schema is not None
                and not (answer.choice == REJECT and answer.data is None)
            ):
                data = forms.check_by_schema(schema, answer.data, _named(call))
            return Approval(answer.choice, data, answer.by or None, to_datetime(answer.at))

        call = self._question(place, key, question, build, seconds)
        return call

    @overload
    def ask(
        self,
        key: object,
        schema: type[T],
        *,
        prompt: str = ...,
        default: Any = ...,
        timeout: float | timedelta | None = ...,
    ) -> Call[T]: ...
    @overload
    def ask(
        self, key: object, *, prompt: str = ..., default: Any = ..., timeout: float | timedelta | None = ...
    ) -> Call[str]: ...
    @overload
    def ask(
        self,
        key: object,
        schema: object,
        *,
        prompt: str = ...,
        default: Any = ...,
        timeout: float | timedelta | None = ...,
    ) -> Call[Any]: ...
    def ask(
        self,
        key: object,
        schema: Any = str,
        *,
        prompt: str = "",
        default: Any = forms.NO_DEFAULT,
        timeout: float | timedelta | None = None,
    ) -> Call[Any]:
        """Ask a person for a value: in the tree, with `run.answer(key, value)`, or on the command line. Returns the value.

        - `schema`: what is asked for: `str`, `int`, `float`, `bool`, `date`, a `Literal`, an enum, a pydantic model, whose
          fields are a form, or any type that pydantic knows, written as JSON.
        - `prompt`: what the person is asked.
        - `default`: what the form is filled with at first, and the result if nobody has answered in time.
        - `timeout`: seconds, or a `timedelta`. It needs a `default`.

        Waiting is as in `wait_for_approval`. Raises `InvalidOptionError` for a schema that pydantic cannot use, a default
        that does not fit it, and a timeout without a default.

        ```
        city = await io.ask("city", prompt="Which city?", default="Paris")
        ```
        """
        place = caller()
        try:
            if timeout is not None and default is forms.NO_DEFAULT:
                raise InvalidOptionError(
                    "io.ask with a timeout needs a default, which is the result if nobody has answered by then: default=..."
                )
            fields, has_names, is_open = self._form(schema, default)
            question = Question(INPUT, _text(prompt), (), fields, has_names, is_open, forms.name_of(schema))
            seconds = None if timeout is None else to_seconds(timeout, "timeout")
        except UsageError as error:
            raise self._pass.stopping.misused(error)  # noqa: B904  # the same error

        def build(answer: Answer) -> Any:
            return default if answer.timed_out else forms.check_by_schema(schema, answer.data, _named(call))

        call = self._question(place, key, question, build, seconds)
        return call

    def _approval(self, prompt: str, choices: Sequence[str], schema: Any) -> Question:
        """The question of an approval. Raises `InvalidOptionError`."""
        texts = [] if isinstance(choices, str) else list(choices)
        are_texts = all(map(_is_choice, texts))
        if not texts or not are_texts or len(set(texts)) != len(texts):
            raise InvalidOptionError(
                f'choices is a list of different texts, such as ["approve", "reject"], not {choices!r:.100}'
            )
        if schema is None:
            return Question(APPROVAL, _text(prompt), tuple(texts))
        fields, has_names, is_open = self._form(schema, forms.NO_DEFAULT)
        return Question(
            APPROVAL, _text(prompt), tuple(texts), fields, has_names, is_open, forms.name_of(schema)
        )

    def _form(self, schema: Any, default: Any) -> tuple[tuple[Field, ...], bool, bool]:
        began = monotonic()
        try:
            return forms.form_of(schema, default)
        finally:  # pydantic may be imported here
            self._pass.excuse(monotonic() - began)

    def _question(
        self,
        place: Place,
        key: object,
        question: Question,
        build: Callable[[Answer], Any],
        seconds: float | None,
    ) -> QuestionCall[Any]:
        call = self._task(
            place,
            key,
            None,
            kind=KIND,
            deadline=None if seconds is None else lambda now: now + seconds,
            make=QuestionCall,
            icon="message",
            data=question.data(),
        )
        asked = cast("QuestionCall[Any]", call)
        asked.build = build
        return asked


def _named(call: Call[Any]) -> str:
    return repr(display_path(call.path or call.segment))


def _is_choice(value: object) -> bool:
    return isinstance(value, str) and value.strip() != "" and len(value) <= _LONGEST_CHOICE


_LONGEST_CHOICE = 60  # characters


def _text(prompt: object) -> str:
    if not isinstance(prompt, str):
        raise InvalidOptionError(f"prompt is text, not {prompt!r:.100}")
    return secrets.hide(prompt)
