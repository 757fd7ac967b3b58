"""A fake OpenAI, with models that repeat the prompt."""

from __future__ import annotations

import dataclasses
import email.policy
import json
from collections.abc import Iterable
from typing import cast

from ._openai_stream import chat_chunks, pieces, response_events, stream
from ._server import Answer, Json, Request, Service, route

_LIMIT, _TOKEN_LIMIT = 500, 30_000  # a minute
_NOW = 1_700_000_000
_LIMITED = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/images", "/v1/responses")


class FakeOpenAI(Service):
    """OpenAI's API for completions, embeddings, images, files and fine-tuning.

    - `api_key`: the valid key; None (the default) accepts any key, and none.

    A chat answers "You said: ...", or calls the first tool if there are tools. A token is a word. `files`
    and `jobs` are the created objects, by id. Like OpenAI, it executes repeated requests again. `base_url`
    is the address for a client.
    """

    def __init__(self, *, api_key: str | None = None) -> None:
        super().__init__()
        self.files: dict[str, Json] = {}
        self.contents: dict[str, bytes] = {}
        self.jobs: dict[str, Json] = {}
        self.responses: dict[str, Json] = {}
        self.models = {name: _model(name) for name in ("gpt-4o-mini", "text-embedding-3-small")}
        self._api_key = api_key  # the valid key; None: any, and none
        self._tokens = 0

    @property
    def base_url(self) -> str:
        """The address for a client."""
        return f"{self.url}/v1"

    # Answers of models ------------------------------------------------------------------------

    @route("POST", "/v1/chat/completions")
    def chat(self, request: Request) -> Answer | Json:
        asked = request.json
        last = asked["messages"][-1]
        told = _text(last["content"])
        calls = _tool_calls(asked["tools"], told) if asked.get("tools") and last["role"] == "user" else None
        content = None if calls else f"You said: {told}"
        usage = self._usage(" ".join(_text(one["content"]) for one in asked["messages"]), content or "")
        whole: Json = {
            "id": f"chatcmpl-{len(self.requests) + 1}",
            "object": "chat.completion",
            "created": _NOW,
            "model": f"{asked['model']}-2024-07-18",
            "choices": [
                {
                    "index": index,
                    "message": {
                        "role": "assistant",
                        "content": content,
                        "refusal": None,
                        "annotations": [],
                        **({"tool_calls": calls} if calls else {}),
                    },
                    "logprobs": None,
                    "finish_reason": "tool_calls" if calls else "stop",
                }
                for index in range(asked.get("n", 1))
            ],
            "usage": usage,
            "service_tier": "default",
            "system_fingerprint": "fp_0123456789",
        }
        if not asked.get("stream"):
            return whole
        options: Json = asked.get("stream_options") or {}
        return stream(chat_chunks(whole, include_usage=options.get("include_usage", False)))

    @route("POST", "/v1/completions")
    def complete(self, request: Request) -> Answer | Json:
        asked = request.json
        text = f" and so on from {asked['prompt']}"
        choice: Json = {"text": text, "index": 0, "logprobs": None, "finish_reason": "stop"}
        whole: Json = {
            "id": f"cmpl-{len(self.requests) + 1}",
            "object": "text_completion",
            "created": _NOW,
            "model": asked["model"],
            "usage": self._usage(asked["prompt"], text),
            "choices": [choice],
        }
        if not asked.get("stream"):
            return whole
        deltas = [{**choice, "text": piece, "finish_reason": None} for piece in pieces(text)]
        chunks: list[Json] = [
            {**whole, "choices": [piece], "usage": None} for piece in [*deltas, {**choice, "text": ""}]
        ]
        chunks.append({**whole, "choices": []})
        return stream(("data", chunk) for chunk in chunks)

    @route("POST", "/v1/responses")
    def respond(self, request: Request) -> Answer | Json:
        asked = request.json
        told = asked["input"] if isinstance(asked["input"], str) else _text(asked["input"][-1]["content"])
        text = f"You said: {told}"
        used = self._usage(told, text)
        number = len(self.requests) + 1
        whole: Json = {
            "id": f"resp_{number}",
            "object": "response",
            "created_at": _NOW,
            "status": "completed",
            "error": None,
            "incomplete_details": None,
            "instructions": asked.get("instructions"),
            "metadata": {},
            "model": f"{asked['model']}-2024-07-18",
            "parallel_tool_calls": True,
            "temperature": 1.0,
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "output": [
                {
                    "type": "message",
                    "id": f"msg_{number}",
                    "status": "completed",
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": text, "annotations": []}],
                }
            ],
            "usage": {
                "input_tokens": used["prompt_tokens"],
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": used["completion_tokens"],
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": used["total_tokens"],
            },
        }
        self.responses[whole["id"]] = whole
        return stream(response_events(whole, text)) if asked.get("stream") else whole

    @route("GET", "/v1/responses/{response_id}")
    def retrieve_response(self, request: Request, response_id: str) -> Answer | Json:
        return self.responses.get(response_id) or _not_found(f"Response with id '{response_id}' not found.")

    @route("POST", "/v1/embeddings")
    def embed(self, request: Request) -> Json:
        asked = request.json
        texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
        return {
            "object": "list",
            "model": asked["model"],
            "data": [
                {"object": "embedding", "index": index, "embedding": [len(text) / 8, index / 8, -0.5]}
                for index, text in enumerate(texts)
            ],
            "usage": {
                name: count
                for name, count in self._usage(" ".join(texts), "").items()
                if name != "completion_tokens"
            },
        }

    @route("POST", "/v1/images/generations")
    def draw(self, request: Request) -> Json:
        asked = request.json
        as_bytes = asked.get("response_format") == "b64_json"
        number = len(self.requests) + 1
        images = [
            {"b64_json": "iVBORw0KGgo="} if as_bytes else {"url": f"{self.url}/images/{number}-{index}.png"}
            for index in range(asked.get("n", 1))
        ]
        return {"created": _NOW, "data": images}

    # Models, files, fine-tuning ---------------------------------------------------------------

    @route("GET", "/v1/models")
    def list_models(self, request: Request) -> Json:
        return {"object": "list", "data": [*self.models.values()]}

    @route("GET", "/v1/models/{name}")
    def retrieve_model(self, request: Request, name: str) -> Answer | Json:
        return self.models.get(name) or _no_model(name)

    @route("DELETE", "/v1/models/{name}")
    def delete_model(self, request: Request, name: str) -> Answer | Json:
        if name not in self.models:
            return _no_model(name)
        if not name.startswith("ft:"):
            return self.error(403, "You have insufficient permissions for this operation.")
        del self.models[name]
        return {"id": name, "object": "model", "deleted": True}

    @route("POST", "/v1/files")
    def upload(self, request: Request) -> Json:
        fields = _multipart(request)
        filename, content = fields["file"]
        name = f"file-{len(self.files) + 1}"
        self.contents[name] = content
        self.files[name] = {
            "id": name,
            "object": "file",
            "bytes": len(content),
            "created_at": _NOW,
            "filename": filename,
            "purpose": fields["purpose"][1].decode(),
            "status": "uploaded",
        }
        return self.files[name]

    @route("GET", "/v1/files")
    def list_files(self, request: Request) -> Json:
        return _page(self.files.values(), request)

    @route("GET", "/v1/files/{name}")
    def retrieve_file(self, request: Request, name: str) -> Answer | Json:
        if name not in self.files:
            return _not_found(f"No such File object: {name}")
        self.files[name] |= {"status": "processed"}
        return self.files[name]

    @route("GET", "/v1/files/{name}/content")
    def file_content(self, request: Request, name: str) -> Answer:
        if name not in self.files:
            return _not_found(f"No such File object: {name}")
        return Answer(200, self.contents[name], {"Content-Type": "application/octet-stream"})

    @route("DELETE", "/v1/files/{name}")
    def delete_file(self, request: Request, name: str) -> Answer | Json:
        if self.files.pop(name, None) is None:
            return _not_found(f"No such File object: {name}")
        return {"id": name, "object": "file", "deleted": True}

    @route("POST", "/v1/fine_tuning/jobs")
    def fine_tune(self, request: Request) -> Answer | Json:
        asked = request.json
        if asked["training_file"] not in self.files:
            return _error(400, f"invalid training_file: {asked['training_file']}", code="invalid_file")
        name = f"ftjob-{len(self.jobs) + 1}"
        self.jobs[name] = {
            "id": name,
            "object": "fine_tuning.job",
            "created_at": _NOW,
            "error": None,
            "finished_at": None,
            "fine_tuned_model": None,
            "hyperparameters": {"n_epochs": "auto"},
            "model": asked["model"],
            "organization_id": "org-1",
            "result_files": [],
            "seed": 1,
            "status": "queued",
            "trained_tokens": None,
            "training_file": asked["training_file"],
            "validation_file": None,
        }
        return self.jobs[name]

    @route("GET", "/v1/fine_tuning/jobs")
    def list_jobs(self, request: Request) -> Json:
        return _page(self.jobs.values(), request)

    @route("GET", "/v1/fine_tuning/jobs/{name}")
    def retrieve_job(self, request: Request, name: str) -> Answer | Json:
        """Return a job. It runs at the first request and has succeeded at the second."""
        if name not in self.jobs:
            return _no_job(name)
        job = self.jobs[name]
        if job["status"] == "queued":
            job["status"] = "running"
        elif job["status"] == "running":
            model = f"ft:{job['model']}:org-1::{name.removeprefix('ftjob-')}"
            self.models[model] = _model(model)
            job |= {"status": "succeeded", "fine_tuned_model": model, "finished_at": _NOW + 60}
        return job

    @route("POST", "/v1/fine_tuning/jobs/{name}/cancel")
    def cancel_job(self, request: Request, name: str) -> Answer | Json:
        if name not in self.jobs:
            return _no_job(name)
        self.jobs[name] |= {"status": "cancelled"}
        return self.jobs[name]

    @route("GET", "/v1/fine_tuning/jobs/{name}/events")
    def list_events(self, request: Request, name: str) -> Answer | Json:
        if name not in self.jobs:
            return _no_job(name)
        told = [
            "Created fine-tuning job",
            "Validating training file",
            "Files validated, moving job to queued",
        ]
        events = [
            {
                "id": f"ftevent-{number}",
                "object": "fine_tuning.job.event",
                "created_at": _NOW + number,
                "level": "info",
                "message": message,
                "type": "message",
            }
            for number, message in enumerate(told)
        ]
        return _page(reversed(events), request)

    # Authentication, and the headers of every answer ----------------------------------------------

    def refusal(self, request: Request) -> Answer | None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self._api_key is None or given == self._api_key:
            return None
        if not given:
            return _error(401, "You didn't provide an API key.")
        shown = f"{given[:4]}{'*' * max(0, len(given) - 8)}{given[-4:]}"
        return _error(401, f"Incorrect API key provided: {shown}.", code="invalid_api_key")

    def error(self, status: int, message: str) -> Answer:
        if status != 429:
            return _error(status, message, code="invalid_api_key" if status == 401 else None)
        message = (
            f"Rate limit reached for gpt-4o-mini in organization org-1 on requests per min (RPM): Limit {_LIMIT}, "
            f"Used {_LIMIT}, Requested 1. Please try again in 20s."
        )
        headers = _limits(0, _TOKEN_LIMIT) | {"x-ratelimit-reset-requests": "20s"}
        return dataclasses.replace(_error(429, message, code="rate_limit_exceeded"), headers=headers)

    def handle(self, request: Request) -> Answer | None:
        answer = super().handle(request)
        if answer is None:
            return None
        headers = {"x-request-id": f"req_{len(self.requests)}"}
        if answer.status == 200 and request.path.startswith(_LIMITED):
            headers |= _limits(_LIMIT - len(self.requests), _TOKEN_LIMIT - self._tokens)
        return dataclasses.replace(answer, headers={**headers, **answer.headers})

    def _usage(self, asked: str, answered: str) -> Json:
        prompt, completion = len(asked.split()), len(answered.split())
        self._tokens += prompt + completion
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _limits(requests: int, tokens: int) -> dict[str, str]:
    return {
        "x-ratelimit-limit-requests": str(_LIMIT),
        "x-ratelimit-limit-tokens": str(_TOKEN_LIMIT),
        "x-ratelimit-remaining-requests": str(requests),
        "x-ratelimit-remaining-tokens": str(tokens),
        "x-ratelimit-reset-requests": "120ms",
        "x-ratelimit-reset-tokens": "6m0s",
    }


