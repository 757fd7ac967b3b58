"""Fingerprints: short texts that change when the code of a body changes (rule R6).

The code of a body is a graph. Its nodes are the functions, methods and classes of the notebook that the body
reaches (the *definitions*); its edges are references. A definition is described by what it does, not by its
place or its name. The graph is put into a canonical order, and the fingerprint is a hash of the result.

- Statements, constants, signatures, defaults and attribute names count. Comments, docstrings, layout,
  annotations of functions, and the names of cells, files, functions and local variables do not count.
- A global name counts as its current value: a definition of the notebook with its code, plain data with value
  and type, a module or a library's function by name, any other object by type. So another alias for the same
  object is not a change.
- The contents of a closure count if they are code, as in a decorator's wrapper. Data in a closure does not
  count: data should be passed as `args` or `params`, which have separate fingerprints.
- A global that the code assigns or changes is state, not input, and counts by name.

All modules that are not installed belong to the notebook: `__main__`, and the files beside it.

If the source of a function is available, it is the basis of the fingerprint, which can then be compared across
Python versions. Otherwise, the basis is the code object as compiled by this Python.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Hashable
from types import FunctionType, MethodType
from typing import cast

from .definitions import (
    Description,
    closure,
    defaults,
    describe,
    describe_function,
    describe_value,
    key_of,
    unread,
)
from .order import canonical_order
from .shape import digest
from .values import Method, ValueWriter, instance_dict, is_code, method_of

__all__ = ["Fingerprints", "differs", "reference", "resolve"]
# The kind of a fingerprint, as its prefix. Only fingerprints of one kind can be compared. Those of releases up to
# 0.1 begin with "3.11:" and were made from instructions.
_FROM_SOURCE = "a1:"
_FROM_CODE = f"c{sys.version_info.major}.{sys.version_info.minor}:"
_LENGTH = 16
# Definitions beyond this limit do not count, so that a fingerprint takes milliseconds at most.
_MAX_DEFINITIONS = 2_000
# Types of bound values for which the fast `repr` is enough.
_SIMPLE = frozenset({int, float, str, bool, type(None)})
_MAX_SIMPLE = 1_000


class Fingerprints:
    """The fingerprints of one pass, each computed once per code object.

    >>> prints = Fingerprints()
    >>> prints.of(max) == prints.of(min)
    False
    """

    def __init__(self) -> None:
        # By the id of a code object or a body, or by a tuple of ids. `_alive` keeps their objects alive, so that
        # Python does not reuse the ids.
        self._known: dict[Hashable, str] = {}
        self._alive: list[object] = []
        # Types of closure contents that are known to be data.
        self._data_types: set[type] = set()
        self._descriptions: dict[Hashable, Description] = {}

    def of(self, body: object) -> str:
        """The fingerprint of a body, at most 16 characters; "" if it cannot be computed.

        Called once per task, so a known fingerprint must be found without further calls.
        """
        try:
            if type(body) is FunctionType:
                known = self._known.get(id(body.__code__))
                if known is None:
                    known = self._known.get(id(body))
                    if known is not None:
                        return known
                else:
                    for cell in body.__closure__ or ():
                        if type(cell.cell_contents) not in self._data_types:
                            break
                    else:
                        if body.__defaults__ is None and body.__kwdefaults__ is None:
                            return known
                        return self._bound(known, "defaults", body.__defaults__, body.__kwdefaults__)
            elif type(body) is MethodType:
                known = self._known.get((id(body.__func__), id(type(body.__self__))))
                if known is not None:
                    return known
        except ValueError:
            pass  # a cell of the closure is still empty
        try:
            return self._compute(body)
        except Exception:
            # An object that raises when it is inspected can still be called as a body.
            return ""

    def _compute(self, body: object) -> str:
        kind = type(body)
        if type(body) is FunctionType:
            return self._bound(self._of_function(body), "defaults", body.__defaults__, body.__kwdefaults__)
        if kind is functools.partial:
            partial = cast("functools.partial[object]", body)
            return self._bound(self.of(partial.func), "partial", partial.args, partial.keywords)
        node = body
        key: Hashable = None
        if type(body) is MethodType:
            node = method_of(body)
        elif not is_code(body) and isinstance(kind.__call__, FunctionType):
            # Code in the object's attributes counts, as in a closure: the object may be a decorator.
            node = (Method(kind.__call__, kind), *_held_code(body))
            key = tuple(map(key_of, node))
        return self._fingerprint(key or key_of(node), node, lambda: describe_value(node))

    def _of_function(self, function: FunctionType) -> str:
        """The fingerprint of a function without its defaults, which can differ each time a lambda is created."""
        code = function.__code__
        contents = closure(function).values()
        captured = [content for content in contents if is_code(content)]
        self._data_types.update(type(content) for content in contents if not is_code(content))
        key = (id(code), *map(id, captured)) if captured else id(code)
        describe = functools.partial(describe_function, function, with_defaults=False)
        text = self._fingerprint(key, (code, captured), describe)
        if captured and len(captured) == len(contents) and not defaults(function):
            # A decorator's wrapper. It holds no data, so it can be kept alive and recognized by its id.
            self._known[id(function)] = text
            self._alive.append(function)
        return text

    def _fingerprint(self, key: Hashable, alive: object, describe: Callable[[], Description]) -> str:
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._of_graph(describe())
            self._alive.append(alive)
        return known

    def _bound(
        self, function: str, how: str, values: tuple[object, ...] | None, named: dict[str, object] | None
    ) -> str:
        """The fingerprint of a function together with the values bound to its parameters."""
        if not function or (values is None and named is None):
            return function
        values = values or ()
        items = sorted(named.items()) if named else ()
        if _SIMPLE.issuperset(map(type, values)) and (
            not named or _SIMPLE.issuperset(map(type, named.values()))
        ):
            try:
                text = f"{function} {how} {values!r} {items!r}"
            except ValueError:  # Python refuses to write very long integers in decimal
                text = ""
            if 0 < len(text) < _MAX_SIMPLE:
                return _short(text, portable=function.startswith(_FROM_SOURCE))
        writer = ValueWriter()
        text = writer.value((how, values, items))
        parts = [function, *map(self.of, writer.children)]
        portable = all(part.startswith(_FROM_SOURCE) for part in parts)
        return _short("\n".join([*parts, text]), portable=portable) if all(parts) else ""

    def _of_graph(self, root: Description) -> str:
        """The fingerprint of the graph with this root."""
        nodes: dict[Hashable, Description] = {"root": root}
        waiting = list(root.children)
        for child in waiting:  # grows during the loop, so the nearest definitions come first
            key = key_of(child)
            if key not in nodes:
                nodes[key] = self._description(child) if len(nodes) < _MAX_DEFINITIONS else unread(child)
                waiting.extend(nodes[key].children)
        edges = {key: [key_of(child) for child in node.children] for key, node in nodes.items()}
        head = next(iter(nodes))
        order = canonical_order(head, lambda key: nodes[key].text, edges.__getitem__)
        text = "\n".join(f"{nodes[key].text} {successors}" for key, successors in order)
        return _short(text, portable=all(node.portable for node in nodes.values()))

    def _description(self, definition: object) -> Description:
        key = key_of(definition)
        known = self._descriptions.get(key)
        if known is None:
            known = self._descriptions[key] = describe(definition)
        return known


def _held_code(value: object) -> list[object]:
    return [held for _, held in sorted(instance_dict(value).items()) if is_code(held)]


def _short(text: str, *, portable: bool) -> str:
    return ((_FROM_SOURCE if portable else _FROM_CODE) + digest(text))[:_LENGTH]


def reference(body: object) -> str:
    """The name "module:qualname" of a body, or "" if the name does not lead back to the body.

    >>> import json
    >>> reference(json.dumps), reference(lambda: 1)
    ('json:dumps', '')
    """
    try:
        named = cast("FunctionType", body)  # anything else that has a name, too
        text = f"{named.__module__}:{named.__qualname__}"
        if "<" in text:  # <lambda>, <locals>
            return ""
        found = resolve(text)
        leads_back = found is body or (type(body) is MethodType and found == body)
    except Exception:
        return ""
    return text if leads_back else ""


def resolve(reference: str) -> object | None:
    """The object that a reference leads to now, or None. Imports nothing.

    >>> resolve("json:no_such_name") is None
    True
    """
    name, _, path = reference.partition(":")
    module = sys.modules.get(name)
    if module is None or not path:
        return None
    first, *rest = path.split(".")
    try:
        found: object = vars(module).get(first)  # not `getattr`: a module's `__getattr__` may import
        for name in rest:
            found = getattr(found, name)
    except Exception:
        return None
    return found


def differs(stored: str, now: str) -> bool:
    """Whether two fingerprints certainly belong to different code.

    An unknown fingerprint ("") and fingerprints of different kinds do not count as a difference.

    >>> differs("a1:aa", "a1:bb"), differs("c3.11:aa", "c3.12:bb"), differs("", "a1:bb")
    (True, False, False)
    """
    if not stored or not now or stored == now:
        return False
    return stored.partition(":")[0] == now.partition(":")[0]
