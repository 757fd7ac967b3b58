"""Replicate, on its own SDK: `pip install 'trigger-nb[replicate]'`.

```python
client.job(id="poster", integrations={"replicate": Replicate()})
...
urls = await io.replicate.run("draw", "black-forest-labs/flux-schnell", input={"prompt": "a fox"})
```
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import anyio

from .._tasks.options import Options, Property
from .._tasks.task import Task
from ..retry import RetryAt
from ._base import Credential, Integration, Methods, SecretText, retry_only
from ._replicate_transport import transport
from ._verdicts import by_status, is_connection_error

if TYPE_CHECKING:
    from replicate.client import Client

    from .._tasks.call import Call

# What Replicate says with a 429: "Your rate limit resets in ~30s.", "Expected available in 1 second."
_LIFTED = re.compile(r"(?:resets|available) in ~?(\d+(?:\.\d+)?) ?s")
_ENDED = {"succeeded", "failed", "canceled"}
Body = Callable[..., Awaitable[Any]]


class Replicate(Integration["Client"]):
    """Replicate's HTTP API. The client is `replicate.Client`; bodies use its `async_` methods.

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

    @property
    def predictions(self) -> Predictions:
        """`predictions.create`, `create_and_await`, `get`, `cancel`."""
        return Predictions(self)

    @property
    def models(self) -> Models:
        """`models.get`."""
        return Models(self)

    @property
    def collections(self) -> Collections:
        """`collections.get`."""
        return Collections(self)

    @property
    def trainings(self) -> Trainings:
        """`trainings.create`, `get`, `cancel`."""
        return Trainings(self)

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
            properties=[_link("Model", ref.partition(":")[0], "")],
            task_options=task_options,
        )


class Predictions(Methods[Replicate]):
    """Predictions. One is a dict: `id`, `status`, `output`, `error`, `logs`, `metrics`, ..."""

    def create(
        self,
        key: Any,
        *,
        version: str | None = None,
        model: str | None = None,
        deployment: str | None = None,
        input: Mapping[str, Any] | None = None,
        task_options: Options | None = None,
        **more: Any,
    ) -> Call[dict[str, Any]]:
        """Make a prediction with a version, an official model, or a deployment, and do not wait for it."""
        params = _prediction(version, model, deployment, input, more)
        return self._integration.task(
            key,
            _create,
            params,
            name="Create prediction",
            properties=_of(params),
            task_options=task_options,
        )

    def create_and_await(
        self,
        key: Any,
        *,
        version: str | None = None,
        model: str | None = None,
        deployment: str | None = None,
        input: Mapping[str, Any] | None = None,
        task_options: Options | None = None,
        **more: Any,
    ) -> Call[dict[str, Any]]:
        """As `run`, for a version, an official model or a deployment; the prediction when it has succeeded."""
        params = _prediction(version, model, deployment, input, more)
        return self._integration.task(
            key,
            _awaited(self._integration, task_options, lambda prediction: prediction),
            params,
            name="Create and await prediction",
            properties=_of(params),
            task_options=task_options,
        )

    def get(self, key: Any, *, id: str, task_options: Options | None = None) -> Call[dict[str, Any]]:
        """A prediction as it is when the task runs."""
        return self._integration.task(
            key,
            _get_prediction,
            {"id": id},
            name="Get prediction",
            properties=[_link("Prediction", id, "p/")],
            task_options=task_options,
        )

    def cancel(self, key: Any, *, id: str, task_options: Options | None = None) -> Call[dict[str, Any]]:
        """Cancel a prediction that runs."""
        return self._integration.task(
            key,
            _cancel_prediction,
            {"id": id},
            name="Cancel prediction",
            properties=[_link("Prediction", id, "p/")],
            task_options=task_options,
        )


class Models(Methods[Replicate]):
    """Models."""

    def get(self, key: Any, *, model: str, task_options: Options | None = None) -> Call[dict[str, Any]]:
        """A model by "owner/name", with its latest version."""
        return self._integration.task(
            key,
            _get_model,
            {"model": model},
            name="Get model",
            properties=[_link("Model", model, "")],
            task_options=task_options,
        )


