"""The canonical order of a graph, which depends only on its labels and edges."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TypeVar

__all__ = ["canonical_order"]
_Node = TypeVar("_Node", bound=Hashable)


def canonical_order(
    root: _Node, label: Callable[[_Node], Hashable], successors: Callable[[_Node], Sequence[_Node]]
) -> list[tuple[_Node, tuple[int, ...]]]:
    """The nodes reachable from `root`, each with the indexes of its successors in the list.

    The order depends only on labels and edges. Nodes that are equal in everything reachable from them appear
    once.
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
    """The class of each node, computed from the leaves upwards: equal for equal labels and successors.

    At the end of a cycle, the successor has no class yet and is compared by identity.
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
