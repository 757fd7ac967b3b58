"""`io.create_status`: named statuses that a run shows in its header and in `run.statuses`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypeVar, cast

from .. import _values
from .._callsite import Place
from .._records.statuses import STATES, number
from .._redact import redact, secrets
from .._tasks.call import Call
from ..errors import InvalidOptionError
from .starter import caller

T = TypeVar("T")
StatusState: TypeAlias = Literal["loading", "success", "failure"]


class Say(Protocol):
    """A function that makes the task of a call at `place`; see `StatusCall` for `outcome`."""

    def __call__(
        self, place: Place, key: object, name: str, said: Mapping[str, object], outcome: Callable[[str], T]
    ) -> StatusCall[T]: ...


class Status:
    """A named status that the header of a run shows: the result of `await io.create_status(...)`.

    ```
    status = await io.create_status("import", "Importing", "loading", {"progress": 0.1})
    await status.update("half-way", data={"progress": 0.5})
    await status.update("imported", label="Imported", state="success", data={"progress": 1})
    ```
    """

    def __init__(self, say: Say, path: str, label: str) -> None:
        self._say = say
        self._path = path
        self._label = label

    def update(
        self,
        key: object,
        label: str | None = None,
        state: StatusState | None = None,
        data: Mapping[str, object] | None = None,
    ) -> StatusCall[None]:
        """Change the status. The change is a task, with this key in the current scope.

        Arguments that are not given keep their value; `data` replaces all earlier data.

        Raises `InvalidOptionError` if the state is unknown, the label is not a string, or the data not a mapping.
        """
        said = {"of": self._path, "label": label, "state": state, "data": data}
        return self._say(caller(), key, label or self._label, said, _nothing)

    def __repr__(self) -> str:
        return f"<status {self._label!r}>"


class StatusCall(Call[T]):
    """A call on a status; its result is `outcome(path)`."""

    __slots__ = ("outcome",)

    outcome: Callable[[str], T]

    def __await__(self) -> Generator[Any, Any, T]:
        yield from super().__await__()
        return self.outcome(self.path)

    def send(self, value: Any) -> Any:
        self.steps = self.steps or self.__await__()
        return self.steps.send(value)


def checked(said: Mapping[str, object], hidden: Sequence[str]) -> dict[str, Any]:
    """The arguments of one call as they are stored and displayed: those that are given, previewed and redacted.

    Raises `InvalidOptionError`.
    """
    label, state, data = said["label"], said["state"], said["data"]
    if not (isinstance(label, str) and label) and not (label is None and "of" in said):
        raise InvalidOptionError(
            f'the label of a status must be a string such as "Importing", not {label!r:.100}'
        )
    if state is not None and state not in STATES:
        known = ", ".join(f'"{each}"' for each in STATES)
        raise InvalidOptionError(f"the state of a status must be one of {known}, not {state!r:.100}")
    if data is not None and not isinstance(data, Mapping):
        raise InvalidOptionError(
            f'the data of a status must be a mapping such as {{"progress": 0.5}}, not {data!r:.100}'
        )
    kept = {name: value for name, value in said.items() if value is not None}
    if label is not None:
        kept["label"] = secrets.hide(label)
    if data is not None:
        kept["data"] = redact(hidden, _shown(cast("Mapping[str, object]", data)))
    return kept


def _nothing(_path: str) -> None:
    pass


def _shown(data: Mapping[str, object]) -> object:
    """A preview of the data. The progress comes first, so that it is never cut off, as a plain number."""
    share = number(data.get("progress"))
    if share is not None:
        data = {"progress": share, **{key: value for key, value in data.items() if key != "progress"}}
    return _values.preview(data)