class Collections(Methods[Replicate]):
    """Collections of models."""

    def get(self, key: Any, *, slug: str, task_options: Options | None = None) -> Call[dict[str, Any]]:
        """A collection, with its models."""
        return self._integration.task(
            key,
            _get_collection,
            {"slug": slug},
            name="Get collection",
            properties=[_link("Collection", slug, "collections/")],
            task_options=task_options,
        )


class Trainings(Methods[Replicate]):
    """Trainings. One is a dict: `id`, `status`, `output`, `error`, `logs`, ..."""

    def create(
        self,
        key: Any,
        *,
        model: str,
        version: str,
        input: Mapping[str, Any],
        destination: str,
        task_options: Options | None = None,
        **more: Any,
    ) -> Call[dict[str, Any]]:
        """Train a version of a model, and do not wait for it. `destination` is "owner/name" of the new model."""
        params = {
            "model": model,
            "version": version,
            "input": dict(input),
            "destination": destination,
            **more,
        }
        return self._integration.task(
            key,
            _create_training,
            params,
            name="Create training",
            properties=[_link("Model", model, ""), _link("Destination", destination, "")],
            task_options=task_options,
        )

    def get(self, key: Any, *, id: str, task_options: Options | None = None) -> Call[dict[str, Any]]:
        """A training as it is when the task runs."""
        return self._integration.task(
            key,
            _get_training,
            {"id": id},
            name="Get training",
            properties=[_link("Training", id, "p/")],
            task_options=task_options,
        )

    def cancel(self, key: Any, *, id: str, task_options: Options | None = None) -> Call[dict[str, Any]]:
        """Cancel a training that runs."""
        return self._integration.task(
            key,
            _cancel_training,
            {"id": id},
            name="Cancel training",
            properties=[_link("Training", id, "p/")],
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
                properties=[_link("Prediction", made["id"], "p/")],
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
            task.output_properties = {"Status": prediction.status, **_seconds(prediction)}
            return _plain(prediction)
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


# `client` is a replicate.Client. Its models are pydantic 1 models, so plain data is stored.
async def _create(params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
    made = _plain(await client.predictions.async_create(**params))
    task.output_properties = [_link("Prediction", made["id"], "p/")]
    return made


async def _get_prediction(params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
    prediction = await client.predictions.async_get(params["id"])
    task.output_properties = {"Status": prediction.status, **_seconds(prediction)}
    return _plain(prediction)


async def _cancel_prediction(params: dict[str, Any], client: Any) -> dict[str, Any]:
    return _plain(await client.predictions.async_cancel(params["id"]))


async def _get_model(params: dict[str, Any], client: Any) -> dict[str, Any]:
    return _plain(await client.models.async_get(params["model"]))


async def _get_collection(params: dict[str, Any], client: Any) -> dict[str, Any]:
    return _plain(await client.collections.async_get(params["slug"]))


async def _create_training(params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
    made = _plain(await client.trainings.async_create(**params))
    task.output_properties = [_link("Training", made["id"], "p/")]
    return made


async def _get_training(params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
    training = await client.trainings.async_get(params["id"])
    task.output_properties = {"Status": training.status}
    return _plain(training)


async def _cancel_training(params: dict[str, Any], client: Any) -> dict[str, Any]:
    return _plain(await client.trainings.async_cancel(params["id"]))


def _plain(model: Any) -> dict[str, Any]:
    return json.loads(model.json())


def _seconds(prediction: Any) -> dict[str, str]:
    metrics: dict[str, Any] = prediction.metrics or {}
    seconds = metrics.get("predict_time")
    return {} if seconds is None else {"Predict time": f"{seconds:.1f} s"}


def _prediction(
    version: str | None,
    model: str | None,
    deployment: str | None,
    input: Mapping[str, Any] | None,
    more: dict[str, Any],
) -> dict[str, Any]:
    named = {"version": version, "model": model, "deployment": deployment}
    chosen = {name: value for name, value in named.items() if value is not None}
    return {**chosen, "input": dict(input or {}), **more}


def _of(params: dict[str, Any]) -> dict[str, str]:
    return {name.capitalize(): params[name] for name in ("version", "model", "deployment") if name in params}


def _link(label: str, name: str, below: str) -> Property:
    return Property(label, name, url=f"https://replicate.com/{below}{name}")


def _lifted(detail: str) -> RetryAt | None:
    found = _LIFTED.search(detail)
    return None if found is None else RetryAt(float(found[1]))
