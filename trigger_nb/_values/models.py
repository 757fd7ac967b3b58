"""The codec for pydantic models.

All fields are stored, set or not, and private attributes. They are set directly when a model is read, without
validators and factories: running those again could change values that they have made.
"""

from __future__ import annotations

import sys
from copy import deepcopy
from typing import Annotated, Any, Final, cast
from weakref import WeakKeyDictionary

from ..errors import ValueNotLoadedError
from .annotations import (
    Unnamed,
    checked_type,
    field_text,
    fields_differ,
    load_type,
    type_data,
    type_text,
    without_metadata,
)
from .defaults import MISSING, Default, counted_fields, default_of, new_value
from .names import class_name, kind_of, load_class, of_type, refuse_missing, type_name
from .placeholders import Placeholder
from .tagged import TAG, Reader, Write, Writer, add_finder, add_reader

# The modules of metadata that only compares: `Field(gt=5)`.
_OF_BOUNDS: Final = frozenset({"annotated_types", "pydantic._internal._fields"})
_ANY_TYPE: Final[Any] = {"arbitrary_types_allowed": True}


def _base() -> Any:
    """Pydantic's base class of models; None if pydantic is not loaded."""
    return getattr(sys.modules.get("pydantic.main"), "BaseModel", None)


def _find(cls: type[Any]) -> Write | None:
    base = _base()
    return _write_model if base is not None and issubclass(cls, base) else None


# Writing -----------------------------------------------------------------------------------------


def _write_model(writer: Writer, value: Any) -> Any:
    if writer.canonical:
        return _write_set_fields(writer, value) if writer.counts == "set" else _write_identity(writer, value)
    cls: Any = kind_of(value)
    texts = _texts(cls)
    fields = {name: item for name, item in value.__dict__.items() if name in texts}
    private, extra = value.__pydantic_private__, value.__pydantic_extra__
    data: dict[str, Any] = {
        TAG: "model",
        "of": _name_of(writer, value),
        "shape": "=" + "".join(texts[name] for name in fields),
        "set": writer.write(sorted(value.model_fields_set)),
        "v": writer.fields(fields),
    }
    if extra is not None:
        data["extra"] = {
            TAG: "dict",
            "v": [[writer.write(name), writer.at(name, extra[name])] for name in extra],
        }
    if private is not None:
        data["private"] = writer.fields(private)
    if len(fields) < len(texts):
        data["partial"] = True  # made by `model_construct`
    return data


def _write_identity(writer: Writer, value: Any) -> Any:
    """The canonical form of a model: its class, and what differs from the defaults (rule I1)."""
    cls: Any = kind_of(value)
    fields: dict[str, Any] = cls.model_fields
    given = value.model_fields_set
    own = {name: item for name, item in value.__dict__.items() if name in fields}
    data: dict[str, Any] = {
        TAG: "model",
        "of": _text_of(cls),
        "v": counted_fields(writer, cls, own, lambda name: default_of(fields[name], own), given),
    }
    if value.__pydantic_extra__:
        data["extra"] = writer.write(dict(value.__pydantic_extra__))
    if value.__pydantic_private__:
        attributes = cls.__private_attributes__
        private = counted_fields(
            writer,
            cls,
            {name: item for name, item in value.__pydantic_private__.items() if name in attributes},
            lambda name: default_of(attributes[name], own),
            (),
        )
        if private:
            data["private"] = private
    return data


def _write_set_fields(writer: Writer, value: Any) -> Any:
    """The canonical form of a model up to November 2026: a mapping of the fields that were set."""
    if "root" in value.__dict__ and getattr(kind_of(value), "__pydantic_root_model__", False):
        return writer.write(value.root)
    return writer.write({name: getattr(value, name) for name in value.model_fields_set})


def _name_of(writer: Writer, value: Any) -> Any:
    """The name of the model's class; for `Page[Item]` a list of the names of `Page` and `Item`."""
    if cast("Any", kind_of(value)).__pydantic_generic_metadata__["origin"] is None:
        return writer.class_of(value, _base())
    try:
        return type_data(kind_of(value))
    except Unnamed:
        writer.refuse(
            value,
            "a generic model can be stored only if it and its arguments are classes that can be found by name",
        )


def _text_of(cls: Any) -> Any:
    """What tells a model's class from others. It need not be found by this name."""
    generic = cls.__pydantic_generic_metadata__
    if generic["origin"] is None:
        return class_name(cls)
    try:
        return type_data(cls)
    except Unnamed:
        return [class_name(generic["origin"]), *map(_argument_text, generic["args"])]


def _argument_text(argument: Any) -> str:
    try:
        return class_name(argument) if isinstance(argument, type) else type_text(argument)
    except Unnamed:
        return repr(argument)


_known_texts: WeakKeyDictionary[type[Any], dict[str, str]] = WeakKeyDictionary()


