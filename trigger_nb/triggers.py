"""Triggers: what starts the runs of a job, and which payloads are valid."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, cast

from . import filters
from ._schedules.scheduled import Scheduled
from ._schedules.times import CatchUp, Cron, Interval, Times, check_catch_up, zone_of
from .errors import InvalidOptionError, InvalidPayloadError

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

__all__ = [
    "EventTrigger",
    "Example",
    "InvokeTrigger",
    "ScheduleTrigger",
    "Scheduled",
    "Trigger",
    "cron_trigger",
    "event_trigger",
    "interval_trigger",
    "invoke_trigger",
]


@dataclass(frozen=True, slots=True)
class Example:
    """An example payload of a trigger, for test runs.

    >>> Example("basic", "A basic user", {"user_id": "u1"}).payload
    {'user_id': 'u1'}
    """

    id: str
    name: str
    payload: Any


def event_trigger(
    name: str | Iterable[str],
    schema: object = None,
    filter: filters.Filter | None = None,
    source: str | None = None,
    examples: Sequence[Example] = (),
    *,
    context_filter: filters.Filter | None = None,
) -> EventTrigger:
    """A trigger that starts a job when an event is sent.

    - `name`: the event's name, or a list of names.
    - `schema`: a pydantic model, a dataclass or any other type that pydantic can validate. Payloads are
      validated with it. None (the default) accepts any payload.
    - `filter`: the payloads that start the job, see `trigger_nb.filters`. None (the default): all.
    - `source`: only events sent with this source start the job. None (the default): all.
    - `examples`: example payloads.
    - `context_filter`: as `filter`, for the context that the event was sent with.

    Raises `InvalidFilterError` for a filter with invalid syntax, and `InvalidOptionError` for any other
    invalid value.

    >>> event_trigger("new.user", filter={"plan": ["pro"]}).matches("new.user", {"plan": "pro"})
    True
    """
    names = (name,) if isinstance(name, str) else tuple(name)
    return EventTrigger(
        names=names,
        schema=schema,
        filter=filter,
        context_filter=context_filter,
        source=source,
        examples=tuple(examples),
    )


def invoke_trigger(schema: object = None, examples: Sequence[Example] = ()) -> InvokeTrigger:
    """A trigger for a job that only code starts: `job.run(...)`, `io.invoke(...)`.

    `schema` and `examples` are as for `event_trigger`. Raises `InvalidOptionError` for an invalid value.

    >>> invoke_trigger(schema=list[int]).parse(["1", 2])
    [1, 2]
    """
    return InvokeTrigger(schema=schema, examples=tuple(examples))


def interval_trigger(seconds: float | timedelta, *, catch_up: CatchUp = "last") -> ScheduleTrigger:
    """A trigger that starts a job every so many seconds, while a kernel listens: see `client.listen`.

    `seconds` is a number or a `timedelta`, of a second or more. The times count from when a kernel first listened.
    `catch_up` is as for `cron_trigger`. The payload is a `Scheduled`. Raises `InvalidOptionError`.

    >>> interval_trigger(3600).times.text
    'every 1:00:00'
    """
    return ScheduleTrigger(times=Interval.of(seconds), catch_up=catch_up)


def cron_trigger(expression: str, *, timezone: Any = None, catch_up: CatchUp = "last") -> ScheduleTrigger:
    """A trigger that starts a job at the times of a cron expression, while a kernel listens: see `client.listen`.

    - `expression`: minute, hour, day, month and weekday: "0 9 * * 1-5" is 9:00 on weekdays. Or "@daily" and the like.
    - `timezone`: such as "Europe/Berlin", also a `ZoneInfo`; by default UTC.
    - `catch_up`: what happens to times that passed while no kernel listened: the "last" one starts a run, "all" of them
      do, or "none".

    The payload is a `Scheduled`. Raises `InvalidOptionError`, which says what is wrong with the expression or the zone.

    >>> cron_trigger("0 9 * * 1-5", timezone="Europe/Berlin").times.text
    '0 9 * * 1-5 · At 09:00 on Monday through Friday'
    """
    return ScheduleTrigger(times=Cron.of(expression, timezone), catch_up=catch_up)


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """Base class of triggers: the payload's schema, and example payloads."""

    schema: Any = None
    examples: tuple[Example, ...] = ()

    def __post_init__(self) -> None:
        for example in self.examples:
            if not _is_example(example):
                raise InvalidOptionError(f"examples: each is an Example(id, name, payload), not {example!r}")
        if self.schema is not None:
            _check_schema(self)

    def parse(self, payload: object) -> Any:
        """The payload that the run function gets: validated by the schema, if there is one.

        An instance of the schema's class is returned as it is. Raises `InvalidPayloadError` for any payload
        that the schema rejects.
        """
        if self.schema is None:
            return payload
        from pydantic import ValidationError

        try:
            return self._adapter.validate_python(_of_current_class(payload, self.schema))
        except ValidationError as error:
            # The message has all details, so `from None` leaves the original error out of the traceback.
            raise _invalid_payload(self.schema, error) from None

    def missing(self, now: float) -> Any:
        """The payload of a run that is started without one at `now`, in UTC seconds."""
        return None

    def fit(self, payload: Any) -> Any:
        """A stored payload as the run function gets it: validated only if it is no instance of the schema's class."""
        try:
            return payload if self.schema is None or isinstance(payload, self.schema) else self.parse(payload)
        except TypeError:  # a generic such as list[int]: it was validated when the run was started
            return payload

    def matches(
        self, event_name: str, payload: object, source: str | None = None, context: object = None
    ) -> bool:
        """Whether an event starts the job."""
        return False

    def listens_to(self) -> tuple[str, ...]:
        """The names of the events that can start the job."""
        return ()

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        from pydantic import TypeAdapter

        return TypeAdapter(self.schema)


