"""A fake Replicate, with models that run at once or when a test says so."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from trigger_nb.testing.services import Answer, Request, Service, route

_VERSION = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"

Run = dict[str, Any]


class FakeReplicate(Service):
    """The part of Replicate's HTTP API that runs models and trains them.

    `predictions` and `trainings` have what was made, by id. One is "starting" when it is made, and when it is
    asked for it has "succeeded" with what `model(input)` gives. To have it otherwise, list what is found
    from one request to the next: `service.states = ["processing", "failed"]`; the last one stays.
    """

    def __init__(
        self, *, api_token: str | None = None, model: Callable[[dict[str, Any]], Any] = lambda given: given
    ) -> None:
        super().__init__()
        self.predictions: dict[str, Run] = {}
        self.trainings: dict[str, Run] = {}
        self.states: list[str] = []
        self._model = model
        self._api_token = api_token  # the valid credential; None: any
        self._ids = count(1)

    @route("POST", "/v1/predictions")
    def create(self, request: Request) -> Answer:
        return self._made(self.predictions, request, "replicate/hello-world", request.json["version"])

    @route("POST", "/v1/models/{owner}/{name}/predictions")
    @route("POST", "/v1/deployments/{owner}/{name}/predictions")
    def create_of(self, request: Request, owner: str, name: str) -> Answer:
        return self._made(self.predictions, request, f"{owner}/{name}", _VERSION)

    @route("POST", "/v1/models/{owner}/{name}/versions/{version}/trainings")
    def train(self, request: Request, owner: str, name: str, version: str) -> Answer:
        return self._made(self.trainings, request, f"{owner}/{name}", version)

    @route("GET", "/v1/{kind}/{id}")
    def get(self, request: Request, kind: str, id: str) -> Answer:
        if kind == "collections":
            return Answer(200, {"slug": id, "name": id, "description": "", "models": [_model("a/b")]})
        made = getattr(self, kind, {}).get(id)
        if made is None:
            return self.error(404, "The requested resource could not be found.")
        if made["status"] in ("starting", "processing"):
            self._go_on(made)
        return Answer(200, made)

    @route("POST", "/v1/{kind}/{id}/cancel")
    def cancel(self, request: Request, kind: str, id: str) -> Answer:
        made = getattr(self, kind)[id]
        made["status"] = "canceled"
        return Answer(200, made)

    @route("GET", "/v1/models/{owner}/{name}")
    def model(self, request: Request, owner: str, name: str) -> Answer:
        return Answer(200, _model(f"{owner}/{name}"))

    def refusal(self, request: Request) -> Answer | None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not given or (self._api_token is not None and given != self._api_token):
            return self.error(401, "You did not pass a valid authentication token")
        return None

    def error(self, status: int, message: str) -> Answer:
        if status == 429:
            message = "Request was throttled. Your rate limit resets in ~30s."
        return Answer(status, {"title": str(status), "detail": message, "status": status})

    def _made(self, kept: dict[str, Run], request: Request, model: str, version: str) -> Answer:
        new = f"run{next(self._ids)}"
        kept[new] = {
            "id": new,
            "model": model,
            "version": version,
            "input": request.json["input"],
            "output": None,
            "logs": "",
            "error": None,
            "status": "starting",
            "created_at": "2024-01-01T00:00:00.000Z",
            "data_removed": False,
            "destination": request.json.get("destination"),
            "metrics": {},
            "urls": {"get": f"{self.url}/v1/predictions/{new}"},
        }
        return Answer(201, dict(kept[new]))

    def _go_on(self, made: Run) -> None:
        made["status"] = self._next_state()
        if made["status"] == "processing":
            made["logs"] = " 50%|█████     | 5/10 [00:01<00:01,  5.0it/s]"
        if made["status"] == "succeeded":
            made.update(output=self._model(made["input"]), metrics={"predict_time": 1.5})
        if made["status"] == "failed":
            made["error"] = "CUDA out of memory"

    def _next_state(self) -> str:
        if len(self.states) > 1:
            return self.states.pop(0)
        return self.states[0] if self.states else "succeeded"


def _model(name: str) -> dict[str, Any]:
    owner, _, name = name.partition("/")
    return {
        "url": f"https://replicate.com/{owner}/{name}",
        "owner": owner,
        "name": name,
        "description": None,
        "visibility": "public",
        "github_url": None,
        "paper_url": None,
        "license_url": None,
        "run_count": 1,
        "cover_image_url": None,
        "default_example": None,
        "latest_version": {
            "id": _VERSION,
            "created_at": "2024-01-01T00:00:00.000Z",
            "cog_version": "0.9",
            "openapi_schema": {},
        },
    }
