"""What a code object does, apart from where it stands and what its variables are called.

The compiler's output depends on layout: it keeps no-ops for lines, copies blocks to give each copy
a line number, and joins instructions that stand on one line. So instructions are read as a graph,
brought back to one form, and written in an order that follows from the graph alone. Docstrings
drop out, since no instruction of the function loads them.
"""

from __future__ import annotations

import dis
import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from hashlib import blake2b
from itertools import pairwise
from types import CodeType, EllipsisType, NoneType
from typing import Any, NamedTuple, TypeVar, cast
from weakref import WeakKeyDictionary

__all__ = ["SCALARS", "Global", "Shape", "canonical_order", "digest", "shape_of"]

_Node = TypeVar("_Node", bound=Hashable)


class Global(NamedTuple):
    """One use of a global name, with the attributes that are taken from it at once."""

    name: str
    attributes: tuple[str, ...]
    assigned: bool  # The code also assigns it, under a `global` statement,
    mutated: bool  # or does to it what changes a list, a dictionary or a set.


class Shape(NamedTuple):
    """What a code object does, up to what its names denote."""

    text: str
    globals: tuple[Global, ...]  # in the order of use
    free: tuple[str, ...]  # its closure's variables, in the order of use
    attributes: frozenset[str]  # every attribute name it reads


# Shapes follow from code objects alone, so they outlive passes; an edited cell makes new ones.
_shapes: WeakKeyDictionary[CodeType, Shape] = WeakKeyDictionary()


def shape_of(code: CodeType) -> Shape:
    """The shape of a code object together with those nested in it."""
    shape = _shapes.get(code)
    if shape is None:
        shape = _shapes[code] = _Reader().shape(code)
    return shape


def digest(text: str) -> str:
    """A hash of any text, lone surrogates too."""
    return blake2b(text.encode("utf-8", "backslashreplace"), digest_size=16).hexdigest()


# Scalars as text. Each type has its own notation, so that 1, 1.0, True and "1" differ.

_MAX_TEXT = 100_000


def _text(value: str | bytes) -> str:
    return repr(value) if len(value) <= _MAX_TEXT else f"{value[:_MAX_TEXT]!r}+{len(value)}"


def _integer(value: int) -> str:
    return hex(int(value))  # The decimal form of a very long one is refused by Python.


SCALARS: dict[type, Callable[[Any], str]] = {
    NoneType: repr,
    EllipsisType: repr,
    bool: repr,
    int: _integer,
    float: float.__repr__,
    complex: complex.__repr__,
    str: _text,
    bytes: _text,
    range: repr,
    slice: repr,
}


def _constant(value: object) -> str:
    write = SCALARS.get(type(value))
    if write is not None:
        return write(value)
    inside = [_constant(item) for item in cast("tuple[object, ...] | frozenset[object]", value)]
    # The order of a set is another one in the next process.
    return f"({','.join(inside)})" if isinstance(value, tuple) else f"{{{','.join(sorted(inside))}}}"


# A graph in canonical order.


def canonical_order(
    root: _Node, label: Callable[[_Node], Hashable], successors: Callable[[_Node], Sequence[_Node]]
) -> list[tuple[_Node, tuple[int, ...]]]:
    """The nodes that `root` reaches, each with its successors' places in this list.

    The order follows from labels and edges alone, and nodes that are alike in all that can be
    reached from them come once.
    """
    classes = _classes(root, label, successors)
    places: dict[int, int] = {}
    nodes: list[_Node] = []
    stack = [root]
    while stack:
        node = stack.pop()
        if classes[node] not in places:
            places[classes[node]] = len(places)
            nodes.append(node)
            stack.extend(reversed(successors(node)))
    return [(node, tuple([places[classes[after]] for after in successors(node)])) for node in nodes]


def _classes(
    root: _Node, label: Callable[[_Node], Hashable], successors: Callable[[_Node], Sequence[_Node]]
) -> dict[_Node, int]:
    """Equal numbers for nodes with equal labels and successors, found from the leaves upwards.

    Where a cycle closes, the successor has no number yet and stands for itself.
    """
    classes: dict[_Node, int] = {}
    numbers: dict[Hashable, int] = {}
    entered = {root}
    stack: list[tuple[_Node, Iterator[_Node]]] = [(root, iter(successors(root)))]
    while stack:
        node, rest = stack[-1]
        for after in rest:
            if after not in entered:
                entered.add(after)
                stack.append((after, iter(successors(after))))
                break
        else:
            stack.pop()
            kind = label(node), tuple([classes.get(after, ("node", after)) for after in successors(node)])
            classes[node] = numbers.setdefault(kind, len(numbers))
    return classes


