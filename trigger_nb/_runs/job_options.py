"""The options of a job, and the identity of its runs."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any, Literal

from .. import _values
from .._concurrency.limiter import ConcurrencyLimit, Rate, check_count, to_rate
from .._io.io import Io
from .._keys import hashed
from .._redact import check_redact, redact
from .._tasks.options import OnChange, check_choices
from .._values.tagged import Counts
from ..errors import InvalidOptionError, InvalidPayloadError, NotStorableError
from ..triggers import InvokeTrigger, Trigger
from .outcome import Handler

LogLevel = Literal["debug", "info", "warning", "error"]


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
    log_level: LogLevel = "info"
    max_task_duration: float | timedelta | None = None
    on_change: OnChange | None = None
    repeatable: bool | None = None
    redact: Sequence[str] = ()
    identity: Callable[[Any], object] | None = None
    executor: object = None
    concurrency_limit: int | ConcurrencyLimit | None = None
    rate: str | Rate | None = None

    @classmethod
    def check(cls, given: dict[str, Any]) -> dict[str, Any]:
        """The given options, without those that are None. Raises `InvalidOptionError`."""
        known = [each.name for each in fields(cls)]
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
        return chosen

    def run_id(self, payload: object, counts: Counts = "changed") -> str:
        """The id of the run with this payload: of job id, version, and payload or `identity(payload)` (I1)."""
        identity = payload if self.identity is None else self.identity(payload)
        try:
            return hashed("run_", self.id, self.version, _values.canonical(identity, counts))
        except NotStorableError as error:
            raise InvalidPayloadError(
                f"the payload of job {self.id!r} cannot identify a run: {error}. Pass plain data, or name the "
                "run: identity=lambda payload: ... on the job, or run_id=... here"
            ) from None

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
