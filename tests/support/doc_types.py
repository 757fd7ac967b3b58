"""Checks the types in the Python blocks of Markdown pages, with pyright and mypy, as a user's editor does.

    python -m tests.support.doc_types [README.md ...]

Without arguments it checks README and all pages of the docs. Each page becomes one module, with every line at its number
in the page, so that an error names the page and its line. The blocks stand in an `async def`, since `await` at the top
level is an error outside of notebooks.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.doc_blocks import sources_of

ROOT = Path(__file__).parents[2]

# Each checker's defaults, which is what most users have; of mypy the bodies of functions without annotations, too, which
# most of the examples are; and without what says nothing of trigger_nb: a cell may define again what one before it did,
# other packages may have no types, and a list that is empty at first needs no annotation.
SETTINGS = "# pyright: reportRedeclaration=false"
CHECKERS = {
    "pyright": ["--pythonpath", sys.executable],
    "mypy": [
        "--check-untyped-defs",
        "--disable-error-code=no-redef",
        "--disable-error-code=import-untyped",
        "--disable-error-code=var-annotated",
        "--follow-imports=silent",  # of the inside of an installed package it says nothing either
        f"--cache-dir={ROOT / '.mypy_cache'}",
    ],
}


def module_of(page: Path) -> str:
    """The page's blocks as one module. Its first two lines are those where the page has its title."""
    lines = [SETTINGS, "async def page() -> None:"]
    for before, block in sources_of(page):
        lines += [""] * (before - len(lines)) + [f"    {line}" if line else "" for line in block]
    return "\n".join([*lines, "    pass", ""])  # there are pages without blocks


def errors_in(pages: list[Path]) -> list[str]:
    """What the checkers say of the pages' blocks, a text for each checker that finds errors."""
    places = dict.fromkeys(("PYTHONPATH", "MYPYPATH"), str(ROOT))
    with tempfile.TemporaryDirectory() as folder:
        modules = {Path(folder) / f"page_{number}.py": page for number, page in enumerate(pages)}
        for module, page in modules.items():
            module.write_text(module_of(page), encoding="utf-8")
        found = []
        for checker, options in CHECKERS.items():
            done = subprocess.run(
                [sys.executable, "-m", checker, *options, *map(str, modules)],
                cwd=folder,  # outside of this repository, whose settings are stricter
                env=os.environ | places | {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                text = done.stdout + done.stderr
                for module, page in modules.items():
                    text = re.sub(rf"\S*\b{module.name}\b", str(page), text)
                found.append(f"{checker}:\n{text}")
        return found


if __name__ == "__main__":
    chosen = [Path(page) for page in sys.argv[1:]]
    sys.exit("\n".join(errors_in(chosen or [Path("README.md"), *sorted(Path("docs").rglob("*.md"))])) or 0)
