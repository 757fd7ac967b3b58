"""Replicate, on its own SDK: `pip install 'trigger-nb[replicate]'`.

```python
client.job(id="poster", integrations={"replicate": Replicate()})
...
urls = await io.replicate.run("draw", "black-forest-labs/flux-schnell", input={"prompt": "a fox"})
```
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, cast

import anyio

from .._tasks.call import Call
from .._tasks.options import Options, Property
from .._tasks.task import Task
from ..retry import RetryAt
from ._base import Credential, SecretText, retry_only
from ._http_retries import by_status, is_connection_error
from ._replicate_transport import transport
from ._sdk import Known, Params, SdkIntegration, SdkPath

if TYPE_CHECKING:
    from replicate.client import Client

# What Replicate says with a 429: "Your rate limit resets in ~30s.", "Expected available in 1 second."
_LIFTED = re.compile(r"(?:resets|available) in ~?(\d+(?:\.\d+)?) ?s")
_ENDED = {"succeeded", "failed", "canceled"}
Body = Callable[..., Awaitable[Any]]
# Replicate's pages of what a property names, by its label.
_PAGES = {
    "Prediction": "p/", "Training": "p/", "Collection": "collections/", "Model": "", "Destination": ""
}  # fmt: skip
_OF = {name.capitalize(): name for name in ("version", "model", "deployment")}


def _link(label: str, name: str) -> Property:
    return Property(label, name, url=f"https://replicate.com/{_PAGES[label]}{name}")


def _prediction(params: Params) -> Params:
    return {**params, "input": dict(params.get("input") or {})}


def _made(label: str) -> Callable[[dict[str, Any]], Iterable[Property]]:
    return lambda made: [_link(label, made["id"])]


def _status(made: dict[str, Any]) -> Iterable[Property]:
    yield Property("Status", made["status"])


def _state(prediction: dict[str, Any]) -> Iterable[Property]:
    yield from _status(prediction)
    metrics: dict[str, Any] = prediction.get("metrics") or {}
    if (seconds := metrics.get("predict_time")) is not None:
        yield Property("Predict time", f"{seconds:.1f} s")


class Predictions(SdkPath[Any]):
    """Predictions."""

    def create_and_await(
        self, key: Any, *, task_options: Options | None = None, **params: Any
    ) -> Call[dict[str, Any]]:
        """As `run`, for a `version`, an official `model` or a `deployment`; the prediction when it has succeeded."""
        replicate: Any = self._integration
        params = _prediction(params)
        return replicate.task(
            key,
            _awaited(replicate, task_options, lambda prediction: prediction),
            params,
            name="Create and await prediction",
            properties=replicate._properties("predictions.create", params),
            task_options=task_options,
        )


class Replicate(SdkIntegration["Client", Any]):
    """Replicate's HTTP API. The client is `replicate.Client`; bodies use its `async_` methods.

    **Methods** are the SDK's own, at the path that they have below the client, and return plain data:
    `io.replicate.deployments.get("deployment", "acme/app")` calls `client.deployments.async_get`. All of them are
    there, a list without a `cursor` is its first page; the table has those of which there is more to say.

    `api_token`: without one, `REPLICATE_API_TOKEN` is read when it is needed. `poll_interval` is in seconds,
    half a second or `REPLICATE_POLL_INTERVAL` by default.

    **Retried**: 429 after the seconds that the error names
    (https://replicate.com/docs/topics/predictions/rate-limits); 5xx; broken connections and timeouts. No
    other error is. A prediction that failed is not made again unless `task_options={"retry": 3}` says so.

    Replicate takes no idempotency key: when the kernel dies between Replicate's answer to a `create` and
    its record, or the connection breaks after it was taken, the next attempt creates, and pays for, another
    one. Once the prediction's id is in the store, a killed kernel, an interrupt or a broken connection
    costs nothing: the next pass waits for the same prediction.

    Outputs that are files come as URLs. Replicate deletes files and outputs after an hour
    (https://replicate.com/docs/topics/predictions/data-retention): download what you need in a task.
    """

    service = "Replicate"
    icon = "replicate"
    extra = "replicate"

    def __init__(
        self,
        api_token: str | SecretText | None = None,
        *,
        base_url: str | None = None,
        poll_interval: float | None = None,
    ):
        super().__init__()
        self._api_token = Credential("Replicate(api_token=...)", api_token, "REPLICATE_API_TOKEN")
        self._base_url = base_url  # without one the SDK reads REPLICATE_BASE_URL
        self._poll_interval = poll_interval

    def open_client(self) -> Client:
        from replicate.client import Client

        client = Client(self._api_token.read(), base_url=self._base_url, mounts={"all://": transport()})
        if self._poll_interval is not None:
            client.poll_interval = self._poll_interval
        return client

    async def close_client(self, client: Any) -> None:
        await client._async_client.aclose()  # replicate has no public method for it

    def should_retry(self, error: Exception) -> bool | RetryAt | None:
        from replicate.exceptions import ReplicateError

        if isinstance(error, ReplicateError):
            return error.status is not None and by_status(error.status, _lifted(error.detail or ""))
        return True if is_connection_error(error) else None

    @classmethod
    def _sdk(cls) -> Any:
        from replicate.client import Client

        return Client("of no account")

    @classmethod
    def _is_group(cls, value: Any) -> bool:
        return any(kind.__name__ == "Namespace" for kind in type(value).__mro__)

    def _body(self, path: str) -> Callable[..., Any]:
        return functools.partial(_call, path, self._about(path))

    def _properties(self, path: str, params: Params) -> list[Property]:
        """The properties of a task, with links to Replicate's pages."""
        shown = super()._properties(path, params)
        is_linked = path != "predictions.create"
        return [
            _link(each.label, each.text) if is_linked and each.label in _PAGES else each for each in shown
        ]

    _groups: ClassVar[Mapping[str, type[SdkPath[Any]]]] = {"predictions": Predictions}
    _known: ClassVar[Mapping[str, Known]] = {
        "predictions.create": Known(
            "Make a prediction with a `version`, an official `model`, or a `deployment`, and do not wait for it. One is "
            "a dict: `id`, `status`, `output`, `error`, `logs`, `metrics`, ...",
            shows=_OF,
            tells=_made("Prediction"),
            prepare=_prediction,
        ),
        "predictions.get": Known(
            "A prediction as it is when the task runs.", shows={"Prediction": "id"}, tells=_state
        ),
        "predictions.cancel": Known("Cancel a prediction that runs.", shows={"Prediction": "id"}),
        "models.get": Known('A model by "owner/name", with its latest version.', shows={"Model": "model"}),
        "collections.get": Known("A collection, with its models.", shows={"Collection": "slug"}),
        "trainings.create": Known(
            'Train a version of a model, and do not wait for it. `destination` is "owner/name" of the new model.',
            shows={"Model": "model", "Destination": "destination"},
            tells=_made("Training"),
        ),
        "trainings.get": Known(
            "A training as it is when the task runs.", shows={"Training": "id"}, tells=_status
        ),
        "trainings.cancel": Known("Cancel a training that runs.", shows={"Training": "id"}),
    }

    def run(
        self,
        key: Any,
        ref: str,
        *,
        input: Mapping[str, Any] | None = None,
        task_options: Options | None = None,
        **more: Any,
    ) -> Call[Any]:
        """Run a model and wait for its output: "owner/name:version", or "owner/name" for an official one.

        Raises the SDK's `ModelError` when the prediction fails or is canceled; running the cell again then
        makes a new one. `more` is what the SDK's `predictions.create` takes.
        """
        version = ref.partition(":")[2]
        params = {**({"version": version} if version else {"model": ref}), "input": dict(input or {}), **more}
        return self.task(
            key,
            _awaited(self, task_options, lambda prediction: prediction["output"]),
            params,
            name="Run model",
            properties=[_link("Model", ref.partition(":")[0])],
            task_options=task_options,
        )


def _awaited(
    replicate: Replicate, task_options: Options | None, result: Callable[[dict[str, Any]], Any]
) -> Body:
    """A body that creates a prediction in one subtask and waits for it in the next.

    So a prediction is created once, even if the kernel dies while it runs. If a prediction had failed
    before this attempt, the attempt creates another one.
    """
    tried = retry_only(task_options)

    async def run(params: dict[str, Any], io: Any) -> Any:
        bound = replicate.bind(io)
        number, ended_now = 0, False

        async def wait(params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
            nonlocal ended_now
            ended_now = True
            return await _wait(params, client, task)

        while True:
            number += 1
            made = await bound.predictions.create(("create", number), **params, task_options=tried)
            prediction: dict[str, Any] = await bound.task(
                ("wait", number),
                wait,
                {"id": made["id"]},
                name="Wait for prediction",
                properties=[_link("Prediction", made["id"])],
                task_options=tried,
            )
            fault = _fault(prediction, params["input"])
            if not fault:
                return result(prediction)
            if ended_now:
                raise _model_error(prediction, fault)

    return run


async def _wait(params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
    while True:
        prediction = await client.predictions.async_get(params["id"])
        if prediction.status in _ENDED:
            ended = _plain(prediction)
            task.output_properties = [*_state(ended)]
            return ended
        if (progress := prediction.progress) is not None:
            task.progress(progress.current, progress.total)
        await anyio.sleep(client.poll_interval)


def _fault(prediction: dict[str, Any], given: dict[str, Any]) -> str:
    """The reason that an ended prediction has no output; "" if it has one."""
    if prediction["status"] != "succeeded":
        return prediction["error"] or f"the prediction was {prediction['status']}"
    if given and not prediction["input"]:
        return "the output is gone: Replicate deletes inputs and outputs of predictions after an hour"
    return ""


def _model_error(prediction: dict[str, Any], fault: str) -> Exception:
    from replicate.exceptions import ModelError
    from replicate.prediction import Prediction

    error = ModelError(Prediction(**{**prediction, "error": fault}))
    error.add_note(f"prediction: https://replicate.com/p/{prediction['id']}")
    return error


async def _call(path: str, known: Known, params: Params, client: Any, task: Task) -> Any:
    """The body. `client` is a replicate.Client, whose models are pydantic 1 models: plain data is stored."""
    group, _, name = path.rpartition(".")
    method = getattr(attrgetter(group)(client), f"async_{name}")
    # The name of a model has no name in the SDK's signature.
    is_named = path in ("models.delete", "models.get")
    answer = await (method(params["model"]) if is_named else method(**params))
    task.output_properties = [*known.tells(plain := _plain(answer))]
    return plain


def _plain(answer: Any) -> Any:
    if isinstance(answer, list):
        return [_plain(each) for each in cast("list[Any]", answer)]
    return json.loads(answer.json()) if hasattr(answer, "json") else answer


def _lifted(detail: str) -> RetryAt | None:
    found = _LIFTED.search(detail)
    return None if found is None else RetryAt(float(found[1]))
