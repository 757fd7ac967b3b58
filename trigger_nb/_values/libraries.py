"""Imports of the libraries whose types are built in, when a stored value is the first to need one."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any


def import_library(name: str) -> Any:
    """A library by its name, never from a file in the working directory: who brought the store may have brought that, too.

    Raises `ImportError`. A library that is loaded already is taken as it is.
    """
    found = sys.modules.get(name)
    if found is not None:
        return found
    with not_from_here():
        return importlib.import_module(name)


@contextmanager
def not_from_here() -> Generator[None]:
    """A context in which this thread imports nothing from a file in the working directory."""
    finder = _NotHere()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _NotHere:
    """A finder that passes over the working directory, for all that one thread imports while it is in place."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's spec if the first one found is in the working directory, else None: other finders find it."""
        if path is not None or threading.get_ident() != self._thread or name in sys.builtin_module_names:
            return None
        here = Path.cwd().resolve()
        spec = PathFinder.find_spec(name)
        if spec is None or not spec.origin:
            return None
        place = Path(spec.origin).resolve()
        if here != place.parents[1 if spec.submodule_search_locations else 0]:
            return None
        elsewhere = [each for each in sys.path if each and Path(each).resolve() != here]
        spec = PathFinder.find_spec(name, elsewhere)
        if spec is None:
            raise ModuleNotFoundError(
                f"{name} is only found in the working directory, {here}, from where nothing is imported to read a stored "
                f"value. If you trust that file, import {name} first",
                name=name,
            )
        return spec
