"""Where two texts differ."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from trigger_nb._view.model.differing import common, excerpts, pieces

TEXTS = st.text("ab1. ", max_size=60)


@given(TEXTS, TEXTS)
def test_the_pieces_make_the_text_and_the_ends_are_the_same(here, there):
    before, after = common(here, there)
    parts = [pieces(text, before, after) for text in (here, there)]
    assert ["".join(each) for each in parts] == [here, there]
    assert parts[0][0] == parts[1][0]
    assert parts[0][2] == parts[1][2]
    if here != there:
        assert parts[0][1] != parts[1][1]


@given(TEXTS, TEXTS, st.integers(8, 40))
def test_excerpts_are_short_and_differ(here, there, most):
    first, second = excerpts(here * 9, there * 9, most)
    assert max(len(first), len(second)) <= most + 2
    if here == there:
        assert first == second


@pytest.mark.parametrize(
    ("here", "there", "parts"),
    [
        ("a spam mail", "a ham mail", ("spam", "ham")),
        ("score 0.25 of 1", "score 0.75 of 1", ("0.25", "0.75")),
        ("read", "read more", ("", " more")),
        ("same", "same", ("", "")),
        ("", "x", ("", "x")),
        ("x" * 90 + "1", "x" * 90 + "2", ("1", "2")),
    ],
)
def test_words_and_numbers_differ_as_a_whole(here, there, parts):
    ends = common(here, there)
    assert (pieces(here, *ends)[1], pieces(there, *ends)[1]) == parts
