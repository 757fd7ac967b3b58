"""The bodies of the tasks: one request each, by the path of the SDK's method.

`client` is an AsyncOpenAI, whose methods are found by name here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

from ..._tasks.options import Property
from ..._tasks.task import Task
from ...errors import InvalidOptionError
from ._answers import noted, show, stored
from ._stream import failure, read_chunks, read_events


def reads(path: str) -> Callable[..., Any]:
    """A body that only reads: `reads("models.retrieve")`."""
    return functools.partial(_read, path)


def writes(path: str) -> Callable[..., Any]:
    """A body that creates or changes an object, with the task's idempotency key."""
    return functools.partial(_write, path)


def lists(path: str) -> Callable[..., Any]:
    """A body that lists all objects, or the first `limit`."""
    return functools.partial(_list, path)


def completes(path: str) -> Callable[..., Any]:
    """A body that has a model complete something, streamed if the params say so."""
    return functools.partial(_complete, path)


async def _read(path: str, params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
    return _answer(await _send(client, path, params), params, client, task)


async def _write(path: str, params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
    if params.get("stream"):
        raise InvalidOptionError(f"{path} is not streamed here: leave out stream=True")
    return _answer(await _send(client, path, _with_key(params, task)), params, client, task)


async def _list(path: str, params: dict[str, Any], client: Any, task: Task) -> list[dict[str, Any]]:
    page = (await _send(client, path, params)).parse()
    found = (page.data or []) if "limit" in params else [item async for item in page]
    task.output_properties = [Property("Found", str(len(found)))]
    return [stored(item) for item in found]


async def _complete(path: str, params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
    if not params.get("stream"):
        return await _write(path, params, client, task)
    raw = await _open_stream(client, path, _with_key(params, task))
    data = noted(await read_chunks(raw, task), raw.request_id)
    show(task, data, params, raw, client)
    return data


async def _open_stream(client: Any, path: str, params: dict[str, Any]) -> Any:
    """Request the token usage, which a stream otherwise leaves out."""
    import openai

    if "stream_options" in params:
        return await _send(client, path, params)
    try:
        return await _send(client, path, {**params, "stream_options": {"include_usage": True}})
    except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
        if "stream_options" not in str(error):
            raise
    return await _send(client, path, params)  # a compatible server may not know the option


async def create_response(params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
    """`responses.create`, streamed if the params say so."""
    raw = await _send(client, "responses.create", _with_key(params, task))
    if not params.get("stream"):
        data = _answer(raw, params, client, task)
    else:
        data = noted(await read_events(raw, task), raw.request_id)
        show(task, data, params, raw, client)
    if data.get("status") == "failed":
        raise failure(data.get("error") or {}, raw)
    return data


async def wait_for_file(params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
    """`files.wait_for_processing`, the SDK's own poll."""
    return _waited(await client.files.wait_for_processing(**params), task)


async def poll_run(params: dict[str, Any], client: Any, task: Task) -> dict[str, Any]:
    """`beta.threads.runs.poll`, the SDK's own poll."""
    return _waited(await client.beta.threads.runs.poll(**params), task)


async def content_of_file(params: dict[str, Any], client: Any) -> bytes:
    """`files.content`, as bytes."""
    return (await client.files.with_raw_response.content(**params)).content


async def _send(client: Any, path: str, params: Mapping[str, Any]) -> Any:
    """The answer with its headers, not yet parsed."""
    resource, _, name = path.rpartition(".")
    raw = await getattr(attrgetter(resource)(client).with_raw_response, name)(**params)
    if raw.headers.get("content-type", "").startswith("text/html"):
        import openai

        raise openai.APIResponseValidationError(
            raw.http_response,
            None,
            message=f"{client.base_url} answered with a page of HTML. Is the base_url right? It usually ends "
            "in /v1",
        )
    return raw


def _with_key(params: dict[str, Any], task: Task) -> dict[str, Any]:
    own: dict[str, str] = params.get("extra_headers") or {}
    return {**params, "extra_headers": {"Idempotency-Key": task.idempotency_key, **own}}


def _answer(raw: Any, params: Mapping[str, Any], client: Any, task: Task) -> dict[str, Any]:
    data = stored(raw.parse())
    show(task, data, params, raw, client)
    return data


def _waited(model: Any, task: Task) -> dict[str, Any]:
    task.output_properties = [Property("Status", str(model.status))]
    return stored(model)
