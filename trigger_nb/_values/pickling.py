"""Pickles of functions and classes that a notebook defines, by cloudpickle, with the file names of code."""

from __future__ import annotations

import functools
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from io import BytesIO
from operator import methodcaller
from types import CodeType, ModuleType
from typing import Any


def dumps(value: Any, by_value: Sequence[ModuleType] = ()) -> bytes:
    """Pickle a value, for `pickle.loads`. What the modules `by_value` define is pickled with its code, as what cells define.

    Raises `ImportError` if cloudpickle is not installed.
    """
    import cloudpickle  # pyright: ignore[reportMissingTypeStubs]

    file = BytesIO()
    with _pickled_by_value(cloudpickle, by_value):
        _pickler_of(cloudpickle.Pickler)(file).dump(value)
    return file.getvalue()


_registering = threading.RLock()


@contextmanager
def _pickled_by_value(cloudpickle: Any, modules: Sequence[ModuleType]) -> Generator[None]:
    if not modules:
        yield
        return
    with _registering:  # cloudpickle keeps one list for the process
        known = cloudpickle.list_registry_pickle_by_value()
        added = [module for module in modules if module.__name__ not in known]
        for module in added:
            cloudpickle.register_pickle_by_value(module)
        try:
            yield
        finally:
            for module in added:
                cloudpickle.unregister_pickle_by_value(module)


@functools.cache
def _pickler_of(base: Any) -> Any:
    class Pickler(base):
        """A cloudpickle pickler that keeps the file names of code.

        cloudpickle 3.1.3 and later replace them with "<dynamic-code>", but a traceback needs the file name to
        show the cell and its source lines.
        """

        def reducer_override(self, obj: Any) -> Any:
            if type(obj) is CodeType and obj.co_filename:
                # cloudpickle pickles a copy without the name, and the loaded code gets the name back.
                return methodcaller("replace", co_filename=obj.co_filename), (obj.replace(co_filename=""),)
            return super().reducer_override(obj)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]

    return Pickler
