"""Records the text that tasks print and log, without changing its destination.

The stream objects stay the same. Only their `write` is replaced, as IPython does it too. So other code may
keep, replace or wrap `sys.stdout` in any order: a logging handler, `redirect_stdout`, the output capture of
IPython or pytest.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from .._records.feed import Printed
from .._records.prints import Prints
from .._redact import secrets
from .call import current_scope

if TYPE_CHECKING:
    from .call import Scope


class _Here(threading.local):
    noting = False  # whether an outer call on this thread records the text already


_here = _Here()
_lock = threading.RLock()  # reentrant, because a finalizer may print
_format = logging.Formatter(logging.BASIC_FORMAT).format
# Protected by the lock.
_tapped: WeakValueDictionary[int, Any] = WeakValueDictionary()  # streams with a tap, by id
# Our `Logger.callHandlers` (None while it is not installed), and the one that it replaced.
_own_call_handlers: Any = None
_handlers_before: Any = None


def listen() -> None:
    """Make sure that printed and logged text is recorded. Called at the start of each task, so usually cheap."""
    # Other code may have restored the original: IPython does so at the end of a cell.
    out, err = getattr(sys.stdout, "write", None), getattr(sys.stderr, "write", None)
    if not (type(out) is _Tap is type(err) and _own_call_handlers is not None):
        _begin()


def _begin() -> None:
    with _lock:
        _tap(sys.stdout, "out")
        _tap(sys.stderr, "err")
        if _own_call_handlers is None:
            _tap_logging()


def stop() -> None:
    """Remove all taps. No task must be running in the process."""
    global _own_call_handlers
    with _lock:
        # A tap that other code has wrapped meanwhile stays; it only passes text on.
        for stream in list(_tapped.values()):
            if isinstance(tap := _own_write(stream), _Tap):
                tap.remove_from(stream)
        _tapped.clear()
        if logging.Logger.callHandlers is _own_call_handlers:
            logging.Logger.callHandlers = _handlers_before
        _own_call_handlers = None


def _body() -> Scope | None:
    """The scope of the calling task; None outside of tasks, or if the text is recorded already."""
    scope = current_scope.get()
    return None if scope is None or not scope.path or scope.closed or _here.noting else scope


def _note(scope: Scope, stream: str, text: str) -> None:
    prints = scope.prints
    if prints is None:
        with _lock:
            prints = scope.prints = scope.prints or Prints()
    prints.add(stream, text)
    feed = scope.owner.feed
    if feed.watched:
        feed.emit(Printed(scope.path, prints))


# Streams ------------------------------------------------------------------------------------------
class _Tap:
    """The replaced `write` of one stream."""

    __slots__ = ("_before", "_name", "_write")

    def __init__(self, stream: Any, name: str) -> None:
        self._name = name
        self._write: Callable[[str], int] = stream.write
        self._before = _own_write(stream)
        stream.write = self

    def remove_from(self, stream: Any) -> None:
        if self._before is None:
            del stream.write
        else:
            stream.write = self._before

    def __call__(self, text: str, /) -> int:
        scope = _body()
        if scope is None:
            return self._write(text)
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # the stream may accept it
            return self._write(text)
        shown = secrets.hide(text)  # printed text is saved with the notebook
        try:
            _here.noting = True
            written = self._write(shown)
        finally:
            _here.noting = False
        _note(scope, self._name, shown)
        return written if shown is text else len(text)


def _own_write(stream: object) -> Any:
    """The `write` in the stream's own attributes; None if only its class has one."""
    return vars(stream).get("write")


def _tap(stream: Any, name: str) -> None:
    try:
        if not isinstance(stream.write, _Tap):
            _Tap(stream, name)
        _tapped[id(stream)] = stream
    except (AttributeError, TypeError):
        pass  # None, or without settable attributes: its text is not recorded


# Logging ------------------------------------------------------------------------------------------
def _tap_logging() -> None:
    """Record log records where their logger passes them to the handlers.

    A handler would not do: `logging.basicConfig` and the handler of last resort do nothing if there is one.
    """
    global _handlers_before, _own_call_handlers
    before = _handlers_before = logging.Logger.callHandlers

    def call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
        scope = _body()
        if scope is not None:
            _hide_secrets(record)
        line = _line(record) if scope is not None else None
        if scope is None or line is None:
            return before(self, record)
        _note(scope, "log", line)
        try:
            _here.noting = True  # a handler that writes to a stream writes the same record
            return before(self, record)
        finally:
            _here.noting = False

    _own_call_handlers = logging.Logger.callHandlers = call_handlers


def _hide_secrets(record: logging.LogRecord) -> None:
    """Hide secrets in a log record: SDKs log headers and responses, and any handler may get them."""
    with contextlib.suppress(Exception):  # of a user's argument; logging reports it
        message = record.getMessage()
        if (hidden := secrets.hide(message)) != message:
            record.msg, record.args = hidden, None


def _line(record: logging.LogRecord) -> str | None:
    """The record as text; None if formatting fails, which logging itself reports on stderr."""
    traceback = record.exc_text
    try:
        return _format(record) + "\n"
    except Exception:  # noqa: BLE001  # of a user's argument or exception
        return None
    finally:
        record.exc_text = traceback  # handlers may format the traceback differently
