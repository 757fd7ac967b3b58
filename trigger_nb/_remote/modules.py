"""Modules beside the notebook whose code in this kernel may not be that of a worker."""

from __future__ import annotations

import os
import sys
import threading
from types import ModuleType
from typing import TypeAlias

from .._fingerprint.values import is_installed

_State: TypeAlias = tuple[
    object, int, int
]  # of a module: its spec, which a reload replaces, and its file's time and size


class NotebookModules:
    """Notices that modules which are not installed were edited or reloaded.

    A worker imports a module once, as its file is then. So after a change here the modules travel by value, as what
    cells define does, and the code that runs is the code whose fingerprint is stored.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._first: dict[str, _State] = {}  # as they were when bodies were first sent
        self._changed = False

    def changed(self) -> tuple[ModuleType, ...]:
        """All of these modules, once one of them has changed: they may refer to each other. Else none."""
        with self._lock:
            modules = [
                module
                for name, module in list(sys.modules.items())
                if type(module) is ModuleType and name != "__main__" and not is_installed(module)
            ]
            for module in modules:
                state = _state_of(module)
                if state is not None and self._first.setdefault(module.__name__, state) != state:
                    self._changed = True
            return tuple(modules) if self._changed else ()


def _state_of(module: ModuleType) -> _State | None:
    try:
        found = os.stat(module.__file__ or "")
    except (AttributeError, OSError):
        return None
    return module.__spec__, found.st_mtime_ns, found.st_size


notebook_modules = NotebookModules()