def _texts(cls: Any) -> dict[str, str]:
    """By field: a text that tells whether it still accepts the same data."""
    texts = _known_texts.get(cls)
    if texts is None:
        texts = {name: field_text(each.annotation, each.metadata) for name, each in cls.model_fields.items()}
        if cls.__pydantic_complete__:
            _known_texts[cls] = texts
    return texts


# Reading -----------------------------------------------------------------------------------------


def _load(name: Any) -> Any:
    cls: Any = load_class(name, _base() or _Never) if isinstance(name, str) else load_type(name)
    if not cls.__pydantic_complete__:
        cls.model_rebuild(raise_errors=False)  # a later cell defines a class that it names
    return cls


class _Never:
    """A class without subclasses."""


def _read_model(reader: Reader, data: dict[str, Any]) -> Any:
    cls = _load(data["of"])
    stored = reader.fields(data["v"])
    extra: dict[str, Any] = reader.of(data["extra"], dict) if "extra" in data else {}
    private = reader.fields(data.get("private") or {})
    names, given = cls.model_fields, set(reader.items(of_type(data["set"], list)))
    values = {name: item for name, item in {**extra, **stored}.items() if name in names}
    if len(values) < len(names) and "partial" not in data:
        _add_new_fields(reader, data["of"], cls, values)
        values = {name: values[name] for name in names}
    _fit(cls, values, dict(zip(stored, _split(data["shape"]), strict=False)))
    is_open = cls.model_config.get("extra") == "allow"
    more = {name: item for name, item in stored.items() if name not in names and name in given}
    more.update((name, item) for name, item in extra.items() if name not in names)
    fresh = object.__new__(cls)
    object.__setattr__(fresh, "__dict__", values)
    object.__setattr__(fresh, "__pydantic_fields_set__", {name for name in given if is_open or name in names})
    object.__setattr__(fresh, "__pydantic_extra__", more if is_open else None)
    object.__setattr__(fresh, "__pydantic_private__", _private(reader, cls, private))
    return fresh


def _add_new_fields(reader: Reader, of: Any, cls: Any, values: dict[str, Any]) -> None:
    """Add the defaults of the fields that the class has got since the model was stored."""
    new = {name: field for name, field in cls.model_fields.items() if name not in values}
    if required := [name for name, field in new.items() if field.is_required()]:
        refuse_missing(cls, required)
    for name, field in new.items():
        reader.note_new(of, name)
        values[name] = _new_value(reader, cls, name, default_of(field, values))


def _new_value(reader: Reader, cls: Any, name: str, default: Default) -> Any:
    value = new_value(reader, cls, name, default)
    return value if value is MISSING or default.factory is not None else deepcopy(value)


def _split(shape: str) -> list[str]:
    """The texts of the stored fields; none in records up to November 2026."""
    return [shape[at : at + 4] for at in range(1, len(shape), 4)] if shape.startswith("=") else []


def _fit(cls: Any, values: dict[str, Any], before: dict[str, str]) -> None:
    """Convert the stored values of fields whose types have changed since.

    A row can make any field count as changed, so no code of the user's is called: no validator, and for a class of the
    user's it is only checked that the value is an instance.
    """
    now = _texts(cls)
    changed = [name for name in values if name in before and fields_differ(before[name], now[name])]
    if not changed:
        return
    import pydantic

    for name in changed:
        if isinstance(values[name], Placeholder):
            continue
        field = cls.model_fields[name]
        bounds = [
            each
            for each in field.metadata
            if kind_of(each).__module__ in _OF_BOUNDS and not hasattr(each, "func")
        ]
        accepted: Any = checked_type(without_metadata(field.annotation))
        if bounds:
            accepted = Annotated[(accepted, *bounds)]
        try:
            values[name] = pydantic.TypeAdapter[Any](accepted, config=_ANY_TYPE).validate_python(values[name])
        except pydantic.ValidationError as error:
            raise ValueNotLoadedError(
                f"a stored value is of the class {type_name(cls)}, whose field {name} has changed and no longer accepts "
                f"it:\n{error}\nThe value is still in the store: change the class, or run the task again."
            ) from error
        except pydantic.PydanticUserError:
            continue  # a type that pydantic does not check


def _private(reader: Reader, cls: Any, stored: dict[str, Any]) -> dict[str, Any] | None:
    """The private attributes: those stored, and the defaults of new ones."""
    attributes = cls.__private_attributes__
    if not attributes:
        return None
    found: dict[str, Any] = {}
    for name, attribute in attributes.items():
        if name in stored:
            found[name] = stored[name]
            continue
        value = _new_value(reader, cls, name, default_of(attribute, stored))
        if value is not MISSING:
            found[name] = value
    return found


def register() -> None:
    """Register the codec for models."""
    add_finder(_find)
    add_reader("model", _read_model)