# Reading.


class _Scope:
    """The variables of one code object, numbered in the order they turn up in the whole tree."""

    def __init__(self, code: CodeType, outer: _Scope | None = None) -> None:
        self._outer = outer
        self._shared = frozenset(code.co_freevars if outer else ())
        self.numbers: dict[str, str] = {}
        self._counter: list[str] = outer._counter if outer else []

    def number(self, name: str) -> str:
        if self._outer and name in self._shared:
            return self._outer.number(name)
        if name not in self.numbers:
            self.numbers[name] = f"v{len(self._counter)}"
            self._counter.append(name)
        return self.numbers[name]


class _Reader:
    """Reads one code object, and those nested in it, into a shape."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._globals: list[tuple[str, tuple[str, ...]]] = []
        self._assigned: set[str] = set()
        self._mutated: set[str] = set()
        self._attributes: set[str] = set()

    def shape(self, code: CodeType) -> Shape:
        scope = _Scope(code)
        self._read(code, scope)
        return Shape(
            text=digest("\n".join(self._lines)),
            globals=tuple(
                [
                    Global(name, taken, assigned=name in self._assigned, mutated=name in self._mutated)
                    for name, taken in self._globals
                ]
            ),
            free=tuple([name for name in scope.numbers if name in code.co_freevars]),
            attributes=frozenset(self._attributes),
        )

    def _read(self, code: CodeType, scope: _Scope) -> None:
        self._read_signature(code, scope)
        flow = _Flow(code)
        for position, successors in canonical_order(flow.start, flow.label, flow.successors):
            step = flow.steps[position]
            argument = self._argument(flow, position, scope)
            self._lines.append(f"{step.name} {argument} {flow.guard_depth(position)} {successors}")

    def _read_signature(self, code: CodeType, scope: _Scope) -> None:
        # The names of parameters count: they are what callers, and trigger_nb, fill in by name.
        collectors = bool(code.co_flags & _VARARGS) + bool(code.co_flags & _VARKEYWORDS)
        parameters = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount + collectors]
        for name in parameters:
            scope.number(name)
        counts = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & _FLAGS
        self._lines.append(f"code {counts} {' '.join(parameters)}")

    def _argument(self, flow: _Flow, position: int, scope: _Scope) -> str:
        step = flow.steps[position]
        value = step.argument
        match step.kind:
            case "variable":
                return scope.number(value)
            case "global":
                self._globals.append((value, flow.attributes_taken(position)))
                if flow.mutates(position):
                    self._mutated.add(value)
                return "global"
            case "const" if isinstance(value, CodeType):
                self._lines.append("nested")
                self._read(value, _Scope(value, scope))
                return "code"
            case "const":
                return _constant(value)
            case "attribute":
                self._attributes.add(value)
                return value
            case "jump" | "inverse":
                return ""  # It is among the successors.
            case _:
                if step.name in ("STORE_GLOBAL", "DELETE_GLOBAL"):
                    self._assigned.add(value)
                return str(value)


_VARARGS, _VARKEYWORDS = 0x04, 0x08
# and generator, coroutine, iterable coroutine, asynchronous generator
_FLAGS = _VARARGS | _VARKEYWORDS | 0x20 | 0x80 | 0x100 | 0x200

# They prepare closures, which the variables themselves already tell of, or do nothing.
_NO_EFFECT = frozenset({
    "NOP", "RESUME", "CACHE", "EXTENDED_ARG", "MAKE_CELL", "COPY_FREE_VARS", "LOAD_CLOSURE", "NOT_TAKEN",
})  # fmt: skip
_GOTO = frozenset({"JUMP_FORWARD", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT"})
_END = frozenset({"RETURN_VALUE", "RAISE_VARARGS", "RERAISE"})
_LOAD_GLOBAL = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_LOAD_ATTRIBUTE = frozenset({"LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR"})
_STORE_ITEM = frozenset({"STORE_SUBSCR", "DELETE_SUBSCR"})
_JUMP_KINDS = frozenset({"jump", "inverse"})
_KEEPING = frozenset({"JUMP_IF_TRUE_OR_POP", "JUMP_IF_FALSE_OR_POP"})
_NEVER_FAILS = frozenset({"LOAD_FAST", "LOAD_CONST", "STORE_FAST"})
_JUMPS = frozenset({*dis.hasjrel, *dis.hasjabs})
_CONSTANTS = frozenset(dis.hasconst)
_NAMES = frozenset(dis.hasname)
_VARIABLES = frozenset({*dis.haslocal, *dis.hasfree})
# What a class body says of its own place, name and docstring.
_CLASS_NOTES = frozenset(
    {"__module__", "__qualname__", "__doc__", "__firstlineno__", "__static_attributes__"}
)
_MUTATORS = frozenset({
    "add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "popleft",
    "remove", "reverse", "setdefault", "sort", "update",
})  # fmt: skip


class _Step:
    """One instruction."""

    __slots__ = ("argument", "kind", "name", "offset")

    def __init__(self, offset: int, name: str, kind: str = "", argument: Any = None) -> None:
        self.offset = offset
        self.name = name
        # "const", "variable", "global", "attribute", "jump", "inverse" (a jump under the opposite
        # condition), or "" for another argument.
        self.kind = kind
        self.argument = argument


class _Guard(NamedTuple):
    """A row of the exception table: where an error in a range of offsets goes on."""

    start: int
    end: int
    target: int
    depth: int


class _Flow:
    """The instructions of one code object as a graph; its nodes are places in `steps`."""

    def __init__(self, code: CodeType) -> None:
        self.steps = list(_steps(code))
        self._places = {step.offset: place for place, step in reversed(list(enumerate(self.steps)))}
        guards = list(_guards(code.co_exceptiontable))
        self._guards = [_guard_of(step, guards) for step in self.steps]
        _drop_class_notes(self.steps)
        _undo_swaps(self.steps)
        self._undo_shortcuts()
        self._successors: dict[int, tuple[int, ...]] = {}
        self.start = self._landing(0)

    def label(self, place: int) -> Hashable:
        """What an instruction does, apart from where it leads."""
        step = self.steps[place]
        argument = step.argument
        if step.kind in _JUMP_KINDS:
            argument = None
        elif step.kind == "const":
            argument = id(argument) if isinstance(argument, CodeType) else _constant(argument)
        return step.name, argument, self.guard_depth(place)

    def successors(self, place: int) -> tuple[int, ...]:
        """The next instruction, the target of a jump, the handler of an error."""
        known = self._successors.get(place)
        if known is None:
            known = self._successors[place] = tuple(self._find_successors(place))
        return known

    def _find_successors(self, place: int) -> Iterator[int]:
        step = self.steps[place]
        if step.kind == "inverse":
            yield self._target(place)
        if step.name not in _END and step.name not in _GOTO:
            yield self._landing(place + 1)
        if step.kind == "jump":
            yield self._target(place)
        guard = self._guards[place]
        if guard:
            yield self._landing(self._places[guard.target])

    def _undo_shortcuts(self) -> None:
        """Lead `a and b or c` straight to where it goes, as 3.11 does only within one line."""
        for place, step in enumerate(self.steps):
            while step.name in _KEEPING:
                after = self._target(place)
                decided = self.steps[after]
                if decided.name == step.name:
                    step.argument = decided.argument
                elif decided.name in _KEEPING or decided.name == "POP_JUMP_IF_FALSE":
                    # The same value is tested a second time, with a known outcome.
                    truth = step.name == "JUMP_IF_TRUE_OR_POP"
                    jumps = decided.name not in _KEEPING and truth == (decided.kind == "inverse")
                    step.argument = decided.argument if jumps else self.steps[self._landing(after + 1)].offset
                    step.name, step.kind = "POP_JUMP_IF_FALSE", "inverse" if truth else "jump"
                else:
                    break

    def _target(self, place: int) -> int:
        return self._landing(self._places[self.steps[place].argument])

    def _landing(self, place: int) -> int:
        """Where control really arrives: past what has no effect, and along plain jumps."""
        passed: set[int] = set()
        while place not in passed:  # `while True: pass` is a circle of nothing else.
            passed.add(place)
            step = self.steps[place]
            if step.name in _GOTO:
                place = self._places[step.argument]
            elif step.name in _NO_EFFECT:
                place += 1
            else:
                break
        return place

    def guard_depth(self, place: int) -> int | None:
        """How much of the stack an error at `place` leaves, when there is a handler for it."""
        guard = self._guards[place]
        return guard.depth if guard else None

    def attributes_taken(self, place: int) -> tuple[str, ...]:
        """The attributes in `name.first.second`, for the name loaded at `place`."""
        taken: list[str] = []
        for step in self._following(place):
            if step.kind != "attribute":
                break
            taken.append(step.argument)
        return tuple(taken)

    def mutates(self, place: int) -> bool:
        """Whether what is loaded at `place` is changed: `name.append(x)`, `name[key] = x`."""
        following = self._following(place)
        first = next(following)
        if first.kind == "attribute":
            return first.argument in _MUTATORS
        if not first.name.startswith("LOAD_"):
            return False
        second = next(step for step in following if step.kind != "attribute")
        copied = second.name == "COPY" and second.argument == 2  # as in `name[key] += x`
        return second.name in _STORE_ITEM or copied

    def _following(self, place: int) -> Iterator[_Step]:
        steps = (self.steps[after] for after in range(place + 1, len(self.steps)))
        return (step for step in steps if step.name not in _NO_EFFECT)


def _steps(code: CodeType) -> Iterator[_Step]:
    """The instructions one by one, also where the compiler joined two."""
    instructions = list(dis.get_instructions(code))
    cells = frozenset(code.co_cellvars + code.co_freevars)
    own_names = {each.argval for each in instructions if each.opname == "STORE_NAME"}
    for instruction in instructions:
        offset, opcode, name = instruction.offset, instruction.opcode, instruction.opname
        # What `dis` does not look up for the names of a call's keyword arguments.
        value: Any = code.co_consts[instruction.arg or 0] if name == "KW_NAMES" else instruction.argval
        if opcode in _JUMPS:
            yield _jump_step(offset, name, value)
        elif name == "RETURN_CONST":
            yield _Step(offset, "LOAD_CONST", "const", value)
            yield _Step(offset, "RETURN_VALUE")
        elif opcode in _CONSTANTS:
            yield _Step(offset, name, "const", value)
        elif opcode in _VARIABLES or "_FAST" in name:
            variables = cast("tuple[str, ...]", value if isinstance(value, tuple) else (value,))
            parts = _PAIRED.findall(name) if len(variables) > 1 else [name]
            for part, variable in zip(parts, variables, strict=True):
                yield _variable_step(offset, part, variable, variable in cells)
        elif name in _LOAD_GLOBAL and value not in own_names:
            yield _Step(offset, name, "global", value)
        elif name in _LOAD_ATTRIBUTE:
            yield _Step(offset, name, "attribute", value)
        else:
            yield _Step(offset, name, "", value if opcode in _NAMES else instruction.arg)


_PAIRED = re.compile("LOAD_FAST|STORE_FAST")
_DIRECTION = re.compile("_(FORWARD|BACKWARD)")
# The compiler picks one of each pair by where the target lies.
_INVERSE = {"POP_JUMP_IF_TRUE": "POP_JUMP_IF_FALSE", "POP_JUMP_IF_NOT_NONE": "POP_JUMP_IF_NONE"}


def _jump_step(offset: int, name: str, target: int) -> _Step:
    if name in _GOTO:
        return _Step(offset, name, "jump", target)
    name = _DIRECTION.sub("", name)
    return _Step(offset, _INVERSE.get(name, name), "inverse" if name in _INVERSE else "jump", target)


def _variable_step(offset: int, name: str, variable: str, is_cell: bool) -> _Step:
    if name in ("LOAD_FAST_BORROW", "LOAD_FAST_CHECK"):
        name = "LOAD_FAST"  # The compiler found out who owns it, or whether it is bound.
    if name == "LOAD_FAST" and is_cell:
        name = "LOAD_CLOSURE"  # as it is called up to 3.12
    return _Step(offset, name, "variable", variable)


def _guards(table: bytes) -> Iterator[_Guard]:
    """The rows of an exception table: numbers of six bits a byte, the seventh says "goes on"."""
    numbers: list[int] = []
    number = 0
    for byte in table:
        number = number << 6 | byte & 0x3F
        if not byte & 0x40:
            numbers.append(number)
            number = 0
    for start, length, target, depth in zip(*[iter(numbers)] * 4, strict=True):
        yield _Guard(2 * start, 2 * (start + length), 2 * target, depth)


def _guard_of(step: _Step, guards: list[_Guard]) -> _Guard | None:
    if step.name in _NEVER_FAILS:  # Whether they stand inside the range depends on lines.
        return None
    return next((guard for guard in guards if guard.start <= step.offset < guard.end), None)


def _drop_class_notes(steps: list[_Step]) -> None:
    for before, step in pairwise(steps):
        if step.name == "STORE_NAME" and step.argument in _CLASS_NOTES:
            before.name = step.name = "NOP"


def _undo_swaps(steps: list[_Step]) -> None:
    """Let stores take values as they lie, as the compiler does when they stand on one line."""
    for place in reversed(range(len(steps))):
        if steps[place].name != "SWAP":
            continue
        count = steps[place].argument
        following = [step for step in steps[place + 1 : place + 3 * count] if step.name != "NOP"][:count]
        if len(following) == count and all(step.name in ("STORE_FAST", "POP_TOP") for step in following):
            first, last = following[0], following[-1]
            first.name, last.name = last.name, first.name
            first.argument, last.argument = last.argument, first.argument
            first.kind, last.kind = last.kind, first.kind
            steps[place].name = "NOP"
