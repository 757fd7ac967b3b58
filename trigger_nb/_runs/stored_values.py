"""The values of `io.store`, read and written by code outside of a run."""

from __future__ import annotations

from typing import Any

from .._engine.named_values import NO_VALUE, decoded, encoded
from .._store.protocol import Row
from .runtime import Runtime


class StoredValues:
    """Small stored values by name, as a run has them in `io.store`: those of a job, or of all jobs of a client.

    Here they are read and written at once, and nothing is replayed: in a run, use `io.store`.

    ```
    greet.store.set("cursor", 42)
    greet.store.get("cursor", default=0)
    ```
    """

    def __init__(self, runtime: Runtime, place: str) -> None:
        self._runtime = runtime
        self._place = place

    def get(self, name: str, default: object = None) -> Any:
        """The value with this name, or `default` if there is none. Raises `ValueNotLoadedError` and `StoreError`."""
        found = self._find(name)
        return default if found is None else found[0]

    def has(self, name: str) -> bool:
        """True if there is a value with this name."""
        return self._find(name) is not None

    def set(self, name: str, value: object) -> None:
        """Store a value under this name, in place of an earlier one. Raises `NotStorableError` and `StoreError`."""
        self._write(name, encoded(value, self._runtime.store.blobs(self._place)))

    def delete(self, name: str) -> None:
        """Delete the value with this name, if there is one."""
        self._write(name, NO_VALUE)

    def _find(self, name: str) -> tuple[object] | None:
        text = self._runtime.store.get(f"{self._place}/{name}")
        return decoded(text, self._runtime.store.blobs(self._place))

    def _write(self, name: str, text: str) -> None:
        row = Row(f"{self._place}/{name}", self._place, text)
        self._runtime.journal.commit([row], patience=self._runtime.patience.store)

    def __repr__(self) -> str:
        return f"<stored values of {self._place.removeprefix('kv/')}>"
