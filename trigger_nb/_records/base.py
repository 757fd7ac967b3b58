"""The base of records: a JSON object as attributes over class-level defaults."""

from __future__ import annotations

from functools import cache
from json import JSONDecoder
from types import NoneType, UnionType
from typing import Any, ClassVar, NoReturn, Self, get_args, get_origin, get_type_hints

from .._values.json_text import dumps
from .._values.names import kind_of
from ..errors import CorruptRecordError

_DAMAGED = "damaged: "


def is_damaged(text: str) -> bool:
    """Whether a text is marked as that of a row whose checksum differs."""
    return text.startswith(_DAMAGED)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_loads = JSONDecoder(parse_constant=_refuse).decode


def damaged(text: str) -> str:
    """The text of a row whose checksum differs, so that no reader takes it for a record: it is not JSON any more."""
    return _DAMAGED + text


class Record:
    """A JSON object as attributes over class-level defaults."""

    # Attributes that are not in the text.
    _beside: ClassVar[frozenset[str]] = frozenset()
    _statuses: ClassVar[frozenset[str]] = frozenset()

    status: str
    is_damaged: bool = False  # the record stands in for a row that cannot be read

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    @classmethod
    def parse(cls, data: dict[str, Any]) -> Self:
        """The record of a parsed text. `data` becomes the record's `__dict__`."""
        record = cls.__new__(cls)
        record.__dict__ = data
        return record

    @classmethod
    def loads(cls, text: str) -> Self:
        """The record of a stored text. Raises `CorruptRecordError` for a text that this package does not write."""
        try:
            data: dict[str, Any] = _loads(text)
        except (ValueError, RecursionError) as error:
            is_changed = text.startswith(_DAMAGED)
            raise CorruptRecordError(
                "its checksum differs" if is_changed else f"it is not JSON: {error}"
            ) from None
        if kind_of(data) is not dict:
            raise CorruptRecordError(f"it is a {type(data).__name__}, not an object")
        fields, numbers, containers = _fields(cls), _numbers(cls), _containers(cls)
        # An unknown name is damage, too: the field it stands for would silently have its default.
        if not fields.issuperset(zip(data, map(type, data.values()), strict=True)):
            wrong = next(name for name, value in data.items() if (name, type(value)) not in fields)
            raise CorruptRecordError(f"its field {wrong!r:.40} is {data[wrong]!r:.40}")
        for name, value in data.items():
            if name in numbers:
                fits = value is None or -_HIGHEST < value < _HIGHEST
            else:
                fits = name not in containers or _fits(value, containers[name])
            if not fits:
                raise CorruptRecordError(f"its field {name!r:.40} is {value!r:.40}")
        if data.get("status", cls.status) not in cls._statuses:
            raise CorruptRecordError(f"its status is {data['status']!r:.40}")
        return cls.parse(data)

    def dumps(self) -> str:
        """The text to store: attributes that differ from their defaults, as ASCII JSON."""
        return self._text_without(self._beside)

    def _text_without(self, names: frozenset[str]) -> str:
        cls = type(self)
        return dumps(
            {
                name: value
                for name, value in self.__dict__.items()
                if name not in names and value != getattr(cls, name, None)
            }
        )

    def copy(self, **changes: Any) -> Self:
        """A shallow copy with some attributes replaced."""
        fresh = self.parse(dict(self.__dict__))
        fresh.__dict__.update(changes)
        return fresh

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"{type(self).__name__}({inside})"


_JSON_TYPES = frozenset({dict, list, str, int, float, bool, NoneType})


@cache
def _fields(cls: type[Record]) -> frozenset[tuple[str, type[Any]]]:
    """The names of a record's fields, each paired with every type that the field can have in a text."""
    hints = {name: hint for name, hint in get_type_hints(cls).items() if name in vars(cls)}
    return frozenset((name, kind) for name, hint in hints.items() for kind in _types_of(hint))


_HIGHEST = 2**62  # no number in a field of this package comes near it


@cache
def _numbers(cls: type[Record]) -> frozenset[str]:
    """The names of the fields that are numbers: a record has no infinite one, and none that no clock or counter reaches."""
    types = {name: _types_of(hint) for name, hint in get_type_hints(cls).items() if name in vars(cls)}
    return frozenset(name for name, kinds in types.items() if kinds <= {int, float, NoneType})


@cache
def _containers(cls: type[Record]) -> dict[str, Any]:
    """The annotations of the fields that are lists or objects, whose type does not say what is in them."""
    hints = {name: hint for name, hint in get_type_hints(cls).items() if name in vars(cls)}
    return {name: hint for name, hint in hints.items() if hint is not Any and _types_of(hint) & {dict, list}}


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value of a text is of an annotated type, with all that is in it."""
    if isinstance(hint, UnionType):
        return any(_fits(value, each) for each in get_args(hint))
    kind, parts = get_origin(hint) or hint, get_args(hint)
    if kind is Any:
        return True
    if type(value) is not kind:
        return False
    if kind is dict:
        return parts[1] is Any or all(_fits(each, parts[1]) for each in value.values())
    if kind is list:
        return all(_fits(each, parts[0]) for each in value)
    return kind is not int or -_HIGHEST < value < _HIGHEST


def _types_of(hint: Any) -> frozenset[Any]:
    if hint is Any:
        return _JSON_TYPES
    kinds = get_args(hint) if get_origin(hint) is UnionType else (hint,)
    found = frozenset(get_origin(kind) or kind for kind in kinds)
    return found | {int} if float in found else found
