"""The options of a job, and the identity of its runs."""

from __future__ import annotations

import difflib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any, Literal, Protocol, TypedDict, TypeVar

from .. import _values
from .._clock import Clock, to_seconds
from .._concurrency.limiter import ConcurrencyLimit, Rate, check_count, to_rate
from .._concurrency.limits import JobLimits, RunLimiter
from .._io.io import Io
from .._keys import hashed
from .._redact import check_redact, redact
from .._tasks.options import OnChange, Reuse, Settings, check_choices
from .._values.tagged import Counts
from ..errors import InvalidOptionError, InvalidPayloadError, NotStorableError, UnreadableFileError
from ..triggers import InvokeTrigger, Trigger
from .notify_option import Notify, check_notify
from .outcome import Handler

F = TypeVar("F", bound=Callable[..., object])
LogLevel = Literal["debug", "info", "warning", "error"]


class JobKeywords(TypedDict, total=False):
    """
    - `id`: the name of the job in its client; by default the name of the function.
    - `name`: shown in trees and tables; by default the id.
    - `version`: another version makes other runs. "0" by default.
    - `trigger`: what starts the job, such as `event_trigger("user.created")`; by default a call.
    - `integrations`: a mapping of names to services, `{"slack": Slack()}`: found in a run as `io.slack`.
    - `enabled`: False: no new run starts; runs that exist can continue.
    - `on_success`, `on_failure`: called with a `Notification` when a run has completed, or failed.
    - `log_level`: the lowest level of `io.logger` that is kept: "debug", "info", "warning" or "error". By default as the
      client says.
    - `max_task_duration`: the `timeout` of tasks that have none, in seconds or as a `timedelta`.
    - `on_change`: for tasks whose code or arguments have changed: "keep" their results, run "only" these tasks again, or
      "rerun" them and all tasks after them. By default as the client says, and so are the next four.
    - `reuse`: where results of the same code and arguments are taken from, in place of calling a body: this "run" only, other
      runs of this "job", or all runs of the "client".
    - `expires_after`: seconds, or a `timedelta`: a task whose result is older runs again.
    - `repeatable`: True if a task may run again whose result is lost or could not be stored.
    - `keep_inputs`: True keeps the arguments of all tasks, False of none; by default those of failed tasks are kept.
    - `executor`: where the bodies of tasks run, such as a `ProcessPoolExecutor`.
    - `redact`: paths of values that are not shown: `["user.email", "items.*.token"]`.
    - `identity`: a function of the payload that returns what identifies the run; by default the whole payload.
    - `concurrency_limit`: how many runs are in progress at once: a number, or a `ConcurrencyLimit` that jobs share.
    - `rate`: how often a run begins at most: "10/hour", or a `Rate`.
    - `notify`: who is told when a run has ended, or asks something: "browser", a function that gets the run, or a list of
      these; False for nobody. By default as the client says.
    """

    id: str | None
    name: str | None
    version: str
    trigger: Trigger | None
    integrations: Mapping[str, object] | None
    enabled: bool
    on_success: Handler | None
    on_failure: Handler | None
    log_level: LogLevel | None
    max_task_duration: float | timedelta | None
    on_change: OnChange | None
    repeatable: bool | None
    keep_inputs: bool | None
    reuse: Reuse | None
    expires_after: float | timedelta | None
    redact: tuple[str, ...] | list[str]
    identity: Callable[[Any], object] | None
    executor: object
    concurrency_limit: int | ConcurrencyLimit | None
    rate: str | Rate | None
    notify: Notify | None


def lists_options(function: F) -> F:
    """Decorator: in the docstring, a line for each option of a job takes the place of OPTIONS."""
    options = inspect.cleandoc(JobKeywords.__doc__ or "")
    function.__doc__ = inspect.cleandoc(function.__doc__ or "").replace("OPTIONS", options)
    return function


class Defaults(Protocol):
    """What jobs take from their client where they do not say it themselves."""

    max_depth: int
    log_level: LogLevel
    on_change: OnChange
    repeatable: bool
    keep_inputs: bool | None
    reuse: Reuse
    expires_after: float | timedelta | None
    executor: object
    notify: Notify | None


