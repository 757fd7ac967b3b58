"""The public names read by the tools that read annotations: `typing`, `inspect` and pydantic."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from datetime import UTC, datetime

import pydantic
import pytest

import trigger_nb
from trigger_nb import errors, filters, retry, signatures, testing, triggers, webhooks

MODULES = (trigger_nb, errors, filters, retry, signatures, testing, triggers, webhooks)
PUBLIC = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in MODULES
    for name in module.__all__
    if getattr(getattr(module, name), "__module__", "").startswith("trigger_nb")
}
# Types of libraries, or of the widget and the server, that are imported only when they are used.
LATE = ("", "BaseRetrying", "LiveWidget", "Response", "RetryOption", "Server")


def functions_of(cls):
    """The public methods, getters and `__init__` of a class that are ours."""
    for name, value in inspect.getmembers_static(cls):
        made = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        ours = inspect.isfunction(made) and made.__module__.startswith("trigger_nb")
        if ours and (name == "__init__" or not name.startswith("_")):
            yield made


def unknown(function):
    """The first name in the annotations that is not found, or ""."""
    try:
        typing.get_type_hints(function)
        inspect.signature(function, eval_str=True)
    except NameError as error:
        return error.name
    return ""


@pytest.mark.parametrize("public", PUBLIC.values(), ids=PUBLIC)
def test_annotations_of_public_names_can_be_evaluated(public):
    """The names in them are found, wherever the class or function says that it is from."""
    functions = [public]
    if inspect.isclass(public):
        assert set(inspect.get_annotations(public)) <= set(typing.get_type_hints(public))
        functions = list(functions_of(public))
    for function in functions:
        if callable(function):  # an alias of types is not
            assert unknown(function) in LATE, function.__qualname__


VALUES = [
    trigger_nb.Example("basic", "A basic user", {"user": 1}),
    trigger_nb.Property("User ID", "u1", url="https://example.com/u1"),
    trigger_nb.Scheduled(datetime(2030, 1, 31, tzinfo=UTC), key="ana"),
    trigger_nb.Callback(timeout=600.0),
    trigger_nb.Retry(limit=3),
    trigger_nb.ReceivedEvent("e1", "user.new", {"user": 1}, 1.0),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_public_dataclasses_are_fields_of_models(value):
    """A user's own model may hold one, and writes and reads it as JSON."""
    model = pydantic.create_model("Noted", what=type(value), many=(list[type(value)], []))
    noted = model(what=value, many=[value])
    assert model.model_validate_json(noted.model_dump_json()) == noted
    assert type(noted.what) is type(value)


def test_fields_of_public_dataclasses_have_types():
    """`dataclasses.fields` gives types, as readers that evaluate no text want them (cattrs, msgspec)."""
    for name in trigger_nb.__all__:
        public = getattr(trigger_nb, name)
        for field in dataclasses.fields(public) if dataclasses.is_dataclass(public) else ():
            assert not isinstance(field.type, str), (name, field.name)
