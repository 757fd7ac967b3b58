"""I2, I3, I6: cache keys, paths and idempotency keys."""

import enum
import unicodedata
import uuid
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import assume, given, strategies as st

from trigger_nb._keys import (
    ancestors,
    display_key,
    idempotency_key,
    is_within,
    last_segment,
    normal_key,
    parent_path,
)
from trigger_nb.errors import InvalidKeyError


class Colour(enum.Enum):
    RED = "red"


class Name(str, enum.Enum):
    A = "a"


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
parts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.integers(),
    st.booleans(),
    st.floats(allow_nan=False),
    st.decimals(allow_nan=False),
    st.dates(),
    st.datetimes(timezones=st.one_of(st.none(), st.just(UTC))),
    st.uuids(),
    st.sampled_from([*Colour, *Name]),
)
keys = st.one_of(texts, st.lists(parts, min_size=1, max_size=4).map(tuple))


def meaning(key):
    """What a key means: text in NFC, parts with their types."""
    if isinstance(key, str):
        return ("text", unicodedata.normalize("NFC", key))
    return (
        "tuple",
        *((type(part), str(part) if isinstance(part, Decimal) else repr(part)) for part in nfc(key)),
    )


def nfc(key):
    return [unicodedata.normalize("NFC", part) if type(part) is str else part for part in key]


@given(keys, keys)
def test_keys_are_equal_when_they_mean_the_same(a, b):
    """I2: no two keys that differ in value or type have one normal form."""
    assert (normal_key(a) == normal_key(b)) == (meaning(a) == meaning(b))


@given(keys)
def test_a_key_is_one_segment_of_a_path(key):
    """I2: "/" joins paths, so it is in no segment; and the engine's own names begin with "~."."""
    assert "/" not in normal_key(key)
    assert not normal_key(key).startswith("~.")


@given(texts)
def test_text_reads_as_it_was(text):
    assume("\0" not in text)
    assert display_key(normal_key(text)) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (("a:b",), ("a", "b")),
        (("a,b",), ("a", "b")),
        ((1,), (True,)),
        ((1,), ("1",)),
        ((1,), (1.0,)),
        (("a",), "a"),
        ((Name.A,), ("a",)),
        (("",), ("~s",)),
        ((date(2024, 1, 1),), ("2024-01-01",)),
        ((uuid.UUID(int=0),), (str(uuid.UUID(int=0)),)),
        ("~(a,b)", ("a", "b")),
    ],
)
def test_look_alikes_differ(a, b):
    """I2: the pairs that people and formats confuse."""
    assert normal_key(a) != normal_key(b)


def test_emoji_and_accents_are_welcome():
    """I2: any Unicode, in NFC."""
    assert normal_key("📧") == "📧"
    assert normal_key("e\u0301") == normal_key("\u00e9")
    assert normal_key(["a", 1]) == normal_key(("a", 1))


def test_a_path_names_a_scope():
    path = "/".join([normal_key("a/b"), normal_key("c~d"), normal_key(("e", 1))])
    assert path == "a~1b/c~0d/~(e,~i1)"
    assert parent_path(path) == "a~1b/c~0d"
    assert last_segment(path) == "~(e,~i1)"
    assert ancestors(path) == ["a~1b/c~0d", "a~1b"]
    assert is_within(path, "a~1b")
    assert is_within(path, "")
    assert not is_within("ab", "a")
    assert not is_within("a", "a")
    assert [display_key(part) for part in path.split("/")] == ["a/b", "c~d", "e · 1"]


@pytest.mark.parametrize(
    "key",
    ["", (), [], None, 1, 1.5, b"a", {"a": 1}, (None,), ((1,),), (float("nan"),), ("a", object()), "\ud800"],
)
def test_anything_else_is_refused_and_says_what_a_key_is(key):
    """I2: the message says what a key is, and what this one was."""
    with pytest.raises(InvalidKeyError, match="cache key"):
        normal_key(key)


def test_the_message_names_the_part():
    with pytest.raises(InvalidKeyError, match="a part of type NoneType"):
        normal_key(("a", None))


def test_numpy_numbers_are_numbers():
    np = pytest.importorskip("numpy")
    assert normal_key((np.int64(3),)) == normal_key((3,))
    assert normal_key((np.float64(3),)) == normal_key((3.0,))


def test_dates_with_a_zone_are_instants_with_a_zone():
    assert normal_key((datetime(2024, 1, 1, tzinfo=UTC),)) != normal_key((datetime(2024, 1, 1),))


@given(st.tuples(texts, texts, st.integers(0, 3)), st.tuples(texts, texts, st.integers(0, 3)))
def test_idempotency_keys_differ_with_run_path_and_generation(a, b):
    """I6: a function of run, path and generation; short enough for any service (40 characters)."""
    assume("\0" not in "".join(a[:2] + b[:2]))
    assert (idempotency_key(*a) == idempotency_key(*b)) == (a == b)
    assert len(idempotency_key(*a)) == 40
