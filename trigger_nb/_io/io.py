"""What a run function sees: `io`. Every method that takes a key is a task."""

from __future__ import annotations

import difflib
import random
import sys
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol, TypeVar, cast, get_origin, overload

from .._clock import to_datetime, to_seconds, to_timestamp
from .._engine.pass_ import Pass
from .._keys import normal_key
from .._maps.imap import Channel, MapIterator
from .._maps.items import Items, check_items
from .._maps.map import CONCURRENCY, Walk, plan_of
from .._maps.parallel import Parallel
from .._tasks.call import Call, Service
from .._tasks.options import MapOptions, Options, PlainOptions, check_choices
from .._tasks.scope import Scope, current_scope, resolve_scope
from ..errors import InvalidOptionError, StoreError, UsageError
from .key_values import Stores
from .logger import Logger
from .status import Status, StatusCall, StatusState, checked

if TYPE_CHECKING:
    from types import FrameType
    from typing import Unpack

T = TypeVar("T")
R = TypeVar("R")
Item = TypeVar("Item")
Bound = TypeVar("Bound", bound="Bindable")
_KNOWN_OPTIONS = frozenset([*PlainOptions.__annotations__, *Options.__annotations__])
_MAP_OPTIONS = frozenset([*MapOptions.__annotations__, "returns", "batch"])
_TYPING = frozenset({"typing", "typing_extensions"})  # where the kinds of annotations are


class ChildRun(Protocol):
    """What `invoke` needs of a run."""

    @property
    def id(self) -> str: ...
    def __await__(self) -> Any: ...


class Bindable(Protocol):
    """An integration: what a run gets is a copy that is bound to its `io`."""

    def bind(self, io: Any) -> Any:
        """The copy."""
        ...


class Host(Protocol):
    """What `io` asks of the floors above it."""

    log_level: str
    integrations: dict[str, Any]

    def start_child(self, job: Any, payload: Any, *, run_id: str, parent: str, parent_task: str) -> ChildRun:
        """Start a run of `job` that belongs to a task of this run, or join the one there is."""
        ...

    async def send_event(self, name: str, payload: Any, **options: Any) -> Any:
        """Send an event to the client's jobs."""
        ...


