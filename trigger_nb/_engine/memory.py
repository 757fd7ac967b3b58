"""Values of a run that outlive a pass in this kernel, but are not in the store."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .._values.tagged import Blobs
from ..errors import StoreError
from .live import LiveResult

if TYPE_CHECKING:
    from .._store.protocol import Row
    from .._values.placeholders import Unstored


@dataclass(slots=True, weakref_slot=True)
class Memory:
    """One for all passes of a run in this kernel."""

    # Results that no codec can write (S4), by path and generation.
    live: dict[tuple[str, int], LiveResult] = field(default_factory=dict[tuple[str, int], "LiveResult"])

    @property
    def has_unsaved(self) -> bool:
        """Whether something is not in the store, and only here."""
        return bool(self.live or self.parked or self.parked_values)

    def shown(self, path: str, generation: int, lost: Unstored) -> Any:
        """The object that is kept of a result, for displays, or else the placeholder."""
        kept = self.live.get((path, generation))
        return lost if kept is None else kept.value

    # Rows, and value files by name, that a failing store did not take (A9); the next pass writes them first.
    parked: list[Row] = field(default_factory=list["Row"])
    parked_values: dict[str, bytes] = field(default_factory=dict[str, bytes])
    # The texts of the tasks' records, by path. A body of an earlier pass writes here too, and the pass that is
    # under way must see it.
    records: dict[str, str] = field(default_factory=dict[str, str])
    lock: threading.Lock = field(default_factory=threading.Lock)  # held to look at `records`, then write


class PatientBlobs:
    """Value files. Those that a failing store did not take are kept here for the next pass (A9)."""

    def __init__(self, blobs: Blobs, parked: dict[str, bytes]) -> None:
        self._blobs = blobs
        self._parked = parked
        self.error: StoreError | None = None  # of the store, as a file was written

    def put(self, data: bytes) -> str:
        """Write a file and return its name; a fault of the store is kept in `error`."""
        try:
            return self._blobs.put(data)
        except StoreError as error:
            self.error = error
            name = hashlib.sha256(data).hexdigest()
            self._parked[name] = data
            return name

    def get(self, name: str) -> bytes:
        """Read a file."""
        return self._parked[name] if name in self._parked else self._blobs.get(name)
