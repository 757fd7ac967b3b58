"""The shape of a code object whose source is not available.

Instructions are compared as they are; only the names that they load and store are interpreted. So the layout of
the source and the names of local variables count here, and each Python version gives a different shape.
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
    """A text of everything in a code object except its place in the source."""
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
    # The instructions do not show which list or dictionary is changed, so it may be any of them.
    mutates = not attributes.isdisjoint(MUTATORS) or any(each.opname in _STORE_ITEM for each in instructions)
    return Shape(
        text=digest(code_text(code)),
        globals=tuple(
            [
                Global(name, taken, assigned=name in assigned, mutated=mutates)
                for name, taken in _globals(instructions)
            ]
        ),
        free=code.co_freevars,
        attributes=frozenset(attributes),
        portable=False,
    )


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _nested(each)


def _globals(instructions: list[dis.Instruction]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each use of a global name, with the attributes that the following instructions read from it."""
    for place, each in enumerate(instructions):
        if each.opname in _LOAD_GLOBAL:
            taken: list[str] = []
            while instructions[place + len(taken) + 1].opname in _LOAD_ATTRIBUTE:
                taken.append(instructions[place + len(taken) + 1].argval)
            yield each.argval, tuple(taken)
