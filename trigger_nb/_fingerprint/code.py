"""The shape of a code object whose source is not at hand: as this Python compiled it.

Nothing of the instructions is interpreted beyond which names they load and store, so layout and names of
local variables count here, and another Python gives another shape.
"""

from __future__ import annotations

import dis
from collections.abc import Iterator
from types import CodeType

from .shape import MUTATORS, Global, Shape, constant, digest

__all__ = ["code_text", "shape_of_code"]
_LOAD_GLOBAL = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_LOAD_ATTRIBUTE = frozenset({"LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR"})
_STORE_GLOBAL = frozenset({"STORE_GLOBAL", "DELETE_GLOBAL"})
_STORE_ITEM = frozenset({"STORE_SUBSCR", "DELETE_SUBSCR"})


def code_text(code: CodeType) -> str:
    """All of a code object but its place: equal for two that do the same in the same way."""
    parts = (
        *(code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags),
        *(code.co_code.hex(), code.co_exceptiontable.hex()),
        *(code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars),
        [code_text(each) if isinstance(each, CodeType) else constant(each) for each in code.co_consts],
    )
    return repr(parts)


def shape_of_code(code: CodeType) -> Shape:
    """The shape of a code object, together with those nested in it."""
    instructions = [each for part in _nested(code) for each in dis.get_instructions(part)]
    assigned = {each.argval for each in instructions if each.opname in _STORE_GLOBAL}
    attributes = {each.argval for each in instructions if each.opname in _LOAD_ATTRIBUTE}
    # Which list or dictionary is changed cannot be told, so it may be any.
    mutates = not attributes.isdisjoint(MUTATORS) or any(each.opname in _STORE_ITEM for each in instructions)
    return Shape(
        text=digest(code_text(code)),
        globals=tuple([
            Global(name, taken, assigned=name in assigned, mutated=mutates)
            for name, taken in _globals(instructions)
        ]),
        free=code.co_freevars,
        attributes=frozenset(attributes),
        portable=False,
    )  # fmt: skip


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _nested(each)


def _globals(instructions: list[dis.Instruction]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each use of a global name, with the attributes that the next instructions take from it."""
    for place, each in enumerate(instructions):
        if each.opname in _LOAD_GLOBAL:
            taken: list[str] = []
            while instructions[place + len(taken) + 1].opname in _LOAD_ATTRIBUTE:
                taken.append(instructions[place + len(taken) + 1].argval)
            yield each.argval, tuple(taken)
