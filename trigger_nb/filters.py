"""Event filters: which payloads start a job.

A filter is a mapping by field name. All its fields must match. A field's condition has one of three forms:

```python
{
    "plan": ["pro", "team"],                           # one of these values; [] accepts any value
    "user": {"country": ["PT"]},                       # a filter for the fields of a nested object
    "amount": [{"$gte": 10}, {"$anythingBut": 13}],    # matchers, all of which must hold
}
```

`validate` checks the syntax when a trigger is defined, so that `matches` does not raise later.
"""

from __future__ import annotations

import difflib
import operator
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from enum import Enum
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeAlias, cast

from .errors import InvalidFilterError, InvalidOptionError

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["Filter", "ResponseFilter", "matches", "statuses", "validate"]
Filter: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class ResponseFilter:
    """Which response ends `io.background_poll`.

    - `status`: statuses, such as 200, "2xx" or "200-204"; one of them must be that of the response (default 200).
    - `headers`: an event filter for the headers, with their names in lower case.
    - `body`: an event filter for the body, as JSON.

    Raises `InvalidOptionError` and `InvalidFilterError`.

    >>> ResponseFilter(body={"state": ["done"]}).matches(200, {}, {"state": "done"})
    True
    """

    status: Sequence[int | str] = (200,)
    headers: Filter | None = None
    body: Filter | None = None

    def __post_init__(self) -> None:
        if isinstance(self.status, str) or not isinstance(self.status, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance]  # a user's value
            raise InvalidOptionError(
                f"ResponseFilter.status is a list of statuses, such as [200, 204], not {self.status!r:.100}"
            )
        for each in self.status:
            statuses(each)
        for part in (self.headers, self.body):
            if part is not None:
                validate(part)

    def matches(self, status: int, headers: Mapping[str, str], body: object) -> bool:
        """Whether a response is one that is meant."""
        return (
            any(status in statuses(each) for each in self.status)
            and (self.headers is None or matches(self.headers, headers))
            and (self.body is None or matches(self.body, body))
        )


def statuses(text: object) -> range:
    """The HTTP statuses that a number, "404", "500-599" or "5xx" stands for. Raises `InvalidOptionError`.

    >>> statuses("5xx")
    range(500, 600)
    """
    said = str(text).strip().lower() if isinstance(text, (int, str)) and not isinstance(text, bool) else ""
    if re.fullmatch(r"[1-5]xx", said):
        return range(int(said[0]) * 100, int(said[0]) * 100 + 100)
    if re.fullmatch(r"[1-5]\d\d(\s*-\s*[1-5]\d\d)?", said):
        first, _, last = said.partition("-")
        if int(first) <= int(last or first):
            return range(int(first), int(last or first) + 1)
    raise InvalidOptionError(f'a status is a number such as 404, "500-599" or "5xx"; not {text!r:.100}')


def validate(filter: Filter) -> None:
    """Check the syntax of a filter.

    Raises `InvalidFilterError`, with the JSONPath of the fault and what is valid there.

    >>> validate({"amount": [{"$gte": 10}]})
    """
    _validate_fields(filter, "$")


def matches(filter: Filter, payload: object) -> bool:
    """Whether a payload (a mapping, a pydantic model or a dataclass) matches a valid filter.

    A matcher does not hold for a value of another type. The payload None matches only the filter `{}`.

    >>> matches({"amount": [{"$gte": 10}]}, {"amount": 12})
    True
    """
    if payload is None or payload is _ABSENT:
        return not filter
    values = _fields_of(payload)
    return all(_field_matches(wanted, _plain(values.get(name, _ABSENT))) for name, wanted in filter.items())


# --- Matching ---------------------------------------------------------------------------------
_ABSENT = object()  # the value of a missing field, which differs from None


def _field_matches(wanted: Any, value: object) -> bool:
    if isinstance(wanted, Mapping):
        nested = cast("Filter", wanted)
        if _is_list(value):
            return any(matches(nested, element) for element in cast("Iterable[object]", value))
        return matches(nested, value)
    if _are_matchers(wanted):
        pairs = (pair for entry in wanted for pair in entry.items())
        return all(_MATCHERS[name].holds(value, operand) for name, operand in pairs)
    return not wanted or _is_one_of(value, wanted)


def _fields_of(value: object) -> Mapping[str, object]:
    """The fields of a value by name; none for a value without fields."""
    if isinstance(value, Mapping):
        return cast("Mapping[str, object]", value)
    if (model := _as_model(value)) is not None:
        parts: dict[str, object] = dict(model)
        # The same event may arrive as a mapping with the aliases as keys, and must match as well.
        aliases = {info.alias: parts[name] for name, info in type(model).model_fields.items() if info.alias}
        return aliases | parts
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return {}


def _as_model(value: object) -> BaseModel | None:
    # A model exists only if pydantic is imported, so this does not import it.
    pydantic: Any = sys.modules.get("pydantic")
    if pydantic is None:
        return None
    base: type[BaseModel] = pydantic.BaseModel
    return value if isinstance(value, base) else None


def _plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else value


def _same(left: object, right: object) -> bool:
    left, right = _plain(left), _plain(right)
    if not (_is_scalar(left) and _is_scalar(right)):
        return False
    # `True == 1` in Python, but they differ in JSON and so in a filter.
    return isinstance(left, bool) == isinstance(right, bool) and left == right


def _is_one_of(value: object, accepted: Iterable[object]) -> bool:
    return any(_same(value, one) for one in accepted)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: object) -> bool:
    if isinstance(value, Decimal):
        return not value.is_nan()  # a comparison with it raises, unlike one with a float's NaN
    return not isinstance(value, bool) and isinstance(value, Real)


