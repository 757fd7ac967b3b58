"""Runs the Python blocks of one Markdown page, in order, as the cells of one notebook.

    python -m tests.support.doc_blocks README.md

A page has a process of its own, as a notebook has a kernel: no page sees another's jobs, and what a
block defines is found in `__main__`. `await` works at the top level, and all blocks share one event
loop, so that a run which one block starts goes on during the next. A page that needs some setting up
that readers should not see has it in a block inside an HTML comment.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, ModuleType

_BLOCK = re.compile(
    r"^(?P<indent>[ ]*)(?P<fence>`{3,})(?:python|py)\b[^\n]*\n(?P<code>.*?)^(?P=indent)(?P=fence)[ ]*$",
    re.MULTILINE | re.DOTALL,
)


def sources_of(page: Path) -> Iterator[tuple[int, list[str]]]:
    """The page's Python blocks: how many lines of the page come before each, and its own lines."""
    text = page.read_text(encoding="utf-8")
    for match in _BLOCK.finditer(text):
        indent = len(match["indent"])
        yield text.count("\n", 0, match.start("code")), [line[indent:] for line in match["code"].splitlines()]


def blocks_of(page: Path) -> list[CodeType]:
    """The page's Python blocks, compiled so that tracebacks show the lines of the page."""
    return [
        compile(
            "\n" * before + "\n".join(lines),
            str(page),
            "exec",
            ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
            dont_inherit=True,
        )
        for before, lines in sources_of(page)
    ]


async def run(blocks: list[CodeType]) -> None:
    """Run the blocks in one namespace, which is `__main__` from here on."""
    main = sys.modules["__main__"] = ModuleType("__main__")
    for block in blocks:
        result = eval(block, main.__dict__)
        if inspect.iscoroutine(result):  # Only a block with an `await` of its own gives one.
            await result


if __name__ == "__main__":
    asyncio.run(run(blocks_of(Path(sys.argv[1]))))
