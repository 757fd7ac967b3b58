"""The values of `io.store`: rows that are no task's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NoReturn

from .. import _values
from .._store.protocol import Row
from .._values.json_text import loads
from ..errors import CorruptRecordError, StoreError, TriggerError, ValueNotLoadedError
from .readings import explained

if TYPE_CHECKING:
    from .._store.protocol import Store
    from .._values.tagged import Blobs
    from .ledger import Ledger

NO_VALUE = "{}"  # the text of a deleted value's row


class NamedValues:
    """Reads and writes values by place and name. `owner` is what the files of a long value belong to.

    A failing store ends the pass, not the call (A9).
    """

    def __init__(
        self, ledger: Ledger, store: Store, run_id: str, fail: Callable[[TriggerError], Awaitable[NoReturn]]
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._run_id = run_id
        self._fail = fail

    async def read(self, place: str, name: str, owner: str) -> tuple[object] | None:
        """The value, in a tuple; None if there is none."""
        try:
            text = self._store.get(f"{place}/{name}")
            return decoded(text, self._files_of(owner))
        except (StoreError, ValueNotLoadedError) as error:
            what = f"the value {f'{place}/{name}'.removeprefix('kv/')!r} of `io.store`"
            return await self._fail(explained(error, what, "set it again"))

    async def write(self, place: str, name: str, owner: str, value: object) -> None:
        """Store a value, in place of an earlier one."""
        try:
            text = encoded(value, self._files_of(owner))
        except StoreError as error:
            return await self._fail(error)
        return await self._write(place, name, text)

    async def delete(self, place: str, name: str) -> None:
        """Delete a value, if there is one."""
        await self._write(place, name, NO_VALUE)

    async def _write(self, place: str, name: str, text: str) -> None:
        await self._ledger.write_rows([Row(f"{place}/{name}", place, text)])

    def _files_of(self, owner: str) -> Blobs:
        return self._ledger.blobs if owner == self._run_id else self._store.blobs(owner)


def encoded(value: object, blobs: Blobs) -> str:
    """The text of a value's row."""
    form, text = _values.encode(value, blobs)
    return f'{{"form":"{form}","value":{text}}}'


def decoded(text: str | None, blobs: Blobs) -> tuple[object] | None:
    """The value of a row, in a tuple; None if there is none. Raises `CorruptRecordError`."""
    if text is None or text == NO_VALUE:
        return None
    try:
        data = loads(text)
        form, value = data["form"], data["value"]
    except (ValueError, RecursionError, LookupError, TypeError) as error:
        raise CorruptRecordError(f"its row in the store is damaged: {error}") from None
    return (_values.load(form, value, blobs),)
