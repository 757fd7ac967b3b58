"""The fields of an instance, as they are shown and as columns of a table are made of them."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from typing import Any, cast


def fields_of(value: Any, kind: type[Any]) -> Mapping[str, Any] | None:
    """The fields of a model, a dataclass or a named tuple; None for another value. `kind` is the value's class."""
    models = sys.modules.get("pydantic.main")
    if models is not None and issubclass(kind, models.BaseModel):
        return {**vars(value), **(value.__pydantic_extra__ or {})}
    if issubclass(kind, tuple) and hasattr(value, "_fields"):
        return dict(zip(value._fields, value, strict=False))
    if dataclasses.is_dataclass(cast("object", kind)) and not issubclass(kind, BaseException):
        names = [field.name for field in dataclasses.fields(cast("Any", kind)) if field.repr]
        return {name: getattr(value, name) for name in names if hasattr(value, name)}
    return None
