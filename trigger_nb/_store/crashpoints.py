"""Named points around commits and the deletion of runs, at which a test can kill the process.

```
blob:before-rename -> blob:after-rename -> commit:before -> commit:within -> commit:after
delete:before -> delete:rows -> delete:files -> shrink:within
change:within
```

When no point is armed, passing one costs a look at a module global.
"""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

VARIABLE = "TRIGGER_NB_CRASH_AT"


def kill_process() -> None:
    """Kill this process at once, without flushing files or running `finally` blocks."""
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


@dataclass
class _Armed:
    name: str
    passage: int
    action: Callable[[], None]
    # An iterator, because several threads may pass at once and `next` returns each number only once.
    passages: Iterator[int] = field(default_factory=lambda: itertools.count(1))


_armed: _Armed | None = None


def point(name: str) -> None:
    """Mark a place in the code by name."""
    if _armed is not None and _armed.name == name and next(_armed.passages) == _armed.passage:
        _armed.action()


def arm(spec: str | None = None, action: Callable[[], None] = kill_process) -> None:
    """Call `action` at the n-th passage of a point, given as "name" or "name:n". For tests.

    Without `spec`, the environment variable `TRIGGER_NB_CRASH_AT` is used. If it is not set, nothing is armed.
    """
    global _armed
    spec = spec or os.environ.get(VARIABLE)
    if not spec:
        return
    name, _, count = spec.rpartition(":")
    _armed = _Armed(name, int(count), action) if count.isdigit() else _Armed(spec, 1, action)


def disarm() -> None:
    """Disarm the point that is armed, if any."""
    global _armed
    _armed = None
