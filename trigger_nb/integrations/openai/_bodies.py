"""The body of the tasks: one request, by the path of the SDK's method.

`client` is an AsyncOpenAI, whose methods are found by name here.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any, cast

from ..._tasks.options import Property
from ..._tasks.task import Task
from ...errors import InvalidOptionError
from .._sdk import Params, is_read
from ._answers import is_file, noted, show, stored
from ._stream import failure, read_chunks, read_events

_STREAMED = {
    "chat.completions.create": read_chunks,
    "completions.create": read_chunks,
    "responses.create": read_events,
}


async def call(path: str, params: Params, client: Any, task: Task) -> Any:
    """Call a method: what the store keeps of its answer."""
    group, _, name = path.rpartition(".")
    sdk = attrgetter(group)(client)
    if not hasattr(sdk.with_raw_response, name):  # a helper of the SDK: it polls until something has ended
        return _waited(await getattr(sdk, name)(**params), task)
    if not is_read(path):
        own: dict[str, str] = params.get("extra_headers") or {}
        params = {**params, "extra_headers": {"Idempotency-Key": task.idempotency_key, **own}}
    send = getattr(sdk.with_raw_response, name)
    if params.get("stream"):
        if path not in _STREAMED:
            raise InvalidOptionError(f"{path} is not streamed here: leave out stream=True")
        raw = await (send(**params) if path == "responses.create" else _with_usage(send, params))
        _refuse_page(raw, client)
        answer = noted(await _STREAMED[path](raw, task), raw.request_id)
    else:
        raw = await send(**params)
        if is_file(getattr(sdk, name)):
            return raw.content
        _refuse_page(raw, client)
        answer = await _parsed(raw.parse(), params, task)
    if not isinstance(answer, dict):
        return answer
    data = cast("dict[str, Any]", answer)
    show(task, data, params, raw, client)
    if path == "responses.create" and data.get("status") == "failed":
        raise failure(data.get("error") or {}, raw)
    return data


async def _parsed(parsed: Any, params: Params, task: Task) -> Any:
    """The answer as the store keeps it: the JSON of a model or of the items of a list, or text."""
    import openai

    if hasattr(parsed, "iter_pages"):
        found = (parsed.data or []) if "limit" in params else [item async for item in parsed]
        task.output_properties = [Property("Found", str(len(found)))]
        return [stored(item) for item in found]
    return stored(parsed) if isinstance(parsed, openai.BaseModel) else parsed


async def _with_usage(send: Any, params: Params) -> Any:
    """Request the token usage, which a stream otherwise leaves out."""
    import openai

    if "stream_options" in params:
        return await send(**params)
    try:
        return await send(**params, stream_options={"include_usage": True})
    except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
        if "stream_options" not in str(error):
            raise
    return await send(**params)  # a compatible server may not know the option


def _refuse_page(raw: Any, client: Any) -> None:
    """Raise an error for a page of HTML, which no method answers with."""
    if raw.headers.get("content-type", "").startswith("text/html"):
        import openai

        raise openai.APIResponseValidationError(
            raw.http_response,
            None,
            message=f"{client.base_url} answered with a page of HTML. Is the base_url right? It usually ends "
            "in /v1",
        )


def _waited(model: Any, task: Task) -> Any:
    if isinstance(status := getattr(model, "status", None), str):
        task.output_properties = [Property("Status", status)]
    return stored(model)
