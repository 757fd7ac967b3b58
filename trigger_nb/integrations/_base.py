"""The base class of integrations: an authenticated client, and tasks that use it.

An integration opens a client and decides which of the service's errors are worth another attempt; its
methods are tasks. `docs/how-to/write-an-integration.md` builds one from scratch.
"""

from __future__ import annotations

import asyncio
import copy
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    NoReturn,
    Protocol,
    Self,
    TypeVar,
    Unpack,
    cast,
    overload,
)
from weakref import WeakKeyDictionary

from .._concurrency import limiter
from .._redact import secrets
from .._tasks.call import Call
from .._tasks.options import Options, Properties
from ..errors import InvalidOptionError, MissingCredentialError, MissingExtraError, UsageError
from ..retry import Retry, RetryAt, SkipRetrying, standard_backoff

if TYPE_CHECKING:
    from .._clock import Clock

T = TypeVar("T")
SHORTEST_DELAY = 1.0  # seconds before the next attempt after a rate limit
ClientT = TypeVar("ClientT")


class SecretText(Protocol):
    """A `pydantic.SecretStr`, or an object with the same method."""

    def get_secret_value(self) -> str:
        """The text."""
        ...


class Credential:
    """A token, key or password: an argument, or read from an environment variable when a task needs it.

    - `argument`: how to pass the credential, for messages: `"Slack(token=...)"`.
    - `given`: the credential as text or a `SecretStr`; None to read an environment variable.
    - `variables`: names of environment variables, read in this order.

    A credential is never shown, pickled or stored: all that a run stores or shows has "•••" in its place.
    Raises `InvalidOptionError` if `given` is neither text nor a `SecretStr`.

    >>> Credential("Slack(token=...)", "xoxb-1234", "SLACK_BOT_TOKEN")
    <credential: given>
    """

    def __init__(self, argument: str, given: str | SecretText | None, *variables: str) -> None:
        if given is not None and not isinstance(given, str) and not hasattr(given, "get_secret_value"):
            raise InvalidOptionError(f"{argument} takes text or a SecretStr, not {type(given).__name__}")
        self._argument = argument  # how to pass it, for the message that it is missing
        self._given = given
        self._variables = variables

    def read(self) -> str:
        """The secret itself. Raises `MissingCredentialError` if there is none."""
        found = self.find()
        if found is None:
            variable = self._variables[0]
            raise MissingCredentialError(
                f"no credential: pass {self._argument}, or set the environment variable "
                f"{' or '.join(self._variables)} before the task runs; in a notebook, "
                f'os.environ["{variable}"] = getpass.getpass("{variable}: ")'
            )
        return found

    def find(self) -> str | None:
        """The secret itself, or None if there is none."""
        given = self._given
        if given is None:
            found = next(filter(None, map(os.environ.get, self._variables)), None)
        else:
            found = (given if isinstance(given, str) else given.get_secret_value()) or None
        if found is not None:
            secrets.add(found)
        return found

    def __repr__(self) -> str:
        if self._given is not None:
            return "<credential: given>"
        return f"<credential: from {' or '.join(self._variables)}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a credential cannot be pickled: create the integration in the process that uses it")