def _error(status: int, message: str, code: str | None = None) -> Answer:
    kind = "server_error" if status >= 500 else "requests" if status == 429 else "invalid_request_error"
    return Answer(status, {"error": {"message": message, "type": kind, "param": None, "code": code}})


def _not_found(message: str) -> Answer:
    return _error(404, message)


def _no_model(name: str) -> Answer:
    return _error(404, f"The model '{name}' does not exist", code="model_not_found")


def _no_job(name: str) -> Answer:
    return _error(404, f"Could not find fine tune: {name}", code="fine_tune_not_found")


def _model(name: str) -> Json:
    return {"id": name, "object": "model", "created": _NOW, "owned_by": "system"}


def _text(content: str | list[dict[str, str]] | None) -> str:
    """The text of a message, whose content is text or a list of parts."""
    if isinstance(content, list):
        return " ".join(part.get("text", "") for part in content)
    return content or ""


def _tool_calls(tools: list[Json], told: str) -> list[Json]:
    name = tools[0]["function"]["name"]
    arguments = json.dumps({"text": told})
    return [{"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}]


def _page(items: Iterable[Json], request: Request) -> Json:
    found = list(items)
    after = request.query.get("after")
    start = next((at for at, item in enumerate(found, 1) if item["id"] == after), 0)
    end = start + int(request.query.get("limit", "2"))  # few, so that small tests have several pages
    return {"object": "list", "data": found[start:end], "has_more": end < len(found)}


def _multipart(request: Request) -> dict[str, tuple[str, bytes]]:
    """The fields of a multipart form: file name and bytes of each."""
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + request.body, policy=email.policy.HTTP)
    fields: dict[str, tuple[str, bytes]] = {}
    for part in message.iter_parts():
        content = cast("bytes", part.get_payload(decode=True))
        fields[str(part.get_param("name", header="content-disposition"))] = (
            part.get_filename() or "",
            content,
        )
    return fields
