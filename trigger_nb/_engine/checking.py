"""The option `check=`: an attempt whose result does not pass the check has failed."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from typing import Any, cast

from .. import _values
from .._concurrency.interrupt import calls_user_code
from .._keys import display_path
from .._records.prints import Prints
from .._redact import HIDDEN, redact, secrets, with_causes
from .._tasks.call import Call, Scope, current_scope
from .._tasks.signature import is_async
from .._values.codec import as_type, is_model, parsed_into
from ..errors import InvalidOptionError, UsageError

REFUSED = "check= refused this result: "
_MOST = 2000  # characters of a refused result that are kept


async def apply_check(
    call: Call[Any], redacted: Sequence[str], scope: Scope, value: Any, returns: Any
) -> Any:
    """Call `check=` with a body's result, as the caller would get it, and return the result to keep.

    Subtasks that the check starts are the task's. Raises the error of the check, with a note of the refused result.
    """
    call.refused = None
    check = call.options.get("check")
    if not scope.seen or is_async(check):
        scope.only_io = False  # the body or the check may come to another result in the next attempt
    token = current_scope.set(scope)
    try:
        typed = value if returns is None else as_type(value, returns)
        kept = await _call_check(check, typed)
    except UsageError:
        raise
    except Exception as error:
        call.refused = (value,)
        note = REFUSED + _shown(redacted, value)
        error.add_note(note)
        _print(note, scope, 1 if call.record is None else call.record.attempt)
        raise
    finally:
        current_scope.reset(token)
    if kept is None and typed is not None:
        raise InvalidOptionError(
            f"check= of task {display_path(call.path)!r} returned nothing. It returns what is kept: the result that it was "
            "given, or another one made of it; and it raises if the result is not as it should be"
        )
    return kept


@calls_user_code
async def _call_check(check: Any, value: Any) -> Any:
    if is_model(check):
        return parsed_into(check, value)
    kept = check(value)
    return await kept if inspect.isawaitable(kept) else kept


def _print(note: str, scope: Scope, attempt: int) -> None:
    """Keep a note with what the task printed, where it outlives the error of its attempt."""
    if scope.prints is None:
        scope.prints = Prints()
        scope.prints.attempt = attempt
    scope.prints.add("note", note + "\n")


def _shown(redacted: Sequence[str], value: Any) -> str:
    """A refused result as text: bounded, and without what is redacted."""
    text = _text_of(value)
    if text is None:
        text = json.dumps(redact(redacted, _values.preview(value, _MOST)), ensure_ascii=False)
    elif redacted:
        found = _parsed(text)
        if found is None:
            return f"{HIDDEN} ({len(text):,} characters that are not JSON: redact= hides all of them)"
        text = json.dumps(redact(redacted, found), ensure_ascii=False)
    text = secrets.hide(text)
    return text if len(text) <= _MOST else f"{text[:_MOST]}… ({len(text):,} characters)"


def hide_refused(value: Any, data: dict[str, Any]) -> list[Any]:
    """Hide the text of an error about a refused result in which `redact=` finds no parts. Else returns the result."""
    text = _text_of(value)
    found = _values.preview(value) if text is None else _parsed(text)
    if found is not None:
        return [found]
    for node in with_causes(data):
        notes = [note for note in node.get("notes", ()) if str(note).startswith(REFUSED)]
        node["shown"] = {"message": HIDDEN, "notes": notes}
    return []


def _text_of(value: Any) -> str | None:
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "replace")
    return value if isinstance(value, str) else None


def _parsed(text: str) -> Any:
    """The JSON data of a text; None if it is none, or plain text or a number, which has no parts."""
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast("Any", found) if isinstance(found, (dict, list)) else None
