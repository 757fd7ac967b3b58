"""Forms for answers: the fields that a schema asks for, and the checks of what is given.

A schema is a pydantic model or a dataclass, whose fields become the fields of the form, or any type that pydantic knows, which
becomes one field without a name. The kinds of fields:

    text, integer, number, checkbox, date
    choice     one of "choices": of a `Literal` or an enum
    written    what pydantic reads from text: times, decimals, UUIDs, URLs and the like
    json       everything else, written as JSON

The page, the command line and other processes have no class of the user's: they check by the fields alone. The kernel that
drives the run checks with the schema.
"""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import MISSING, InitVar, fields as dataclass_fields, is_dataclass
from datetime import date
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from .._records.questions import Field, Question
from ..errors import InvalidAnswerError, InvalidOptionError

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError
    from pydantic.fields import FieldInfo

_KINDS: dict[Any, str] = {str: "text", int: "integer", float: "number", bool: "checkbox", date: "date"}
_TYPES: dict[str, Any] = {kind: type_ for type_, kind in _KINDS.items()} | {"written": str | int | float}
_SUCH_AS = {  # by the format that a JSON schema names
    "date": "Such as 2030-01-31",
    "date-time": "Such as 2030-01-31 09:30",
    "time": "Such as 09:30",
    "duration": "Such as 1:30:00",
}
_LIMITS = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")
_LONGEST = 1_000_000  # characters of an answer as JSON
_SCALARS = (str, int, float, bool)
NO_DEFAULT: Any = ...


# From a schema to fields ----------------------------------------------------------------------------


def form_of(schema: Any, default: Any = NO_DEFAULT) -> tuple[tuple[Field, ...], bool, bool]:
    """The fields of a schema, whether they have names, and whether other names are allowed, too.

    `default` is what a form is filled with at first. Raises `InvalidOptionError` if pydantic cannot validate by the schema,
    or if the default does not fit it.
    """
    adapter = adapter_of(schema)
    given: Any = NO_DEFAULT
    if default is not NO_DEFAULT and default is not None:
        given = _default_as_json(schema, adapter, default)
    members = _members(schema)
    if members is None:
        field = _field("", schema, None)
        if given is not NO_DEFAULT:
            field["default"] = given
        return (field,), False, False
    values = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    fields: list[Field] = []
    for name, info in members.items():
        field = _field(name, info.annotation, info)
        if field["name"] in values:
            field["default"] = values[field["name"]]
        fields.append(field)
    return tuple(fields), True, _config(schema).get("extra") == "allow"


def adapter_of(schema: Any) -> TypeAdapter[Any]:
    """What validates by a schema. Raises `InvalidOptionError`."""
    from pydantic import TypeAdapter

    if isinstance(schema, str):
        raise InvalidOptionError(
            f"schema is a type, such as str or a pydantic model, itself and not its name; not {schema!r:.100}. What the "
            "person is asked is the prompt: prompt=..."
        )
    try:
        adapter = TypeAdapter[Any](schema)
        if not adapter.pydantic_complete:  # a name that may be defined later
            raise TypeError("it is not defined")
        return adapter  # noqa: TRY300
    except Exception as error:  # pydantic raises many errors for an object that is no type, such as KeyError
        raise InvalidOptionError(
            f"schema: pydantic cannot validate {schema!r:.100}. Pass a pydantic model, or a type such as str, date or list[int]"
        ) from error


def name_of(schema: Any) -> str:
    """The name of a schema."""
    return schema.__name__ if isinstance(schema, type) else str(schema)


def _members(schema: Any) -> dict[str, FieldInfo] | None:
    """The fields of a model or a dataclass, by the names by which it takes them; None for any other type."""
    from pydantic import BaseModel, RootModel

    infos: dict[str, FieldInfo] | None = None
    if not isinstance(schema, type) or issubclass(schema, RootModel):
        return None
    kind = cast("type[Any]", schema)
    if issubclass(kind, BaseModel):
        infos = kind.model_fields
    elif is_dataclass(kind):
        infos = _of_dataclass(kind)
    return None if infos is None else {_input_name(name, info, kind): info for name, info in infos.items()}


def _of_dataclass(schema: type) -> dict[str, FieldInfo] | None:
    """The fields of a dataclass that its constructor takes; None if it takes others, too, or names an unknown type."""
    from pydantic.fields import FieldInfo

    made: dict[str, FieldInfo] | None = getattr(schema, "__pydantic_fields__", None)
    if made is not None:  # of pydantic's own dataclasses
        return {name: info for name, info in made.items() if info.init is not False}
    try:
        hints = get_type_hints(schema, include_extras=True)
    except Exception:  # noqa: BLE001  # annotations are any code
        return None
    if any(isinstance(each, InitVar) for each in hints.values()):
        return None
    infos: dict[str, FieldInfo] = {}
    for each in dataclass_fields(schema):
        if not each.init:
            continue
        if each.default is not MISSING:
            infos[each.name] = FieldInfo.from_annotated_attribute(hints[each.name], each.default)
            continue
        infos[each.name] = FieldInfo.from_annotation(hints[each.name])
        if each.default_factory is not MISSING:
            infos[each.name].default_factory = each.default_factory
    return infos