class Integration(Generic[ClientT]):
    """Base class of integrations. A job gets one by name, and `io.<name>` is a copy bound to the run.

    A subclass sets the class attributes, defines `open_client` and `should_retry`, and adds methods that call
    `task`. The client is opened, and its library imported, when the first task needs it.
    """

    service: ClassVar[str]  # the service's name: "Slack"
    icon: ClassVar[str]
    extra: ClassVar[str] = ""  # the extra of trigger-nb that installs the library; "" if there is none
    retry: ClassVar[Retry] = standard_backoff
    # Whether each event loop gets its own client, as an async client needs.
    client_per_loop: ClassVar[bool] = True

    def __init__(self) -> None:
        self._io: Any = None  # the `io` of the run that this copy is bound to
        # Shared by all copies.
        self._clients = _Clients[ClientT]()
        self._limits = limiter.Service()

    # What a subclass defines ------------------------------------------------------------------

    def open_client(self) -> ClientT:
        """A new client, authenticated, with its own retries switched off. Import the library here."""
        raise NotImplementedError(f"{type(self).__name__}.open_client")

    async def close_client(self, client: ClientT) -> None:
        """Close a client, if the library requires that."""

    def should_retry(self, error: Exception) -> bool | RetryAt | None:
        """Whether another attempt may succeed.

        Return True to retry as the policy `retry` says, `RetryAt` to retry at a given time (for a rate
        limit), and False to fail the task. Return None for an error that is not the service's: the task is
        then retried only if the call has its own `retry`.
        """

    # What a run uses --------------------------------------------------------------------------

    def bind(self, io: Any) -> Self:
        """A copy whose methods are tasks of that run. `io.<name>` and `io.use(...)` do this."""
        bound = copy.copy(self)
        bound._io = io
        return bound

    @overload
    def run_task(
        self, key: Any, body: Callable[..., Awaitable[T]], *args: Any, **options: Unpack[Options]
    ) -> Call[T]: ...
    @overload
    def run_task(
        self, key: Any, body: Callable[..., T], *args: Any, **options: Unpack[Options]
    ) -> Call[T]: ...
    def run_task(self, key: Any, body: Callable[..., Any], *args: Any, **options: Any) -> Call[Any]:
        """Run a task whose body uses the client, as `io.run_task` does.

        ```
        async def archive(channel, client):
            return (await client.conversations_archive(channel=channel)).data

        await io.slack.run_task("archive", archive, "C123")
        ```

        The body gets `client`, `task` and `io` by these parameter names; without `args`, it gets them by
        position in this order. Icon, retries and error handling are the integration's unless `options` set
        them.
        """
        return self._submit(key, body, args, cast("Options", options), "task")

    def task(
        self,
        key: Any,
        body: Callable[..., Any],
        params: Mapping[str, Any],
        *,
        name: str,
        properties: Properties | None = None,
        task_options: Options | None = None,
        returns: Any = None,
        retry: Retry | None = None,
    ) -> Call[Any]:
        """Run the task of a method of this class.

        - `body`: called as `body(params, client, task)`; it may leave out the last parameters.
        - `params`: the request's parameters. Those that are None are left out.
        - `returns`: the result's type, for values that the store cannot rebuild without it.
        - `retry`: the method's retry policy, in place of the class's.
        """
        params = {name: value for name, value in params.items() if value is not None}
        options: Options = {"name": name, "params": params, **(task_options or {})}
        if properties:
            options.setdefault("properties", properties)
        if returns is not None:
            options.setdefault("returns", returns)
        return self._submit(key, body, (params,), options, "own", retry)

    @property
    def native(self) -> ClientT:
        """The client itself, for use outside of tasks. Its calls are not recorded."""
        key = _running_loop() if self.client_per_loop else _ANYWHERE
        credentials = tuple(each.find() for each in vars(self).values() if isinstance(each, Credential))
        return self._clients.get(key, credentials, self._open)

    async def aclose(self) -> None:
        """Close the client that was opened on this event loop, if one was."""
        client = self._clients.pop(_running_loop() if self.client_per_loop else _ANYWHERE)
        if client is not None:
            await self.close_client(client)

    @contextmanager
    def needs_extra(self) -> Generator[None]:
        """A context for importing the library. Raises `MissingExtraError`, with the command that installs it."""
        began = time.monotonic()
        try:
            yield
        except ModuleNotFoundError as error:
            package = f"'trigger-nb[{self.extra}]'" if self.extra else error.name
            raise MissingExtraError(
                f"{self.service} needs a library that is not installed here ({error.name}): "
                f"pip install {package}"
            ) from None
        finally:
            if self._io is not None:
                self._io._excuse(time.monotonic() - began)

    def __repr__(self) -> str:
        credentials = [
            f"{name.lstrip('_')}: {value!r}"
            for name, value in vars(self).items()
            if isinstance(value, Credential)
        ]
        return f"<{type(self).__name__} integration{', ' if credentials else ''}{', '.join(credentials)}>"

    # How it is done ---------------------------------------------------------------------------

    def _submit(
        self,
        key: Any,
        body: Callable[..., Any],
        args: tuple[Any, ...],
        options: Options,
        kind: str,
        retry: Retry | None = None,
    ) -> Call[Any]:
        if self._io is None:
            raise UsageError(
                f'this {type(self).__name__} is not bound to a run. Pass integrations={{"{self.icon}": ...}} to the '
                f"job and use io.{self.icon}, or use io.use(...); outside of a job, use the client: .native"
            )
        defaults: Options = {"icon": self.icon, "retry": retry or self.retry}
        service = ServicePart(self, options.get("retry"))
        return self._io._service_task(
            _users_frame(), key, body, args, {**defaults, **options}, service, kind=kind
        )

    def _open(self) -> ClientT:
        with self.needs_extra():
            return self.open_client()


