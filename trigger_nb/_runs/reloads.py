"""Jobs of a module that is imported again: who holds such a job has the new one, or is told that it is not."""

from __future__ import annotations

import sys
from typing import Any


def is_reloaded(before: Any, now: Any) -> bool:
    """Whether a run function is defined anew by its module's reload. A cell that runs again defines another job."""
    return (
        getattr(before, "__module__", "__main__") != "__main__"
        and getattr(before, "__globals__", None) is getattr(now, "__globals__", before)
        and before.__qualname__ == now.__qualname__
        and "<locals>" not in now.__qualname__
    )


def why_outdated(job: Any) -> str:
    """What to say of a job whose module has another one in its place; "" if it is the module's."""
    name, module = getattr(job.fn, "__name__", ""), getattr(job.fn, "__module__", "__main__")
    now: Any = vars(sys.modules[module]).get(name) if module in sys.modules and module != "__main__" else None
    if now is job or type(now) is not type(job) or _path(now) != _path(job):
        return ""
    return (
        f"this is job {job.id!r} as module {module!r} defined it before it was imported again, and it runs the old code. "
        f"from {module} import {name} gives the new job"
    )


def _path(job: Any) -> str:
    return getattr(job.fn, "__qualname__", "")
