"""Two different values never share a key, and equal ones do (rule I1): classes, defaults, content of items."""

from __future__ import annotations

import enum
import itertools
import typing
import uuid
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, RootModel

from trigger_nb._values import canonical

T = typing.TypeVar("T")
counter = itertools.count()


class Charge(BaseModel):
    kind: Literal["charge"] = "charge"
    amount: int


class Refund(BaseModel):
    kind: Literal["refund"] = "refund"
    amount: int


class VipCharge(Charge):
    discount: float = 0.5


class Ids(RootModel[list[int]]):
    pass


class Names(RootModel[list[int]]):
    pass


class Page(BaseModel, typing.Generic[T]):
    items: list[T]


class Book(BaseModel):
    id: int


class Film(BaseModel):
    id: int


class Llm(BaseModel):
    temperature: float = 0
    stop: list[str] = []


class Config(BaseModel):
    llm: Llm = Field(default_factory=Llm)
    urls: list[str] = []
    named: dict[str, Llm] = Field(default_factory=lambda: {"main": Llm()})
    limit: Decimal = Decimal(1)
    total: int = Field(default_factory=lambda data: len(data["urls"]))


class Order(BaseModel):
    item: str
    id: uuid.UUID = Field(default_factory=uuid.uuid4)
    number: int = Field(default_factory=lambda: next(counter))
    day: date = Field(default_factory=date.today)
    extra: object = Field(default_factory=object)


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int = 0


class Private(BaseModel):
    a: int = 0
    _hits: list[int] = PrivateAttr(default_factory=list)
    _made: uuid.UUID = PrivateAttr(default_factory=uuid.uuid4)


@dataclass
class Small:
    n: int
    words: list[str] = field(default_factory=list)
    inner: Book | None = None


@dataclass
class Other:
    n: int
    words: list[str] = field(default_factory=list)
    inner: Book | None = None


class One(enum.Enum):
    A = 1


class Two(enum.Enum):
    A = 1


class Number(enum.IntEnum):
    A = 1


def config(**changes):
    made = Config()
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def in_place(change):
    made = Config()
    change(made)
    return made


DIFFERENT = [
    Charge(amount=5),
    Refund(amount=5),
    VipCharge(amount=5),
    {"amount": 5},
    {"kind": "charge", "amount": 5},
    Small(5),
    Other(5),
    Small(5, ["a"]),
    Small(5, inner=Book(id=1)),
    Small(5, inner=typing.cast("Book", Film(id=1))),
    [5],
    Ids([5]),
    Names([5]),
    Page[Book](items=[]),
    Page[Film](items=[]),
    Page[list[Book]](items=[]),
    Page[int](items=[]),
    Page[int | None](items=[]),
    Page(items=[]),
    One.A,
    Two.A,
    Number.A,
    1,
    Config(),
    in_place(lambda each: setattr(each.llm, "temperature", 0.9)),
    in_place(lambda each: each.llm.stop.append("a")),
    in_place(lambda each: each.urls.append("a")),
    in_place(lambda each: each.urls.append("b")),
    in_place(lambda each: each.named["main"].stop.append("a")),
    in_place(lambda each: each.named.clear()),
    Llm(),
    Open(a=0),
    Open(a=0, b=1),
    Open(a=0, b=None),
]


@pytest.mark.parametrize("around", [lambda each: each, lambda each: [each], lambda each: {"v": (each,)}])
def test_values_that_differ_have_keys_that_differ(around):
    texts = [canonical(around(value)) for value in DIFFERENT]
    twins = [(a, b) for a, b in itertools.combinations(range(len(texts)), 2) if texts[a] == texts[b]]
    assert twins == []


@pytest.mark.parametrize("value", [each for each in DIFFERENT if isinstance(each, BaseModel)], ids=repr)
def test_a_model_read_from_json_is_the_one_that_was_written(value):
    again = type(value).model_validate_json(value.model_dump_json())
    assert canonical(again) == canonical(value)
    assert canonical(value.model_copy(deep=True)) == canonical(value)


def test_a_default_that_is_spelled_out_is_the_default():
    assert canonical(Charge(amount=1)) == canonical(Charge(amount=1, kind="charge"))
    assert canonical(Config()) == canonical(config(llm=Llm(temperature=0.0), urls=[], total=0))
    assert canonical(Small(1)) == canonical(Small(1, [], None))


def test_a_default_that_is_made_anew_each_time_counts_when_it_was_set():
    assert canonical(Order(item="tea")) == canonical(Order(item="tea"))
    one, two = uuid.UUID(int=1), uuid.UUID(int=2)
    assert canonical(Order(item="tea", id=one)) == canonical(Order(item="tea", id=one))
    assert canonical(Order(item="tea", id=one)) != canonical(Order(item="tea", id=two))
    assert canonical(Order(item="tea", id=one)) != canonical(Order(item="tea"))
    assert canonical(Order(item="tea", number=7)) != canonical(Order(item="tea", number=8))


def test_a_day_that_was_set_counts_also_on_that_day():
    """Else the same line would be another run tomorrow."""
    assert canonical(Order(item="tea", day=date.today())) != canonical(Order(item="tea"))


def test_private_attributes_count_where_they_differ_from_their_defaults():
    seen = Private()
    seen._hits.append(1)
    assert canonical(Private()) == canonical(Private())
    assert canonical(seen) != canonical(Private())


def test_a_default_that_no_codec_can_write_does_not_count():
    class Tool(BaseModel):
        call: typing.Any = print
        key: str = "a"

    assert canonical(Tool()) == canonical(Tool())
    assert canonical(Tool(key="b")) != canonical(Tool())


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=3))
    | st.builds(Book, id=st.integers(0, 2))
    | st.builds(Film, id=st.integers(0, 2))
    | st.builds(Llm, temperature=st.sampled_from([0.0, 0.5]), stop=st.lists(st.text(max_size=1), max_size=2))
    | st.sampled_from([*One, *Two, *Number])
    | st.sampled_from([datetime(2030, 1, 1), date(2030, 1, 1), Decimal("1.0"), Decimal(1)]),
    lambda inside: (
        st.lists(inside, max_size=3)
        | st.dictionaries(st.text(max_size=2), inside, max_size=3)
        | st.builds(Small, st.integers(0, 2), st.just([]), inside)
        | st.builds(Open, a=st.integers(0, 1), b=inside)
        | st.builds(lambda items: Page[typing.Any](items=items), st.lists(inside, max_size=2))
    ),
    max_leaves=6,
)


def alike(left, right):
    """Equal in value and in type, all the way down."""
    if type(left) is not type(right):
        return False
    if isinstance(left, BaseModel):
        return alike(dict(left), dict(right))
    if isinstance(left, Small):
        return alike(vars(left), vars(right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(alike(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(alike, left, right))
    return repr(left) == repr(right)


@given(values, values)
def test_values_share_a_key_exactly_if_they_are_equal(left, right):
    assert (canonical(left) == canonical(right)) == alike(left, right)
