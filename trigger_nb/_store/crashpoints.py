"""Named points around the commit, and around the removal of runs, at which a test can make the process die.

```
blob:before-rename -> blob:after-rename -> commit:before -> commit:within -> commit:after
delete:before -> delete:rows -> delete:files -> shrink:within
```

Unarmed, a point costs one look at a module global.
"""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

VARIABLE = "TRIGGER_NB_CRASH_AT"


def kill_process() -> None:
    """End this process at once: nothing is flushed and no `finally` runs."""
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


@dataclass
class _Armed:
    name: str
    passage: int
    action: Callable[[], None]
    # Not a plain number: several threads may pass at once, and `next` never gives one twice.
    passages: Iterator[int] = field(default_factory=lambda: itertools.count(1))


_armed: _Armed | None = None


def point(name: str) -> None:
    """Mark a place in the code by name."""
    if _armed is not None and _armed.name == name and next(_armed.passages) == _armed.passage:
        _armed.action()


def arm(spec: str | None = None, action: Callable[[], None] = kill_process) -> None:
    """Do `action` at the n-th passage of a point, given as "name" or "name:n".

    Without `spec` it is taken from the environment variable `TRIGGER_NB_CRASH_AT`, and where that
    is not set nothing is armed. Tests call this; nothing is read at import.
    """
    global _armed
    spec = spec or os.environ.get(VARIABLE)
    if not spec:
        return
    name, _, count = spec.rpartition(":")
    _armed = _Armed(name, int(count), action) if count.isdigit() else _Armed(spec, 1, action)


def disarm() -> None:
    """Forget what was armed."""
    global _armed
    _armed = None
