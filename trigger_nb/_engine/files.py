"""Files among the params and in the results of a call: large ones are read off the loop."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from .._callsite import show_place
from .._keys import display_path
from .._values.file_hashes import NotReadYetError
from ..errors import UnreadableFileError

if TYPE_CHECKING:
    from .._records.records import TaskRecord
    from .._tasks.call import AnyCall
    from .changes import Changes
    from .results import StoredResults
    from .state import PassState


async def fingerprint_files(state: PassState, call: AnyCall) -> None:
    """Fingerprint the params of a call, whose large files are read in a thread.

    Raises `UnreadableFileError`, a mistake in the calling code: the run would continue with another value on each pass.
    """
    if call.inputs is not None or call.kind not in ("task", "own"):
        return
    changes: Changes = state.changes
    try:
        try:
            call.inputs = changes.inputs(call, may_read=False)
        except NotReadYetError:
            call.inputs = await asyncio.get_running_loop().run_in_executor(None, changes.inputs, call)
    except UnreadableFileError as error:
        raise state.stopping.misused(_unreadable(call, error)) from None


async def stored_value(stored: StoredResults, call: AnyCall, record: TaskRecord) -> Any:
    """As `StoredResults.value`. Large files that it names are read in a thread."""
    try:
        return stored.value(call, record, may_read=False)
    except NotReadYetError:
        return await asyncio.get_running_loop().run_in_executor(None, stored.value, call, record)


def _unreadable(call: AnyCall, error: UnreadableFileError) -> UnreadableFileError:
    text = (
        f"task {display_path(call.path)!r}, called at {show_place(call.place)}, is given a File, which counts by its "
        f"content: {error}."
    )
    if not os.path.lexists(error.path):
        text += (
            " Put the file there, then run the cell again. For a file that the task is to write, pass a plain path, and "
            "return File(path) from the task."
        )
    return UnreadableFileError(text, error.path)
