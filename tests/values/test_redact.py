"""Hiding parts of values from the eye (S8)."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, strategies as st

from trigger_nb._redact import check_redact, redact, redact_tagged, scrub
from trigger_nb.errors import InvalidOptionError

VALUE = {
    "user": {"email": "ana@example.org", "name": "Ana"},
    "items": [{"id": 1, "token": "t-1234"}, {"id": 2, "token": "t-5678"}],
    "a.b": 1,
}


@pytest.mark.parametrize(
    ("pattern", "hidden"),
    [
        ("user.email", lambda v: v["user"].update(email="•••")),
        ("$.user.email", lambda v: v["user"].update(email="•••")),
        ("user", lambda v: v.update(user="•••")),
        ("items.*.token", lambda v: [item.update(token="•••") for item in v["items"]]),
        ("items[*].token", lambda v: [item.update(token="•••") for item in v["items"]]),
        ("items.1.token", lambda v: v["items"][1].update(token="•••")),
        ("*.name", lambda v: v["user"].update(name="•••")),
        ("items.*", lambda v: v.update(items=["•••", "•••"])),
        ("nowhere.at.all", lambda v: None),
        ("user.email.deeper", lambda v: None),
    ],
)
def test_a_path_hides_what_it_names_and_nothing_else(pattern, hidden):
    """S8"""
    expected, before = copy.deepcopy(VALUE), copy.deepcopy(VALUE)
    hidden(expected)
    assert redact([pattern], VALUE) == expected
    assert before == VALUE, "the value itself stays whole"


def test_paths_add_up():
    """S8: one below another, "*" beside a name."""
    assert redact(["user", "user.email"], VALUE)["user"] == "•••"
    assert redact(["user.email", "user"], VALUE)["user"] == "•••"
    both = redact(["*.email", "user.name"], VALUE)["user"]
    assert both == {"email": "•••", "name": "•••"}


def test_nothing_to_hide():
    assert redact([], VALUE) is VALUE
    assert redact(["a"], "text") == "text"


json_values = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
)
patterns = st.lists(
    st.lists(st.sampled_from(["a", "b", "c", "0", "1", "*"]), min_size=1, max_size=3).map(".".join)
)


@given(patterns, json_values)
def test_any_paths_and_any_value(paths, value):
    """S8: never raises, hides no more by order, and hiding twice is hiding once."""
    once = redact(paths, value)
    assert redact(paths, once) == once
    assert redact(list(reversed(paths)), value) == once


def test_texts_of_errors_are_scrubbed():
    """S8: hidden in errors too, which repeat parts of their input."""
    text = "no account ana@example.org (tokens t-1234, t-5678, id 1)"
    assert scrub(["user.email", "items.*.token"], VALUE, text) == "no account ••• (tokens •••, •••, id 1)"
    assert scrub(["items.*.id"], VALUE, text) == text, "what is too short to be told apart stays"
    assert scrub(["user"], VALUE, "ana@example.org") == "•••", "everything below a hidden path"
    assert scrub([], VALUE, text) == text


@pytest.mark.parametrize("paths", ["user.email", 3, [""], ["a..b"], ["a."], [1], None])
def test_paths_that_cannot_be_meant(paths):
    with pytest.raises(InvalidOptionError, match="redact="):
        check_redact(paths)


def test_paths_are_given_as_any_iterable():
    assert check_redact(("a.b", "items.*")) == ["a.b", "items.*"]


@pytest.mark.parametrize(
    ("data", "hidden"),
    [
        (
            {"$": "model", "of": "m:User", "v": {"email": "a", "n": 1}},
            {"$": "model", "of": "m:User", "v": {"email": "•••", "n": 1}},
        ),
        ({"$": "dict", "v": [[1, 2], ["email", "a"]]}, {"$": "dict", "v": [[1, 2], ["email", "•••"]]}),
        ({"$": "tuple", "v": [{"email": "a"}]}, {"$": "tuple", "v": [{"email": "a"}]}),
        ({"email": {"$": "date", "v": "2030-01-01"}}, {"email": "•••"}),
    ],
)
def test_parts_of_stored_values_with_tags_are_hidden_by_the_paths_of_the_value(data, hidden):
    """A frozen run holds values as they are stored."""
    assert redact_tagged(["email"], data) == hidden


def test_paths_go_through_tags():
    data = {"$": "tuple", "v": [{"$": "dataclass", "of": "m:D", "v": {"token": "a", "id": 1}}]}
    assert redact_tagged(["*.token"], data)["v"][0]["v"] == {"token": "•••", "id": 1}