@dataclass(frozen=True, slots=True)
class JobOptions:
    """The options of a job: the arguments of `@client.job(...)`. `docs/reference/job.md` describes each."""

    id: str
    name: str
    version: str = "0"
    trigger: Trigger = field(default_factory=InvokeTrigger)
    integrations: Mapping[str, object] = field(default_factory=dict[str, object])
    enabled: bool = True
    on_success: Handler | None = None
    on_failure: Handler | None = None
    log_level: LogLevel | None = None
    max_task_duration: float | timedelta | None = None
    on_change: OnChange | None = None
    repeatable: bool | None = None
    keep_inputs: bool | None = None
    reuse: Reuse | None = None
    expires_after: float | timedelta | None = None
    redact: Sequence[str] = ()
    identity: Callable[[Any], object] | None = None
    executor: object = None
    concurrency_limit: int | ConcurrencyLimit | None = None
    rate: str | Rate | None = None
    notify: Notify | None = None
    # Not an option: the name of the job's file, among those that define a job of this id in the same store.
    source: str = ""

    @classmethod
    def check(cls, given: dict[str, Any]) -> dict[str, Any]:
        """The given options, without those that are None. Raises `InvalidOptionError`."""
        known = [each.name for each in fields(cls) if each.name != "source"]
        for name, value in given.items():
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"Did you mean {close[0]!r}?" if close else f"The options are {', '.join(known)}."
                raise InvalidOptionError(f"a job has no option {name!r}. {hint}")
            if value is not None and name in _KINDS:
                kind, expected = _KINDS[name]
                if not isinstance(value, kind) or value == "":
                    raise InvalidOptionError(f"{name} of a job must be {expected}, not {value!r:.100}")
        _check_integrations(given.get("integrations") or {})
        check_redact(given.get("redact") or ())
        chosen = {name: value for name, value in given.items() if value is not None}
        if "concurrency_limit" in chosen and not isinstance(chosen["concurrency_limit"], ConcurrencyLimit):
            check_count(
                chosen["concurrency_limit"], "concurrency_limit is a ConcurrencyLimit(id, limit), or it"
            )
        if "rate" in chosen:
            chosen["rate"] = to_rate(chosen["rate"], "rate of a job")
        check_choices(chosen)
        check_notify(chosen.get("notify"))
        return chosen

    def settings(self, client: Defaults, on_change: OnChange | None) -> Settings:
        """The defaults for the tasks of a run. `on_change` is that of the call."""
        duration = self.max_task_duration
        expires = client.expires_after if self.expires_after is None else self.expires_after
        return Settings(
            max_depth=client.max_depth,
            on_change=on_change or self.on_change or client.on_change,
            timeout=None if duration is None else to_seconds(duration, "max_task_duration"),
            repeatable=client.repeatable if self.repeatable is None else self.repeatable,
            keep_inputs=client.keep_inputs if self.keep_inputs is None else self.keep_inputs,
            reuse=self.reuse or client.reuse,
            expires_after=None if expires is None else to_seconds(expires, "expires_after"),
            redact=tuple(check_redact(self.redact)),
            executor=client.executor if self.executor is None else self.executor,
        )

    def run_id(self, payload: object, counts: Counts = "changed") -> str:
        """The id of the run with this payload: of job id, version, and payload or `identity(payload)` (I1)."""
        identity = payload if self.identity is None else self.identity(payload)
        try:
            return hashed("run_", self.id, self.version, _values.canonical(identity, counts))
        except UnreadableFileError as error:
            raise UnreadableFileError(
                f"the payload of job {self.id!r} has a File, which counts by its content: {error}", error.path
            ) from None
        except NotStorableError as error:
            raise InvalidPayloadError(
                f"the payload of job {self.id!r} cannot identify a run: {error}. Pass plain data, or name the "
                "run: identity=lambda payload: ... on the job, or run_id=... here"
            ) from None

    def limiter(self, limits: dict[str, JobLimits], clock: Clock) -> RunLimiter | None:
        """The limiter of the job's runs, shared by all jobs with the same named limits. `limits`: those of the store."""
        rate = None if self.rate is None else to_rate(self.rate)
        return limits.setdefault(self.id, JobLimits()).limiter(clock, self.concurrency_limit, rate)

    def preview(self, payload: object) -> str:
        """The payload in a line, redacted."""
        shown = redact(self.redact, _values.preview(payload, 200))
        return "" if shown is None else json.dumps(shown, ensure_ascii=False)[:80]


def _check_integrations(integrations: Mapping[str, object]) -> None:
    for name in integrations:
        if not (isinstance(name, str) and name.isidentifier()) or name.startswith("_") or hasattr(Io, name):  # pyright: ignore[reportUnnecessaryIsInstance]  # a user's mapping
            why = "io has a method of that name" if hasattr(Io, str(name)) else "it is written io.<name>"
            raise InvalidOptionError(f"an integration of a job cannot be named {name!r}: {why}")


_KINDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "id": (str, 'text, such as "new-user"'),
    "name": (str, 'text, such as "Welcome a new user"'),
    "version": (str, 'text, such as "1.0.0"'),
    "trigger": (Trigger, 'a trigger, such as event_trigger("new.user") or invoke_trigger()'),
    "integrations": (Mapping, "a mapping of names to integrations"),
    "redact": ((list, tuple), 'a list of paths, such as ["user.email"]'),
}
