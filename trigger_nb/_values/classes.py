"""Instances of classes that people define: enums, named tuples, dataclasses, pydantic models, secrets.

They are written as the name of their class and the values of their fields, and read into the class
of that name as it is now. No `__init__` is called: what an instance holds is put back as it was.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import re
import sys
from collections.abc import Mapping
from typing import Any, cast
from weakref import WeakKeyDictionary

from ..errors import NotStorableError, ValueNotLoadedError
from .names import attributes_of, class_name, find_class, kind_of, load_class, secret_kind, type_name
from .placeholders import Redacted, Unstored, UnstoredArgument, known_of, redacted_kind
from .tagged import TAG, Reader, Write, Writer, add_finder, add_reader, add_type


def _find(cls: type[Any]) -> Write | None:
    if issubclass(cls, enum.Enum):
        return _write_enum
    if issubclass(cls, BaseException):
        return None  # Also when it is a dataclass: an error has more to it than fields.
    if issubclass(cls, tuple):
        return _write_namedtuple if hasattr(cast("object", cls), "_fields") else None
    if secret_kind(cls):
        return _write_secret
    if issubclass(cls, _pydantic("main", "BaseModel")):
        return _write_model
    if dataclasses.is_dataclass(cls) and _is_plain_object(cls):
        return _write_dataclass
    return _write_url if _is_url(cls) else None


def _is_plain_object(cls: type[Any]) -> bool:
    """Whether instances hold nothing but attributes: no base is a built-in container or a C class."""
    heap_type = 1 << 9
    return all(base is object or base.__flags__ & heap_type for base in cls.__mro__)


def _pydantic(module: str, name: str) -> Any:
    """A class of pydantic's, or one that nothing derives from where pydantic is not loaded."""
    return getattr(sys.modules.get(f"pydantic.{module}"), name, _Never)


class _Never:
    """Has no subclass."""


_URL_MODULES = frozenset({"pydantic.networks", "pydantic_core._pydantic_core"})


# -- enums
def _write_enum(writer: Writer, value: enum.Enum) -> Any:
    name = writer.class_of(value, enum.Enum)
    now = cast("type[enum.Enum]", find_class(name))
    if isinstance(value, enum.Flag):
        return {TAG: "flag", "of": name, "v": writer.at("value", value.value)}
    if now.__members__.get(value._name_) is None:
        writer.refuse(value, f"the class has no member named {value._name_!r}")
    return {TAG: "enum", "of": name, "v": value._name_}


def _read_enum(reader: Reader, data: dict[str, Any]) -> Any:
    cls = cast("type[enum.Enum]", load_class(data["of"], enum.Enum))
    member = cls.__members__.get(data["v"])
    if member is None:
        raise ValueNotLoadedError(
            f"a stored value is {type_name(cls)}.{data['v']}, and that enum no longer has such a member. "
            "Put it back, or have the task run again."
        )
    return member


def _read_flag(reader: Reader, data: dict[str, Any]) -> Any:
    return load_class(data["of"], enum.Flag)(reader.read(data["v"]))


# -- named tuples
def _write_namedtuple(writer: Writer, value: Any) -> Any:
    name = writer.class_of(value, tuple)
    if getattr(value, "__dict__", None):
        writer.refuse(value, "it has attributes of its own besides its fields")
    return {TAG: "namedtuple", "of": name, "v": writer.fields(dict(zip(value._fields, value, strict=True)))}


def _read_namedtuple(reader: Reader, data: dict[str, Any]) -> Any:
    cls: Any = load_class(data["of"], tuple)
    values = {**getattr(cls, "_field_defaults", {}), **reader.fields(data["v"])}
    missing = [name for name in cls._fields if name not in values]
    if missing:
        _refuse_missing(cls, missing)
    return cast("Any", tuple).__new__(cls, (values[name] for name in cls._fields))


def _refuse_missing(cls: type[Any], names: list[str]) -> None:
    raise ValueNotLoadedError(
        f"a stored value is of the class {type_name(cls)}, which since has the new "
        f"field{'s'[: len(names) > 1]} {', '.join(names)}. Give each a default, or have the task run again."
    )


