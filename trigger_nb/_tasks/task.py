"""`Task`, the parameter `task` of a body."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from typing import NoReturn

from .._keys import display_path, idempotency_key, is_within, last_segment
from .._records.feed import Progressed
from .._values.pieces import of_object
from ..errors import UsageError
from .call import Scope
from .options import Properties

# In a task with `callback=`: its path, and the address for its answer.
callback_address: ContextVar[tuple[str, str]] = ContextVar("trigger_nb_callback", default=("", ""))


class Task:
    """The running task, for a body that takes a parameter named `task`.

    - `run_id`, `path`: the id of the run, and the keys from the run down to this task.
    - `attempt`: the number of this attempt, from 1.
    - `output_properties`: set it in the body to show properties of the result; as the option `properties`.

    ```
    async def charge(amount, task):
        return {"amount": amount, "idempotency_key": task.idempotency_key}
    ```
    """

    def __init__(
        self, scope: Scope, generation: int = 0, attempt: int = 1, redact: Sequence[str] = ()
    ) -> None:
        self.run_id = scope.owner.run.id
        self.path = scope.path
        self.attempt = attempt
        self.status = "RUNNING"
        self.output_properties: Properties | None = None
        self._generation = generation
        self._redact = redact
        self._scope = scope

    @property
    def id(self) -> str:
        """An id that is unique over all runs: the run's id and the path."""
        return f"{self.run_id}/{self.path}"

    @property
    def key(self) -> str:
        """The key of the task, in its normal form."""
        return last_segment(self.path)

    @property
    def idempotency_key(self) -> str:
        """A token for outside services: the same in every attempt, and after a restart of the kernel."""
        return idempotency_key(self.run_id, self.path, self._generation)

    @property
    def callback_url(self) -> str:
        """The address to which the answer is to be sent, of a task with `callback=`. Raises `UsageError` for another task.

        ```
        def start(text, task):
            service.post("/jobs", json={"text": text, "webhook": task.callback_url})
        ```
        """
        at, url = callback_address.get()
        if not is_within(self.path, at) or not url:
            raise UsageError(
                f"task {display_path(self.path)!r} has no address for an answer: give it one by "
                "io.run_task(key, body, callback=Callback(timeout=3600))"
            )
        return url

    def progress(self, done: float, total: float | None = None, text: str | None = None) -> None:
        """Show the progress of the body while it runs; it is not recorded.

        `done` counts up to `total`, if that is known. `text` is shown beside it.

        ```
        def load(files, task):
            for number, file in enumerate(files, 1):
                task.progress(number, len(files), text=file)
        ```
        """
        feed = self._scope.owner.feed
        if feed.watched:
            feed.emit(Progressed(self.path, done, total, text))

    def log(self, message: object, data: object = None, level: str = "info") -> None:
        """Add a log line below this task. `level` is "debug", "info", "warning" or "error"."""
        self._scope.owner.log(self._scope, level, message, data)

    def show(self, obj: object, label: str = "") -> None:
        """Show an object in the details of this task, while the body runs and later on: a table, a figure, a text.

        Tables of pandas, polars and pyarrow and lists of records show their first rows; figures and images a thumbnail; texts
        themselves; other objects a short form. `label` stands beside it. Each attempt keeps up to 20 of them, whether it
        ends well or fails. They are not part of the result: a replay shows those of the attempt that was recorded.

        ```
        def clean(frame, task):
            task.show(frame[frame["amount"] < 0], label="negative")
            return frame[frame["amount"] >= 0]
        ```
        """
        self._scope.owner.show(self._scope, of_object(obj, label, self._redact))

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a task cannot be pickled: it belongs to this kernel. Pass task.idempotency_key instead."
        )

    def __repr__(self) -> str:
        return f"<Task {self.path!r} attempt {self.attempt} of run {self.run_id}>"
