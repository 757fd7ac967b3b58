"""Streams of the fake OpenAI: server-sent events. Events of chats have no name; `[DONE]` ends a chat's stream."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable
from typing import TypeAlias

from ._server import Answer, Json

Event: TypeAlias = tuple[str, Json]  # name and data of an event


def stream(events: Iterable[Event]) -> Answer:
    return Answer(200, _as_sse(events), {"Content-Type": "text/event-stream; charset=utf-8"})


def _as_sse(events: Iterable[Event]) -> Generator[bytes]:
    named = False
    for name, data in events:
        named = name != "data"
        yield (f"event: {name}\n" if named else "").encode() + f"data: {json.dumps(data)}\n\n".encode()
    if not named:
        yield b"data: [DONE]\n\n"


def chat_chunks(whole: Json, *, include_usage: bool) -> Generator[Event]:
    head = {name: whole[name] for name in ("id", "created", "model", "service_tier", "system_fingerprint")}
    usage = {"usage": None} if include_usage else {}

    def chunk(index: int, delta: Json, reason: str | None = None) -> Event:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
        more = {"choices": [choice], "obfuscation": "x" * (index + 3)}
        return ("data", {**head, "object": "chat.completion.chunk", **more, **usage})

    for choice in whole["choices"]:
        index, message = choice["index"], choice["message"]
        begun = None if message["content"] is None else ""
        yield chunk(index, {"role": "assistant", "content": begun, "refusal": None})
        for delta in _deltas(message):
            yield chunk(index, delta)
        yield chunk(index, {}, choice["finish_reason"])
    if include_usage:
        last: Json = {
            **head,
            "object": "chat.completion.chunk",
            "choices": [],
            "usage": whole["usage"],
        }
        yield ("data", last)


def _deltas(message: Json) -> Generator[Json]:
    for piece in pieces(message["content"] or ""):
        yield {"content": piece}
    for index, call in enumerate(message.get("tool_calls", ())):
        function = call["function"]
        yield {"tool_calls": [{**call, "index": index, "function": {**function, "arguments": ""}}]}
        for piece in pieces(function["arguments"]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def response_events(whole: Json, text: str) -> Generator[Event]:
    begun: Json = {**whole, "status": "in_progress", "output": [], "usage": None}
    item = whole["output"][0]["id"]
    events: list[Json] = [
        {"type": "response.created", "response": begun},
        *(
            {
                "type": "response.output_text.delta",
                "delta": piece,
                "item_id": item,
                "output_index": 0,
                "content_index": 0,
                "logprobs": [],
            }
            for piece in pieces(text)
        ),
        {"type": "response.completed", "response": whole},
    ]
    for number, event in enumerate(events):
        yield (event["type"], {**event, "sequence_number": number})


def pieces(text: str) -> list[str]:
    """The pieces of a text that a stream sends one by one."""
    return [text[at : at + 4] for at in range(0, len(text), 4)]