class Io:
    """The ways of a run to the outside world, each kept and replayed.

    ```
    async def greet(payload, io):
        name = await io.run_task("fetch-name", fetch_name, payload["id"])
        await io.wait("pause", minutes=5)
        return name
    ```
    """

    def __init__(self, scope: Scope, host: Host) -> None:
        self._scope = scope
        self._host = host

    # A `task` method is plain and returns an awaitable: it notes the caller's place for messages.

    @overload
    def run_task(
        self,
        key: Any,
        body: Callable[..., Any],
        *args: Any,
        returns: type[R],
        **options: Unpack[PlainOptions],
    ) -> Call[R]: ...
    @overload
    def run_task(
        self, key: Any, body: Callable[..., Awaitable[T]], *args: Any, **options: Unpack[Options]
    ) -> Call[T]: ...
    @overload
    def run_task(
        self, key: Any, body: Callable[..., T], *args: Any, **options: Unpack[Options]
    ) -> Call[T]: ...
    def run_task(self, key: Any, body: Callable[..., Any], *args: Any, **options: Any) -> Call[Any]:
        """Run `body(*args)` once, keep its result under `key`, and return it ever after.

        `key` is text or a tuple of plain values, unique in its scope: the run, or the body of the
        task around. `body` is any callable; its parameters named `task` and `io` are filled. The
        options are described in the reference, `docs/reference/io.md`.

        Raises what the body raises, once `retry` gives up; `InvalidKeyError`, `InvalidOptionError`;
        on await `DuplicateKeyError`, `NestingError`.
        """
        frame = sys._getframe(1)
        place = (frame.f_code, frame.f_lasti)
        scope = self._scope
        checked: Any = options
        try:
            if options:
                _check_options(options)
            if current_scope.get() is not scope:  # which it mostly is, and asking here costs least
                scope = resolve_scope(scope)
            return Call(scope, normal_key(key), body, args, checked, place)
        except UsageError as error:
            raise self._pass.misused(error)  # noqa: B904  # the same one

    def _task(
        self, frame: FrameType, key: Any, body: Callable[..., Any] | None, *, kind: str = "own",
        deadline: Callable[[float], float] | None = None, make: type[Call[Any]] = Call, **options: Any,
    ) -> Call[Any]:  # fmt: skip
        place = (frame.f_code, frame.f_lasti)
        try:
            scope = resolve_scope(self._scope)
            return make(
                scope, normal_key(key), body, (), cast("Options", options), place, kind, deadline=deadline
            )
        except UsageError as error:
            raise self._pass.misused(error)  # noqa: B904  # the same one

    def wait(
        self, key: Any, duration: float | timedelta | None = None, *, seconds: float | None = None,
        minutes: float | None = None, hours: float | None = None, days: float | None = None,
        until: datetime | None = None,
    ) -> Call[None]:  # fmt: skip
        """Wait for a duration, or until a time; kernels may come and go meanwhile.

        `duration` is seconds or a `timedelta`; or give any of `seconds`, `minutes`, `hours`, `days`;
        or `until`, an aware datetime. The deadline is fixed when the wait is first reached.

        Raises `InvalidOptionError` for a naive datetime, a negative time, or nothing at all.
        """
        parts = {"seconds": seconds, "minutes": minutes, "hours": hours, "days": days}
        try:
            name, deadline = _deadline(duration, parts, until)
        except UsageError as error:
            raise self._pass.misused(error)  # noqa: B904  # the same one
        return self._task(
            sys._getframe(1),
            key,
            None,
            kind="wait",
            deadline=deadline,
            style="minimal",
            icon="clock",
            name=name,
        )

    def parallel(
        self, key: Any, items: Iterable[Item], body: Callable[..., Any], **options: Unpack[Options]
    ) -> Call[list[Any]]:
        """Run `body(item, index)` for every item at once; a list of the results, in the items' order.

        Every item is a task of its own, keyed by its index. All of them come to an end; then the first
        error is raised. In the next pass only what failed runs again.
        """
        if options:
            _check_options(options)
        frame = sys._getframe(1)
        place = (frame.f_code, frame.f_lasti)
        all_of_them = Parallel(list(items), body, options, place)
        named: dict[str, Any] = {name: options.get(name, "") for name in ("name", "icon")}
        return self._task(frame, key, all_of_them, kind="parallel", **named)

    @overload
    def map(
        self, key: Any, items: Items[Item], body: Callable[..., Awaitable[Sequence[T]]], *, batch: int,
        **options: Unpack[MapOptions],
    ) -> Call[list[T]]: ...  # fmt: skip
    @overload
    def map(
        self, key: Any, items: Items[Item], body: Callable[..., Sequence[T]], *, batch: int,
        **options: Unpack[MapOptions],
    ) -> Call[list[T]]: ...  # fmt: skip
    @overload
    def map(
        self, key: Any, items: Items[Item], body: Callable[..., Any], *, returns: type[R],
        **options: Unpack[MapOptions],
    ) -> Call[list[R]]: ...  # fmt: skip
    @overload
    def map(
        self, key: Any, items: Items[Item], body: Callable[..., Awaitable[T]], **options: Unpack[MapOptions]
    ) -> Call[list[T]]: ...
    @overload
    def map(
        self, key: Any, items: Items[Item], body: Callable[..., T], **options: Unpack[MapOptions]
    ) -> Call[list[T]]: ...
    def map(self, key: Any, items: Items[Any], body: Callable[..., Any], **options: Any) -> Call[list[Any]]:
        """Run `body(item)` for each of thousands of items; a list of the results, in the items' order.

        Each item is a task of its own, kept under what the item is (or under `item_key(item)`): so those
        that are done are replayed wherever they stand, and only new ones run. `items` is any iterable,
        async or not, and is walked as the work goes on. At most `concurrency` run at once. With `batch=100`
        the body gets lists of so many items, and returns a list of their results.

        All items come to an end; then `MapError` is raised with the errors of those that failed, unless
        `return_errors=True` has them among the results. After 20 failures in a row, or `max_failures` in
        all, no new ones begin. `docs/how-to/map-many-items.md` shows all options.

        ```
        vectors = await io.map("embed", texts, embed, concurrency=50, rate="300/minute", retry=3)
        ```

        Raises `MapError`; `InvalidKeyError` for an item that cannot be told from others by its content.
        """
        return self._map(sys._getframe(1), key, items, body, options)[0]

    @overload
    def imap(
        self, key: Any, items: Items[Item], body: Callable[..., Awaitable[Sequence[T]]], *, batch: int,
        **options: Unpack[MapOptions],
    ) -> MapIterator[tuple[Item, T]]: ...  # fmt: skip
    @overload
    def imap(
        self, key: Any, items: Items[Item], body: Callable[..., Sequence[T]], *, batch: int,
        **options: Unpack[MapOptions],
    ) -> MapIterator[tuple[Item, T]]: ...  # fmt: skip
    @overload
    def imap(
        self, key: Any, items: Items[Item], body: Callable[..., Any], *, returns: type[R],
        **options: Unpack[MapOptions],
    ) -> MapIterator[tuple[Item, R]]: ...  # fmt: skip
    @overload
    def imap(
        self, key: Any, items: Items[Item], body: Callable[..., Awaitable[T]], **options: Unpack[MapOptions]
    ) -> MapIterator[tuple[Item, T]]: ...
    @overload
    def imap(
        self, key: Any, items: Items[Item], body: Callable[..., T], **options: Unpack[MapOptions]
    ) -> MapIterator[tuple[Item, T]]: ...
    def imap(
        self, key: Any, items: Items[Any], body: Callable[..., Any], **options: Any
    ) -> MapIterator[tuple[Any, Any]]:
        """As `map`, one by one: pairs of an item and its result, as they come.

        Nothing is held of what was handed over: for results that are too many or too large for a list.

        ```
        async for page, text in io.imap("fetch", pages, fetch):
            index.add(page, text)
        ```
        """
        channel = self._channel(options)
        call, walk = self._map(sys._getframe(1), key, items, body, options, channel.give)
        return MapIterator(call, walk, channel)

    def _channel(self, options: dict[str, Any]) -> Channel:
        """Room for as many results as there are workers: more are not got ready beforehand."""
        given = options.get("concurrency")
        return Channel(given if isinstance(given, int) else CONCURRENCY)

    def _map(
        self, frame: FrameType, key: Any, items: Items[Any], body: Callable[..., Any], options: dict[str, Any],
        give: Callable[[Any, Any], Awaitable[None]] | None = None,
    ) -> tuple[Call[list[Any]], Walk]:  # fmt: skip
        try:
            _check_options(options, _MAP_OPTIONS)
            check_items(items)
            plan = plan_of(options, body)
        except UsageError as error:
            raise self._pass.misused(error)  # noqa: B904  # the same one
        walk = Walk(items, body, plan, (frame.f_code, frame.f_lasti), give)
        named: dict[str, Any] = {
            name: options[name] for name in ("name", "description", "icon") if name in options
        }
        return self._task(frame, key, walk, kind="map", **named), walk

    # Integrations -----------------------------------------------------------------------------

    def use(self, integration: Bound) -> Bound:
        """The integration, bound to this run: `await io.use(slack).post_message("key", ...)`.

        As `io.slack`, for an editor that knows the type, and for one that the job was not given.
        """
        return integration.bind(self)

    def _service_task(
        self, frame: FrameType, key: Any, body: Callable[..., Any], args: tuple[Any, ...], options: Options,
        service: Service, *, kind: Literal["task", "own"],
    ) -> Call[Any]:  # fmt: skip
        """A task of an integration, called in `frame`. For integrations, which offer it to their users."""
        try:
            _check_options(options)
            scope = resolve_scope(self._scope)
            place = (frame.f_code, frame.f_lasti)
            return Call(scope, normal_key(key), body, args, options, place, kind, service)
        except UsageError as error:
            raise self._pass.misused(error)  # noqa: B904  # the same one

    def _excuse(self, seconds: float) -> None:
        self._pass.header.excuse(seconds)

    def _integration(self, name: str, io: Any) -> Any:
        """The job's integration of that name, bound to `io`: this one, or the one that blocks."""
        integrations: dict[str, Any] = self.__dict__["_host"].integrations if "_host" in self.__dict__ else {}
        if name in integrations:
            found = integrations[name]
            return found.bind(io) if hasattr(found, "bind") else found
        known = f"; its integrations are {', '.join(integrations)}" if integrations else ""
        raise AttributeError(f"io has no method and the job no integration named {name!r}{known}")

    # Values that would differ at every pass --------------------------------------------------

    def random(self, key: Any, min: float = 0, max: float = 1, round: bool = False) -> Call[float]:
        """A random number in [min, max] that does not change on replay; an int with `round=True`."""

        def draw() -> float:
            number = random.uniform(min, max)  # noqa: S311  # not for secrets
            return _round(number) if round else number

        return self._task(
            sys._getframe(1), key, draw, thread=False, style="minimal", icon="dice", name="random"
        )

    def now(self, key: Any) -> Call[datetime]:
        """The time at which the run first came here, in UTC."""
        clock = self._pass.clock
        return self._task(
            sys._getframe(1), key, lambda: to_datetime(clock.time()), thread=False, style="minimal",
            icon="clock", name="now",
        )  # fmt: skip

    def uuid(self, key: Any) -> Call[uuid.UUID]:
        """A random UUID that does not change on replay."""
        return self._task(
            sys._getframe(1), key, uuid.uuid4, thread=False, style="minimal", icon="hash", name="uuid"
        )

    # Other runs -------------------------------------------------------------------------------

    def invoke(self, key: Any, job: Any, payload: Any = None) -> Call[str]:
        """Start a run of another job and go on; the child run's id."""

        async def start(task: Any) -> str:
            return (await self._child(job, payload, task)).id

        return self._task(
            sys._getframe(1), key, start, kind="run", params=payload, icon="bolt", name=self._invoking(job)
        )

    def invoke_and_wait(
        self, key: Any, job: Any, payload: Any = None, *, timeout: float | timedelta | None = None
    ) -> Call[Any]:
        """Start a run of another job and wait for its output.

        Raises what the child run ends in, and `TaskTimeoutError` after `timeout` seconds.
        """

        async def start(task: Any) -> Any:
            return await (await self._child(job, payload, task))

        limit: Any = {} if timeout is None else {"timeout": timeout}
        return self._task(
            sys._getframe(1),
            key,
            start,
            kind="run",
            params=payload,
            icon="bolt",
            name=self._invoking(job),
            **limit,
        )

    def _invoking(self, job: Any) -> str:
        if not hasattr(job, "start_child"):
            raise self._pass.misused(
                UsageError(f"io.invoke takes a job, not {type(job).__name__}: {job!r:.100}")
            )
        return f"invoke {job.id}"

    async def _child(self, job: Any, payload: Any, task: Any) -> ChildRun:
        run_id = "run_" + task.idempotency_key.removeprefix("tnb_")[:20]
        try:
            return self._host.start_child(
                job, payload, run_id=run_id, parent=task.run_id, parent_task=task.path
            )
        except StoreError as error:
            return await self._pass.stopping.fail(error)

    def send_event(self, key: Any, name: str, payload: Any = None, **options: Any) -> Call[str]:
        """Send an event to the client's jobs, once; the event's id."""

        async def send(task: Any) -> str:
            try:
                event = await self._host.send_event(name, payload, **{"id": task.idempotency_key, **options})
            except StoreError as error:
                return await self._pass.stopping.fail(error)
            return event.id

        return self._task(sys._getframe(1), key, send, params=payload, icon="bolt", name=f"send {name}")

    # Statuses ---------------------------------------------------------------------------------

    def create_status(
        self, key: Any, label: str, state: StatusState | None = None, data: Mapping[str, Any] | None = None
    ) -> StatusCall[Status]:
        """A named status, shown in the run's header from now on; its `update` says how it stands later.

        `state` is "loading", "success" or "failure". `data` is a mapping of whatever there is to tell;
        `data["progress"]`, from 0 to 1, is drawn as a bar. On replay the status comes back as it was.

        Raises `InvalidOptionError` for another state, a label that is no text, or data that is no mapping.
        """
        said = {"label": label, "state": state, "data": data}
        say = self._say_status
        return say(sys._getframe(1), key, label, said, lambda path: Status(say, path, label))

    def _say_status(
        self, frame: FrameType, key: Any, name: str, said: dict[str, Any], outcome: Callable[[str], T]
    ) -> StatusCall[T]:
        """A task that says how a status stands."""
        try:
            shown = checked(said, self._pass.settings.redact)
        except UsageError as error:
            raise self._pass.misused(error)  # noqa: B904  # the same one
        data = said["data"]
        call: Any = self._task(
            frame, key, lambda: data, kind="status", make=StatusCall, thread=False, style="minimal",
            icon="chart", name=f"status {name}", data=shown,
        )  # fmt: skip
        call.outcome = outcome
        return call

    # Small things -----------------------------------------------------------------------------

    def yield_(self, key: Any) -> Call[None]:
        """A durable checkpoint: the run is known to have come this far."""
        return self._task(
            sys._getframe(1), key, checkpoint, thread=False, style="minimal", icon="flag", name="checkpoint"
        )

    brb = yield_

    async def try_(self, body: Callable[[], Awaitable[T]], on_error: Callable[[Exception], Any]) -> Any:
        """`body()`, or what `on_error(error)` gives when it raises. A plain `try` works as well."""
        try:
            return await body()
        except Exception as error:  # noqa: BLE001  # that is what it is for
            answer = on_error(error)
            return await answer if isinstance(answer, Awaitable) else answer  # pyright: ignore[reportUnknownVariableType]

    @property
    def logger(self) -> Logger:
        """Lines in the tree: `io.logger.info("found", {"rows": 3})`. Plain calls, not repeated on replay."""
        return Logger(self._pass, resolve_scope(self._scope), self._host.log_level)

    @property
    def store(self) -> Stores:
        """Small values that outlive tasks: `io.store.run`, `io.store.job`, `io.store.env`."""
        return Stores(self._task, self._pass.ledger, self._pass.run)

    @property
    def _pass(self) -> Pass:
        return cast("Pass", self._scope.owner)  # or a plan of one, which calls no body

    def __getattr__(self, name: str) -> Any:
        return self._integration(name, self)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "`io` cannot be pickled: it belongs to this kernel. Start tasks here, not in another process."
        )


