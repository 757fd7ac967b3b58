"""Short texts that tell whether the code of a body is still what it was (rule R6).

The code of a body is a graph: its nodes are the *definitions* of the notebook that it reaches
(functions, methods, classes), its edges are "refers to". A definition is described by what it does,
not by where it stands or what it is called; the graph is brought into one canonical order, and a
hash of that is the fingerprint.

- Statements, constants, signatures, defaults and the names of attributes count. Comments,
  docstrings, layout, annotations of functions, and the names of cells, files, functions and local
  variables do not.
- A global name counts as what it denotes now: a definition of the notebook with its code, plain
  data with value and type, a module or a library's function by its own name, any other object by
  its type. So another alias for the same thing is no change.
- What a closure holds counts when it is code, as in a decorator's wrapper. A closure's data does
  not: data is handed over as `args` or `params`, which have fingerprints of their own.
- A global that the code itself writes to is its state, not its input: it counts by name.

"Of the notebook" is every module that is not installed: `__main__`, and the files beside it.

What a function does is read from its source where that is at hand: such a fingerprint can be compared
with one from another Python. Otherwise it is read from the code object, as this Python compiled it.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Hashable
from types import FunctionType, MethodType
from typing import Any, cast

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
# How a fingerprint was made. Only two of one kind can be compared; those of releases up to 0.1 begin with
# "3.11:", and were made from instructions.
_FROM_SOURCE = "a1:"
_FROM_CODE = f"c{sys.version_info.major}.{sys.version_info.minor}:"
_LENGTH = 16
# What lies beyond this bound does not count, so that one look never costs more than milliseconds.
_MAX_DEFINITIONS = 2_000
# Bound values that are written as Python shows them, which is quicker.
_SIMPLE = frozenset({int, float, str, bool, type(None)})
_MAX_SIMPLE = 1_000


class Fingerprints:
    """The fingerprints of one pass, each computed once a code object.

    >>> prints = Fingerprints()
    >>> prints.of(max) == prints.of(min)
    False
    """

    def __init__(self) -> None:
        # By the id of a code object or a body, or by a tuple of ids. What the ids belong to is kept
        # alive below, so that none of them is given to another object.
        self._known: dict[Hashable, str] = {}
        self._alive: list[object] = []
        # Types of closure contents that were met and are data.
        self._data_types: set[type] = set()
        self._descriptions: dict[Hashable, Description] = {}

    def of(self, body: object) -> str:
        """The fingerprint of what `body` does, at most 16 characters; "" when it cannot be told.

        It is asked once a task, so what was met before must be found without a further call.
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
            pass  # A cell of the closure is still empty.
        try:
            return self._compute(body)
        except Exception:
            # Whatever an odd object does when it is looked at, its body can still be called.
            return ""

    def _compute(self, body: Any) -> str:
        kind = cast("type[Any]", type(body))
        if kind is FunctionType:
            return self._bound(self._of_function(body), "defaults", body.__defaults__, body.__kwdefaults__)
        if kind is functools.partial:
            return self._bound(self.of(body.func), "partial", body.args, body.keywords)
        node = body
        key: Hashable = None
        if kind is MethodType:
            node = method_of(body)
        elif not is_code(body) and isinstance(kind.__call__, FunctionType):
            # Code that the object holds counts, as in a closure: it may be a decorator.
            node = (Method(kind.__call__, kind), *_held_code(body))
            key = tuple(map(key_of, node))
        return self._fingerprint(key or key_of(node), node, lambda: describe_value(node))

    def _of_function(self, function: FunctionType) -> str:
        """Without the defaults, which may differ each time a lambda is made."""
        code = function.__code__
        contents = closure(function).values()
        captured = [content for content in contents if is_code(content)]
        self._data_types.update(type(content) for content in contents if not is_code(content))
        key = (id(code), *map(id, captured)) if captured else id(code)
        describe = functools.partial(describe_function, function, with_defaults=False)
        text = self._fingerprint(key, (code, captured), describe)
        if captured and len(captured) == len(contents) and not defaults(function):
            # A decorator's wrapper. Holding no data, it can be kept to be known again at once.
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
        self, function: str, how: str, values: tuple[Any, ...] | None, named: dict[str, Any] | None
    ) -> str:
        """The fingerprint of a function together with what is bound to its parameters."""
        if not function or (values is None and named is None):
            return function
        values = values or ()
        items = sorted(named.items()) if named else ()
        if _SIMPLE.issuperset(map(type, values)) and (
            not named or _SIMPLE.issuperset(map(type, named.values()))
        ):
            try:
                text = f"{function} {how} {values!r} {items!r}"
            except ValueError:  # The decimal form of a very long integer is refused by Python.
                text = ""
            if 0 < len(text) < _MAX_SIMPLE:
                return _short(text, portable=function.startswith(_FROM_SOURCE))
        writer = ValueWriter()
        text = writer.value((how, values, items))
        parts = [function, *map(self.of, writer.children)]
        portable = all(part.startswith(_FROM_SOURCE) for part in parts)
        return _short("\n".join([*parts, text]), portable=portable) if all(parts) else ""

    def _of_graph(self, root: Description) -> str:
        """The fingerprint of what `root` stands at the head of."""
        nodes: dict[Hashable, Description] = {"root": root}
        waiting = list(root.children)
        for child in waiting:  # It grows as it is walked, so the nearest definitions come first.
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
    """The text "module:qualname" of a body, or "" when that name does not lead back to it.

    >>> import json
    >>> reference(json.dumps), reference(lambda: 1)
    ('json:dumps', '')
    """
    try:
        text = f"{cast('Any', body).__module__}:{cast('Any', body).__qualname__}"
        if "<" in text:  # <lambda>, <locals>
            return ""
        found = resolve(text)
        leads_back = found is body or (type(body) is MethodType and found == body)
    except Exception:
        return ""
    return text if leads_back else ""


def resolve(reference: str) -> object | None:
    """What a reference leads to now, or None. Nothing is imported for it.

    >>> resolve("json:no_such_name") is None
    True
    """
    name, _, path = reference.partition(":")
    module = sys.modules.get(name)
    if module is None or not path:
        return None
    first, *rest = path.split(".")
    try:
        found: object = vars(module).get(first)  # A module's `__getattr__` may import.
        for name in rest:
            found = getattr(found, name)
    except Exception:
        return None
    return found


def differs(stored: str, now: str) -> bool:
    """Whether two fingerprints are known to be of different code.

    "" is unknown, and so is a fingerprint that was made in another way: they are no difference.

    >>> differs("a1:aa", "a1:bb"), differs("c3.11:aa", "c3.12:bb"), differs("", "a1:bb")
    (True, False, False)
    """
    if not stored or not now or stored == now:
        return False
    return stored.partition(":")[0] == now.partition(":")[0]
