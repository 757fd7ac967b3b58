"""Which errors are told together: those that differ only in what they name."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from trigger_nb._records.alike import GAP, common_text
from trigger_nb._view.model.alike import FIRST, LEAST, Errors, kind_of, told_together

WORDS = st.sampled_from(
    ["no", "item", "has", "text", "in", "table", "refused", "for", "the", "user", "größe", "項目"]
)
NAMED = st.one_of(
    st.integers(-(10**9), 10**9).map(str),
    st.integers(0, 10**9).map("{:,}".format),
    st.floats(allow_nan=False, allow_infinity=False).map(str),
    st.uuids().map(str),
    st.from_regex(r"[a-z]{2,4}_[A-Za-z0-9]{3,9}[0-9]", fullmatch=True),
    st.from_regex(r"https?://[a-z]{2,9}\.com(/[a-z0-9]{1,5}){0,2}", fullmatch=True),
    st.from_regex(r"[a-z]{2,6}@[a-z]{2,6}\.org", fullmatch=True),
)
QUOTED = st.from_regex(r"[^'\"`‘’“”«»\n]{0,20}", fullmatch=True).filter(lambda text: not text[:1].isdigit())
QUOTES = st.sampled_from(["''", '""', "``", "‘’", "“”", "«»"])
STATUSES = st.sampled_from(["400", "404", "413", "422", "429", "500", "503"])


@given(st.lists(WORDS, min_size=1, max_size=6), st.data())
def test_what_is_named_does_not_count_and_every_word_does(words, data):
    """A template with any names in it, twice; and with one word more."""
    slots = [data.draw(st.sampled_from([None, NAMED, QUOTED])) for _ in words]
    quotes = data.draw(QUOTES)

    def written(words):
        parts = []
        for word, slot in zip(words, slots, strict=False):
            parts.append(word)
            if slot is not None:
                name = data.draw(slot)
                parts.append(f"{quotes[0]}{name}{quotes[1]}" if slot is QUOTED else name)
        return " ".join(parts)

    text = common_text(written(words))
    assert text == common_text(written(words))
    assert text != common_text(f"{written(words)} twice")
    assert [word for word in text.split() if word in words] == words
    assert not any(letter.isdigit() for letter in text)


@given(STATUSES, STATUSES, WORDS)
def test_a_status_of_http_is_no_number_like_others(status, other, word):
    for template in (
        "{} {}",
        "HTTP {}: {}",
        "status {} {}",
        "Client error '{} {}' for url 'https://example.com/17'",
    ):
        texts = {common_text(template.format(each, word)) for each in (status, other)}
        assert len(texts) == len({status, other})


@given(st.text(max_size=900))
def test_any_message_has_a_text_that_is_no_longer(message):
    assert len(common_text(message)) <= min(300, len(message) + 2)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("can't find user 17, isn't there", f"can't find user {GAP}, isn't there"),
        ("item 7: bad", f"item {GAP}: bad"),
        ("No such file: '/data/part-7.csv'", f"No such file: '{GAP}'"),
        ("x=5,6 took 1.5 s.", f"x={GAP},{GAP} took {GAP} s."),
        (
            "413 the text has 9,204 tokens, 8,192 are allowed",
            f"413 the text has {GAP} tokens, {GAP} are allowed",
        ),
        ("the text is empty", "the text is empty"),
        ("", ""),
    ],
)
def test_examples(message, text):
    assert common_text(message) == text


@pytest.mark.parametrize(
    "hostile", ["-" * 9000, "a.b-" * 3000, "'" * 9000, "a@" * 5000, "1," * 5000, "h://" * 3000]
)
def test_a_hostile_message_costs_little(hostile):
    """Counted in steps of the pattern it would be quadratic; only its beginning is read."""
    assert len(common_text(hostile)) <= 300


def error(kind: str, message: str) -> dict[str, object]:
    return {"type": kind, "message": message}


@given(
    st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 3), st.integers(0, 99)), max_size=60), st.data()
)
def test_whatever_came_and_went_the_groups_count_what_is_there(drawn, data):
    """Each failed row is in one group at most; class and common text decide; a row that changes leaves its group."""
    errors = Errors()
    now: dict[str, dict[str, object]] = {}
    for kind, words, number in drawn:
        path = str(data.draw(st.integers(0, 20)))
        now[path] = error(kind, f"{'x' * (words + 1)} in {number}")
        errors.note(path, now[path])
        if data.draw(st.booleans()):
            gone = str(data.draw(st.integers(0, 20)))
            now.pop(gone, None)
            errors.note(gone, None)
    kinds = [kind_of(each) for each in now.values()]
    wanted = sorted((kinds.count(kind) for kind in set(kinds) if kinds.count(kind) >= LEAST), reverse=True)
    groups = errors.groups()
    assert [group.count for group in groups] == wanted
    for group in groups:
        members = [path for path in now if errors.number(path) == group.number]
        assert len(members) == group.count
        assert len({kind_of(now[path]) for path in members}) == 1
        assert all(errors.group(path) == group for path in members)
    errors.clear()
    assert errors.groups() == []


@given(st.lists(st.sampled_from(["no text", "refused", "gone"]), max_size=30))
def test_every_group_is_told_with_its_first_rows(messages):
    lines = told_together((f"task{n}", error("E", message)) for n, message in enumerate(messages))
    wanted = {message for message in messages if messages.count(message) >= LEAST}
    assert len(lines) == len(wanted)
    for message in wanted:
        names = [f"task{n}" for n, each in enumerate(messages) if each == message]
        [line] = [line for line in lines if f"E: {message} (" in line]
        assert line.startswith(f"{len(names)} tasks failed alike: ")
        assert f"({', '.join(names[:FIRST])}" in line


def test_redacted_parts_are_not_told():
    stored = {"type": "E", "message": "token abc", "shown": {"message": "token [redacted]"}}
    assert kind_of(stored) == ("E", "token [redacted]")
