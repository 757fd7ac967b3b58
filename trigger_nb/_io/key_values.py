"""`io.store`: named values that a run, a job or a client keeps."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._store.protocol import Row
from .._tasks.call import Call

if TYPE_CHECKING:
    from types import FrameType

    from .._engine.ledger import Ledger
    from .._records.records import RunRecord

_StartTask = Callable[..., Call[Any]]  # `Io._task`


class Stores:
    """The three key-value stores of a run."""

    def __init__(self, start: _StartTask, ledger: Ledger, run: RunRecord) -> None:
        self.run = KeyValues(start, ledger, f"kv/run/{run.id}", run.id)
        # What outlives the run has its value files apart from the run's, which go with it.
        self.job = KeyValues(start, ledger, f"kv/job/{run.job}", f"kv/job/{run.job}")
        self.env = KeyValues(start, ledger, "kv/env", "kv/env")


class KeyValues:
    """Small values by name. Each call is a task: the task's key first, then the value's."""

    def __init__(self, start: _StartTask, ledger: Ledger, place: str, files_of: str) -> None:
        self._start = start
        self._ledger = ledger
        self._place = place
        self._files_of = files_of

    def get(self, key: Any, name: str, default: Any = None) -> Call[Any]:
        """The value of that name, or `default`."""

        async def body() -> Any:
            found = await self._find(name)
            return default if found is None else found[0]

        return self._task(sys._getframe(1), key, body, "get", name)

    def has(self, key: Any, name: str) -> Call[bool]:
        """Whether there is a value of that name."""

        async def body() -> bool:
            return await self._find(name) is not None

        return self._task(sys._getframe(1), key, body, "has", name)

    def set(self, key: Any, name: str, value: Any) -> Call[None]:
        """Keep a value under that name."""

        async def body() -> None:
            form, text = await self._ledger.encode_for(self._files_of, value)
            await self._write(name, f'{{"form":"{form}","value":{text}}}')

        return self._task(sys._getframe(1), key, body, "set", name)

    def delete(self, key: Any, name: str) -> Call[None]:
        """Forget the value of that name; it need not be there."""

        async def body() -> None:
            await self._write(name, "{}")

        return self._task(sys._getframe(1), key, body, "delete", name)

    def _task(self, frame: FrameType, key: Any, body: Callable[..., Any], verb: str, name: str) -> Call[Any]:
        place = self._place.split("/")[1]
        return self._start(
            frame,
            key,
            body,
            params={"key": name},
            icon="database",
            style="minimal",
            name=f"store.{place}.{verb} {name}",
        )

    async def _find(self, name: str) -> tuple[Any] | None:
        return await self._ledger.read_value(f"{self._place}/{name}", self._files_of)

    async def _write(self, name: str, text: str) -> None:
        await self._ledger.write_rows([Row(f"{self._place}/{name}", self._place, text)])
