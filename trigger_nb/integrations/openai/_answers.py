"""OpenAI's answers: their stored form, the properties that a row shows, and the conversion to the SDK's models."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args, get_type_hints

from ..._tasks.options import Property
from ..._tasks.task import Task

if TYPE_CHECKING:
    from openai import BaseModel

# The stored name of an attribute of the SDK's models that is not a field of the API.
_REQUEST_ID = "_request_id"
_OFFICIAL = "https://api.openai.com/"
# Pages of OpenAI's website for an object, by the prefix of its id.
_PAGES = {"file-": "storage/files/", "ftjob-": "finetune/", "resp_": "logs/"}


# The JSON that the service sent is stored, not the model: the SDK's classes change with each release, and
# compatible servers leave out required fields. The SDK builds its models from such JSON without validation.
def stored(model: BaseModel) -> dict[str, Any]:
    """The JSON that a model of the SDK was built from."""
    data = model.to_dict(mode="json", warnings=False)
    return noted(data, model._request_id) if hasattr(model, _REQUEST_ID) else data


def noted(data: dict[str, Any], request_id: str | None) -> dict[str, Any]:
    """An answer, with OpenAI's id of the request."""
    return {**data, _REQUEST_ID: request_id}


@functools.cache
def type_of(method: Any) -> Any:
    """The type, for `returns`, of what is stored of a method's answers; None for what is no model."""
    from openai import BaseModel
    from pydantic import PlainValidator

    told = {"__annotations__": {"return": inspect.signature(method).return_annotation}}
    hint = get_type_hints(type("Told", (), told), inspect.unwrap(method).__globals__)["return"]
    is_list = getattr(hint, "__origin__", hint).__name__ == "AsyncPaginator"
    # A method that may stream says so in a union, after what it answers otherwise.
    kinds: list[Any] = [hint] if isinstance(hint, type) else [*get_args(hint)]
    model = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
    if model is None:
        return None
    built = Annotated[Any, PlainValidator(functools.partial(_built, model))]
    return list[built] if is_list else built


def is_file(method: Any) -> bool:
    """Whether a method answers with the bytes of a file."""
    return str(inspect.signature(method).return_annotation).endswith("BinaryResponseContent")


def _built(cls: type[BaseModel], data: Any) -> Any:
    if not isinstance(data, dict):  # such as the text of a transcription
        return data
    fields = cast("dict[str, Any]", data)
    model = cls.model_construct(**{name: value for name, value in fields.items() if name != _REQUEST_ID})
    if _REQUEST_ID in fields:
        model._request_id = fields[_REQUEST_ID]
    return model


# -- properties that a row shows
def show(task: Task, data: Mapping[str, Any], params: Mapping[str, Any], raw: Any, client: Any) -> None:
    """Set a task's output properties from the answer and its headers."""
    task.output_properties = [
        *_about(data, str(client.base_url)),
        *_tokens(data.get("usage") or {}),
        *_model(data, params),
        *_rate_limits(raw.headers),
    ]


def _about(data: Mapping[str, Any], base_url: str) -> list[Property]:
    told: list[Property] = []
    identity: str = data.get("id") or ""
    page = next((page for start, page in _PAGES.items() if identity.startswith(start)), None)
    if page is not None:
        url = f"https://platform.openai.com/{page}{identity}" if base_url.startswith(_OFFICIAL) else None
        told.append(Property("ID", identity, url=url))
    if status := data.get("status"):
        told.append(Property("Status", str(status)))
    if reason := _finish_reason(data):
        told.append(Property("Finish reason", reason))
    told += [
        Property(f"Image {number}", "open", url=image["url"])
        for number, image in enumerate(_parts(data, "data"), 1)
        if isinstance(image.get("url"), str)
    ]
    return told


def _finish_reason(data: Mapping[str, Any]) -> str:
    """The finish reasons of all choices, without repeats."""
    reasons = [choice.get("finish_reason") for choice in _parts(data, "choices")]
    return ", ".join(dict.fromkeys(str(reason) for reason in reasons if reason))


def _parts(data: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found = cast("list[Any]", data.get(name) or [])
    return [part for part in found if isinstance(part, dict)]


def _tokens(usage: Mapping[str, Any]) -> list[Property]:
    asked = usage.get("prompt_tokens", usage.get("input_tokens"))
    answered = usage.get("completion_tokens", usage.get("output_tokens"))
    total = usage.get("total_tokens")
    if asked is not None and answered is not None and total is not None:
        return [Property("Tokens", f"{asked:,} + {answered:,} = {total:,}")]
    return [] if total is None else [Property("Tokens", f"{total:,}")]


def _model(data: Mapping[str, Any], params: Mapping[str, Any]) -> list[Property]:
    """The model that answered, if its name differs from the requested one, such as a dated version."""
    model = data.get("model")
    return [Property("Answered by", str(model))] if model and model != params.get("model") else []


def _rate_limits(headers: Mapping[str, str]) -> list[Property]:
    """The remaining requests and tokens of the rate limits; -1 if unknown."""
    return [
        Property(label, left)
        for label, name in (("Requests left", "requests"), ("Tokens left", "tokens"))
        if (left := headers.get(f"x-ratelimit-remaining-{name}")) and not left.startswith("-")
    ]
