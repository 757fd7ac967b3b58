"""Event filters, as the contract in the reference has them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

import numpy as np
import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel, ConfigDict, Field

from trigger_nb.errors import InvalidFilterError
from trigger_nb.filters import matches, validate

ABSENT = object()


def holds(wanted, value):
    """Whether a field that wants `wanted` takes `value`."""
    filter = {"field": wanted}
    validate(filter)
    return matches(filter, {"other": 1} if value is ABSENT else {"field": value})


# --- The three forms ----------------------------------------------------------------------------


def test_all_named_fields_must_match():
    filter = {"plan": ["pro"], "country": ["PT", "DE"]}
    assert matches(filter, {"plan": "pro", "country": "DE", "more": 1})
    assert not matches(filter, {"plan": "pro", "country": "FR"})
    assert not matches(filter, {"plan": "pro"})


@pytest.mark.parametrize(
    ("accepted", "value", "expected"),
    [
        (["a", "b"], "b", True),
        (["a", "b"], "c", False),
        ([1, "x", None], None, True),
        ([1], 1, True),
        ([1], 1.0, True),
        ([1], True, False),
        ([True], 1, False),
        ([True], True, True),
        ([0], False, False),
        (["1"], 1, False),
        ([1], "1", False),
        ([None], ABSENT, False),
        (["a"], ["a"], False),
        ([1], Decimal(1), True),
        ([1], np.int64(1), True),
        ([1], np.array([1, 2]), False),
    ],
)
def test_values_in_a_list_are_alternatives(accepted, value, expected):
    assert holds(accepted, value) is expected


@pytest.mark.parametrize("value", [ABSENT, None, 0, "", [], {}])
def test_an_empty_list_accepts_anything(value):
    assert holds([], value)


def test_a_nested_filter_looks_below():
    filter = {"user": {"address": {"country": ["PT"]}}}
    assert matches(filter, {"user": {"address": {"country": "PT"}}})
    assert not matches(filter, {"user": {"address": {"country": "DE"}}})
    assert not matches(filter, {"user": {"address": None}})
    assert not matches(filter, {"user": "PT"})
    assert not matches(filter, {})


def test_a_nested_filter_holds_for_a_list_if_one_element_matches():
    wanted = {"sku": ["a"], "count": [{"$gt": 1}]}
    assert holds(wanted, [{"sku": "b", "count": 9}, {"sku": "a", "count": 2}])
    assert not holds(wanted, [{"sku": "b", "count": 9}, {"sku": "a", "count": 1}])
    assert not holds(wanted, [])


def test_matchers_in_a_list_must_all_hold():
    wanted = [{"$gte": 10}, {"$lt": 20}, {"$anythingBut": 13}]
    assert [n for n in range(8, 22) if holds(wanted, n)] == [10, 11, 12, 14, 15, 16, 17, 18, 19]


@pytest.mark.parametrize("payload", [None, {}, {"a": 1}, [], "text"])
def test_an_empty_filter_matches_everything(payload):
    assert matches({}, payload)


def test_an_absent_payload_matches_only_the_empty_filter():
    assert not matches({"a": []}, None)
    assert not matches({"a": [{"$exists": False}]}, None)


# --- The matchers -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("matcher", "yes", "no"),
    [
        ({"$startsWith": "ab"}, ["ab", "abc"], ["b", "AB", 1, None, ["ab"], ABSENT]),
        ({"$endsWith": "bc"}, ["bc", "abc"], ["ab", 1, None, ABSENT]),
        ({"$ignoreCaseEquals": "Straße"}, ["straße", "STRASSE"], ["strase", 1, ABSENT]),
        ({"$gt": 2}, [3, 2.5, Decimal("2.1")], [2, 1, "3", True, None, ABSENT, float("nan"), Decimal("nan")]),
        ({"$gte": 1}, [1, 1.0, 2], [0.9, True, "1", ABSENT]),
        ({"$lt": 2}, [1, -5, 1.9], [2, 3, False, "1", ABSENT]),
        ({"$lte": 0}, [0, -1], [0.1, False, None, ABSENT]),
        ({"$between": [1, 3]}, [1, 2, 3, 1.5], [0.99, 3.01, True, "2", None, ABSENT]),
        ({"$includes": "a"}, [["a", "b"], ("a",), {"a"}], [["b"], "abc", {"a": 1}, None, ABSENT]),
        ({"$includes": 1}, [[1], [1.0]], [[True], ["1"]]),
        ({"$exists": True}, [1, None, [], ""], [ABSENT]),
        ({"$exists": False}, [ABSENT], [1, None]),
        ({"$isNull": True}, [None], [0, "", ABSENT]),
        ({"$isNull": False}, [0, "", ABSENT], [None]),
        ({"$anythingBut": "a"}, ["b", 1, None, ABSENT], ["a"]),
        ({"$anythingBut": ["a", 1]}, ["b", True], ["a", 1, 1.0]),
        ({"$not": "a"}, ["b", ["b"], None, ABSENT], ["a", ["a", "b"]]),
        ({"$not": 1}, [2, True, "1"], [1, 1.0, [0, 1]]),
    ],
)
def test_matcher(matcher, yes, no):
    assert [value for value in yes if not holds([matcher], value)] == []
    assert [value for value in no if holds([matcher], value)] == []


@given(low=st.integers(), span=st.integers(min_value=0), value=st.integers())
def test_between_is_gte_and_lte(low, span, value):
    high = low + span
    assert holds([{"$between": [low, high]}], value) == holds([{"$gte": low}, {"$lte": high}], value)


# --- Payloads that are not mappings -------------------------------------------------------------


class Plan(Enum):
    PRO = "pro"


class Address(BaseModel):
    country: str


class User(BaseModel):
    model_config = ConfigDict(extra="allow")
    user_id: str = Field(alias="userId")
    plan: Plan
    address: Address


def test_a_model_matches_by_its_fields_their_aliases_and_its_extra_fields():
    user = User(userId="u1", plan=Plan.PRO, address=Address(country="PT"), tag="x")
    assert matches({"user_id": ["u1"], "plan": ["pro"], "address": {"country": ["PT"]}, "tag": ["x"]}, user)
    assert matches({"userId": ["u1"], "plan": [Plan.PRO]}, user)
    assert not matches({"user_id": ["u2"]}, user)
    assert not matches({"model_config": [{"$exists": True}]}, user)


def test_a_dataclass_matches_by_its_fields():
    @dataclass
    class Order:
        amount: int
        items: list[Address]

    order = Order(12, [Address(country="DE"), Address(country="PT")])
    assert matches({"amount": [{"$gt": 10}], "items": {"country": ["PT"]}}, order)
    assert not matches({"items": {"country": ["FR"]}}, order)


# --- Validation ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filter", "place", "says"),
    [
        ("new", "$", "a mapping of field names"),
        ({1: ["a"]}, "$", "a field's name is text, not 1"),
        ({"a": "x"}, "$.a", "write ['x']"),
        ({"a": None}, "$.a", "write [None]"),
        ({"a": {"b": {"c": 1}}}, "$.a.b.c", "write [1]"),
        ({"a": {"$gt": 1}}, "$.a", "write [{'$gt': 1}]"),
        ({"a": [["x"]]}, "$.a[0]", "an accepted value is text"),
        ({"a": ["x", b"y"]}, "$.a[1]", "an accepted value is text"),
        ({"a": ["x", {"$gt": 1}]}, "$.a[0]", "not both"),
        ({"a": [{}]}, "$.a[0]", "has one key, not 0"),
        ({"a": [{"$gt": 1, "$lt": 2}]}, "$.a[0]", "has one key, not 2"),
        (
            {"a": [{"$startWith": "x"}]},
            "$.a[0]",
            "did you mean '$startsWith'? Known matchers: $startsWith",
        ),
        ({"a": [{"gte": 1}]}, "$.a[0]", "did you mean '$gte'?"),
        ({"a": [{"$gt": 1}, {"$zzzzz": 1}]}, "$.a[1]", "unknown matcher '$zzzzz'. Known matchers:"),
        ({"a": [{"$gt": "1"}]}, "$.a[0]", "$gt takes a number, not '1'"),
        ({"a": [{"$gt": True}]}, "$.a[0]", "$gt takes a number, not True"),
        ({"a": [{"$startsWith": 1}]}, "$.a[0]", "$startsWith takes text, not 1"),
        ({"a": [{"$between": [1]}]}, "$.a[0]", "$between takes [lowest, highest]"),
        ({"a": [{"$between": [3, 1]}]}, "$.a[0]", "in this order, not [3, 1]"),
        ({"a": [{"$between": 3}]}, "$.a[0]", "$between takes [lowest, highest]"),
        ({"a": [{"$exists": 1}]}, "$.a[0]", "$exists takes True or False, not 1"),
        ({"a": [{"$isNull": None}]}, "$.a[0]", "$isNull takes True or False"),
        ({"a": [{"$includes": ["x"]}]}, "$.a[0]", "$includes takes text, a number"),
        ({"a": [{"$not": {}}]}, "$.a[0]", "$not takes text, a number"),
        ({"a": [{"$anythingBut": []}]}, "$.a[0]", "or a list of such, not []"),
        ({"a": [{"$anythingBut": [[1]]}]}, "$.a[0]", "or a list of such"),
    ],
    ids=str,
)
def test_a_filter_that_is_not_well_formed_is_refused_by_place(filter, place, says):
    with pytest.raises(InvalidFilterError) as caught:
        validate(filter)
    message = str(caught.value)
    assert message.startswith(f"event filter at {place}: ")
    assert says in message


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3)
JSON = st.recursive(
    SCALARS, lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from("abc"), below)
)
MATCHERS = st.one_of(
    [
        st.fixed_dictionaries({n: st.text(max_size=2)})
        for n in ("$startsWith", "$endsWith", "$ignoreCaseEquals")
    ]
    + [st.fixed_dictionaries({n: st.integers() | st.decimals(allow_nan=False)}) for n in ("$gt", "$lte")]
    + [st.fixed_dictionaries({n: st.booleans()}) for n in ("$exists", "$isNull")]
    + [st.fixed_dictionaries({n: SCALARS}) for n in ("$includes", "$not", "$anythingBut")]
)
FILTERS = st.recursive(
    st.dictionaries(st.sampled_from("abc"), st.lists(SCALARS, max_size=3) | st.lists(MATCHERS, max_size=3)),
    lambda below: st.dictionaries(st.sampled_from("abc"), below),
)


@given(filter=FILTERS, payload=JSON)
def test_a_valid_filter_always_answers(filter, payload):
    validate(filter)
    assert matches(filter, payload) in (True, False)


@given(payload=st.dictionaries(st.sampled_from("abc"), SCALARS))
def test_a_payload_fits_the_filter_made_of_it(payload):
    filter = {name: [value] for name, value in payload.items()}
    validate(filter)
    assert matches(filter, payload)