# -- dataclasses
def _write_dataclass(writer: Writer, value: Any) -> Any:
    name = writer.class_of(value)
    attributes = {field.name for field in dataclasses.fields(value)}
    state = attributes_of(value)
    fields = {
        name: state.pop(name, getattr(value, name, None)) for name in attributes if hasattr(value, name)
    }
    order = [field.name for field in dataclasses.fields(value) if field.name in fields]
    data = {TAG: "dataclass", "of": name, "v": writer.fields({name: fields[name] for name in order})}
    if state:
        data["more"] = writer.fields(state)
    return data


def _read_dataclass(reader: Reader, data: dict[str, Any]) -> Any:
    cls = load_class(data["of"])
    if not dataclasses.is_dataclass(cast("object", cls)):
        raise ValueNotLoadedError(
            f"a stored value is of the class {type_name(cls)}, which no longer is a dataclass. "
            "Define it as it was, or have the task run again."
        )
    values = reader.fields(data["v"])
    fresh = object.__new__(cls)
    missing: list[str] = []
    for field in dataclasses.fields(cast("Any", cls)):
        if field.name in values:
            object.__setattr__(fresh, field.name, values[field.name])
        elif field.default is not dataclasses.MISSING:
            object.__setattr__(fresh, field.name, field.default)
        elif field.default_factory is not dataclasses.MISSING:
            object.__setattr__(fresh, field.name, field.default_factory())
        elif field.init:
            missing.append(field.name)
    if missing:
        _refuse_missing(cls, missing)
    for name, item in reader.fields(data.get("more", {})).items():
        object.__setattr__(fresh, name, item)
    return fresh


# -- pydantic models
def _write_model(writer: Writer, value: Any) -> Any:
    if writer.canonical:
        return _write_model_identity(writer, value)
    cls: Any = kind_of(value)
    names = cls.model_fields
    private = value.__pydantic_private__
    data: dict[str, Any] = {
        TAG: "model",
        "of": _model_class(writer, value),
        "shape": _shape(cls),
        "set": writer.write(sorted(value.model_fields_set)),
        "v": writer.fields({name: item for name, item in value.__dict__.items() if name in names}),
    }
    if value.__pydantic_extra__ is not None:
        extra = value.__pydantic_extra__
        data["extra"] = {
            TAG: "dict",
            "v": [[writer.write(name), writer.at(name, extra[name])] for name in extra],
        }
    if private is not None:
        data["private"] = writer.fields(private)
    return data


def _write_model_identity(writer: Writer, value: Any) -> Any:
    """A model counts by the fields that were set, as the mapping it was made from (rule I1)."""
    if issubclass(type(value), _pydantic("root_model", "RootModel")):
        return writer.write(value.root)
    return writer.write({name: getattr(value, name) for name in value.model_fields_set})


def _model_class(writer: Writer, value: Any) -> Any:
    """The name of the model's class; for `Page[Item]` a list of the names of `Page` and `Item`."""
    generic = cast("Any", kind_of(value)).__pydantic_generic_metadata__
    if generic["origin"] is None:
        return writer.class_of(value, _pydantic("main", "BaseModel"))
    names: list[str] = []
    for cls in (generic["origin"], *generic["args"]):
        if not isinstance(cls, type) or find_class(class_name(cls)) is None:
            writer.refuse(
                value, "a generic model is stored when it and its arguments are classes found by name"
            )
        names.append(class_name(cls))
    return names


def _load_model_class(name: Any) -> Any:
    base = _pydantic("main", "BaseModel")
    if isinstance(name, str):
        return load_class(name, base)
    origin, *arguments = cast("list[str]", name)
    return cast("Any", load_class(origin, base))[tuple(load_class(argument) for argument in arguments)]


_shapes: WeakKeyDictionary[type[Any], str] = WeakKeyDictionary()


def _shape(cls: Any) -> str:
    """Tells whether a model class still accepts what it accepted: its fields and their constraints,
    and the code of its validators."""
    shape = _shapes.get(cls)
    if shape is None:
        parts = [f"{name}: {field!r}" for name, field in cls.model_fields.items()]
        decorators = cls.__pydantic_decorators__
        for group in (decorators.field_validators, decorators.model_validators, decorators.validators):
            for name, decorator in group.items():
                function = getattr(decorator.func, "__func__", decorator.func)
                code = getattr(function, "__code__", None)
                parts.append(f"{name}: {decorator.info!r} {code and (code.co_code, code.co_names)}")
        text = re.sub(r" at 0x[0-9a-fA-F]+", "", "\n".join(parts))
        shape = _shapes[cls] = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]
    return shape


