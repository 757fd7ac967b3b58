"""The guard of a trial: code in it that reaches for another machine gets an error in place of a connection.

It listens to the interpreter's audit events, which every library raises that uses Python's sockets, whatever it is
called and wherever it was imported. A context variable tells code of a trial from other code: asyncio's tasks and
the threads of bodies inherit it. Other threads do not, such as those of a pool that a body makes: for these, the
context is noted in which they were started. An audit hook cannot be removed, so both begin with the first trial of
the process.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from contextvars import Context, ContextVar, copy_context
from functools import wraps
from typing import Any, cast
from weakref import WeakKeyDictionary


class Guard:
    """The guard of one trial. `refuse` is called with the name of the machine that code reaches for, and raises."""

    def __init__(self, refuse: Callable[[str], object]) -> None:
        self.refuse = refuse
        self.is_over = False  # the trial has ended: threads that it has started may serve others


guard: ContextVar[Guard | None] = ContextVar("trigger_nb_guard", default=None)
# The contexts in which threads of the user's were started by code of a trial.
_started: WeakKeyDictionary[threading.Thread, Context] = WeakKeyDictionary()
_OURS = "trigger_nb"  # the beginning of the names of our threads, which serve one trial after another
# The place of the host or the address among the arguments of an event.
_EVENTS = {
    "socket.getaddrinfo": 0,
    "socket.gethostbyname": 0,
    "socket.connect": 1,
    "socket.sendto": 1,
    "socket.sendmsg": 1,
}
_is_watching = False


def watch() -> None:
    """Begin to listen, if that has not begun."""
    global _is_watching
    if not _is_watching:
        _is_watching = True
        sys.addaudithook(_on_event)
        _note_starts_of_threads()


# The places are a default: while the interpreter ends, it raises events when the names of this module are gone.
def _on_event(event: str, args: tuple[object, ...], places: Mapping[str, int] = _EVENTS) -> None:
    place = places.get(event)
    if place is None or (found := _found_guard()) is None:
        return
    context, said = found
    address: Any = args[place]
    host = cast("Any", address[0] if isinstance(address, tuple) and address else address)
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if event == "socket.connect" and not isinstance(address, tuple):
        return  # a socket of this machine, which is a file
    if isinstance(host, str) and not _is_here(host):
        context.run(said.refuse, host)


def _note_starts_of_threads() -> None:
    """Note the context of each start of a thread. Its audit event came with Python 3.12."""
    start = threading.Thread.start

    @wraps(start)
    def noted(self: threading.Thread) -> None:
        if (found := _found_guard()) is not None and not self.name.startswith(_OURS):
            _started[self] = found[0]
        start(self)

    threading.Thread.start = noted


def _found_guard() -> tuple[Context, Guard] | None:
    """The guard of the code that runs now, and the context to call it in."""
    if (own := guard.get()) is not None:
        return copy_context(), own
    context = _started.get(threading.current_thread())
    said = None if context is None else context.get(guard)
    return None if context is None or said is None or said.is_over else (context, said)


def _is_here(host: str) -> bool:
    """Whether a name or an address is this machine's: fake services run here."""
    if host in ("", "localhost", "0.0.0.0", "::") or host == socket.gethostname():  # noqa: S104  # an address to compare
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
