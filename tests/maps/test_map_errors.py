"""`MapError` as its readers see it: counts of equal errors, and a few examples."""

from __future__ import annotations

import json
import math
import traceback

import pytest
from pydantic import BaseModel

from trigger_nb.errors import MapError


class Label(BaseModel):
    text: str
    score: float


def nested(depth, item):
    """Raise an error below many frames, whose text has many lines."""
    return nested(depth - 1, item) if depth else Label.model_validate({"text": item})


def fails(item):
    match item % 4:
        case 0:
            return nested(30, item)
        case 1:
            return json.loads("{")
        case 2:
            raise LookupError("\n".join(["a long story"] * 50))
        case _:
            raise RuntimeError(f"too long {item}")


def failing(world, body, count=40):
    @world.job
    def job(payload, io):
        yield io.map("items", range(count), world.body(body), max_failures=math.inf)

    error = world.fail(job)
    assert isinstance(error, MapError)
    return error


def printed(error):
    return "".join(traceback.format_exception(error)).splitlines()


def test_the_message_of_a_map_counts_the_errors_by_class(world):
    def body(item):
        if item % 4:
            raise ValueError(item)
        raise KeyError(item)

    text = str(failing(world, body))
    assert "40 of 40 items of map 'items' failed: 30 × ValueError, 10 × KeyError (40 sub-exceptions)" in text


def test_a_map_with_many_failures_prints_few_lines(world):
    """Deep frames, texts of many lines and several classes: three examples of one or two frames each."""
    error = failing(world, fails)
    lines = printed(error)
    assert sum("-----" in line for line in lines) == 4, "three examples, and the end of the group"
    assert len(lines) <= 40 + 3 * 3, "a script has some more frames of asyncio than a cell"
    assert all(len(line) < 500 for line in lines)
    assert len(error.exceptions) == 40
    assert [type(each).__name__ for each in error.exceptions[:3]] == [
        "ValidationError",
        "JSONDecodeError",
        "LookupError",
    ]


def test_of_equal_errors_two_are_printed_with_the_line_of_the_body(world):
    def body(item):
        raise ValueError(f"too long {item}")

    lines = printed(failing(world, body))
    assert [line.strip("| ") for line in lines if "| ValueError" in line] == [
        "ValueError: too long 0",
        "ValueError: too long 1",
    ]
    assert sum("in body" in line for line in lines) == 2


def test_except_star_still_gets_all_errors_of_its_class(world):
    found = []
    with pytest.raises(MapError) as caught:
        try:
            raise failing(world, fails)
        except* RuntimeError as errors:
            found += errors.exceptions
    assert (len(found), len(caught.value.exceptions)) == (10, 30)