@dataclass(frozen=True, kw_only=True)
class InvokeTrigger(Trigger):
    """A trigger that no event starts. Create it with `invoke_trigger`."""


@dataclass(frozen=True, kw_only=True)
class EventTrigger(Trigger):
    """A trigger that events start. Create it with `event_trigger`."""

    names: tuple[str, ...]
    filter: filters.Filter | None = field(default=None, hash=False)
    context_filter: filters.Filter | None = field(default=None, hash=False)
    source: str | None = None

    def __post_init__(self) -> None:
        if not self.names or not all(map(_is_name, self.names)):
            raise InvalidOptionError(
                f"event_trigger: the name is text, or a list of texts, none of them empty; not {self.names!r}"
            )
        for each in (self.filter, self.context_filter):
            if each is not None:
                filters.validate(each)
        super().__post_init__()

    def matches(
        self, event_name: str, payload: object, source: str | None = None, context: object = None
    ) -> bool:
        """Whether an event starts the job: its name, source, payload and context must all match."""
        return (
            event_name in self.names
            and (self.source is None or self.source == source)
            and (self.filter is None or filters.matches(self.filter, payload))
            and (self.context_filter is None or filters.matches(self.context_filter, context))
        )

    def listens_to(self) -> tuple[str, ...]:
        """The names of the events that can start the job."""
        return self.names


@dataclass(frozen=True, kw_only=True)
class TimeTrigger(Trigger):
    """Base class of triggers whose payload is a `Scheduled`."""

    schema: Any = Scheduled
    catch_up: CatchUp = "last"

    def fit(self, payload: Any) -> Any:
        """The stored payload as it is: a run from before its job had a schedule may have any."""
        return payload


@dataclass(frozen=True, kw_only=True)
class ScheduleTrigger(TimeTrigger):
    """A trigger of a schedule. Create it with `interval_trigger` or `cron_trigger`."""

    times: Times

    def __post_init__(self) -> None:
        check_catch_up(self.catch_up)

    def parse(self, payload: object) -> Any:
        """The payload as a `Scheduled`. A time without a zone is one of the schedule's zone."""
        given: Scheduled = super().parse(payload)
        zone = zone_of(self.times.zone)
        ts, last = given.ts, given.last_ts
        return replace(
            given,
            ts=ts if ts.tzinfo else ts.replace(tzinfo=zone),
            last_ts=last if last is None or last.tzinfo else last.replace(tzinfo=zone),
        )

    def missing(self, now: float) -> Scheduled:
        """The payload for the time at which it was due last: so the run is the same one until it is due again."""
        due = self.times.latest(now, 0.0)
        return Scheduled(datetime.fromtimestamp(now if due is None else due, zone_of(self.times.zone)))


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
        pass  # a later cell defines a class that it names: the first payload resolves it
    except Exception as error:  # pydantic raises many errors for an object that is no type, such as KeyError
        raise InvalidOptionError(
            f"schema: pydantic cannot validate {trigger.schema!r}. Pass a pydantic model, "
            "a dataclass or a type such as list[int]."
        ) from error


def _of_current_class(payload: object, schema: object) -> object:
    """The payload, or its data if its class has been redefined, as happens when a cell runs again."""
    from pydantic import BaseModel

    if isinstance(payload, BaseModel) and isinstance(schema, type) and _is_redefined(type(payload), schema):
        dump = partial(payload.model_dump, by_alias=True, round_trip=True)
        return _joined(dump(exclude_unset=True), dump(exclude_defaults=True))  # and what was changed in place
    return payload


def _joined(left: Any, right: Any) -> Any:
    """Two dumps of a model: what is in either of them."""
    if not (isinstance(left, dict) and isinstance(right, dict)):
        return right
    one, other = cast("dict[str, Any]", left), cast("dict[str, Any]", right)
    return {
        name: _joined(one.get(name, other.get(name)), other.get(name, one.get(name))) for name in one | other
    }


def _is_redefined(before: type, now: type) -> bool:
    return (
        not issubclass(before, now)
        and before.__module__ == now.__module__
        and before.__qualname__ == now.__qualname__
    )


def _invalid_payload(schema: object, error: ValidationError) -> InvalidPayloadError:
    errors = error.errors(include_url=False)
    lines = [f"the payload does not fit {getattr(schema, '__name__', schema)}; no run was started:"]
    for fault in errors:
        place = ".".join(map(str, fault["loc"])) or "the payload"
        lines.append(f"  {place}: {fault['msg']} ({fault['type']})")
    return InvalidPayloadError("\n".join(lines), [dict(fault) for fault in errors])
