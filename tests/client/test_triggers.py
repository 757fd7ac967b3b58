"""What starts a job's runs, and which payloads it takes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import FrozenInstanceError, dataclass
from pathlib import Path

import pytest
from pydantic import BaseModel, Field

import trigger_nb
from trigger_nb.errors import InvalidFilterError, InvalidOptionError, InvalidPayloadError
from trigger_nb.triggers import Example, event_trigger, invoke_trigger


class NewUser(BaseModel):
    user_id: str
    age: int = Field(default=0, ge=0)


@dataclass
class Order:
    id: str
    amount: float


# --- Payloads -----------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [None, {"a": 1}, [1], "text", object()])
def test_without_a_schema_the_payload_is_as_given(payload):
    assert invoke_trigger().parse(payload) is payload


def test_a_model_class_validates():
    user = event_trigger("new.user", schema=NewUser).parse({"user_id": "u1", "age": "3"})
    assert user == NewUser(user_id="u1", age=3)


def test_an_instance_stays_the_object_it_is():
    user = NewUser(user_id="u1")
    order = Order("o1", 3.5)
    assert invoke_trigger(schema=NewUser).parse(user) is user
    assert invoke_trigger(schema=Order).parse(order) is order


def test_an_instance_of_a_class_that_a_cell_defined_again_is_taken():
    """Running the class's cell again makes another class of that name; the payload is still meant."""
    before = type("User", (BaseModel,), {"__annotations__": {"id": str, "age": int}, "age": 0})
    now = type(
        "User", (BaseModel,), {"__annotations__": {"id": str, "age": int, "tag": str}, "age": 0, "tag": "x"}
    )
    user = invoke_trigger(schema=now).parse(before(id="u1"))
    assert type(user) is now
    assert (user.id, user.tag) == ("u1", "x")
    assert user.model_fields_set == {"id"}


def test_an_instance_of_another_class_is_refused():
    class Other(BaseModel):
        user_id: str

    with pytest.raises(InvalidPayloadError):
        invoke_trigger(schema=NewUser).parse(Other(user_id="u1"))


@pytest.mark.parametrize(
    ("schema", "payload", "parsed"),
    [
        (Order, {"id": "o1", "amount": 3}, Order("o1", 3.0)),
        (list[int], ["1", 2], [1, 2]),
        (dict[str, NewUser], {"a": {"user_id": "u"}}, {"a": NewUser(user_id="u")}),
        (int | None, None, None),
    ],
)
def test_any_type_that_pydantic_validates_is_a_schema(schema, payload, parsed):
    assert invoke_trigger(schema=schema).parse(payload) == parsed


def test_a_payload_that_does_not_fit_carries_what_pydantic_says():
    with pytest.raises(InvalidPayloadError) as caught:
        event_trigger("new.user", schema=NewUser).parse({"age": -1})
    message = str(caught.value)
    assert message.startswith("the payload does not fit NewUser; no run was started:")
    assert "user_id: Field required (missing)" in message
    assert "age: Input should be greater than or equal to 0" in message
    assert [(error["loc"], error["type"]) for error in caught.value.errors] == [
        (("user_id",), "missing"),
        (("age",), "greater_than_equal"),
    ]


def test_the_place_of_a_fault_is_its_path():
    with pytest.raises(InvalidPayloadError, match=r"users\.1\.user_id: Field required"):
        invoke_trigger(schema=dict[str, list[NewUser]]).parse({"users": [{"user_id": "a"}, {}]})
    with pytest.raises(InvalidPayloadError, match="the payload: Input should be a valid integer"):
        invoke_trigger(schema=int).parse(None)


def test_a_schema_that_pydantic_cannot_validate_is_refused_when_defined():
    with pytest.raises(InvalidOptionError, match="schema: pydantic cannot validate"):
        invoke_trigger(schema={"user_id": str})


def test_a_schema_may_name_a_class_of_a_later_cell():
    namespace = {"BaseModel": BaseModel}
    module = type(sys)("cells_of_a_notebook")
    module.__dict__.update(namespace)
    sys.modules[module.__name__] = module
    try:
        exec("class Cart(BaseModel):\n    lines: 'list[Line]'\n", module.__dict__)
        trigger = invoke_trigger(schema=module.Cart)
        exec("class Line(BaseModel):\n    sku: str\n", module.__dict__)
        assert trigger.parse({"lines": [{"sku": "a"}]}).lines[0].sku == "a"
    finally:
        del sys.modules[module.__name__]


# --- Events -------------------------------------------------------------------------------------


def test_an_event_matches_by_name():
    one, several = event_trigger("new.user"), event_trigger(["new.user", "new.admin"])
    assert one.matches("new.user", None)
    assert not one.matches("new", None)
    assert not one.matches("new.user.more", None)
    assert several.matches("new.user", None)
    assert several.matches("new.admin", None)


def test_an_event_matches_by_source():
    trigger = event_trigger("new.user", source="crm")
    assert trigger.matches("new.user", None, "crm")
    assert not trigger.matches("new.user", None, "web")
    assert not trigger.matches("new.user", None)
    assert event_trigger("new.user").matches("new.user", None, "web")


def test_an_event_matches_by_payload():
    trigger = event_trigger("new.user", schema=NewUser, filter={"age": [{"$gte": 18}]})
    assert trigger.matches("new.user", {"user_id": "u", "age": 18})
    assert trigger.matches("new.user", NewUser(user_id="u", age=18))
    assert not trigger.matches("new.user", {"user_id": "u", "age": 17})
    assert not trigger.matches("new.user", None)


def test_no_event_starts_a_job_that_code_starts():
    assert not invoke_trigger().matches("new.user", {})


def test_a_filter_is_checked_when_the_trigger_is_defined():
    with pytest.raises(InvalidFilterError):
        event_trigger("new.user", filter={"age": [{"$atLeast": 18}]})


@pytest.mark.parametrize("name", ["", [], ["a", ""], [1]])
def test_a_name_is_text(name):
    with pytest.raises(InvalidOptionError, match="event_trigger: the name is text"):
        event_trigger(name)


# --- The rest -----------------------------------------------------------------------------------


def test_examples_are_kept_in_order():
    examples = [Example("basic", "Basic", {"user_id": "u"}), Example("old", "Old", {"user_id": "o"})]
    assert invoke_trigger(examples=examples).examples == tuple(examples)
    with pytest.raises(InvalidOptionError, match="Example"):
        event_trigger("new.user", examples=[{"id": "basic"}])


def test_a_trigger_does_not_change():
    with pytest.raises(FrozenInstanceError):
        event_trigger("new.user").source = "crm"


def test_pydantic_is_imported_only_for_a_schema():
    code = """
import sys
from trigger_nb.triggers import event_trigger
assert event_trigger("a", filter={"n": [1]}).matches("a", {"n": 1})
assert event_trigger("a").parse(5) == 5
assert "pydantic" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(trigger_nb.__file__).parents[1])