def _deadline(
    duration: float | timedelta | None, parts: dict[str, float | None], until: datetime | None
) -> tuple[str, Callable[[float], float]]:
    """What a wait is called, and when it ends if it begins at a given time."""
    given = {unit: number for unit, number in parts.items() if number is not None}
    if (duration is not None) + bool(given) + (until is not None) != 1:
        raise InvalidOptionError(
            "io.wait takes a duration, or seconds/minutes/hours/days, or until: one of them"
        )
    if until is not None:
        end = to_timestamp(until, "until")
        return f"wait until {until.isoformat(sep=' ', timespec='seconds')}", lambda _now: end
    try:
        length = to_seconds(timedelta(**given) if duration is None else duration, "the duration of io.wait")
        named = " ".join(
            f"{number:g} {unit[: -1 if number == 1 else None]}" for unit, number in given.items()
        )
        name = f"wait {named}" if named else f"wait {timedelta(seconds=length)}"
    except (TypeError, ValueError, OverflowError) as error:  # not a number, or beyond what a date can be
        raise InvalidOptionError(f"the duration of io.wait makes no time: {error}") from None
    return name, lambda now: now + length


def _check_options(options: Mapping[str, Any], known: frozenset[str] = _KNOWN_OPTIONS) -> None:
    if not options.keys() <= known:
        _refuse_options(options, known)
    check_choices(options)
    handler = options.get("on_error")
    if handler is not None and not callable(handler):
        raise InvalidOptionError(f"on_error is a function, on_error(error, task, io); not {handler!r:.100}")
    if (returns := options.get("returns")) is not None and not _is_type(returns):
        raise InvalidOptionError(
            f"returns is a class, or a type such as list[User], itself and not its name; not {returns!r:.100}"
        )


def _is_type(value: object) -> bool:
    """Whether it is what can be written as an annotation, but for text."""
    return isinstance(value, type) or get_origin(value) is not None or type(value).__module__ in _TYPING


def _refuse_options(options: Mapping[str, Any], known: frozenset[str]) -> NoReturn:
    unknown = next(name for name in options if name not in known)
    close = difflib.get_close_matches(unknown, known, n=3)
    close.sort(key=lambda name: not unknown.startswith(name[:4]))  # "retries": "retry", not "returns"
    hint = f" Did you mean {close[0]!r}?" if close else f" The options are {', '.join(sorted(known))}."
    raise InvalidOptionError(
        f"a task has no option {unknown!r}.{hint} Arguments for the body follow it by position: "
        "io.run_task(key, body, argument)"
    )


def checkpoint() -> None:
    """The body of `yield_`."""


_round = round
