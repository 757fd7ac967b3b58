"""Checks of the arguments of `io`'s methods."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import NoReturn, get_origin

from .._clock import to_seconds, to_timestamp
from .._tasks.options import MapOptions, Options, PlainOptions, check_choices
from ..errors import InvalidOptionError

TASK_OPTIONS = frozenset([*PlainOptions.__annotations__, *Options.__annotations__, "callback"])
MAP_OPTIONS = frozenset([*MapOptions.__annotations__, "returns", "check", "batch"])
_TYPING = frozenset({"typing", "typing_extensions"})  # the modules of special forms such as `Any`


def check_options(options: Mapping[str, object], known: frozenset[str] = TASK_OPTIONS) -> None:
    """Raise `InvalidOptionError` for an unknown option, or one with an invalid value."""
    if not options.keys() <= known:
        _refuse_unknown(options, known)
    check_choices(options)
    handler = options.get("on_error")
    if handler is not None and not callable(handler):
        raise InvalidOptionError(
            f"on_error must be a function, on_error(error, task, io), not {handler!r:.100}. To go on after an error, "
            "catch it around `await`; in a map, return_errors=True puts it among the results"
        )
    check = options.get("check")
    if check is not None and not callable(check) and get_origin(check) is None:
        raise InvalidOptionError(
            "check must be a pydantic model class, or a function of the result that raises or returns what to keep, "
            f"not {check!r:.100}"
        )
    if (returns := options.get("returns")) is not None and not _is_type(returns):
        raise InvalidOptionError(
            "returns must be a class, or a type such as list[User], itself and not its name, "
            f"not {returns!r:.100}"
        )


def check_one_item(body: object, more: tuple[object, ...]) -> None:
    """Raise `InvalidOptionError` for arguments after the body of a map, which it does not hand on."""
    if more:
        name = getattr(body, "__name__", "body").replace("<lambda>", "body")
        raise InvalidOptionError(
            f"a map calls its body with an item and nothing else, and {more[0]!r:.50} follows the body here. Use a function of "
            f"the item: io.map(key, items, lambda item: {name}(item, ...))"
        )


def _is_type(value: object) -> bool:
    """True if the value could be an annotation, and is not text."""
    return isinstance(value, type) or get_origin(value) is not None or type(value).__module__ in _TYPING


def _refuse_unknown(options: Mapping[str, object], known: frozenset[str]) -> NoReturn:
    unknown = next(name for name in options if name not in known)
    close = difflib.get_close_matches(unknown, known, n=3)
    close.sort(key=lambda name: not unknown.startswith(name[:4]))  # "retries": "retry", not "returns"
    hint = f" Did you mean {close[0]!r}?" if close else f" The options are {', '.join(sorted(known))}."
    raise InvalidOptionError(
        f"a task has no option {unknown!r}.{hint} Arguments for the body follow it by position, and have names in a "
        f"partial of functools: io.run_task(key, partial(body, {unknown}=...), argument)"
    )


def wait_deadline(
    duration: float | timedelta | None, parts: dict[str, float | None], until: datetime | None
) -> tuple[str, Callable[[float], float]]:
    """The display name of a wait, and a function from its start to its end, both in UTC seconds."""
    given = {unit: number for unit, number in parts.items() if number is not None}
    if (duration is not None) + bool(given) + (until is not None) != 1:
        raise InvalidOptionError(
            "io.wait takes either a duration, or seconds/minutes/hours/days, or until: exactly one of these"
        )
    if until is not None:
        end = to_timestamp(until, "until")
        return f"wait until {until.isoformat(sep=' ', timespec='seconds')}", lambda _now: end
    try:
        length = to_seconds(timedelta(**given) if duration is None else duration, "the duration of io.wait")
        named = " ".join(
            f"{number:g} {unit[: -1 if number == 1 else None]}" for unit, number in given.items()
        )
        name = f"wait {named}" if named else f"wait {timedelta(seconds=length)}"
    except (TypeError, ValueError, OverflowError) as error:  # not a number, or longer than any date
        raise InvalidOptionError(f"the duration of io.wait is invalid: {error}") from None
    return name, lambda now: now + length
