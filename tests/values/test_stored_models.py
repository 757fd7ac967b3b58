"""A stored model is a function of what is stored, never of the kernel that reads it (S3)."""

from __future__ import annotations

import enum
import json
import os
import subprocess
import sys
import textwrap
import typing
import uuid
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, List, Literal, Optional, Union  # noqa: UP035

import pytest
from hypothesis import given, strategies as st
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    field_validator,
    model_validator,
)

from tests.support.codec import MemoryBlobs, round_trip
from trigger_nb._values.annotations import field_text, fields_differ
from trigger_nb._values.codec import decode, encode
from trigger_nb._values.placeholders import Redacted
from trigger_nb.errors import ValueNotLoadedError

HERE = sys.modules[__name__]
calls: list[str] = []


class Level(enum.Enum):
    LOW = 1


class Everything(BaseModel):
    model_config = ConfigDict(extra="allow", validate_default=True)
    name: Annotated[str, AfterValidator(lambda text: calls.append("after") or text + "#")]
    words: list[str]
    id: uuid.UUID = Field(default_factory=lambda: calls.append("factory") or uuid.uuid4())
    tags: set[str] = {"a", "b", "c"}
    later: Later | None = None
    at: datetime = datetime.now()
    level: Level = Level.LOW
    secret: SecretStr = SecretStr("s")
    _hits: int = PrivateAttr(default=0)
    _id: uuid.UUID = PrivateAttr(default_factory=uuid.uuid4)

    @field_validator("words", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        calls.append("before")
        return value.split(",")

    @model_validator(mode="after")
    def _check(self) -> Everything:
        calls.append("model")
        return self

    def model_post_init(self, context: Any) -> None:
        calls.append("post")


class Later(BaseModel):
    n: int = 1


def test_reading_calls_nothing_of_the_class_and_changes_nothing():
    value = Everything(name="a", words="x,y", more=[1])
    value._hits = 5
    value.tags.add("d")
    calls.clear()
    back = round_trip(value)
    assert calls == []
    assert isinstance(back.secret, Redacted)
    assert back.__dict__ | {"secret": 0} == value.__dict__ | {"secret": 0}
    assert back.__pydantic_private__ == value.__pydantic_private__
    assert (back.model_fields_set, back.model_extra) == (value.model_fields_set, {"more": [1]})


def stored(value):
    encoded = encode(value, MemoryBlobs())
    return encoded.form, json.loads(encoded.text), MemoryBlobs()


class Old(BaseModel):
    model_config = ConfigDict(extra="allow")
    kept: str = "default"
    dropped: int = 1
    narrowed: int = 1
    _private: int = PrivateAttr(default=0)
    _gone: int = PrivateAttr(default=0)


def test_a_class_that_changed_keeps_every_field_that_it_still_has(monkeypatch):
    value = Old(now_a_field="x", still_extra=2)
    value.kept = "changed in place"
    value._private = 7
    record = stored(value)

    class New(BaseModel):
        model_config = ConfigDict(extra="allow")
        new: list[int] = Field(default_factory=lambda: [1])
        kept: Annotated[str, AfterValidator(lambda _: pytest.fail("a validator ran"))] = "other"
        narrowed: float = 0.5
        now_a_field: str = ""
        _private: int = PrivateAttr(default=0)
        _more: list[int] = PrivateAttr(default_factory=list)

    monkeypatch.setattr(HERE, "Old", New)
    back = decode(*record)
    assert type(back) is New
    assert dict(back) == {
        "new": [1], "kept": "changed in place", "narrowed": 1.0, "now_a_field": "x", "still_extra": 2,
    }  # fmt: skip
    assert type(back.narrowed) is float, "converted: the type has changed"
    assert (back._private, back._more) == (7, [])


def test_a_field_whose_type_no_longer_accepts_its_value_is_named(monkeypatch):
    record = stored(Old(kept="text"))

    class New(BaseModel):
        kept: int = 0

    monkeypatch.setattr(HERE, "Old", New)
    with pytest.raises(ValueNotLoadedError, match="field kept .*no longer accepts"):
        decode(*record)


def test_a_new_field_without_a_default_is_named(monkeypatch):
    record = stored(Old())

    class New(BaseModel):
        must: int

    monkeypatch.setattr(HERE, "Old", New)
    with pytest.raises(ValueNotLoadedError, match="new field must"):
        decode(*record)


def test_a_model_made_without_its_required_fields_comes_back_as_it_was():
    assert round_trip(Later.model_construct(n=3)).n == 3
    assert round_trip(Everything.model_construct(name="x")).__dict__["name"] == "x"


class Kept(BaseModel):
    n: int = 1


def test_a_record_of_an_earlier_version_is_read(monkeypatch):
    form, data, blobs = stored([Kept(n=5)])
    data[0]["shape"] = (
        "0123456789ab"  # a hash of the whole class, which changed with every version of pydantic
    )
    assert decode(form, data, blobs) == [Kept(n=5)]


def text_of(annotation, *metadata):
    return field_text(annotation, list(metadata))


def test_the_text_of_a_type_does_not_depend_on_how_it_is_written():
    same = [
        (List[int], list[int]),  # noqa: UP006
        (Optional[int], Union[int, None]),  # noqa: UP007, UP045
        (Optional[int], int | None),  # noqa: UP045
        (Annotated[int, "note"], int),
        (typing.Dict[str, Any], dict[str, Any]),  # noqa: UP006
    ]
    for left, right in same:
        assert text_of(left) == text_of(right)
    different = [
        int,
        float,
        str,
        list[int],
        list[str],
        int | None,
        Literal["a"],
        Literal["b"],
        Level,
        Path,
        Any,
    ]
    texts = [text_of(each) for each in different]
    assert len(set(texts)) == len(texts)


def test_a_type_that_is_not_known_yet_is_no_change():
    assert not fields_differ(text_of(typing.ForwardRef("Nowhere")), text_of(int))


PROGRAM = """
import asyncio, datetime, enum, json, sys, uuid
from typing import *
from pydantic import *
from trigger_nb import TriggerClient
client = TriggerClient("k", dir=sys.argv[1], display=False)
{cell}
@client.job
async def job(payload, io):
    return await io.run_task("make", make)
made = asyncio.run(job.run())
print(made.model_dump_json(), made.__pydantic_private__)
"""
CELLS = {
    "a set as a default and an id of its own": """
        class Model(BaseModel):
            tags: set[str] = {"a", "b", "c", "d"}
            id: uuid.UUID = Field(default_factory=uuid.uuid4)
        def make(): return Model()""",
    "a class of a later cell": """
        class Model(BaseModel):
            author: "Author | None" = None
            id: uuid.UUID = Field(default_factory=uuid.uuid4)
        class Author(BaseModel): name: str = "Ana"
        def make(): return Model(author=Author())""",
    "a computed default and options in a set": """
        class Model(BaseModel):
            at: datetime.datetime = datetime.datetime.now()
            n: int = Field(default=1, json_schema_extra={"groups": {"x", "y", "z"}})
            _id: uuid.UUID = PrivateAttr(default_factory=uuid.uuid4)
        def make(): return Model()""",
    "literals, enums and a validator with a closure": """
        class Size(enum.Enum): S = 1; M = 2
        allowed = {"x", "y", "z"}
        class Model(BaseModel):
            kind: Literal["b", "a"] = "a"
            size: Size = Size.M
            word: Annotated[str, AfterValidator(lambda v: v + "#" if v in allowed else v)] = "x"
            id: uuid.UUID = Field(default_factory=uuid.uuid4)
        def make(): return Model(word="y")""",
}


@pytest.mark.parametrize("name", CELLS)
def test_another_kernel_reads_the_same(tmp_path, name):
    code = PROGRAM.format(cell=textwrap.dedent(CELLS[name]))
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code, tmp_path],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]

    def read(text):
        public, _, private = text.partition("} ")
        data = json.loads(public + "}")
        return {key: sorted(item) if isinstance(item, list) else item for key, item in data.items()}, private

    assert read(outputs[0]) == read(outputs[1])


leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4)
anything = st.recursive(
    leaves,
    lambda inside: (
        st.lists(inside, max_size=3)
        | st.dictionaries(st.text(max_size=3), inside, max_size=3)
        | st.builds(
            lambda value, more: Loose(value=value, **more),
            inside,
            st.dictionaries(st.text(max_size=3), inside, max_size=2),
        )
        | st.builds(lambda value: _with_private(value), inside)
    ),
    max_leaves=8,
)


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow", protected_namespaces=())
    value: Any = None
    listed: list[Any] = []
    _held: Any = PrivateAttr(default=None)


def _with_private(value):
    made = Loose()
    made._held = value
    made.listed.append(value)
    return made


@given(anything)
def test_any_model_comes_back_whole(value):
    back = round_trip(value)
    assert repr(back) == repr(value)
    assert _inside(back) == _inside(value)


def _inside(value):
    if isinstance(value, Loose):
        return [
            _inside(value.__dict__),
            _inside(value.__pydantic_extra__),
            _inside(value._held),
            value.model_fields_set,
        ]
    if isinstance(value, dict):
        return {key: _inside(item) for key, item in value.items()}
    return [_inside(item) for item in value] if isinstance(value, list) else (type(value), repr(value))
