"""Notes what tasks' bodies print and log, beside where it goes.

The streams stay the objects that they are: each gets a `write` of its own in place of the one that it
had, as IPython does it, too. So it does not matter who keeps, replaces or wraps `sys.stdout` in between,
or in which order: a logging handler, `redirect_stdout`, the captures of IPython and of pytest.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from ._feed import Printed
from ._prints import Prints
from ._redact import secrets
from ._scope import current_scope

if TYPE_CHECKING:
    from ._scope import Scope


class _Here(threading.local):
    noting = False  # what this thread writes is noted already, by a call further out


_here = _Here()
_lock = threading.RLock()  # a finalizer that prints may come in between
_format = logging.Formatter(logging.BASIC_FORMAT).format

# Changed under the lock.
_tapped: WeakValueDictionary[int, Any] = WeakValueDictionary()  # streams that have a tap, by their id
# Our `Logger.callHandlers`, None while there is none, and the one it was put in place of.
_own_call_handlers: Any = None
_handlers_before: Any = None


def listen() -> None:
    """See to it that what is printed and logged is noted. Called when a body begins, so it costs nothing mostly."""
    # Anybody may have put back what was there before: IPython does so at the end of a cell.
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
    """Take everything away again. Nothing must be under way in the process."""
    global _own_call_handlers
    with _lock:
        # Where somebody has put something over one of ours meanwhile, it stays: by itself it does nothing.
        for stream in list(_tapped.values()):
            if isinstance(tap := _own_write(stream), _Tap):
                tap.remove_from(stream)
        _tapped.clear()
        if logging.Logger.callHandlers is _own_call_handlers:
            logging.Logger.callHandlers = _handlers_before
        _own_call_handlers = None


def _body() -> Scope | None:
    """The scope of the task's body that is calling; None where there is none, or it is noted already."""
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
    """The `write` of one stream."""

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
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # the stream may take it
            return self._write(text)
        shown = secrets.hide(text)  # what a cell prints is saved with the notebook
        try:
            _here.noting = True
            written = self._write(shown)
        finally:
            _here.noting = False
        _note(scope, self._name, shown)
        return written if shown is text else len(text)


def _own_write(stream: object) -> Any:
    """The `write` that the stream itself has; None: it has the one of its class."""
    return vars(stream).get("write")


def _tap(stream: Any, name: str) -> None:
    try:
        if not isinstance(stream.write, _Tap):
            _Tap(stream, name)
        _tapped[id(stream)] = stream
    except (AttributeError, TypeError):
        pass  # None, or it takes no attributes: what goes there is not noted, and all else is as ever.


# Logging ------------------------------------------------------------------------------------------


def _tap_logging() -> None:
    """Have a record noted where its logger hands it to the handlers.

    Not by a handler of ours: where there is one, `logging.basicConfig` and its last resort do nothing.
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
            _here.noting = True  # What a handler writes to a stream is this very record.
            return before(self, record)
        finally:
            _here.noting = False

    _own_call_handlers = logging.Logger.callHandlers = call_handlers


def _hide_secrets(record: logging.LogRecord) -> None:
    """SDKs log headers and answers, and whose handlers get them is not ours to say."""
    with contextlib.suppress(Exception):  # of a user's argument; logging itself says so
        message = record.getMessage()
        if (hidden := secrets.hide(message)) != message:
            record.msg, record.args = hidden, None


def _line(record: logging.LogRecord) -> str | None:
    """The record as text; None when it has none: then logging says so itself, on stderr."""
    traceback = record.exc_text
    try:
        return _format(record) + "\n"
    except Exception:  # noqa: BLE001  # of a user's argument or exception
        return None
    finally:
        record.exc_text = traceback  # Handlers may show it in a form of their own.
