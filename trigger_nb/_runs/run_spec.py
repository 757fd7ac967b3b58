"""The specification of a run that an execution or a plan needs: the job's function and settings, and a payload."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .._concurrency.interrupt import calls_user_code
from .._concurrency.limits import RunLimiter
from .._concurrency.threads import call_in_thread
from .._engine.pass_ import Pass
from .._engine.scopes import returned
from .._io.blocking import BlockingIo
from .._io.io import Io
from .._io.starter import Host
from .._records.records import RunRecord
from .._tasks.call import PassApi
from .._tasks.options import Settings
from .._tasks.signature import bind_run, is_async
from .context import Context
from .notify_option import Notifier
from .outcome import Handler
from .payloads import Payload


@dataclass(slots=True)
class RunSpec:
    """The job as it is defined now, and the payload of one run."""

    function: Callable[..., Any]  # returns its output, or an awaitable
    settings: Settings
    host: Callable[[], Host]
    context: Callable[[RunRecord], Context]
    payload: Payload
    on_success: Handler | None = None
    on_failure: Handler | None = None
    limiter: RunLimiter | None = None  # limits the runs of the job
    notify: tuple[Notifier, ...] = ()
    handle: Callable[[str], object] = str  # the run with an id, for those who are told
    make_pass: Callable[..., Pass] = Pass


@calls_user_code
async def call_run_function(
    spec: RunSpec, pass_: PassApi, spawn: Callable[[Callable[[], None]], None]
) -> object:
    """Call the run function in a pass, and return its output. A `def` function runs in a thread that `spawn` starts."""
    blocking = not is_async(spec.function)
    io = Io(pass_.root, spec.host())
    offers = {
        "payload": spec.payload.take(),
        "io": BlockingIo(io) if blocking else io,
        "ctx": spec.context(pass_.run),
    }
    args, named = bind_run(spec.function, offers)
    if not blocking:
        return returned(pass_, await spec.function(*args, **named), "the job's function")
    output = await call_in_thread(spawn, lambda: spec.function(*args, **named))
    return await output if inspect.isawaitable(output) else output
