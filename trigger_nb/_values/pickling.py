"""Pickles of functions and classes that a notebook defines, by cloudpickle, with the file names of code."""

from __future__ import annotations

import functools
from io import BytesIO
from operator import methodcaller
from types import CodeType
from typing import Any


def dumps(value: Any) -> bytes:
    """Pickle a value, for `pickle.loads`. Raises `ImportError` if cloudpickle is not installed."""
    import cloudpickle  # pyright: ignore[reportMissingTypeStubs]

    file = BytesIO()
    _pickler_of(cloudpickle.Pickler)(file).dump(value)
    return file.getvalue()


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
