"""Pickles of whatever a notebook defines: cloudpickle's, in which code keeps the name of its file."""

from __future__ import annotations

import functools
from io import BytesIO
from operator import methodcaller
from types import CodeType
from typing import Any


def dumps(value: Any) -> bytes:
    """`value` as a pickle, which `pickle.loads` reads. Raises `ImportError` when cloudpickle is not installed."""
    import cloudpickle  # pyright: ignore[reportMissingTypeStubs]

    file = BytesIO()
    _pickler_of(cloudpickle.Pickler)(file).dump(value)
    return file.getvalue()


@functools.cache
def _pickler_of(base: Any) -> Any:
    class Pickler(base):
        """Since release 3.1.3, cloudpickle names the file of all code "<dynamic-code>". But the file's name is
        what leads a traceback to the cell and to the text of the line."""

        def reducer_override(self, obj: Any) -> Any:
            if type(obj) is CodeType and obj.co_filename:
                # A copy without the name is left to cloudpickle, and gets the name back when it is loaded.
                return methodcaller("replace", co_filename=obj.co_filename), (obj.replace(co_filename=""),)
            return super().reducer_override(obj)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]

    return Pickler
