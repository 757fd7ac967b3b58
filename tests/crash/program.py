"""A seed -> a random job, as data: what it calls, in which order, at once or not, and what fails."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any, Literal
from uuid import UUID

# How a body is written: `async def`, `def` (in a worker thread), `def` with thread=False.
Kind = Literal["async", "def", "loop"]
# "gather" and "completed" (its `as_completed`) are asyncio's, "group" a task group of anyio, "parallel" and "map" the methods
# of `io`; "child" is a run of another job, "limit" a time limit around tasks, and the last of them never ends.
How = Literal["one", "gather", "group", "completed", "parallel", "map", "child", "limit", "wait"]
FAN_OUT: tuple[How, ...] = ("parallel", "map")

DEEPEST = 5


@dataclass(frozen=True)
class Node:
    """One task."""

    key: str
    kind: Kind = "async"
    fails: int = 0  # this many attempts end in an error before one ends well
    hopeless: bool = False  # every attempt ends in an error, which the caller handles
    exits: bool = False  # by `sys.exit`, if it is hopeless
    swallows: bool = False  # it returns something else when it is cancelled
    pause: float = 0.0  # seconds that the body takes
    steps: tuple[Step, ...] = ()  # what it does inside: then it is a parent

    @property
    def attempts(self) -> int:
        return 2 if self.hopeless else self.fails + 1


@dataclass(frozen=True)
class Step:
    """Something the code of a job or of a body does: a task, tasks at once, or a wait."""

    how: How
    nodes: tuple[Node, ...] = ()
    key: str = ""  # of all but "one", "gather" and "group"


@dataclass(frozen=True)
class Program:
    """A job."""

    seed: int
    kind: Literal["async", "def"]
    steps: tuple[Step, ...]

    def paths(self) -> Iterator[tuple[str, Node]]:
        yield from _paths("", self.steps)


def place(scope: str, step: Step, index: int) -> str:
    """The path of a step's task; the children of a `parallel` are named by their index, a map's by key."""
    key = str(index) if step.how == "parallel" else step.nodes[index].key
    name = f"{step.key}/{key}" if step.how in (*FAN_OUT, "child") else key
    return f"{scope}/{name}" if scope else name


def _paths(scope: str, steps: tuple[Step, ...]) -> Iterator[tuple[str, Node]]:
    for step in steps:
        for index, node in enumerate(step.nodes):
            path = place(scope, step, index)
            yield path, node
            yield from _paths(path, node.steps)


def program_of(seed: int) -> Program:
    """The job that a seed stands for. Seeds 0 and 1 are made by hand and hold everything there is."""
    if seed == 0:
        return Program(0, "async", _everything("async"))
    if seed == 1:
        return Program(1, "def", _everything("def"))
    random = Random(seed)
    kind: Literal["async", "def"] = "async" if random.random() < 0.6 else "def"
    steps = _Maker(random).steps(kind, depth=0, count=random.randint(5, 7))
    if random.random() < 0.4:  # an error that is handled, and nothing after it
        steps += (Step("one", (Node("refused-at-the-end", "async", hopeless=True),)),)
    return Program(seed, kind, steps)


def value_of(seed: int, path: str, inside: str) -> dict[str, Any]:
    """What a task returns: a function of the seed, the path, and the results that it has from others."""
    random = Random(f"{seed} {path}")
    made: Any
    match random.randrange(6):
        case 0:
            made = {"n": random.randint(-(10**12), 10**12), "list": [None, True, 1.5, "é📧"]}
        case 1:
            made = (1, "two", Decimal("3.10"), {4, 5, 6}, b"\x00seven")
        case 2:
            made = [
                datetime(2024, 2, 29, 12, tzinfo=UTC),
                timedelta(days=3),
                UUID(int=random.getrandbits(128)),
            ]
        case 3:
            made = random.randbytes(random.randint(20_000, 200_000)).hex()  # a value file: large text
        case 4:
            made = random.randbytes(random.randint(20_000, 200_000))  # a value file: large bytes
        case _:
            made = None
    return {"path": path, "inside": inside, "made": made}


def digest(value: Any) -> str:
    """A few characters that differ when the value or one of its types does."""
    return hashlib.sha256(_told(value).encode()).hexdigest()[:16]


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{_told(key)}:{_told(item)}" for key, item in value.items()) + "}"
    if isinstance(value, set):
        return "set" + _told(sorted(value))
    if isinstance(value, (list, tuple)):
        return type(value).__name__ + "(" + ",".join(map(_told, value)) + ")"
    return f"{type(value).__name__} {value!r}"


class _Maker:
    def __init__(self, random: Random) -> None:
        self._random = random
        self._left = random.randint(12, 30)  # tasks

    def steps(self, kind: str, depth: int, count: int) -> tuple[Step, ...]:
        made = (self._step(kind, depth, f"s{number}") for number in range(count) if self._left > 0)
        return tuple(made)

    def _step(self, kind: str, depth: int, key: str) -> Step:
        # A `def` body calls a blocking `io`; what it does at once it does by `io.parallel` or `io.map`.
        choices: list[How] = ["one", "one", "one", "wait", "child"]
        choices += ["gather", "group", "completed", "completed", "limit"] if kind == "async" else []
        choices += FAN_OUT if depth + 2 <= DEEPEST else ()  # one level for the node, one for its items
        how = self._random.choice(choices)
        if how in ("wait", "limit"):
            return Step(how, key=key)
        if how == "child":
            self._left -= 1
            return Step(how, (Node("inside", "async", pause=self._random.uniform(0.0, 0.01)),), key)
        if how == "one":
            return Step(how, (self._node(depth + 1, key),))
        count = self._random.randint(2, 4)
        inner = depth + 2 if how in FAN_OUT else depth + 1
        nodes = [self._node(inner, f"{key}.{index}") for index in range(count)]
        if how in FAN_OUT:  # one function for all items, so they are of one kind; its errors end it
            same = self._random.choice(("async", "def"))
            nodes = [replace(node, kind=same, hopeless=False, steps=()) for node in nodes]
        return Step(how, tuple(nodes), key)

    def _node(self, depth: int, key: str) -> Node:
        random = self._random
        self._left -= 1
        kind: Kind = random.choice(("async", "async", "def", "def", "loop"))
        inside: tuple[Step, ...] = ()
        if kind != "loop" and depth < DEEPEST and self._left > 0 and random.random() < 0.35:
            inside = self.steps(kind, depth, random.randint(1, 3))
        return Node(
            # One key in some parents: keys are scoped by them.
            key=key if random.random() < 0.8 else f"📧{key}",
            kind=kind,
            fails=random.choice((0, 0, 0, 0, 1, 2)),
            hopeless=random.random() < 0.1,
            pause=random.choice((0.0, random.uniform(0.0, 0.01))),
            exits=random.random() < 0.5,
            swallows=random.random() < 0.3,
            steps=inside,
        )


def _everything(kind: Literal["async", "def"]) -> tuple[Step, ...]:
    """Every kind of task in every place. Paths are chosen so that there are value files, early ones too."""
    leaves = (Node("a", "async", pause=0.002), Node("b", "def", fails=1), Node("c", "loop"))
    at_once: How = "gather" if kind == "async" else "parallel"
    items = tuple(Node(str(index), "def", fails=index % 2) for index in range(3))
    return (
        Step("one", (Node("first", "async"),)),
        Step("one", (Node("large-1", "def"),)),
        Step("one", (Node("large-2", "async"),)),
        Step(at_once, leaves if kind == "async" else items, "at-once"),
        Step("wait", key="pause"),
        Step("child", (Node("inside", "async"),), "child"),
        *(
            (Step("completed", tuple(replace(each, key=f"c-{each.key}") for each in leaves), "completed"), Step("limit", key="limit"))
            if kind == "async"
            else ()
        ),
        Step(
            "one",
            (
                Node(
                    "parent", kind, fails=1,
                    steps=(
                        Step("one", (Node("first", "def"),)),
                        Step("one", (Node("refused", "async", hopeless=True, exits=True),)),
                        Step("parallel", items, "items"),
                        Step("map", tuple(replace(each, kind="async") for each in items), "mapped"),
                        Step("one", (Node("last", "async", steps=(Step("one", (Node("first", "loop"),)),)),)),
                    ),
                ),
            ),
        ),
        Step("one", (Node("refused", "def", hopeless=True),)),
        Step("one", (Node("last", "async"),)),
    )  # fmt: skip