class Methods(Generic[T]):
    """A group of an integration's methods, as `io.resend.emails` is; `T` is the integration."""

    def __init__(self, integration: T) -> None:
        self._integration = integration


def retry_only(task_options: Options | None) -> Options:
    """The options of a method that also apply to each of its subtasks."""
    return {"retry": task_options["retry"]} if task_options and "retry" in task_options else {}


def _users_frame() -> Any:
    """The frame that called the method: the innermost frame outside of integrations."""
    frame = sys._getframe(2)
    while frame.f_back is not None and isinstance(frame.f_locals.get("self"), (Integration, Methods)):
        frame = frame.f_back
    return frame


class ServicePart:
    """The integration's part in the task of one call: the client, and the decision about errors."""

    def __init__(self, integration: Integration[Any], retry: Any) -> None:
        self._integration = integration
        self._retry = retry  # the call's own policy; None: the integration's

    def client(self) -> Any:
        return self._integration.native

    def limiter(self, clock: Clock) -> limiter.Limiter:
        return self._integration._limits.limiter(clock)

    def judge(self, error: Exception, now: float) -> Exception | RetryAt | SkipRetrying | None:
        if isinstance(error, UsageError):
            return None
        answer = self._should_retry(error)
        if answer is None:
            return None if self._retry is not None else SkipRetrying()
        if isinstance(answer, RetryAt):
            return self.not_at_once(answer, now)
        return None if answer else SkipRetrying()

    def not_at_once(self, answer: RetryAt, now: float) -> RetryAt:
        """At least a second from now: a limit that should be lifted already still holds, or the clocks differ."""
        soon = answer.due_at(now) < now + SHORTEST_DELAY
        return RetryAt(SHORTEST_DELAY, answer.error) if soon else answer

    def _should_retry(self, error: Exception) -> bool | RetryAt | None:
        try:
            return self._integration.should_retry(error)
        except Exception as fault:  # noqa: BLE001  # a fault in `should_retry` must not hide the task's error
            name = type(self._integration).__name__
            error.add_note(f"{name}.should_retry failed: {secrets.hide(repr(fault))}")
            return None


class _Anywhere:
    """The key of a client that belongs to no event loop."""


_ANYWHERE = _Anywhere()


def _running_loop() -> Any:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return _ANYWHERE


class _Clients(Generic[ClientT]):
    """The open clients of one integration, by event loop. A changed credential opens a new client."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: WeakKeyDictionary[Any, tuple[tuple[str | None, ...], ClientT]] = WeakKeyDictionary()

    def get(self, key: Any, credentials: tuple[str | None, ...], make: Callable[[], ClientT]) -> ClientT:
        with self._lock:
            for loop in [each for each in self._open if each is not _ANYWHERE and each.is_closed()]:
                del self._open[loop]  # the client refers to its loop, so neither would be freed
            found = self._open.get(key)
            if found is None or found[0] != credentials:
                found = self._open[key] = (credentials, make())
            return found[1]

    def pop(self, key: Any) -> ClientT | None:
        with self._lock:
            found = self._open.pop(key, None)
            return None if found is None else found[1]

    def __repr__(self) -> str:
        return f"<{len(self._open)} clients>"
