"""The payload of a run: as its record holds it, as each pass gets it, and how it identifies the run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Any

from .. import _values
from .._keys import hashed
from .._records.records import RunRecord
from .._redact import HIDDEN, redact, secrets
from .._values.codec import dump_or_describe
from .._values.json_text import dumps, is_plain, loads
from .._values.one_shot import holds_one_shot
from .._values.tagged import Blobs
from .._view.model.hints import WARNING
from ..errors import CorruptRecordError, FileLostError, InvalidPayloadError, TriggerError

_NONE: Any = object()
_MOST = 5  # fields that a hint names


class Payload:
    """The payload of a run. Each pass decodes its own copy, so a change that the job makes to it goes no further (R2)."""

    def __init__(
        self,
        form: str,
        data: Any,
        blobs: Blobs,
        *,
        given: Any = _NONE,
        hidden: Iterable[Any] = (),
        fit: Callable[[Any], Any] | None = None,
    ) -> None:
        """Raises `ValueNotLoadedError` and `StoreError` if the payload cannot be read."""
        self.form = form
        self.data = data
        self.hint = ""  # for the header of the run
        self._blobs = blobs
        self._given = given  # the object that was handed in: the payload if no codec can write it
        # Secrets are not stored: the passes of this kernel get those that were handed in.
        self._hidden = hidden
        self._fit = fit
        self._source = form, data
        self._next = self._decoded()

    @classmethod
    def of(cls, value: Any, blobs: Blobs) -> Payload:
        """The payload that is handed in. Raises `InvalidPayloadError` if it can be read only once."""
        hidden: list[Any] = []
        form, data = dump_or_describe(value, blobs, hidden)
        if form == "unstored" and holds_one_shot(value):
            raise InvalidPayloadError(
                f"the payload cannot be given to each pass of the run: {data['path']} is a {data['type']} "
                f"({data['reason']})"
            )
        return cls(form, data, blobs, given=value, hidden=hidden)

    @classmethod
    def stored(cls, record: RunRecord, blobs: Blobs, fit: Callable[[Any], Any] | None = None) -> Payload:
        """The payload of a stored run; `fit` makes it what the run function gets now. Raises what `load` raises."""
        return cls(record.payload_form, record.payload, blobs, fit=fit)

    @classmethod
    def of_started(
        cls, record: RunRecord, value: Any, blobs: Blobs, patterns: Sequence[str]
    ) -> Payload | None:
        """The stored payload of a run that is found by an equal one, with a hint about what differs and does not count.

        None if the one that is handed in takes its place: it has secrets, or the stored one cannot be read.
        """
        try:
            stored = cls(record.payload_form, record.payload, blobs, given=value)
            if is_plain(value):
                return stored
            if _has_secrets(value):
                return None
            new: set[tuple[str, str]] = set()
            before = _values.load(record.payload_form, record.payload, blobs, new_fields=new)
            changed = list(_values.differences(before, value, new))
        except TriggerError:
            return None
        if changed:
            stored.hint = _hint(changed, patterns)
        return stored

    def is_of(self, record: RunRecord) -> bool:
        """Whether the record still has the payload that this was made from."""
        return self._source == (record.payload_form, record.payload)

    def take(self) -> Any:
        """The payload for one pass."""
        value, self._next = self._next, _NONE
        return self._decoded() if value is _NONE else value

    def _decoded(self) -> Any:
        if self.form == "unstored" and self._given is not _NONE:
            return self._given
        new: set[tuple[str, str]] = set()
        data = loads(dumps(self.data)) if self.form == "" else self.data  # plain data is the value itself
        try:
            value = _values.load(self.form, data, self._blobs, secrets=self._hidden, new_fields=new)
        except FileLostError as error:
            raise FileLostError(
                f"the payload of this run has a File, and {error}. Put the file back as it was, or start a run with the file "
                "as it is now, by the payload with that File.",
                error.path,
            ) from None
        if new:  # what a factory has made for a field that is new is kept, so that it is the same each time
            self.form, self.data = dump_or_describe(value, self._blobs)
        return value if self._fit is None else self._fit(value)


class NoFiles:
    """Files of values that are encoded to be looked at, and are not stored."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}

    def put(self, data: bytes) -> str:
        """Keep `data` in memory."""
        name = sha256(data).hexdigest()
        self._files[name] = data
        return name

    def get(self, name: str) -> bytes:
        """The bytes with a name."""
        try:
            return self._files[name]
        except KeyError:
            raise CorruptRecordError(f"there is no file {name!r}") from None


def _has_secrets(value: Any) -> bool:
    hidden: list[Any] = []
    dump_or_describe(value, NoFiles(), hidden)
    return bool(hidden)


def _hint(changed: list[tuple[str, str, str]], patterns: Sequence[str]) -> str:
    parts = [
        f"{path or 'the payload'} was {_shown(path, before, patterns)} and is now {_shown(path, now, patterns)}"
        for path, before, now in changed[:_MOST]
    ]
    more = f"; and {len(changed) - _MOST:,} more" if len(changed) > _MOST else ""
    return (
        f"{WARNING}changed: payload ({'; '.join(parts)}{more}). The difference does not make it another run, which goes on with "
        "the stored payload; `fresh=True` starts one with the new payload."
    )


def _shown(path: str, text: str, patterns: Sequence[str]) -> str:
    """The text of a field, unless `redact=` hides the field."""
    steps = path.replace("[", ".").replace("]", "").split(".")
    nested: Any = text
    for step in reversed(steps):
        nested = {step: nested}
    return secrets.hide(text) if redact(patterns, nested) == nested else HIDDEN


def event_record(event_id: str, text: str) -> RunRecord:
    """The record of an event that was sent: its payload is that of the runs that it started."""
    try:
        data = loads(text)
        return RunRecord.parse(
            {name: data[name] for name in ("payload_form", "payload", "keys") if name in data}
        )
    except (ValueError, RecursionError, TypeError) as error:
        raise CorruptRecordError(
            f"the record of event {event_id!r} cannot be read: its row in the store is damaged: {error}. Restore the store "
            "from a backup; or send the event with an id= of its own."
        ) from None


def found_id(
    value: Any,
    id_of: Callable[..., str],
    record_of: Callable[[str], RunRecord | None],
    blobs_of: Callable[[str], Blobs],
) -> tuple[str, RunRecord | None]:
    """The id that a payload identifies, or the id by which a version up to November 2026 stored an equal payload.

    With the record that has this id, if any. `id_of(value, counts)` makes an id from the canonical text (see `canonical`).
    """
    found = id_of(value)

    def id_of_stored(record: RunRecord, record_id: str) -> str:
        try:
            return id_of(Payload.stored(record, blobs_of(record_id)).take())
        except Exception:  # it cannot be read; or from the user's `identity`  # noqa: BLE001
            return ""

    record = record_of(found)
    if record is not None:
        # By that version, a model had the canonical text of a plain payload.
        if record.keys or record.is_damaged or id_of_stored(record, found) in ("", found):
            return found, record
        other = hashed(found[:4], found)
        return other, record_of(other)
    if not is_plain(value) and (earlier := id_of(value, "set")) != found:
        record = record_of(earlier)
        if record is not None and not record.keys and id_of_stored(record, earlier) == found:
            return earlier, record
    return found, None
