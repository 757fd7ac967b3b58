"""The arguments of tasks, as records keep them: those of failed tasks, and of all tasks with `keep_inputs=True`.

The field `given` of a record has "form" and "value", as the record itself has for the result, or "why" the arguments are
not kept. Further keys are there if they are true: "named" (the arguments of an integration's method, by name), "batch" (the
body takes a list of items, of which this is one), "altered" (the body had changed an argument in place before it failed).
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from .. import _values
from .._redact import redact_tagged, secrets
from .._values.json_text import loads
from ..errors import CorruptRecordError, NotStorableError, StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._records.records import TaskRecord
    from .._tasks.call import AnyCall
    from .state import PassState

MOST_BYTES = 1_000_000  # of the arguments of one task
# Characters of arguments that stay in the row. Rows are read whole, and failed tasks may be many, so this is little.
_INLINE = 2_000
_REDACTED = "redact= hides parts of them"
_CREDENTIAL = "a credential of an integration is among them"
_TOO_LONG = f"they are longer than {MOST_BYTES / 1e6:g} MB"


def given_to_failed(state: PassState, call: AnyCall, record: TaskRecord) -> dict[str, Any]:
    """The field `given` of a failed task. What was kept before the body ran stays."""
    option = call.options.get("keep_inputs", state.settings.keep_inputs)
    if record.given or option is False:
        return record.given
    # A replay needs the results that `redact=` hides, and no arguments: these are not written unasked.
    return given_of(state, call, record.redact if option is None else ())


def given_of(state: PassState, call: AnyCall, hidden: Sequence[str] = ()) -> dict[str, Any]:
    """The arguments of a call as its record keeps them, or why they are not kept. Never raises.

    They are not kept if one of the patterns `hidden` names a part of them, or if the body belongs to this package.
    """
    if call.kind != "task" and call.service is None:
        return {}
    files = _Files()
    try:
        form, text = _values.encode(list(call.args), files)
        if len(text) + files.size > MOST_BYTES:
            raise _TooLongError
        if files.have_secrets(text):
            return {"why": _CREDENTIAL}
        patterns = [*hidden, *(f"*.{each}" for each in hidden)]  # arguments are a list without names
        if patterns and redact_tagged(patterns, data := loads(text)) != data:
            return {"why": _REDACTED}
        if len(text) > _INLINE:
            name = files.put(text.encode("ascii"))
            form, text = "file", json.dumps({"file": name, "form": form, "size": len(text)})
        blobs = state.store.blobs(state.run.id)
        for data in files.contents.values():
            blobs.put(data)
        found: dict[str, Any] = {"form": form, "value": loads(text)}
    except _TooLongError:
        return {"why": _TOO_LONG}
    except NotStorableError as error:
        return {"why": f"the store cannot hold {error}"}
    except StoreError as error:
        return {"why": f"the store did not take them: {error}"}
    except Exception as error:  # noqa: BLE001  # of a user's codec or class
        return {"why": f"{type(error).__name__}: {secrets.hide(str(error))}"}
    flags = {
        "named": call.service is not None and call.kind == "own" and _is_named(call.args),
        "batch": call.batch is not None,
        "altered": call.is_altered,
    }
    return found | {name: True for name, value in flags.items() if value}


def _is_named(args: tuple[object, ...]) -> bool:
    return len(args) == 1 and type(args[0]) is dict


class _TooLongError(Exception):
    """The arguments exceed `MOST_BYTES`."""


class _Files:
    """The value files of arguments, held back until it is known that all may be written."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.size = 0

    def put(self, data: bytes) -> str:
        """Take a file."""
        self.size += len(data)
        if self.size > MOST_BYTES:
            raise _TooLongError
        name = hashlib.sha256(data).hexdigest()
        self.contents[name] = data
        return name

    def get(self, name: str) -> bytes:
        """The bytes of a file."""
        if name not in self.contents:
            raise CorruptRecordError(f"there is no file {name!r}")
        return self.contents[name]

    def have_secrets(self, text: str) -> bool:
        """Whether a known credential is in the text or in a file."""
        data = self.contents.values()
        return secrets.hide(text) != text or any(secrets.hide_in_bytes(each) != each for each in data)
