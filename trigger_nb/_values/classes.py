"""Codecs for enums, named tuples, dataclasses, pydantic models and secrets.

An instance is written as the name of its class and the values of its fields. It is read into the current class of
that name, without calling `__init__`: the stored values are set directly.
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
        return None  # even if it is a dataclass: an error has more parts than its fields
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
    """Whether instances have only attributes, because no base is a built-in container or another C class."""
    heap_type = 1 << 9
    return all(base is object or base.__flags__ & heap_type for base in cls.__mro__)


def _pydantic(module: str, name: str) -> Any:
    """A class of pydantic, or a class without subclasses if pydantic is not loaded."""
    return getattr(sys.modules.get(f"pydantic.{module}"), name, _Never)


class _Never:
    """A class without subclasses."""


_URL_MODULES = frozenset({"pydantic.networks", "pydantic_core._pydantic_core"})


# Enums -------------------------------------------------------------------------------------------


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
            f"a stored value is {type_name(cls)}.{data['v']}, but that enum no longer has such a member. "
            "Restore the member, or run the task again."
        )
    return member


def _read_flag(reader: Reader, data: dict[str, Any]) -> Any:
    return load_class(data["of"], enum.Flag)(reader.read(data["v"]))


# Named tuples ------------------------------------------------------------------------------------


def _write_namedtuple(writer: Writer, value: Any) -> Any:
    name = writer.class_of(value, tuple)
    if getattr(value, "__dict__", None):
        writer.refuse(value, "it has attributes besides its fields")
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
        f"a stored value is of the class {type_name(cls)}, which now has the new "
        f"field{'s'[: len(names) > 1]} {', '.join(names)}. Give each a default, or run the task again."
    )


# Dataclasses -------------------------------------------------------------------------------------


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
            f"a stored value is of the class {type_name(cls)}, which is no longer a dataclass. "
            "Restore the earlier definition, or run the task again."
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


# Pydantic models ---------------------------------------------------------------------------------


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
    """The canonical form of a model: a mapping of the fields that were set (rule I1)."""
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
                value,
                "a generic model can be stored only if it and its arguments are classes that can be found by name",
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
    """A hash of a model's fields, constraints and validators, which tells whether it still accepts the same data."""
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
    # Set directly, as pydantic does for copies and pickles. Running the validators again could change values
    # that validators have made.
    fresh = object.__new__(cls)
    object.__setattr__(fresh, "__dict__", values)
    object.__setattr__(fresh, "__pydantic_fields_set__", set(reader.read(data["set"])))
    object.__setattr__(fresh, "__pydantic_extra__", extra)
    private = reader.fields(data["private"]) if "private" in data else None
    object.__setattr__(fresh, "__pydantic_private__", private)
    return fresh


def _validated(cls: Any, values: dict[str, Any], given: set[str]) -> Any:
    """A stored model as an instance of its class, which has changed since."""
    import pydantic

    names = set(cls.model_fields)
    # Old defaults are left out, and so are fields that no longer exist.
    keep = cls.model_config.get("extra") == "allow"
    values = {name: item for name, item in values.items() if name in given and (keep or name in names)}
    secrets = {name: item for name, item in values.items() if isinstance(item, Redacted)}
    stand_ins = dict.fromkeys(secrets, "")
    try:
        fresh = cls.model_validate({**values, **stand_ins}, by_name=True, by_alias=False)
    except pydantic.ValidationError as error:
        raise ValueNotLoadedError(
            f"a stored value is of the class {type_name(cls)}, which has changed and no longer accepts "
            f"it:\n{error}\nThe value is still in the store: change the class, or run the task again."
        ) from error
    fresh.__dict__.update(secrets)
    return fresh


# Pydantic's addresses ----------------------------------------------------------------------------


def _is_url(cls: type[Any]) -> bool:
    return cls.__module__ in _URL_MODULES and cls.__name__.endswith(("Url", "Dsn"))


def _write_url(writer: Writer, value: Any) -> Any:
    cls: Any = kind_of(value)
    text = str(value)
    if cls(text) != value:
        writer.refuse(value, "its text does not contain the whole address")
    return {TAG: "url", "of": writer.class_of(value), "v": text}


def _read_url(reader: Reader, data: dict[str, Any]) -> Any:
    cls = load_class(data["of"])
    if not _is_url(cls):  # no other class may be called with data from a row
        raise ValueNotLoadedError(
            f"a stored value is recorded as an address, but {type_name(cls)} is not a class of addresses"
        )
    return cls(data["v"])


# Secrets and placeholders ------------------------------------------------------------------------


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
    """Refuse a placeholder for the same reason as the original value."""
    known = known_of(value)
    reason = known.get("reason") or "it is a placeholder for a value that could not be stored"
    raise NotStorableError(writer.path, known["type"], reason)


def register() -> None:
    """Register the codecs for user-defined classes."""
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
