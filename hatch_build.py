"""Minifies the scripts of the front end for the wheel. A checkout that is installed as editable uses its sources."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import rjsmin
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FRONTEND = "trigger_nb/_view/live/frontend"
# rjsmin, which needs no compiler on any machine, understands all of JavaScript but this.
_NESTED_TEMPLATE = re.compile(r"`[^`]*\$\{[^`}]*`")


class MinifyFrontEnd(BuildHookInterface[Any]):
    """Puts minified scripts into the wheel under the names of their sources, so that nothing else differs."""

    _minified: Path | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        self._minified = Path(tempfile.mkdtemp())
        for source in Path(self.root, FRONTEND).glob("*.js"):
            minified = self._minified / source.name
            minified.write_text(minify(source), encoding="utf-8")
            build_data["force_include"][str(minified)] = f"{FRONTEND}/{source.name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if self._minified is not None:
            shutil.rmtree(self._minified)


def minify(source: Path) -> str:
    """A script without comments and unneeded spaces."""
    text = source.read_text(encoding="utf-8")
    if found := _NESTED_TEMPLATE.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise SyntaxError(
            f"{source.name}, line {line}: a template literal inside another one would lose its spaces; give it a name"
        )
    return rjsmin.jsmin(text)
