"""Streamed answers: shown while they arrive, and assembled to the answer without streaming."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, cast

from ..._tasks.task import Task

# Seconds between two updates of the shown text.
_PAUSE = 0.1
_TAIL = 72  # characters of it
# Texts that a chunk has whole, in every chunk with some servers. All others come in pieces.
_WHOLE = frozenset({"finish_reason", "id", "name", "role", "type"})


async def read_chunks(raw: Any, task: Task) -> dict[str, Any]:
    """The completion that is assembled from the chunks of a stream."""
    shown, completion = Shown(task), Completion()
    async with raw.parse() as stream:
        async for chunk in stream:
            shown.add(completion.add(chunk.to_dict(warnings=False)))
    if not completion.is_whole:
        raise _cut_off(raw)
    return completion.as_data()


async def read_events(raw: Any, task: Task) -> dict[str, Any]:
    """The response that the last event of a stream contains."""
    shown = Shown(task)
    async with raw.parse() as stream:
        async for event in stream:
            if event.type == "response.output_text.delta":
                shown.add(event.delta)
            elif event.type in ("response.completed", "response.incomplete", "response.failed"):
                return event.to_dict(mode="json", warnings=False)["response"]
            elif event.type == "error":
                raise failure(event.to_dict(warnings=False), raw)
    raise _cut_off(raw)


def failure(error: Mapping[str, Any], raw: Any) -> Exception:
    """An `APIError` for an error in an answer with status 200, worded like the SDK's own."""
    import openai

    message = error.get("message") or "The response failed."
    return openai.APIError(str(message), raw.http_request, body=dict(error))


def _cut_off(raw: Any) -> Exception:
    """An `APIConnectionError` for a stream that ended early, which the SDK does not detect."""
    import openai

    return openai.APIConnectionError(message="The stream ended too early.", request=raw.http_request)


class Shown:
    """The progress of a task that receives text: how many pieces, and the end of the text so far."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._pieces = 0
        self._tail = ""
        self._due = 0.0

    def add(self, text: str) -> None:
        """Note the next piece, and show it if it is time."""
        self._pieces += 1
        self._tail = (self._tail + text)[-_TAIL:]
        now = time.monotonic()
        if now >= self._due:
            self._due = now + _PAUSE
            self._task.progress(self._pieces, text=" ".join(self._tail.split()))


class Completion:
    """A chat or text completion that is assembled from its chunks.

    The SDK's own accumulator is not used: it rebuilds the whole message for every chunk, concatenates texts
    that some compatible servers repeat ("assistantassistant"), and returns another class than an answer
    without streaming.
    """

    def __init__(self) -> None:
        self._fields: dict[str, Any] = {}  # all but the choices
        self._choices: dict[int, dict[str, Any]] = {}

    def add(self, chunk: Mapping[str, Any]) -> str:
        """Add a chunk; the chunk's text of the first choice."""
        for name, value in chunk.items():
            # `obfuscation` hides the length of a chunk, Azure's first one has empty fields.
            if name not in ("choices", "obfuscation") and value not in (None, ""):
                self._fields[name] = value
        pieces: list[dict[str, Any]] = chunk.get("choices") or []
        return "".join([self._add(piece) for piece in pieces])

    def _add(self, piece: dict[str, Any]) -> str:
        index: int = piece.get("index") or 0
        choice = self._choices.setdefault(index, {"index": index})
        delta: dict[str, Any] | None = piece.pop("delta", None)
        _merge(choice, piece)
        if delta is not None:
            _merge(choice.setdefault("message", {}), delta)
        return ((delta or {}).get("content") or piece.get("text") or "") if index == 0 else ""

    @property
    def is_whole(self) -> bool:
        """Whether every choice has a finish reason."""
        return bool(self._choices) and all(
            choice.get("finish_reason") is not None for choice in self._choices.values()
        )

    def as_data(self) -> dict[str, Any]:
        """The completion as the service sends it without streaming."""
        choices = [self._choices[index] for index in sorted(self._choices)]
        for message in (choice["message"] for choice in choices if "message" in choice):
            message.pop("obfuscation", None)
            for name, value in (("role", "assistant"), ("content", None), ("refusal", None)):
                message.setdefault(name, value)
            for call in message.get("tool_calls") or ():
                call.pop("index", None)
        kind: str = self._fields.get("object", "chat.completion")
        return {**self._fields, "object": kind.removesuffix(".chunk"), "choices": choices}


def _merge(whole: dict[str, Any], piece: Mapping[str, Any]) -> None:
    for name, value in piece.items():
        known = whole.get(name)
        if value is None:
            whole.setdefault(name, None)
        elif isinstance(value, dict):
            inner = cast("dict[str, Any]", known or {})
            _merge(inner, cast("dict[str, Any]", value))
            whole[name] = inner
        elif isinstance(value, list):
            items = cast("list[Any]", known or [])
            _extend(items, cast("list[Any]", value))
            whole[name] = items
        elif isinstance(value, str) and isinstance(known, str):
            whole[name] = (value or known) if name in _WHOLE else known + value
        else:
            whole[name] = value


def _extend(whole: list[Any], pieces: list[Any]) -> None:
    """Merge pieces with the same index; pieces without an index are appended."""
    for piece in pieces:
        if not isinstance(piece, dict):
            whole.append(piece)
            continue
        fields = cast("dict[str, Any]", piece)
        index = fields.get("index")
        begun: dict[str, Any] | None = None
        if index is not None:
            begun = next((one for one in whole if one.get("index") == index), None)
        if begun is None:
            whole.append(begun := {})
        _merge(begun, fields)
