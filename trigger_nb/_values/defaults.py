"""Which fields of an instance count for its identity: those whose values differ from their defaults (rule I1)."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from ..errors import NotStorableError, ValueNotLoadedError
from .json_text import dumps_sorted
from .names import class_name, kind_of, type_name
from .tagged import TAG, Reader, Writer

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


def new_value(reader: Reader, cls: type[Any], name: str, default: Default) -> Any:
    """The default of a field that a stored instance of `cls` has no value for; `MISSING` if it has none.

    A row decides which fields are missing, so only a factory is called that cannot be code of the user's with an effect:
    a class or function of Python's own, or one that refers to nothing. What a plain class of the user's makes is made as
    it is read, from defaults. Raises `ValueNotLoadedError` for others.
    """
    factory: Any = default.factory
    if factory is None:
        return default.value
    if _is_harmless(factory):
        return factory()
    if (data := _plain_instance(factory)) is not None:
        return reader.read(data)
    raise ValueNotLoadedError(
        f"a stored value is of the class {type_name(cls)}, whose new field {name} has a default that "
        f"{getattr(factory, '__qualname__', type_name(kind_of(factory)))} makes. Code that is not Python's own is not called "
        f"to read a stored value: give {name} a plain default, such as None, or run the task again."
    )


def _is_harmless(factory: Any) -> bool:
    kind = kind_of(factory)
    if kind is FunctionType:
        code: CodeType = factory.__code__
        plain = not (code.co_names or code.co_freevars or code.co_argcount or code.co_kwonlyargcount)
        if plain and not any(kind_of(each) is CodeType for each in code.co_consts):
            return True  # `lambda: ["new"]`
    elif kind is not type and kind not in (BuiltinFunctionType, MethodType):
        return False
    owner = getattr(factory, "__self__", None)  # `datetime.now` is bound to its class
    if owner is None or kind_of(owner) is ModuleType:
        owner = factory
    elif kind_of(owner) is not type:
        return False
    return str(owner.__module__).partition(".")[0] in sys.stdlib_module_names


def _plain_instance(factory: Any) -> dict[str, Any] | None:
    """The data of an instance with all defaults of a class that has no code for making one; None for another factory."""
    if not isinstance(factory, type):
        return None
    cls: Any = factory
    data: dict[str, Any] = {"of": class_name(cls), "v": {}}
    if dataclasses.is_dataclass(cls):
        code: CodeType | None = getattr(cls.__init__, "__code__", None)
        is_generated = code is None or code.co_filename == "<string>"
        return {TAG: "dataclass", **data} if is_generated and not hasattr(cls, "__post_init__") else None
    if isinstance(getattr(cls, "__pydantic_fields__", None), dict):
        decorators = cls.__pydantic_decorators__
        with_code = (decorators.validators, decorators.field_validators, decorators.model_validators)
        if cls.__pydantic_custom_init__ or cls.__pydantic_post_init__ or any(with_code):
            return None
        return {TAG: "model", **data, "shape": "=", "set": []}
    return None


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

    A field whose factory makes another default each time counts if it is in `given`. Without `given`, it always counts.
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
