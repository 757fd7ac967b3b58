"""Joins the files of the front end to one module."""

from __future__ import annotations

import re
from collections.abc import Mapping

_IMPORT = re.compile(r'\bimport\s*\{([^}]*)\}\s*from\s*"\./(\w+)\.js";?')
_EXPORT = re.compile(r"\bexport\s+((?:async\s+)?(?:class|const|function\s*\*?)\s*(\w+))")
_DEFAULT = re.compile(r"\bexport\s+default\b")


def joined(files: Mapping[str, str], entry: str) -> str:
    """Make one module of the file `entry` and of all that it needs. Its default export is that of the file.

    Each file becomes a function that returns what the file exports, so that names cannot collide. A browser takes longer
    for forty modules than for all that they do until the first picture.
    """
    parts: list[str] = []
    added: set[str] = set()

    def add(name: str) -> None:
        if name in added:
            return
        added.add(name)
        exported = [match[2] for match in _EXPORT.finditer(files[name])]
        body = _IMPORT.sub(imported, files[name])
        if _DEFAULT.search(body):
            exported.append("main")
        body = _EXPORT.sub(r"\1", _DEFAULT.sub("const main =", body))
        parts.append(f"const {name}_js = (() => {{{body}\nreturn {{{', '.join(exported)}}};}})();\n")

    def imported(match: re.Match[str]) -> str:
        add(match[2])
        return f"const {{{match[1].replace(' as ', ': ')}}} = {match[2]}_js;"

    add(entry)
    return f"{''.join(parts)}export default {entry}_js.main;\n//# sourceURL=trigger_nb.js"
