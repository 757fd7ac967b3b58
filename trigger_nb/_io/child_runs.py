"""The part of `io` that starts other runs: `invoke` and `invoke_and_wait`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from json import dumps as as_json
from typing import Any, Protocol, TypeVar

from .._maps.parallel import Parallel
from .._tasks.call import Call
from .._tasks.task import Task
from ..errors import InvalidOptionError, StoreError, UsageError
from .starter import ChildRun, TaskStarter, caller

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Invoked(Protocol[T_co]):
    """A job, as `io` takes it."""

    @property
    def run(self) -> Callable[..., Awaitable[T_co]]:
        """Run the job and wait for its output."""
        ...


class ChildRuns(TaskStarter):
    """Starts runs of other jobs, each as a task of this run."""

    def invoke(self, key: object, job: Any, payload: object = None, *, context: object = None) -> Call[str]:
        """Start a run of another job without waiting for it. The result is the child run's id.

        `job` is a `Job`, as `@client.job` returns it. A task that runs again joins the child run that it
        has started before. `context`: JSON values that the child run finds in `ctx.event.context`.

        Raises `UsageError` if `job` is not a job, `InvalidOptionError` for a context, and `InvalidPayloadError` if the payload does not fit it.

        ```
        run_id = await io.invoke("report", send_report, {"user": "u1"})
        ```
        """

        async def start(task: Task) -> str:
            return (await self._child(job, payload, task, context)).id

        self._check_context(context)
        name = self._name_of_invoke(job)
        return self._task(caller(), key, start, kind="run", params=payload, icon="bolt", name=name)

    def invoke_and_wait(
        self,
        key: object,
        job: Invoked[T],
        payload: object = None,
        *,
        timeout: float | timedelta | None = None,
        context: object = None,
    ) -> Call[T]:
        """Start a run of another job and wait for it. The result is the child run's output.

        If this run is canceled, paused or interrupted, or the wait ends by a time limit or because a task beside
        it has failed, the child run stops as well, and continues when the task runs again.

        `timeout` is seconds or a `timedelta`; by default there is no limit. `context` is as for `invoke`.

        Raises the error of the child run, `TaskTimeoutError` after `timeout`, and the errors of `invoke`.

        ```
        report = await io.invoke_and_wait("report", make_report, {"user": "u1"}, timeout=3600)
        ```
        """

        async def start(task: Task) -> object:
            return await (await self._child(job, payload, task, context))._result_of_child()

        self._check_context(context)
        limit: Any = {} if timeout is None else {"timeout": timeout}
        name = self._name_of_invoke(job)
        return self._task(caller(), key, start, kind="run", params=payload, icon="bolt", name=name, **limit)

    def batch_invoke_and_wait(
        self,
        key: object,
        job: Invoked[T],
        payloads: Iterable[object],
        *,
        timeout: float | timedelta | None = None,
    ) -> Call[list[T]]:
        """Start a run of another job for each payload and wait for all. The result is the list of their outputs, in order.

        All child runs settle; then the first error is raised, and only failed ones run again in the next pass. `timeout`
        is the limit of each, in seconds or as a `timedelta`.

        Raises the errors of `invoke_and_wait`.

        ```
        reports = await io.batch_invoke_and_wait("reports", make_report, [{"user": user} for user in users])
        ```
        """
        name = self._name_of_invoke(job)

        async def one(payload: object, io: ChildRuns) -> T:
            return await io.invoke_and_wait("run", job, payload, timeout=timeout)

        fan_out = Parallel(list(payloads), one, {}, caller())
        return self._task(caller(), key, fan_out, kind="parallel", name=name, icon="bolt")

    def _name_of_invoke(self, job: Any) -> str:
        if not hasattr(job, "_start_child"):
            raise self._pass.stopping.misused(
                UsageError(f"io.invoke takes a job, not {type(job).__name__}: {job!r:.100}")
            )
        return f"invoke {job.id}"

    def _check_context(self, context: object) -> None:
        try:
            as_json(context)
        except (TypeError, ValueError, RecursionError) as error:
            told = InvalidOptionError(f"context of a child run is JSON values: {error}")
            raise self._pass.stopping.misused(told) from None

    async def _child(self, job: Any, payload: object, task: Task, context: object) -> ChildRun:
        run_id = "run_" + task.idempotency_key.removeprefix("tnb_")[:20]
        try:
            return self._host.start_child(
                job, payload, run_id=run_id, parent=task.run_id, parent_task=task.path, context=context
            )
        except StoreError as error:
            return await self._pass.stopping.fail(error)
