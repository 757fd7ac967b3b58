"""Draw the rooms of the package and the imports between them, from the imports themselves.

`python -m tests.support.rooms` draws them into docs/contributing/architecture.md again.
"""

from __future__ import annotations

import re
from pathlib import Path

import grimp

PAGE = Path(__file__).parents[2] / "docs" / "contributing" / "architecture.md"

_BEGIN, _END = "<!-- rooms: begin -->", "<!-- rooms: end -->"
# Words that all rooms use: their arrows would hide the others.
_EVERYWHERE = frozenset(
    {"errors", "_examples", "_callsite", "_clock", "_keys", "_cells", "_main_file", "_redact"}
)


def arrows() -> set[tuple[str, str]]:
    """The pairs of rooms of which the first imports from the second."""
    graph = grimp.build_graph("trigger_nb", cache_dir=None)
    found = set()
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            here, there = _room(module), _room(imported)
            if here != there and here and there not in _EVERYWHERE | {""}:
                found.add((here, there))
    return found


def _room(module: str) -> str:
    return (module.split(".") + [""])[1]


def mermaid() -> str:
    """The rooms as a Mermaid graph. An arrow that follows from others is left out."""
    edges = {edge for edge in arrows() if edge[0] not in _EVERYWHERE}
    below: dict[str, set[str]] = {}
    for here, there in edges:
        below.setdefault(here, set()).add(there)

    def reach(room: str) -> set[str]:
        return {each for there in below.get(room, ()) for each in ({there} | reach(there))}

    kept = [
        (here, there)
        for here, there in sorted(edges)
        if not any(there in reach(other) for other in below[here] if other != there)
    ]
    return "\n".join(
        ["```mermaid", "flowchart TD", *(f"  {here} --> {there}" for here, there in kept), "```"]
    )


def drawn_into(page: str) -> str:
    """The page with the graph between its two markers."""
    return re.sub(f"{_BEGIN}.*{_END}", lambda _: f"{_BEGIN}\n\n{mermaid()}\n\n{_END}", page, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(drawn_into(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