def _read_model(reader: Reader, data: dict[str, Any]) -> Any:
    cls = _load_model_class(data["of"])
    values = reader.fields(data["v"])
    extra = reader.read(data["extra"]) if "extra" in data else None
    if data["shape"] != _shape(cls):
        return _validated(cls, {**values, **(extra or {})}, set(data["set"]))
    # As pydantic's own copies and pickles do: running the validators again could change a value
    # that one of them has made.
    fresh = object.__new__(cls)
    object.__setattr__(fresh, "__dict__", values)
    object.__setattr__(fresh, "__pydantic_fields_set__", set(reader.read(data["set"])))
    object.__setattr__(fresh, "__pydantic_extra__", extra)
    private = reader.fields(data["private"]) if "private" in data else None
    object.__setattr__(fresh, "__pydantic_private__", private)
    return fresh


def _validated(cls: Any, values: dict[str, Any], given: set[str]) -> Any:
    """What was stored, as an instance of a class that has changed since."""
    import pydantic

    names = set(cls.model_fields)
    # A default of then is not a value of now; a field that was there and is gone is dropped.
    keep = cls.model_config.get("extra") == "allow"
    values = {name: item for name, item in values.items() if name in given and (keep or name in names)}
    secrets = {name: item for name, item in values.items() if isinstance(item, Redacted)}
    stand_ins = dict.fromkeys(secrets, "")
    try:
        fresh = cls.model_validate({**values, **stand_ins}, by_name=True, by_alias=False)
    except pydantic.ValidationError as error:
        raise ValueNotLoadedError(
            f"a stored value is of the class {type_name(cls)}, which has changed since and no longer accepts "
            f"it:\n{error}\nThe value is still in the store: change the class, or have the task run again."
        ) from error
    fresh.__dict__.update(secrets)
    return fresh


# -- pydantic's addresses
def _is_url(cls: type[Any]) -> bool:
    return cls.__module__ in _URL_MODULES and cls.__name__.endswith(("Url", "Dsn"))


def _write_url(writer: Writer, value: Any) -> Any:
    cls: Any = kind_of(value)
    text = str(value)
    if cls(text) != value:
        writer.refuse(value, "its text is not the whole of it")
    return {TAG: "url", "of": writer.class_of(value), "v": text}


def _read_url(reader: Reader, data: dict[str, Any]) -> Any:
    cls = load_class(data["of"])
    if not _is_url(cls):  # Only these may be called with what a row says.
        raise ValueNotLoadedError(f"a stored value is said to be an address, and {type_name(cls)} is none")
    return cls(data["v"])


# -- secrets and placeholders
def _write_secret(writer: Writer, value: Any) -> Any:
    if writer.canonical:
        return {TAG: "secret"}
    return {TAG: "secret", "of": secret_kind(kind_of(value))}


def _write_redacted(writer: Writer, value: Redacted) -> Any:
    if writer.canonical:
        return {TAG: "secret"}
    return {TAG: "secret", "of": redacted_kind(value)}


def _read_secret(reader: Reader, data: Mapping[str, Any]) -> Redacted:
    return Redacted(data["of"])


def _refuse_unstored(writer: Writer, value: Unstored | UnstoredArgument) -> Any:
    """As what it stands for was refused."""
    known = known_of(value)
    reason = known.get("reason") or "it stands for a value that could not be stored itself"
    raise NotStorableError(writer.path, known["type"], reason)


def register() -> None:
    """Make the kinds of classes that people define known."""
    add_finder(_find)
    add_reader("enum", _read_enum)
    add_reader("flag", _read_flag)
    add_reader("namedtuple", _read_namedtuple)
    add_reader("dataclass", _read_dataclass)
    add_reader("model", _read_model)
    add_reader("url", _read_url)
    add_type(Redacted, "secret", _write_redacted, _read_secret)
    add_type(Unstored, "unstored", _refuse_unstored, lambda reader, data: Unstored(**data["v"]))
    add_type(
        UnstoredArgument, "argument", _refuse_unstored, lambda reader, data: UnstoredArgument(**data["v"])
    )
