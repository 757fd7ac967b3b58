"""The part of `io` that waits for requests from outside: `wait_for_request`, and the option `callback=` of `run_task`.

Both are a task with two subtasks: the body that gives the address away, and the wait for the request. So the body is not
called again once it has ended, and the wait needs no kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from .._callsite import Place
from .._clock import to_seconds
from .._events.requests import RequestBox
from .._tasks.call import Call
from .._tasks.options import Callback
from .._tasks.task import Task, callback_address
from ..errors import InvalidOptionError, StoreError, TaskTimeoutError, UsageError
from .checks import check_options
from .starter import TaskStarter, caller

# The options of a task with a callback that are for the call of its body.
_OF_BODY = ("retry", "rate", "on_error", "timeout", "thread", "executor", "delay_until")


class Requests(TaskStarter):
    """Waits for requests."""

    def wait_for_request(
        self, key: object, callback: Callable[[str], object], *, timeout: float | timedelta = 3600
    ) -> Call[Any]:
        """Give an address away, and wait until JSON is POSTed to it. The result is that JSON. The kernel may stop meanwhile.

        - `callback`: a function of the address, `def` or `async def`, that hands it on: to a service, in a message. It is
          called once.
        - `timeout`: seconds or a `timedelta` that the request may take after that; by default an hour.

        The first request counts, also one that comes before `callback` has returned, or while no kernel lives.

        Raises `UsageError` if nobody serves the address (`client.serve()`), `TaskTimeoutError` when the time is over, and the
        error of `callback`.

        ```
        answer = await io.wait_for_request("shipped", lambda url: carrier.order(parcel, webhook=url), timeout=86_400)
        ```
        """
        place = caller()
        try:
            seconds = to_seconds(timeout, "timeout of io.wait_for_request")
            if not callable(callback):
                raise InvalidOptionError(
                    f"io.wait_for_request takes a function of the address, not {callback!r:.100}"
                )
        except UsageError as error:
            raise self._pass.stopping.misused(error)  # noqa: B904  # the same error

        async def wait(task: Task, io: Any) -> Any:
            box, url = await self._box(task, seconds)
            await io.run_task("callback", callback, url, params="the address", icon="send")
            return await _wait(io, box)

        return self._task(place, key, wait, icon="webhook", name="wait for a request")

    def _with_callback(
        self,
        place: Place,
        key: object,
        body: Callable[..., object],
        args: tuple[object, ...],
        callback: object,
        options: dict[str, Any],
    ) -> Call[Any]:
        """The call of a task with `callback=`. Raises `InvalidOptionError`."""
        if not isinstance(callback, Callback):
            raise InvalidOptionError(f"callback is a Callback(timeout=3600), not {callback!r:.100}")
        if not callable(body):
            raise InvalidOptionError(f"io.run_task takes a function, not {body!r:.100}")
        if options.get("executor") is not None:
            raise InvalidOptionError(
                "callback= does not go with executor=: the address belongs to this process. Call the service in a task of "
                "its own, here"
            )
        check_options(options)
        of_body = {name: options.pop(name) for name in _OF_BODY if name in options}
        if self._pass.settings.executor is not None:
            of_body["executor"] = None
        seconds = to_seconds(callback.timeout, "timeout of Callback")

        async def run(task: Task, io: Any) -> Any:
            box, url = await self._box(task, seconds)
            callback_address.set((task.path, url))
            await io.run_task("call", body, *args, **of_body)
            return await _wait(io, box)

        options.setdefault("params", list(args) if len(args) != 1 else args[0])
        options.setdefault("icon", "webhook")
        return self._task(place, key, run, **options)

    async def _box(self, task: Task, seconds: float) -> tuple[RequestBox, str]:
        """What the request of a task comes to, and its address."""
        box = RequestBox(self._host.post, self._host.store, task.run_id, task.idempotency_key, seconds)
        try:
            return box, box.address()
        except StoreError as error:
            return await self._pass.stopping.fail(error)


def _wait(io: Any, box: RequestBox) -> Call[Any]:
    def taken() -> Any:
        if not box.has_come:
            raise TaskTimeoutError(
                f"no request came within {timedelta(seconds=box.timeout)}. run.retry() waits for it again, at the same address"
            )
        return box.body

    call = io._task(
        caller(), "request", taken, thread=False, style="minimal", icon="clock", name="wait for the request"
    )
    call.outside = box
    return call
