"""What a task's body sees of its task, and how a task is described."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

from ._executors import check_executor
from ._feed import Progressed
from ._keys import idempotency_key, last_segment
from ._redact import secrets
from .errors import InvalidOptionError

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from ._feed import Feed
    from ._limits.limiter import RateOption
    from ._scope import Scope

OnChange: TypeAlias = Literal["keep", "only", "rerun"]


@dataclass(frozen=True, slots=True)
class Property:
    """A label and a text shown with a task, optionally with a link or an image.

    >>> Property("User ID", "u1", url="https://example.com/users/u1").label
    'User ID'
    """

    label: str
    text: str
    url: str | None = None
    image_url: str | None = None


Properties: TypeAlias = "Mapping[str, object] | Sequence[Property]"


class ItemOptions(TypedDict, total=False):
    """The options of `io.run_task` that `io.map` takes for the tasks of its items."""

    icon: str
    style: Literal["normal", "minimal"]
    redact: Sequence[str]
    retry: Any
    rate: RateOption
    on_error: Callable[..., Any]
    timeout: float | timedelta
    codec: Literal["pickle"]
    on_change: OnChange
    repeatable: bool
    thread: bool
    executor: Any


class PlainOptions(ItemOptions, total=False):
    """The options of `io.run_task` but `returns`, which its types treat apart."""

    name: str
    description: str
    display_key: str
    properties: Properties
    params: Any
    delay_until: datetime


class MapOptions(ItemOptions, total=False):
    """The options of `io.map` but `returns` and `batch`, which its types treat apart."""

    name: str
    description: str
    properties: Callable[[Any], Properties] | Properties
    item_key: Callable[[Any], Any]
    concurrency: int
    return_errors: bool
    max_failures: float


class Options(PlainOptions, total=False):
    """The options of `io.run_task`. `docs/reference/io.md` describes each."""

    returns: Any


# Options that are one of a few words.
_WORDS: dict[str, tuple[str, ...]] = {
    "on_change": ("keep", "only", "rerun"),
    "style": ("normal", "minimal"),
    "codec": ("pickle",),
    "log_level": ("debug", "info", "warning", "error"),
}
_FLAGS = ("thread", "repeatable", "enabled", "display", "return_errors")


def check_choices(options: Mapping[str, Any]) -> None:
    """Refuse an option that is not what it can be chosen from; of a task, a job, a client or a start."""
    for name, words in _WORDS.items():
        if name in options and (given := options[name]) is not None and given not in words:
            known = " or ".join([", ".join(map(_quoted, words[:-1])), _quoted(words[-1])][len(words) == 1 :])
            raise InvalidOptionError(f"{name} is {known}; not {given!r:.100}")
    for name in _FLAGS:
        if name in options and type(given := options[name]) is not bool:
            raise InvalidOptionError(f"{name} is True or False; not {given!r:.100}")
    check_executor(options.get("executor"))
    if options.get("executor") is not None and options.get("thread") is False:
        raise InvalidOptionError(
            "a task with an executor does not run where the job runs: leave out thread=False"
        )


def _quoted(word: str) -> str:
    return f'"{word}"'


def describe(properties: Properties | None) -> list[dict[str, Any]]:
    """Properties in the form in which they are kept."""
    if not properties:
        return []
    if isinstance(properties, Mapping):
        properties = [Property(str(label), str(text)) for label, text in properties.items()]
    described: list[dict[str, Any]] = []
    for one in properties:
        if not isinstance(one, Property):  # pyright: ignore[reportUnnecessaryIsInstance]  # a user's list
            raise InvalidOptionError(
                f"properties are a mapping of label to text, or a list of Property(label, text); "
                f"got {one!r:.100}"
            )
        fields = {name: secrets.hide(str(value)) for name, value in asdict(one).items() if value is not None}
        described.append(fields)
    return described


class Task:
    """The task, as its body sees it.

    A body gets it by taking a parameter named `task`:

        async def charge(amount, task):
            stripe.Charge.create(amount=amount, idempotency_key=task.idempotency_key)
    """

    def __init__(
        self, run_id: str, path: str, generation: int, attempt: int, feed: Feed, scope: Scope,
        log: Callable[[Scope, str, object, Any], None],
    ) -> None:  # fmt: skip
        self.run_id = run_id
        self.path = path
        self.attempt = attempt
        self.status = "RUNNING"
        # Set in the body, shown after it.
        self.output_properties: Properties | None = None
        self._generation = generation
        self._feed = feed
        self._scope = scope
        self._log = log

    @property
    def id(self) -> str:
        """Unique over all runs: the run's id and the path."""
        return f"{self.run_id}/{self.path}"

    @property
    def key(self) -> str:
        """The cache key in its normal form."""
        return last_segment(self.path)

    @property
    def idempotency_key(self) -> str:
        """A token to hand to outside services: the same in every attempt, pass and kernel."""
        return idempotency_key(self.run_id, self.path, self._generation)

    def progress(self, done: float, total: float | None = None, text: str | None = None) -> None:
        """Show how far the body is. Not kept: a finished task has no progress."""
        if self._feed.watched:
            self._feed.emit(Progressed(self.path, done, total, text))

    def log(self, message: object, data: Any = None, level: str = "info") -> None:
        """Add a line under this task; it is not repeated on replay."""
        self._log(self._scope, level, message, data)

    def __reduce__(self) -> Any:
        raise TypeError(
            "a task cannot be pickled: it belongs to this kernel. Pass task.idempotency_key instead."
        )

    def __repr__(self) -> str:
        return f"<Task {self.path!r} attempt {self.attempt} of run {self.run_id}>"
