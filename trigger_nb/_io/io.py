"""`io`, the object that a run function does everything durable with. Each method that takes a key is a task."""

from __future__ import annotations

import random
import sys
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol, TypeVar, overload

from .._callsite import Place
from .._clock import to_datetime
from .._keys import normal_key
from .._tasks.call import AnyCall, Call, current_scope, resolve_scope
from .._tasks.options import Callback, Options, PlainOptions
from .._tasks.service import Service
from ..errors import UsageError
from .checks import check_options, wait_deadline
from .child_runs import ChildRuns
from .events import Events
from .fan_out import FanOuts
from .fetching import Fetching
from .key_values import Stores
from .logger import Logger
from .questions import Questions
from .registering import Registering
from .requests import Requests
from .starter import caller
from .status import Status, StatusCall, StatusState, checked

if TYPE_CHECKING:
    from types import FrameType
    from typing import Unpack

T = TypeVar("T")
R = TypeVar("R")
Bound = TypeVar("Bound", bound="Bindable")


class Bindable(Protocol):
    """An integration. A run uses a copy that is bound to its `io`."""

    def bind(self, io: Any) -> Any:
        """A copy that is bound to `io`."""
        ...


class Io(FanOuts, ChildRuns, Events, Registering, Requests, Questions, Fetching):
    """The second parameter of a run function: runs tasks and records their results.

    Each method that takes a `key` is a task: it does its work once, and returns the recorded result when the
    run function is executed again. A key is text, or a tuple of text, numbers and other plain values. It must
    be unique among the tasks of the run, or of the task whose body uses `io`. In a `def` job the same methods
    are called without `await`.

    Integrations of the job are attributes: `io.slack`, `io.openai`.

    ```
    async def greet(payload, io):
        name = await io.run_task("fetch-name", fetch_name, payload["id"])
        await io.wait("pause", minutes=5)
        return f"Hello, {name}"
    ```
    """

    @overload
    def run_task(
        self,
        key: object,
        body: Callable[..., object],
        *args: object,
        callback: Callback,
        **options: Unpack[Options],
    ) -> Call[Any]: ...
    @overload
    def run_task(
        self,
        key: object,
        body: Callable[..., object],
        *args: object,
        returns: type[R],
        **options: Unpack[PlainOptions],
    ) -> Call[R]: ...
    @overload
    def run_task(
        self,
        key: object,
        body: Callable[..., Any],
        *args: object,
        check: Callable[[Any], Awaitable[R]],
        **options: Unpack[PlainOptions],
    ) -> Call[R]: ...
    @overload
    def run_task(
        self,
        key: object,
        body: Callable[..., Any],
        *args: object,
        check: type[R] | Callable[[Any], R],
        **options: Unpack[PlainOptions],
    ) -> Call[R]: ...
    @overload
    def run_task(
        self, key: object, body: Callable[..., Awaitable[T]], *args: object, **options: Unpack[Options]
    ) -> Call[T]: ...
    @overload
    def run_task(
        self, key: object, body: Callable[..., T], *args: object, **options: Unpack[Options]
    ) -> Call[T]: ...
    def run_task(self, key: object, body: Callable[..., object], *args: object, **options: Any) -> AnyCall:
        """Run `body(*args)` once, record its result under `key`, and return the recorded result from then on.

        `body` is any callable, sync or async; a `def` body runs in a thread. Its parameters named `task` and
        `io` are filled in: the `Task`, and an `io` for subtasks.

        - `retry`: the number of attempts, or a `Retry`. By default a task is not retried.
        - `on_error`: `on_error(error, task, io)`, called after each failed attempt; it can return `RetryAt(when)`.
        - `timeout`: the limit of one attempt, in seconds or as a `timedelta`.
        - `rate`: how often an attempt may start, such as `"300/minute"`, or a `Rate` that tasks share.
        - `delay_until`: a datetime with a time zone: the earliest start of the first attempt.
        - `name`, `icon`, `description`: shown in the tree, and in the details of the task.
        - `display_key`: shown in place of the key.
        - `properties`: a mapping of labels to texts, or a list of `Property`, shown with the task.
        - `style`: "normal", or "minimal" for a quiet row.
        - `redact`: paths of values that are not shown, such as `["user.email"]`.
        - `params`: the input, for the details and to notice changes; by default the `args`.
        - `on_change`: "keep", "only" or "rerun", for a task whose code or params have changed.
        - `repeatable`: True if the body may run again when its result is lost or could not be stored.
        - `keep_inputs`: True keeps the `args` also of a task that completes, for `run.task(key).inputs`.
        - `reuse`: "run", "job" or "client": where a result of the same code and arguments is taken from, in place of a call.
        - `expires_after`: seconds, or a `timedelta`: if the result is older, the body runs again.
        - `codec`: "pickle" stores the result as a signed pickle.
        - `thread`: False runs a `def` body where the job runs, and not in a thread.
        - `executor`: where the body runs, such as a `ProcessPoolExecutor`.
        - `callback`: a `Callback`: the result is not what the body returns, but the JSON of the first request that comes to
          `task.callback_url`. It needs `client.serve()`.
        - `returns`: a type to validate the result into, such as a pydantic model.
        - `check`: a pydantic model class, or a function of the result that raises or returns what to keep. A
          result that it refuses is a failed attempt; a replay does not call it again.

        Raises the error of the body once `retry` gives up; `TaskTimeoutError`; `InvalidKeyError` and
        `InvalidOptionError` at the call; `DuplicateKeyError` and `NestingError` when awaited.

        ```
        async def fetch(user_id, task):
            return {"id": user_id, "attempt": task.attempt}

        user = await io.run_task("fetch-user", fetch, "u1", retry=3, timeout=30)
        ```
        """
        # `caller` would cost time here: this is the call that a replay makes for every task.
        frame = sys._getframe(1)
        place = (frame.f_code, frame.f_lasti)
        scope = self._scope
        checked: Any = options
        try:
            if options:
                if (callback := options.pop("callback", None)) is not None:
                    return self._with_callback(place, key, body, args, callback, options)
                check_options(options)
            if current_scope.get() is not scope:  # rarely so, and `resolve_scope` costs more than this test
                scope = resolve_scope(scope)
            return Call(scope, normal_key(key), body, args, checked, place)
        except UsageError as error:
            raise self._pass.stopping.misused(error)  # noqa: B904  # the same error

    def wait(
        self,
        key: object,
        duration: float | timedelta | None = None,
        *,
        seconds: float | None = None,
        minutes: float | None = None,
        hours: float | None = None,
        days: float | None = None,
        until: datetime | None = None,
    ) -> Call[None]:
        """Wait for a duration or until a time. The kernel may stop and start again meanwhile.

        Give one of these: `duration` in seconds or as a `timedelta`; any of `seconds`, `minutes`, `hours` and
        `days`, which are added up; or `until`, a datetime with a time zone. The end is recorded when the run
        first comes here.

        Raises `InvalidOptionError` for a datetime without a time zone, a negative duration, or no time at all.

        ```
        await io.wait("pause", minutes=5)
        ```
        """
        parts = {"seconds": seconds, "minutes": minutes, "hours": hours, "days": days}
        try:
            name, deadline = wait_deadline(duration, parts, until)
        except UsageError as error:
            raise self._pass.stopping.misused(error)  # noqa: B904  # the same error
        return self._task(
            caller(), key, None, kind="wait", deadline=deadline, style="minimal", icon="clock", name=name
        )

    # Values that would differ in every pass ---------------------------------------------------------

    def random(self, key: object, min: float = 0, max: float = 1, round: bool = False) -> Call[float]:
        """A random number from `min` to `max` that is the same on replay; an `int` with `round=True`.

        Not for secrets.

        ```
        dice = await io.random("dice", 1, 6, round=True)
        ```
        """

        def draw() -> float:
            number = random.uniform(min, max)  # noqa: S311  # not for secrets
            return _round(number) if round else number

        return self._small_task(caller(), key, draw, "dice", "random")

    def now(self, key: object) -> Call[datetime]:
        """The time in UTC at which the run first came here: the same on replay.

        ```
        started_at = await io.now("started")
        ```
        """
        clock = self._pass.clock
        return self._small_task(caller(), key, lambda: to_datetime(clock.time()), "clock", "now")

    def uuid(self, key: object) -> Call[uuid.UUID]:
        """A random UUID that is the same on replay.

        ```
        order_id = await io.uuid("order-id")
        ```
        """
        return self._small_task(caller(), key, uuid.uuid4, "hash", "uuid")

    def yield_(self, key: object) -> Call[None]:
        """A checkpoint without a value: the record shows that the run came this far.

        ```
        await io.yield_("imported")
        ```
        """
        return self._small_task(caller(), key, checkpoint, "flag", "checkpoint")

    brb = yield_

    def _small_task(
        self, place: Place, key: object, body: Callable[[], object], icon: str, name: str
    ) -> AnyCall:
        return self._task(place, key, body, thread=False, style="minimal", icon=icon, name=name)

    # Statuses, log lines and stored values ----------------------------------------------------------

    def create_status(
        self,
        key: object,
        label: str,
        state: StatusState | None = None,
        data: Mapping[str, object] | None = None,
    ) -> StatusCall[Status]:
        """Show a named status in the header of the run. The result is a `Status`; its `update` changes it.

        `state` is "loading", "success" or "failure". `data` is a mapping of details;
        `data["progress"]`, from 0 to 1, is drawn as a bar. On replay the status is restored.

        Raises `InvalidOptionError` if the state is unknown, the label is not a string, or the data not a mapping.

        ```
        status = await io.create_status("import", "Importing", "loading", {"progress": 0.1})
        await status.update("imported", label="Imported", state="success")
        ```
        """
        said = {"label": label, "state": state, "data": data}
        say = self._say_status
        return say(caller(), key, label, said, lambda path: Status(say, path, label))

    def _say_status(
        self, place: Place, key: object, name: str, said: Mapping[str, object], outcome: Callable[[str], T]
    ) -> StatusCall[T]:
        """The task of one call on a status."""
        try:
            shown = checked(said, self._pass.settings.redact)
        except UsageError as error:
            raise self._pass.stopping.misused(error)  # noqa: B904  # the same error
        data = said["data"]
        call: Any = self._task(
            place,
            key,
            lambda: data,
            kind="status",
            make=StatusCall,
            thread=False,
            style="minimal",
            icon="chart",
            name=f"status {name}",
            data=shown,
        )
        call.outcome = outcome
        return call

    @property
    def logger(self) -> Logger:
        """Log lines in the tree, below the task whose body logs them; not repeated on replay.

        ```
        io.logger.info("found", {"rows": 3})
        ```
        """
        return Logger(self._pass, resolve_scope(self._scope), self._host.log_level)

    @property
    def store(self) -> Stores:
        """Small stored values, by name: of this run, of the job, and of all jobs of the client.

        ```
        await io.store.job.set("remember", "cursor", 42)
        cursor = await io.store.job.get("recall", "cursor", default=0)
        ```
        """
        return Stores(self._task, self._pass.named_values, self._pass.run)

    async def try_(self, body: Callable[[], Awaitable[T]], on_error: Callable[[Exception], object]) -> Any:
        """The result of `body()`, or of `on_error(error)` if the body raises. A plain `try` works as well.

        ```
        size = await io.try_(lambda: io.run_task("size", len, None), lambda error: 0)
        ```
        """
        try:
            return await body()
        except Exception as error:  # noqa: BLE001  # `on_error` decides
            answer = on_error(error)
            return await answer if isinstance(answer, Awaitable) else answer  # pyright: ignore[reportUnknownVariableType]

    # Integrations -----------------------------------------------------------------------------------

    def use(self, integration: Bound) -> Bound:
        """The integration, bound to this run. Use it for one that the job does not list.

        For an integration of the job, `io.slack` is the same, but an editor does not know its type.

        ```
        await io.use(slack).post_message("announce", channel="#general", text="Done")
        ```
        """
        return integration.bind(self)

    def _service_task(
        self,
        frame: FrameType,
        key: object,
        body: Callable[..., object],
        args: tuple[object, ...],
        options: Options,
        service: Service,
        *,
        kind: Literal["task", "own"],
    ) -> AnyCall:
        """The task of an integration's method. `frame` is where the user's code called the method."""
        try:
            check_options(options)
            scope = resolve_scope(self._scope)
            place = (frame.f_code, frame.f_lasti)
            return Call(scope, normal_key(key), body, args, options, place, kind, service)
        except UsageError as error:
            raise self._pass.stopping.misused(error)  # noqa: B904  # the same error

    def _excuse(self, seconds: float) -> None:
        self._pass.excuse(seconds)

    def _integration(self, name: str, io: Any) -> Any:
        """The job's integration with this name, bound to `io`: this object, or its blocking twin."""
        integrations: dict[str, Any] = self.__dict__["_host"].integrations if "_host" in self.__dict__ else {}
        if name in integrations:
            found = integrations[name]
            return found.bind(io) if hasattr(found, "bind") else found
        known = f"; its integrations are {', '.join(integrations)}" if integrations else ""
        raise AttributeError(f"io has no method and the job no integration named {name!r}{known}")

    def __getattr__(self, name: str) -> Any:
        return self._integration(name, self)

    def __dir__(self) -> list[str]:
        """The methods, and the integrations of the job."""
        return [name for name in super().__dir__() if not name.startswith("_")] + [*self._host.integrations]

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "`io` cannot be pickled: it belongs to this kernel. Start tasks here, not in another process."
        )


def checkpoint() -> None:
    """The body of `yield_`."""


_round = round