def _config(schema: type) -> dict[str, Any]:
    """The pydantic configuration of a model or a dataclass."""
    return getattr(schema, "model_config", None) or getattr(schema, "__pydantic_config__", None) or {}


def _default_as_json(schema: Any, adapter: TypeAdapter[Any], default: Any) -> Any:
    from pydantic import ValidationError

    try:
        data = as_json(default)
        return as_json(adapter.validate_json(json.dumps(data)))
    except (ValidationError, InvalidAnswerError) as error:
        raise InvalidOptionError(
            f"default={default!r:.100} does not fit the schema {name_of(schema)}: {error}"
        ) from None


def _input_name(name: str, info: FieldInfo, model: type) -> str:
    """The name by which the model takes a field."""
    alias = info.validation_alias if isinstance(info.validation_alias, str) else info.alias
    by_name = _config(model).get("populate_by_name") or _config(model).get("validate_by_name")
    return name if alias is None or by_name else alias


def _field(name: str, annotation: Any, info: FieldInfo | None) -> Field:
    from pydantic_core import PydanticUndefined

    kind, nullable, choices, limits = _shape(annotation)
    field: Field = {
        "name": name,
        "label": (info.title if info and info.title else _label(name)),
        "kind": kind,
    }
    if choices:
        field["choices"] = choices
    if nullable:
        field["nullable"] = True
    if about := (info and info.description) or (kind == "written" and _such_as(annotation)):
        field["about"] = about
    if info is None:
        field["required"] = True
    else:
        limits = {**limits, **_limits(info.metadata)}
        if info.is_required():
            field["required"] = True
        elif info.default is not PydanticUndefined and info.default is not None:
            with suppress(InvalidAnswerError):  # the model fills it in
                field["default"] = as_json(info.default)
    if limits:
        field["limits"] = limits
    return field


def _label(name: str) -> str:
    return name.replace("_", " ").strip().capitalize()


