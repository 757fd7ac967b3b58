"""The options of a task: their types, their checks, and the settings that they default to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias, TypedDict

from .._clock import to_seconds
from .._concurrency.limiter import RateOption
from .._concurrency.threads import check_executor
from .._redact import secrets
from ..errors import InvalidOptionError
from ..retry import RetryOption

OnChange: TypeAlias = Literal["keep", "only", "rerun"]
Reuse: TypeAlias = Literal["run", "job", "client"]
WaitsOption: TypeAlias = Literal["wait", "skip"]


@dataclass(frozen=True, slots=True)
class Property:
    """A label and a text that are shown with a task, optionally with a link or an image.

    >>> Property("User ID", "u1", url="https://example.com/users/u1").label
    'User ID'
    """

    label: str
    text: str
    url: str | None = None
    image_url: str | None = None


@dataclass(frozen=True, slots=True)
class Callback:
    """The option `callback=` of a task whose result comes later, as a request to `task.callback_url`.

    `timeout`: seconds, or a `timedelta`, that it may take after the body has ended; by default an hour.

    >>> Callback(timeout=600).timeout
    600
    """

    timeout: float | timedelta = 3600

    def __post_init__(self) -> None:
        to_seconds(self.timeout, "timeout of Callback")


Properties: TypeAlias = Mapping[str, object] | Sequence[Property]


class ItemOptions(TypedDict, total=False):
    """The options of `io.run_task` that `io.map` takes for the tasks of its items."""

    icon: str
    style: Literal["normal", "minimal"]
    redact: Sequence[str]
    retry: RetryOption
    rate: RateOption
    on_error: Callable[..., object]
    timeout: float | timedelta
    codec: Literal["pickle"]
    on_change: OnChange
    repeatable: bool
    keep_inputs: bool
    reuse: Reuse
    expires_after: float | timedelta
    thread: bool
    executor: object


class PlainOptions(ItemOptions, total=False):
    """The options of `io.run_task` except `returns` and `check`, which have overloads of their own."""

    name: str
    description: str
    display_key: str
    properties: Properties
    params: object
    delay_until: datetime


class MapOptions(ItemOptions, total=False):
    """The options of `io.map` except `returns`, `check` and `batch`, which have overloads of their own."""

    name: str
    description: str
    properties: Callable[[Any], Properties] | Properties
    item_key: Callable[[Any], Any]
    item_name: Callable[[Any], Any]
    concurrency: int
    return_errors: bool
    max_failures: float
    first: int


class Options(PlainOptions, total=False):
    """The options of `io.run_task`. `docs/reference/io.md` describes each."""

    returns: object
    check: type[Any] | Callable[[Any], object] | None


# Options with a fixed set of values.
_WORDS: dict[str, tuple[str, ...]] = {
    "on_change": ("keep", "only", "rerun"),
    "reuse": ("run", "job", "client"),
    "waits": ("wait", "skip"),
    "style": ("normal", "minimal"),
    "codec": ("pickle",),
    "log_level": ("debug", "info", "warning", "error"),
}
_FLAGS = ("thread", "repeatable", "keep_inputs", "enabled", "display", "tab_title", "return_errors")


def check_choices(options: Mapping[str, object]) -> None:
    """Raise `InvalidOptionError` for an invalid choice or flag among the options of a task, job, client or run."""
    for name, words in _WORDS.items():
        if name in options and (given := options[name]) is not None and given not in words:
            known = " or ".join([", ".join(map(_quoted, words[:-1])), _quoted(words[-1])][len(words) == 1 :])
            raise InvalidOptionError(f"{name} is {known}; not {given!r:.100}")
    for name in _FLAGS:
        if name in options and type(given := options[name]) is not bool:
            raise InvalidOptionError(f"{name} is True or False; not {given!r:.100}")
    if options.get("expires_after") is not None:
        to_seconds(options["expires_after"], "expires_after")
    if "codec" in options and options.get("reuse", "run") not in (None, "run"):
        raise InvalidOptionError(
            f'reuse="{options["reuse"]}" does not go with codec="pickle": a signed pickle belongs to its own run. '
            "Leave out one of them"
        )
    check_executor(options.get("executor"))
    if options.get("executor") is not None and options.get("thread") is False:
        raise InvalidOptionError(
            "thread=False does not go with executor=, whose bodies run elsewhere: leave out one of them"
        )


def _quoted(word: str) -> str:
    return f'"{word}"'


def describe(properties: Properties | None) -> list[dict[str, str]]:
    """Properties as a record stores them. Raises `InvalidOptionError`."""
    if not properties:
        return []
    if isinstance(properties, Mapping):
        properties = [Property(str(label), str(text)) for label, text in properties.items()]
    described: list[dict[str, str]] = []
    for one in properties:
        if not isinstance(one, Property):  # pyright: ignore[reportUnnecessaryIsInstance]  # a user's list
            raise InvalidOptionError(
                f"properties must be a mapping of label to text, or a list of Property(label, text), "
                f"not {one!r:.100}"
            )
        fields = {name: secrets.hide(str(value)) for name, value in asdict(one).items() if value is not None}
        described.append(fields)
    return described


@dataclass(slots=True)
class Settings:
    """The defaults for all tasks of a run, from the job and the client."""

    max_depth: int = 5
    on_change: OnChange = "keep"
    timeout: float | None = None
    repeatable: bool = False
    keep_inputs: bool | None = None  # None: those of failed tasks
    reuse: Reuse = "run"
    expires_after: float | None = None  # seconds
    redact: tuple[str, ...] = ()
    executor: object = None
    waits: WaitsOption = "wait"
