"""`io.store`: small values by name, stored for a run, a job or a client."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .._callsite import Place
from .._tasks.call import AnyCall, Call
from .starter import caller

if TYPE_CHECKING:
    from .._engine.named_values import NamedValues
    from .._records.records import RunRecord

_StartTask = Callable[..., AnyCall]  # `Io._task`


class Stores:
    """Small stored values: `run` for this run, `job` for all runs of the job, `env` for all jobs of the client."""

    def __init__(self, start: _StartTask, values: NamedValues, run: RunRecord) -> None:
        self.run = KeyValues(start, values, f"kv/run/{run.id}", run.id)
        # Values that outlive the run have their own value files, because the run's are deleted with it.
        self.job = KeyValues(start, values, f"kv/job/{run.job}", f"kv/job/{run.job}")
        self.env = KeyValues(start, values, "kv/env", "kv/env")


class KeyValues:
    """Small stored values by name. Each call is a task, so the task's key comes first, then the value's name.

    ```
    await io.store.job.set("remember", "cursor", 42)
    cursor = await io.store.job.get("recall", "cursor", default=0)
    ```
    """

    def __init__(self, start: _StartTask, values: NamedValues, place: str, files_of: str) -> None:
        self._start = start
        self._values = values
        self._place = place
        self._files_of = files_of

    def get(self, key: object, name: str, default: object = None) -> AnyCall:
        """The value with this name, or `default` if there is none."""

        async def body() -> object:
            found = await self._find(name)
            return default if found is None else found[0]

        return self._task(caller(), key, body, "get", name)

    def has(self, key: object, name: str) -> Call[bool]:
        """True if there is a value with this name."""

        async def body() -> bool:
            return await self._find(name) is not None

        return self._task(caller(), key, body, "has", name)

    def set(self, key: object, name: str, value: object) -> Call[None]:
        """Store a value under this name, in place of an earlier one."""

        async def body() -> None:
            await self._values.write(self._place, name, self._files_of, value)

        return self._task(caller(), key, body, "set", name)

    def delete(self, key: object, name: str) -> Call[None]:
        """Delete the value with this name, if there is one."""

        async def body() -> None:
            await self._values.delete(self._place, name)

        return self._task(caller(), key, body, "delete", name)

    def _task(self, place: Place, key: object, body: Callable[..., object], verb: str, name: str) -> AnyCall:
        store = self._place.split("/")[1]
        return self._start(
            place,
            key,
            body,
            params={"key": name},
            icon="database",
            style="minimal",
            name=f"store.{store}.{verb} {name}",
        )

    async def _find(self, name: str) -> tuple[object] | None:
        return await self._values.read(self._place, name, self._files_of)
