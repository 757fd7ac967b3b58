"""A front end in Python: it takes the messages to the live widget as `static/store.js` does.

`Front` is only what it knows; `KernelFront` is one at a real kernel, to be told what to send.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from trigger_nb._view.live import wire
from trigger_nb._view.model.rows import State

if TYPE_CHECKING:
    from tests.support.kernels import Kernel

WIDGET = "application/vnd.jupyter.widget-view+json"


class Front:
    """What a front end knows of a run."""

    def __init__(self) -> None:
        self.number = 0  # of the last message that came in order
        self.missed = False
        self.run: dict[str, Any] = {}
        self.rows: dict[int, dict[str, Any]] = {}
        self.details: dict[str, Any] = {}
        self.answers: list[dict[str, Any]] = []
        self.found: dict[str, Any] = {}  # where a searched text is in details

    def take(self, message: dict[str, Any]) -> None:
        """Apply a message, which must be JSON."""
        message = json.loads(json.dumps(message, allow_nan=False))
        if message.get("reset"):
            self.rows.clear()
            self.missed = False
        elif message["n"] <= self.number:
            return
        elif message["n"] != self.number + 1:
            self.missed = True
        if not self.missed:
            self.number = message["n"]
        self.run |= message.get("run", {})
        for names, *rows in message.get("rows", []):
            for values in rows:
                self._put(dict(zip(names, values, strict=True)))
        for index in message.get("gone", []):
            self._forget(index)
        self.details |= message.get("details", {})
        self.answers += message.get("answers", [])
        self.found |= message.get("found", {})

    def _forget(self, index: int) -> None:
        if self.rows.pop(index, None) is not None:
            for below in [other for other, row in self.rows.items() if row["p"] == index]:
                self._forget(below)

    def _put(self, fields: dict[str, Any]) -> None:
        if "s" in fields:
            fields["s"] = str(list(State)[fields["s"]])
        row = self.rows.setdefault(fields["i"], dict(wire.DEFAULTS))
        row |= fields
        assert self.missed or row["p"] == -1 or row["p"] in self.rows, "parents come first"

    def row(self, name: str) -> dict[str, Any] | None:
        """The first row of that name or key."""
        return next((row for row in self.rows.values() if name in (row["n"], row["k"])), None)

    @property
    def states(self) -> dict[str, str]:
        """Names of rows and their states."""
        return {row["n"]: row["s"] for row in self.rows.values()}

    def why(self, op: str) -> str | None:
        """Why an action makes no sense now; "" when it does, None when it is not offered."""
        offered = [*self.run["actions"], *self.run["row_actions"].values()]
        return next((action["why"] for action in offered if action["op"] == op), None)


class KernelFront(Front):
    """A front end at a kernel, which shows the last widget that was made there, or the given one.

    It hears all that the kernel says from here on, or all since `since` of `kernel.all_messages`.
    A message of which `loses` says so never arrives.
    """

    def __init__(self, kernel: Kernel, *, model_id: str = "", since: int = 0) -> None:
        super().__init__()
        self.kernel = kernel
        self.model_id = model_id
        self.received: list[dict[str, Any]] = []  # all updates that came, in order
        self.loses: Callable[[dict[str, Any]], object] = lambda _update: False
        self.lost: list[dict[str, Any]] = []
        self.closed = False
        self._known = False  # to the kernel
        self._at = since
        self._ids = count(1)

    # --- what comes -----------------------------------------------------------------------------

    def until(self, condition: Any) -> None:
        """Listen until something holds."""

        def holds() -> object:
            self.listen()
            return condition()

        self.kernel.pump(holds)

    def opens(self) -> KernelFront:
        """Wait for a widget, and say hello to it."""
        self.until(lambda: self.model_id)
        self.hello()
        return self

    def listen(self) -> None:
        """Take what has come."""
        for message in self.kernel.all_messages[self._at :]:
            self._at += 1
            self._hear(message)

    def _hear(self, message: dict[str, Any]) -> None:
        kind, content = message["msg_type"], message["content"]
        if kind == "comm_open" and not self.model_id:
            state = content["data"].get("state", {})
            if state.get("kind") == "run":
                self.model_id = content["comm_id"]
                self.take(state["first"])
        elif content.get("comm_id") != self.model_id:
            return
        elif kind == "comm_close":
            self.closed = True
        elif kind == "comm_msg" and content["data"].get("method") == "custom":
            update = content["data"]["content"]
            self.received.append(update)
            if self.loses(update):
                self.lost.append(update)
            else:
                self.take(update)
                if self.missed:
                    self.hello()

    # --- what is sent ---------------------------------------------------------------------------

    def send(self, content: Any) -> None:
        """As a view sends it."""
        self._send({"method": "custom", "content": content})

    def _send(self, data: dict[str, Any]) -> None:
        send_comm(self.kernel, "comm_msg", {"comm_id": self.model_id, "data": data})

    def hello(self) -> None:
        """That it is there, and what it has."""
        self.send({"t": "hello", "n": self.number, **({} if self._known else {"new": True})})
        self._known = True

    def press(self, op: str, name: str = "") -> dict[str, Any]:
        """Press a button, of the run or of a row; the answer."""
        return self._request({"t": "do", "op": op}, name)

    def ask(self, op: str, name: str) -> dict[str, Any]:
        """What an action on a row would do."""
        return self._request({"t": "ask", "op": op}, name)

    def _request(self, message: dict[str, Any], name: str) -> dict[str, Any]:
        request = f"{id(self)}-{next(self._ids)}"
        row = self.row(name) if name else None
        self.send({**message, "id": request, **({"i": row["i"]} if row else {})})
        self.until(lambda: any(answer["id"] == request for answer in self.answers))
        return next(answer for answer in self.answers if answer["id"] == request)


def send_comm(kernel: Kernel, kind: str, content: dict[str, Any], **parts: Any) -> None:
    """Send a message of a comm to the kernel, as front ends do: on the shell channel."""
    client = kernel.client
    client.shell_channel.send(client.session.msg(kind, content, **parts))


class Loop:
    """As much of an event loop as a display needs, with a clock that only moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.closed = False
        self.timers: list[Timer] = []
        self._soon: deque[Callable[[], Any]] = deque()  # appended to by any thread

    def time(self) -> float:
        return self.now

    def call_soon_threadsafe(self, call: Callable[..., Any], *args: Any, context: Any = None) -> None:
        if self.closed:
            raise RuntimeError("Event loop is closed")
        self._soon.append(partial(call, *args))

    def call_at(self, when: float, call: Callable[..., Any], *args: Any, context: Any = None) -> Timer:
        timer = Timer(self, when, partial(call, *args))
        self.timers.append(timer)
        return timer

    def call_later(self, delay: float, call: Callable[..., Any], *args: Any, context: Any = None) -> Timer:
        return self.call_at(self.now + delay, call, *args)

    def turn(self) -> None:
        """Do what is to be done now."""
        self.advance(0)

    def advance(self, seconds: float) -> None:
        """Let time go by, and do what comes due in it."""
        until = self.now + seconds
        while True:
            while self._soon:
                self._soon.popleft()()
            due = min(self.timers, key=Timer.when, default=None)
            if due is None or due.when() > until:
                break
            self.timers.remove(due)
            self.now = max(self.now, due.when())
            due.call()
        self.now = max(self.now, until)


class Stopwatch:
    """The time that a display takes for its work, as a test has it: none, or `step` seconds from one look to the next.

    Between its pieces of work it goes by the loop's clock, if it is given one.
    """

    def __init__(self, step: float = 0.0, loop: Loop | None = None) -> None:
        self.step = step
        self._loop = loop
        self._worked = 0.0

    def thread_time(self) -> float:
        self._worked += self.step
        return self._worked + (self._loop.now if self._loop else 0.0)

    monotonic = thread_time


class Timer:
    """What `call_at` gives."""

    def __init__(self, loop: Loop, when: float, call: Callable[[], Any]) -> None:
        self._loop = loop
        self._when = when
        self.call = call

    def when(self) -> float:
        return self._when

    def cancel(self) -> None:
        if self in self._loop.timers:
            self._loop.timers.remove(self)
