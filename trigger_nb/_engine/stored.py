"""Values and errors out of records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from .. import _values
from .._keys import display_path
from .._records.status import Reason
from .._tasks.call import MISS
from .._tasks.signature import signature_of
from .._values.placeholders import Unstored
from ..errors import CorruptRecordError, StoreError, ValueNotLoadedError
from .ledger import Unreadable, explained
from .origins import mark_origin

if TYPE_CHECKING:
    from .._records.records import TaskRecord
    from .._tasks.call import Call
    from .state import PassState


class StoredResults:
    """Decodes what a call returned or raised from its record, so that each pass gets the same (R2, R4)."""

    def __init__(self, state: PassState) -> None:
        self._state = state

    def value(self, call: Call[Any], record: TaskRecord) -> Any:
        """The value of a completed record, or a placeholder for one that is not stored (S4).

        `MISS` if the value is lost and the task may be repeated. Raises `Unreadable`.
        """
        if record.form != "unstored":
            try:
                if record.is_apart:
                    record = self._state.ledger.whole(record)
            except StoreError as error:
                if isinstance(error, CorruptRecordError) and self.is_repeatable(call):
                    return MISS
                raise Unreadable(error) from None
            try:
                returns = self.returns(call)
                if not record.form and returns is None:
                    return record.value
                return _values.load(record.form, record.value, self._state.ledger.blobs, returns)
            except CorruptRecordError as error:  # of a value file
                lost = {"type": "value", "reason": str(error)}
            except (StoreError, ValueNotLoadedError) as error:
                if _did_not_fit(record):
                    mark_origin(error, self._state.directory, self._state.run.id, call.path)
                    raise
                what = f"the result of task {display_path(call.path)!r}"
                raise Unreadable(explained(error, what)) from None
        else:
            live = self._state.memory.live.get((call.path, record.generation))
            if live is not None and not live.is_spent:
                return live.take()
            lost = cast("dict[str, str]", record.value)
        if self.is_repeatable(call):
            return MISS
        name = display_path(call.path)
        self._state.header.hint(f"the value of task {name!r} is not stored: {lost['reason'] or lost['type']}")
        return Unstored(name, lost["type"], lost["reason"])

    def error(self, call: Call[Any], record: TaskRecord) -> BaseException:
        """The error of a record, to be raised again. Raises `Unreadable`."""
        try:
            error = _values.raised_error(record.error or {})
        except ValueNotLoadedError as unread:
            what = f"the error of task {display_path(call.path)!r}"
            raise Unreadable(explained(unread, what)) from None
        self._state.header.saw(call.path, Reason.REPLAYED)
        mark_origin(error, self._state.directory, self._state.run.id, call.path)
        return error

    def is_repeatable(self, call: Call[Any]) -> bool:
        """Whether the body may run again when its value cannot be had."""
        return call.options.get("repeatable", self._state.settings.repeatable)

    def returns(self, call: Call[Any]) -> Any:
        """The type that the value is validated into, or None."""
        if "returns" in call.options:
            return call.options["returns"]
        return signature_of(call.body).returns if call.body is not None else None


def _did_not_fit(record: TaskRecord) -> bool:
    """Whether the value was not of the type that the task returns when it was new: its caller got that as an error."""
    return record.error is not None and record.error.get("type") == ValueNotLoadedError.__name__
