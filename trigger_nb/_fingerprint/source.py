"""The shape of a code object from its source.

A file may have been edited since it was imported. So the source is compiled again, and used only if this gives
the code that runs.
"""

from __future__ import annotations
import __future__

import ast
import functools
import linecache
import textwrap
import threading
import warnings
from collections.abc import Iterator
from types import CodeType
from typing import NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

from .code import code_text, shape_of_code
from .shape import Shape
from .syntax import FunctionNode, shape_of_tree

__all__ = ["shape_of", "text_of"]
# Code objects never change, so their shapes are kept across passes. An edited cell has new code objects.
_shapes: WeakKeyDictionary[CodeType, Shape] = WeakKeyDictionary()


def shape_of(code: CodeType) -> Shape:
    """The shape of a function's code: from its source, or else from the code object itself."""
    shape = _shapes.get(code)
    if shape is None:
        shape = _shapes[code] = _shape_from_source(code) or shape_of_code(code)
    return shape


def text_of(code: CodeType) -> str:
    """The source of a function, without the indentation of its first line; "" if it is not available.

    >>> text_of(compile("1", "nowhere", "eval"))
    ''
    """
    found = _definition_of(code)
    if found is None:
        return ""
    source, definition = found
    node = definition.node
    first, last = definition.place[1], node.end_lineno or node.lineno
    if isinstance(node, ast.Lambda):
        return ast.get_source_segment(source, node) or ""
    return textwrap.dedent("\n".join(source.splitlines()[first - 1 : last]))


def _shape_from_source(code: CodeType) -> Shape | None:
    found = _definition_of(code)
    try:
        return None if found is None else shape_of_tree(found[1].node, code, found[1].owner)
    except RecursionError:  # an expression may be nested too deeply
        return None


def _definition_of(code: CodeType) -> tuple[str, _Definition] | None:
    """The definition that a code object was compiled from, with the source around it."""
    source = "".join(linecache.getlines(code.co_filename))
    found = _definition_in(source, code)
    if found is None:
        linecache.checkcache(code.co_filename)  # the current file, if it was edited and reloaded
        now = "".join(linecache.getlines(code.co_filename))
        found = _definition_in(now, code) if now != source else None
        source = now
    return None if found is None else (source, found)


def _definition_in(source: str, code: CodeType) -> _Definition | None:
    """The definition of `code` if compiling `source` gives it."""
    if not source:
        return None
    try:
        # Python compiles calls on a module differently if the import is compiled with them. It compiles a file as
        # a whole, while IPython compiles a cell statement by statement.
        for as_file in (True, False):
            compiled = _compiled(source, code.co_flags & __future__.annotations.compiler_flag, as_file)
            same = compiled.find(code)
            if same is not None and (definition := compiled.node_of(same)) is not None:
                return definition
    except (SyntaxError, ValueError, RecursionError):  # an expression may be nested too deeply
        pass
    return None


class _Definition(NamedTuple):
    """A `def` or lambda in a syntax tree."""

    node: FunctionNode
    owner: str  # the name of the class around it, or ""

    @property
    def place(self) -> tuple[str, int]:
        """The name and first line of its code object."""
        if isinstance(self.node, ast.Lambda):
            return "<lambda>", self.node.lineno
        return self.node.name, min(each.lineno for each in (self.node, *self.node.decorator_list))


class _Compiled:
    """A source text as a syntax tree and as code objects."""

    def __init__(self, source: str, flags: int, as_file: bool) -> None:
        tree = ast.parse(source)
        units = [tree] if as_file else [ast.Module([statement], []) for statement in tree.body]
        self._codes: dict[str, list[CodeType]] = {}
        for unit in units:
            top = compile(unit, "", "exec", flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
            for code in _nested(top):
                self._codes.setdefault(code.co_qualname, []).append(code)
        self._definitions: dict[tuple[str, int], list[_Definition]] = {}
        for definition in _definitions(tree):
            self._definitions.setdefault(definition.place, []).append(definition)

    def find(self, code: CodeType) -> CodeType | None:
        """The equal code object in this source: at the same place, or the only one at another place."""
        candidates = self._codes.get(code.co_qualname, [])
        if code in candidates:
            return code
        text = code_text(code)
        same = [each for each in candidates if code_text(each) == text]
        return same[0] if len(same) == 1 else None

    def node_of(self, code: CodeType) -> _Definition | None:
        """The definition that a code object of this source was compiled from."""
        found = self._definitions.get((code.co_name, code.co_firstlineno), [])
        if len(found) > 1:  # lambdas on one line
            spans = [span for each in code.co_positions() if (span := _span(*each)) is not None]
            # Of nested lambdas, the last one is the innermost.
            found = [each for each in found if _surrounds(each.node, spans)][-1:] if spans else []
        return found[0] if found else None


# Two threads would restore each other's warning filters.
_compiling = threading.Lock()


@functools.lru_cache(maxsize=16)
def _compiled(source: str, flags: int, as_file: bool) -> _Compiled:
    with _compiling, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the warnings were shown when the cell ran
        return _Compiled(source, flags, as_file)


def _nested(code: CodeType) -> Iterator[CodeType]:
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield each
            yield from _nested(each)


def _definitions(tree: ast.Module) -> Iterator[_Definition]:
    """All `def`s and lambdas, outer ones before inner ones."""
    waiting: list[tuple[ast.AST, str]] = [(tree, "")]
    for node, owner in waiting:  # grows during the loop
        if isinstance(node, FunctionNode):
            yield _Definition(node, owner)
        inside = node.name if isinstance(node, ast.ClassDef) else owner
        waiting.extend((child, inside) for child in ast.iter_child_nodes(node))


_Span: TypeAlias = tuple[tuple[int, int], tuple[int, int]]


def _span(line: int | None, end_line: int | None, column: int | None, end_column: int | None) -> _Span | None:
    """The place of an instruction; None if the compiler added it or Python records no columns."""
    if line is None or end_line is None or column is None or not end_column:
        return None
    return (line, column), (end_line, end_column)


def _surrounds(node: FunctionNode, spans: list[_Span]) -> bool:
    body = node.body
    if not isinstance(body, ast.expr) or body.end_lineno is None or body.end_col_offset is None:
        return False
    first, last = (body.lineno, body.col_offset), (body.end_lineno, body.end_col_offset)
    return all(first <= start and end <= last for start, end in spans)