def _shape(annotation: Any) -> tuple[str, bool, list[Any], dict[str, Any]]:
    """The kind of an annotation, whether None is allowed, the choices, and limits."""
    limits: dict[str, Any] = {}
    if get_origin(annotation) is Annotated:
        annotation, *metadata = get_args(annotation)
        kind, nullable, choices, inner = _shape(annotation)
        return kind, nullable, choices, {**inner, **_limits(metadata)}
    if get_origin(annotation) in (Union, types.UnionType):
        parts = [each for each in get_args(annotation) if each is not type(None)]
        if len(parts) == 1 and len(get_args(annotation)) == 2:
            kind, _, choices, limits = _shape(parts[0])
            return kind, True, choices, limits
        return "json", type(None) in get_args(annotation), [], limits
    if get_origin(annotation) is Literal:
        return _of_choices(get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return _of_choices([each.value for each in annotation])
    if isinstance(annotation, type) and annotation in _KINDS:
        return _KINDS[annotation], False, [], limits
    return ("written" if _is_written(annotation) else "json"), False, [], limits


def _is_written(annotation: Any) -> bool:
    """Whether pydantic reads it from text. A secret is no text for a form: answers are kept."""
    ways = _ways(annotation)
    types = [way.get("type") for way in ways]
    return (
        "string" in types
        and {"string", "number"}.issuperset(types)
        and not any(way.get("writeOnly") for way in ways)
    )


def _such_as(annotation: Any) -> str:
    """An example of a text, if people may not know how to write it."""
    return next((_SUCH_AS[way["format"]] for way in _ways(annotation) if way.get("format") in _SUCH_AS), "")


def _ways(annotation: Any) -> list[dict[str, Any]]:
    """The JSON schemas of what pydantic takes for it; none if it has no schema."""
    from pydantic import TypeAdapter

    try:
        schema = TypeAdapter[Any](annotation).json_schema()
    except Exception:  # noqa: BLE001  # pydantic raises many errors for what has none
        return []
    return schema.get("anyOf", [schema])


def _of_choices(values: Iterable[Any]) -> tuple[str, bool, list[Any], dict[str, Any]]:
    values = list(values)
    nullable, choices = None in values, [each for each in values if each is not None]
    is_plain = bool(choices) and all(
        isinstance(each, _SCALARS) and not isinstance(each, Enum) for each in choices
    )
    return ("choice", nullable, choices, {}) if is_plain else ("json", nullable, [], {})


def _limits(metadata: Iterable[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in metadata:
        for name in _LIMITS:
            value = getattr(each, name, None)
            if isinstance(value, _SCALARS) and not isinstance(value, bool):
                found[name] = value
    return found


# Checks ---------------------------------------------------------------------------------------------


def as_json(data: Any) -> Any:
    """Data as JSON has them: of a model, its fields. Raises `InvalidAnswerError` for what is no data, and for too much."""
    from pydantic import BaseModel
    from pydantic_core import PydanticSerializationError, to_jsonable_python

    try:
        plain = (
            data.model_dump(mode="json", by_alias=True)
            if isinstance(data, BaseModel)
            else to_jsonable_python(data)
        )
        text = json.dumps(plain)
    except (PydanticSerializationError, TypeError, ValueError, RecursionError) as error:
        raise InvalidAnswerError(
            f"the data of an answer are plain data, or a model; not {data!r:.100}: {error}"
        ) from None
    if len(text) > _LONGEST:
        raise InvalidAnswerError(
            f"the data of an answer are at most {_LONGEST:,} characters of JSON, not {len(text):,}"
        )
    return plain


def check_names(question: Question, data: Any) -> None:
    """Raise `InvalidAnswerError` for a name that is no field: nobody would get its value."""
    if not question.has_names or not isinstance(data, dict) or question.is_open:
        return
    known = [each["name"] for each in question.fields]
    unknown = [str(name) for name in cast("dict[str, Any]", data) if name not in known]
    if unknown:
        raise InvalidAnswerError(
            f"{question.schema or 'the form'} has no field {unknown[0]!r}; its fields are {', '.join(known) or 'none'}",
            fields={unknown[0]: "There is no such field"},
        )


def check_by_schema(schema: Any, data: Any, what: str) -> Any:
    """JSON data validated by a schema. Raises `InvalidAnswerError`; `what` names what is answered."""
    return _checked(lambda: adapter_of(schema).validate_json(json.dumps(data)), name_of(schema), what)


def check_by_fields(question: Question, data: Any, what: str) -> None:
    """Check JSON data as far as the fields tell. Raises `InvalidAnswerError`."""
    from pydantic import ConfigDict, TypeAdapter, create_model

    if not question.has_names:
        for field in question.fields:
            annotation, _ = _as_annotation(field)
            _checked(lambda: TypeAdapter(annotation).validate_json(json.dumps(data)), question.schema, what)  # noqa: B023
        return
    # The names of the fields may be no names of Python's, or those of pydantic's methods.
    fields: dict[str, Any] = {}
    from pydantic import Field as ModelField

    for at, field in enumerate(question.fields):
        annotation, default = _as_annotation(field)
        fields[f"field_{at}"] = (annotation, ModelField(default, validation_alias=field["name"]))
    made = create_model(question.schema or "Answer", __config__=ConfigDict(extra="ignore"), **fields)
    _checked(lambda: made.model_validate_json(json.dumps(data)), question.schema, what)


def _as_annotation(field: Field) -> tuple[Any, Any]:
    """The type of a field's value, and its default."""
    from pydantic import Field as ModelField

    choices = field.get("choices")
    annotation: Any = Literal[tuple(choices)] if choices else _TYPES.get(field.get("kind", ""), Any)
    told: dict[str, Any] = field.get("limits") or {}
    limits: dict[str, Any] = {name: value for name, value in told.items() if name in _LIMITS}
    if limits and field.get("kind") in _KINDS.values():
        annotation = Annotated[annotation, ModelField(**limits)]
    if field.get("nullable"):
        annotation = annotation | None
    return annotation, (... if field.get("required") else None)


def _checked(validate: Callable[[], Any], name: str, what: str) -> Any:
    from pydantic import ValidationError

    try:
        return validate()
    except ValidationError as error:
        raise _invalid(error, name, what) from None
    except Exception as error:
        raise InvalidAnswerError(
            f"the answer to {what} could not be checked: {type(error).__name__}: {error}"
        ) from error


def _invalid(error: ValidationError, name: str, what: str) -> InvalidAnswerError:
    errors = error.errors(include_url=False)
    lines = [f"the answer to {what} does not fit {name or 'the form'}:"]
    fields: dict[str, str] = {}
    for fault in errors:
        place = ".".join(map(str, fault["loc"]))
        lines.append(f"  {place + ': ' if place else ''}{fault['msg']}")
        fields.setdefault(str(fault["loc"][0]) if fault["loc"] else "", fault["msg"])
    return InvalidAnswerError("\n".join(lines), [dict(fault) for fault in errors], fields)
