"""Types as text and as data: what a field accepts, and the parameters of a generic model."""

from __future__ import annotations

import enum
import hashlib
import types
import typing
from typing import Annotated, Any, ForwardRef, Literal, TypeVar, Union, cast

from ..errors import ValueNotLoadedError
from .names import class_name, find_class, load_class

_MAX_DEPTH = 20
_OF_GENERICS = frozenset({"builtins", "collections", "collections.abc"})
_UNKNOWN = "----"  # of a type that has no text, such as an undefined name


class Unnamed(Exception):  # noqa: N818  # never leaves the codecs
    """A type has no name by which it can be found again."""


# As text -----------------------------------------------------------------------------------------


def field_text(annotation: Any, metadata: list[Any]) -> str:
    """Four characters that change when a field accepts other data: when its type or a bound changes.

    They are the same in every process and with every version of Python and pydantic.
    """
    try:
        bounds = [repr(each) for each in metadata if type(each).__module__ == "annotated_types"]
        text = " ".join([type_text(annotation), *bounds])
    except Exception:
        return _UNKNOWN
    return _UNKNOWN if " at 0x" in text else hashlib.sha256(text.encode()).hexdigest()[:4]


def fields_differ(before: str, now: str) -> bool:
    """Whether two texts of `field_text` certainly belong to fields that accept other data."""
    return before != now and _UNKNOWN not in (before, now)


def type_text(annotation: Any, depth: int = 0) -> str:
    """The text of a type: `list[int]` and `List[int]` have the same. Raises `Unnamed` for a name without a type."""
    if depth > _MAX_DEPTH:
        return "..."
    if annotation is None or annotation is type(None):
        return "None"
    if annotation is Any or annotation is ...:
        return "Any" if annotation is Any else "..."
    if isinstance(annotation, (str, ForwardRef)):
        raise Unnamed
    if isinstance(annotation, TypeVar):
        return f"~{annotation.__name__}"
    if isinstance(annotation, list):  # the parameters of a Callable
        return f"[{','.join(type_text(each, depth + 1) for each in cast('list[Any]', annotation))}]"
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return type_text(arguments[0], depth + 1)
    if origin is Literal:
        return f"Literal[{','.join(map(_literal_text, arguments))}]"
    if origin in (Union, types.UnionType):
        return "|".join(type_text(each, depth + 1) for each in arguments)
    if origin is not None:
        return f"{type_text(origin, depth + 1)}[{','.join(type_text(each, depth + 1) for each in arguments)}]"
    if isinstance(annotation, type):
        return annotation.__qualname__
    inside = getattr(annotation, "__value__", None) or getattr(annotation, "__supertype__", None)
    return repr(annotation) if inside is None else type_text(inside, depth + 1)


def _literal_text(value: Any) -> str:
    return f"{type(value).__qualname__}.{value.name}" if isinstance(value, enum.Enum) else repr(value)


def without_metadata(annotation: Any) -> Any:
    """The type without what `Annotated` adds to it or to its parts."""
    holder = types.SimpleNamespace(__annotations__={"field": annotation})
    return typing.get_type_hints(holder)["field"]


# The modules of classes that pydantic validates by its own code alone.
_PLAIN = frozenset(
    {"builtins", "datetime", "decimal", "fractions", "ipaddress", "pathlib", "uuid", "pydantic.networks"}
)


def checked_type(annotation: Any, depth: int = 0) -> Any:
    """A type, without metadata, for pydantic to validate a stored value with: it calls no code of a class of the user's.

    An instance of such a class is taken as it is, and the value of an enum becomes its member. Nothing else becomes an
    instance.
    """
    if depth > _MAX_DEPTH:
        return Any
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (Union, types.UnionType):
        return Union[tuple(checked_type(each, depth + 1) for each in arguments)]  # noqa: UP007
    if origin is Literal or annotation in (Any, None, type(None)):
        return annotation
    if origin is not None:
        if origin.__module__ not in _OF_GENERICS or any(isinstance(each, list) for each in arguments):
            return _instance_of(origin)
        generic: Any = origin
        return generic[tuple(each if each is ... else checked_type(each, depth + 1) for each in arguments)]
    if isinstance(annotation, type):
        if annotation.__module__ in _PLAIN or annotation.__module__ in _OF_GENERICS:
            return annotation
        return dict[str, Any] if typing.is_typeddict(annotation) else _instance_of(annotation)
    inside: Any = getattr(annotation, "__value__", None) or getattr(annotation, "__supertype__", None)
    return Any if inside is None else checked_type(inside, depth + 1)


def _instance_of(cls: Any) -> Any:
    import pydantic

    if not issubclass(cls, enum.Enum):
        return pydantic.InstanceOf[cls]

    def member(value: Any) -> Any:
        return cls._value2member_map_.get(value, value) if type(value) in (str, int) else value

    return Annotated[pydantic.InstanceOf[cls], pydantic.BeforeValidator(member)]


# As data -----------------------------------------------------------------------------------------


def type_data(annotation: Any) -> Any:
    """A type as JSON: the name of a class, or a list of an origin and its arguments. Raises `Unnamed`."""
    if annotation is None or annotation is type(None):
        return "None"
    if annotation is Any:
        return "Any"
    generic = getattr(annotation, "__pydantic_generic_metadata__", None)
    if generic and generic["origin"] is not None:
        return [_class_name(generic["origin"]), *map(type_data, generic["args"])]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal and {str, int, bool, type(None)}.issuperset(map(type, arguments)):
        return {"literal": list(arguments)}
    if origin in (Union, types.UnionType):
        # `Page[X | None]` and `Page[Optional[X]]` are two classes.
        return {"union" if origin is Union else "or": [type_data(each) for each in arguments]}
    if origin is not None:
        if origin.__module__ not in _OF_GENERICS:
            raise Unnamed
        return [_class_name(origin), *("..." if each is ... else type_data(each) for each in arguments)]
    return _class_name(annotation)


def _class_name(cls: Any) -> str:
    if not isinstance(cls, type) or find_class(class_name(cls)) is None:
        raise Unnamed
    return class_name(cls)


def load_type(data: Any) -> Any:
    """The type that was written by `type_data`. Raises `ValueNotLoadedError` for a class that is not loaded."""
    if data == "None":
        return None
    if data in ("Any", "..."):
        return Any if data == "Any" else ...
    if isinstance(data, str):
        return load_class(data)
    if isinstance(data, dict):
        parts = cast("dict[str, list[Any]]", data)
        if "or" in parts:
            one, *others = map(load_type, parts["or"])
            for other in others:
                one = one | other
            return one
        if "union" in parts:
            return Union[tuple(map(load_type, parts["union"]))]  # noqa: UP007
        return Literal[tuple(parts["literal"])]
    origin, *arguments = cast("list[Any]", data)
    loaded: Any = load_class(origin)
    # A row may name any class, and `__class_getitem__` of only these is called.
    if not (hasattr(loaded, "__pydantic_generic_metadata__") or origin.partition(":")[0] in _OF_GENERICS):
        raise ValueNotLoadedError(f"a stored value is of the class {origin}, which is no generic model")
    return loaded[tuple(map(load_type, arguments))]