def _is_list(value: object) -> bool:
    return isinstance(value, (list, tuple, set, frozenset))


# --- The matchers -----------------------------------------------------------------------------
def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_scalar(value: object) -> bool:
    value = _plain(value)
    return value is None or isinstance(value, bool) or _is_text(value) or _is_number(value)


def _is_scalar_or_list(value: object) -> bool:
    return _is_scalar(value) or all(map(_is_scalar, _sequence(value) or [_ABSENT]))


def _is_range(value: object) -> bool:
    ends = _sequence(value)
    return len(ends) == 2 and all(map(_is_number, ends)) and ends[0] <= ends[1]


def _sequence(value: object) -> Sequence[Any]:
    return cast("Sequence[Any]", value) if isinstance(value, (list, tuple)) else ()


class _Matcher(NamedTuple):
    holds: Callable[[Any, Any], bool]  # (value in the payload or _ABSENT, operand)
    accepts: Callable[[object], bool]  # whether an operand is valid
    operand: str  # describes a valid operand, in messages


def _on_text(compare: Callable[[str, str], bool]) -> _Matcher:
    def holds(value: Any, operand: str) -> bool:
        return _is_text(value) and compare(value, operand)

    return _Matcher(holds, _is_text, "text")


def _on_number(compare: Callable[[Any, Any], bool]) -> _Matcher:
    def holds(value: object, operand: object) -> bool:
        return _is_number(value) and bool(compare(value, operand))

    return _Matcher(holds, _is_number, "a number")


def _includes(value: Any, operand: object) -> bool:
    return _is_list(value) and _is_one_of(operand, value)


def _is_not(value: object, operand: object) -> bool:
    return not _includes(value, operand) if _is_list(value) else not _same(value, operand)


def _is_anything_but(value: object, operand: object) -> bool:
    return not _is_one_of(value, _sequence(operand) or (operand,))


def _is_between(value: Any, operand: Any) -> bool:
    return _is_number(value) and bool(operand[0] <= value <= operand[1])


def _exists(value: object, operand: bool) -> bool:
    return (value is not _ABSENT) == operand


def _is_null(value: object, operand: bool) -> bool:
    return (value is None) == operand


_VALUE = "text, a number, True, False or None"
_MATCHERS: dict[str, _Matcher] = {
    "$startsWith": _on_text(str.startswith),
    "$endsWith": _on_text(str.endswith),
    "$ignoreCaseEquals": _on_text(lambda value, operand: value.casefold() == operand.casefold()),
    "$gt": _on_number(operator.gt),
    "$gte": _on_number(operator.ge),
    "$lt": _on_number(operator.lt),
    "$lte": _on_number(operator.le),
    "$between": _Matcher(_is_between, _is_range, "[lowest, highest], two numbers in this order"),
    "$includes": _Matcher(_includes, _is_scalar, _VALUE),
    "$exists": _Matcher(_exists, _is_flag, "True or False"),
    "$isNull": _Matcher(_is_null, _is_flag, "True or False"),
    "$anythingBut": _Matcher(_is_anything_but, _is_scalar_or_list, f"{_VALUE}, or a list of such"),
    "$not": _Matcher(_is_not, _is_scalar, _VALUE),
}


def _are_matchers(wanted: Iterable[object]) -> bool:
    return any(isinstance(entry, Mapping) for entry in wanted)


# --- Validation -------------------------------------------------------------------------------
def _validate_fields(filter: object, path: str) -> None:
    if not isinstance(filter, Mapping):
        _refuse(path, f"a filter is a mapping of field names, not {filter!r}")
    for name, wanted in cast("Mapping[object, object]", filter).items():
        if not isinstance(name, str):
            _refuse(path, f"a field's name is text, not {name!r}")
        if name.startswith("$"):
            _refuse(path, f"a matcher must be in a list: write [{{{name!r}: {wanted!r}}}]")
        _validate_field(wanted, f"{path}.{name}")


def _validate_field(wanted: object, path: str) -> None:
    if isinstance(wanted, Mapping):
        _validate_fields(cast("object", wanted), path)
    elif not isinstance(wanted, (list, tuple)):
        _refuse(path, f"accepted values must be in a list: write [{wanted!r}]")
    elif _are_matchers(cast("list[object]", wanted)):
        for index, entry in enumerate(cast("list[object]", wanted)):
            _validate_matcher(entry, f"{path}[{index}]")
    else:
        for index, value in enumerate(cast("list[object]", wanted)):
            if not _is_scalar(value):
                _refuse(f"{path}[{index}]", f"an accepted value is {_VALUE}, not {value!r}")


def _validate_matcher(entry: object, path: str) -> None:
    if not isinstance(entry, Mapping):
        _refuse(
            path,
            f"a list has accepted values or matchers, not both, but {entry!r} is beside a matcher. "
            "One of the values must match; all of the matchers must hold.",
        )
    matcher = cast("Mapping[object, object]", entry)
    if len(matcher) != 1:
        _refuse(path, f"a matcher has one key, not {len(matcher)}; write several as [{{...}}, {{...}}]")
    [(name, operand)] = matcher.items()
    if name not in _MATCHERS:
        _refuse(path, _unknown(name))
    known = _MATCHERS[cast("str", name)]
    if not known.accepts(operand):
        _refuse(path, f"{name} takes {known.operand}, not {operand!r}")


def _unknown(name: object) -> str:
    close = difflib.get_close_matches(str(name), _MATCHERS, n=1)
    meant = f"; did you mean {close[0]!r}?" if close else "."
    return f"unknown matcher {name!r}{meant} Known matchers: {', '.join(_MATCHERS)}"


def _refuse(path: str, reason: str) -> NoReturn:
    raise InvalidFilterError(f"event filter at {path}: {reason}")
