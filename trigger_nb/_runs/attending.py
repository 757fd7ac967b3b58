"""What other processes ask for, done by the process that drives a run: it looks for requests in the store while it drives any."""

from __future__ import annotations

import asyncio
import contextvars
import logging

from ..errors import StoreError, TriggerError
from . import commands, moving, requests
from .requests import Request
from .runtime import Runtime
from .task_paths import NormalPath

_LOOK = 0.2  # seconds between two looks
_log = logging.getLogger("trigger_nb.work")


def attend(runtime: Runtime) -> None:
    """Look for requests on this event loop, as long as runs are under way in this process."""
    loop = asyncio.get_running_loop()
    known = runtime.attendant
    if known is None or known.loop is not loop:
        runtime.attendant = Attendant(runtime, loop)


class Attendant:
    """Looks for requests from time to time. A look costs microseconds unless another process has committed something."""

    def __init__(self, runtime: Runtime, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._runtime = runtime
        self._version = -1
        # An empty context: whoever starts the first run is not who asks.
        self._context = contextvars.Context()
        self._plan()

    def _plan(self) -> None:
        self.loop.call_later(_LOOK, self._look, context=self._context)

    def _look(self) -> None:
        runtime = self._runtime
        if runtime.attendant is not self:
            return
        if not runtime.executions:
            runtime.attendant = None
            return
        self._plan()
        try:
            version = runtime.store.version()
            if version != self._version:
                for request in list(requests.open_requests(runtime)):
                    _carry_out(runtime, request)
                self._version = version
        except StoreError:  # busy, or gone: at the next look
            _log.debug("requests cannot be read at the moment", exc_info=True)


def _carry_out(runtime: Runtime, request: Request) -> None:
    """Take a request and do what it asks for, unless it was for an earlier pass, or comes too late."""
    run_id = request.run_id
    requests.withdraw(runtime, run_id)
    if request.passes not in (None, runtime.executions[run_id].run.passes):
        return
    try:
        match request.what:
            case "cancel":
                commands.cancel(runtime, run_id)
            case "pause" | "pause now":
                commands.pause(runtime, run_id, now=request.what == "pause now")
            case "skip the wait":
                commands.skip_wait(runtime, run_id, NormalPath(request.path))
            case "hand over" | "hand over now":
                moving.hand_over(runtime, run_id, now=request.what == "hand over now")
    except StoreError:
        raise
    except TriggerError as error:  # it has ended meanwhile
        _log.debug("%s could not be told to %s: %s", run_id, request.words, error)
    else:
        _log.info("%s: told to %s", run_id, request.words)
