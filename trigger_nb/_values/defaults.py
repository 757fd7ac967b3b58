"""Which fields of an instance count for its identity: those whose values differ from their defaults (rule I1)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from ..errors import NotStorableError
from .json_text import dumps_sorted
from .names import kind_of
from .tagged import Writer

MISSING: Any = object()  # the default of a field without one
_NUMBERS = frozenset({int, float, Decimal})
# In the canonical text of a date or a time: what a factory makes today differs tomorrow.
_TIMES = ('"$":"date', '"$":"time"')


class Default(NamedTuple):
    """The default of a field: a value, or a function that makes it, also from the other fields."""

    value: Any = MISSING
    factory: Callable[[], Any] | None = None


def default_of(field: Any, values: Mapping[str, Any]) -> Default:
    """The default of a field of pydantic, or of a private attribute. `values` are those of the other fields."""
    factory = field.default_factory
    if factory is None:
        static = field.default
        return Default() if kind_of(static).__name__ == "PydanticUndefinedType" else Default(static)
    if getattr(field, "default_factory_takes_validated_data", False):
        return Default(factory=lambda: factory(dict(values)))
    return Default(factory=factory)


class _Known(NamedTuple):
    """A default with its canonical text; None if it has none, or if its factory makes another one each time."""

    value: Any
    text: str | None


_known: WeakKeyDictionary[type[Any], dict[str, _Known]] = WeakKeyDictionary()


def counted_fields(
    writer: Writer,
    cls: type[Any],
    values: Mapping[str, Any],
    default_of: Callable[[str], Default],
    given: Collection[str] | None = None,
) -> dict[str, Any]:
    """The fields that count, in canonical form.

    A default that a factory makes anew each time cannot be compared: the field counts if it is in `given`. Without
    `given`, it always counts.
    """
    if writer.counts == "all":
        return writer.fields(values)
    known = _known.setdefault(cls, {})
    counted: dict[str, Any] = {}
    for name, item in values.items():
        default = known.get(name)
        if default is None:
            found = default_of(name)
            default = _measured(writer, found)
            if found.factory is None:  # what a factory returns may depend on the day or on other fields
                known[name] = default
        if default.value is not MISSING and _is_same_scalar(item, default.value):
            continue
        if default.text is None and default.value is MISSING and given is not None and name not in given:
            continue
        data = writer.at(name, item)
        if default.text is None or dumps_sorted(data) != default.text:
            counted[name] = data
    return counted


def _is_same_scalar(item: Any, default: Any) -> bool:
    if item is default:
        return True
    kinds = {kind_of(item), kind_of(default)}
    # `share: float = 0` is not validated, and `0.0` read from JSON is the same.
    return (kinds == {str} or (len(kinds) == 2 and kinds <= _NUMBERS)) and item == default


def _measured(writer: Writer, default: Default) -> _Known:
    """A default with its text."""
    if default.factory is None:
        text = None if default.value is MISSING else _text(writer, default.value)
        return _Known(default.value, text)
    try:
        first, second = _text(writer, default.factory()), _text(writer, default.factory())
    except Exception:  # the user's function
        return _Known(MISSING, None)
    is_constant = first is not None and first == second and not any(mark in first for mark in _TIMES)
    return _Known(MISSING, first if is_constant else None)


def _text(writer: Writer, value: Any) -> str | None:
    """The canonical text of a value; None if no codec can write it."""
    try:
        return dumps_sorted(Writer(writer.blobs, canonical=True).write(value))
    except NotStorableError:
        return None
