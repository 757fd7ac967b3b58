"""What a change is named by: the functions, methods, classes and globals that a body reaches."""

from __future__ import annotations

import functools

import pytest

from trigger_nb._fingerprint.parts import _MOST, changed_parts, parts_of

CELL = """
LIMIT = 3
OPTIONS = {"deep": [1, 2]}

class Model:
    size = 1

    def fit(self, x):
        return helper(x) + LIMIT

def helper(x, by=2):
    return x * by

def body(x):
    return Model().fit(x), OPTIONS["deep"], len([x])
"""


def run(code: str) -> dict:
    namespace = {"__name__": "__main__"}
    exec(compile(code, "<cell>", "exec"), namespace)
    return namespace


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("LIMIT = 3", "LIMIT = 4", ["global LIMIT"]),
        ("[1, 2]", "[1, 3]", ["global OPTIONS"]),
        ("x * by", "x + by", ["function helper"]),
        ("by=2", "by=3", ["function helper"]),
        ("helper(x) +", "helper(x) -", ["function Model.fit"]),
        ("size = 1", "size = 2", ["class Model"]),
        ("len([x])", "max([x])", [""]),
        ("LIMIT = 3", "LIMIT = 3  # a comment", []),
    ],
)
def test_an_edit_is_named(before, after, named):
    parts = parts_of(run(CELL)["body"])
    assert changed_parts(parts, parts_of(run(CELL.replace(before, after))["body"])) == named


def test_bodies_of_every_kind_have_parts():
    cell = run(CELL)
    for body in (lambda: cell["helper"], functools.partial(cell["body"], 1), cell["Model"]().fit):
        assert parts_of(body)
    assert changed_parts({}, parts_of(cell["body"])) == []  # not known what it was


def test_a_body_that_reaches_very_much_has_a_limited_number_of_parts():
    names = [f"f{number}" for number in range(300)]
    code = "\n".join(
        f"def {name}(): return {next_}()" for name, next_ in zip(names, [*names[1:], "int"], strict=True)
    )
    assert len(parts_of(run(code)["f0"])) == _MOST


def test_what_cannot_be_inspected_has_no_parts():
    class Proxy:
        def __getattribute__(self, name):
            raise RuntimeError(name)

    assert parts_of(Proxy()) == {}
