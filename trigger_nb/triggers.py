"""What starts a job's runs, and which payloads it takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from . import filters
from .errors import InvalidOptionError, InvalidPayloadError

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

__all__ = ["EventTrigger", "Example", "InvokeTrigger", "Trigger", "event_trigger", "invoke_trigger"]


@dataclass(frozen=True, slots=True)
class Example:
    """A payload to start a test run from: `Example("basic", "A basic user", {"user_id": "u1"})`."""

    id: str
    name: str
    payload: Any


def event_trigger(
    name: str | Iterable[str],
    schema: Any = None,
    filter: filters.Filter | None = None,
    source: str | None = None,
    examples: Sequence[Example] = (),
) -> EventTrigger:
    """A job that starts when an event of this name, or of one of these names, is sent.

    `schema` is a pydantic model, a dataclass, or any type pydantic can validate. `filter` says which
    payloads count, see `trigger_nb.filters`. `source` limits it to events sent with that source.

    >>> event_trigger("new.user", filter={"plan": ["pro"]}).matches("new.user", {"plan": "pro"})
    True

    Raises `InvalidFilterError` and `InvalidOptionError` for what cannot be meant.
    """
    names = (name,) if isinstance(name, str) else tuple(name)
    return EventTrigger(names=names, schema=schema, filter=filter, source=source, examples=tuple(examples))


def invoke_trigger(schema: Any = None, examples: Sequence[Example] = ()) -> InvokeTrigger:
    """A job that is started by code only: `job.run(...)`, `io.invoke(...)`."""
    return InvokeTrigger(schema=schema, examples=tuple(examples))


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """What all triggers have: the payload's schema, and examples of payloads."""

    schema: Any = None
    examples: tuple[Example, ...] = ()

    def __post_init__(self) -> None:
        for example in self.examples:
            if not _is_example(example):
                raise InvalidOptionError(f"examples: each is an Example(id, name, payload), not {example!r}")
        if self.schema is not None:
            _check_schema(self)

    def parse(self, payload: Any) -> Any:
        """The payload as the run function gets it: validated by the schema, or as given without one.

        An instance of the schema's class stays the object it is. Raises `InvalidPayloadError`.
        """
        if self.schema is None:
            return payload
        from pydantic import ValidationError

        try:
            return self._adapter.validate_python(_of_class_as_it_is_now(payload, self.schema))
        except ValidationError as error:
            # Its message says all there is, so the two are not shown one under the other.
            raise _invalid_payload(self.schema, error) from None

    def matches(self, event_name: str, payload: object, source: str | None = None) -> bool:
        """Whether an event starts the job."""
        return False

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        from pydantic import TypeAdapter

        return TypeAdapter(self.schema)


@dataclass(frozen=True, kw_only=True)
class InvokeTrigger(Trigger):
    """Made by `invoke_trigger`. No event starts the job."""


@dataclass(frozen=True, kw_only=True)
class EventTrigger(Trigger):
    """Made by `event_trigger`."""

    names: tuple[str, ...]
    filter: filters.Filter | None = field(default=None, hash=False)
    source: str | None = None

    def __post_init__(self) -> None:
        if not self.names or not all(map(_is_name, self.names)):
            raise InvalidOptionError(
                f"event_trigger: the name is text, or a list of texts, none of them empty; not {self.names!r}"
            )
        if self.filter is not None:
            filters.validate(self.filter)
        super().__post_init__()

    def matches(self, event_name: str, payload: object, source: str | None = None) -> bool:
        """Whether an event starts the job: its name, its source and its payload all count."""
        return (
            event_name in self.names
            and (self.source is None or self.source == source)
            and (self.filter is None or filters.matches(self.filter, payload))
        )


def _is_example(value: object) -> bool:
    return isinstance(value, Example)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _check_schema(trigger: Trigger) -> None:
    """Refuse a schema that pydantic cannot validate with, when the trigger is defined."""
    from pydantic import PydanticUndefinedAnnotation

    try:
        _ = trigger._adapter  # pyright: ignore[reportPrivateUsage]  # of this file
    except PydanticUndefinedAnnotation:
        pass  # It names a class of a later cell; the first payload finds it.
    except Exception as error:  # What is no type fails inside pydantic in many ways, KeyError among them.
        raise InvalidOptionError(
            f"schema: {trigger.schema!r} is no type that pydantic can validate. Give a pydantic model, "
            "a dataclass or a type such as list[int]."
        ) from error


def _of_class_as_it_is_now(payload: object, schema: object) -> object:
    """The payload's data, if its class was defined again since, as a cell does that is run again."""
    from pydantic import BaseModel

    if isinstance(payload, BaseModel) and isinstance(schema, type) and _is_redefined(type(payload), schema):
        return payload.model_dump(by_alias=True, exclude_unset=True, round_trip=True)
    return payload


def _is_redefined(before: type, now: type) -> bool:
    return (
        not issubclass(before, now)
        and before.__module__ == now.__module__
        and before.__qualname__ == now.__qualname__
    )


def _invalid_payload(schema: Any, error: ValidationError) -> InvalidPayloadError:
    errors = error.errors(include_url=False)
    lines = [f"the payload does not fit {getattr(schema, '__name__', schema)}; no run was started:"]
    for fault in errors:
        place = ".".join(map(str, fault["loc"])) or "the payload"
        lines.append(f"  {place}: {fault['msg']} ({fault['type']})")
    return InvalidPayloadError("\n".join(lines), [dict(fault) for fault in errors])
