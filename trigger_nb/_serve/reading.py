"""Reads requests: bodies within bounds, as the data that they are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NoReturn, cast
from urllib.parse import parse_qsl

from .._redact import is_credential
from .._values.tagged import MAX_DEPTH
from ..endpoints import HttpRequest

if TYPE_CHECKING:
    from starlette.requests import Request

_SECONDS = 30.0  # for the whole body of a request
_MOST_FIELDS = 1000
_DEEPEST = MAX_DEPTH - 20  # of JSON: it is stored within other data
_MOST_DIGITS = 4000  # of a number: Python refuses longer ones
# Headers that say how a request was sent, and not what it is.
_ON_THE_WAY = frozenset({"connection", "content-length", "transfer-encoding", "accept-encoding", "host"})


class Refused(Exception):  # noqa: N818  # it is an answer
    """A request that is not carried out: the status and the text of its answer."""

    def __init__(self, status: int, text: str, **headers: str) -> None:
        self.status = status
        self.text = text
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        super().__init__(text)


async def body_of(request: Request, most: int) -> bytes:
    """The body of a request. Raises `Refused` for one that is too long or comes too slowly."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(415, "the body is compressed: send it as it is")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > most:
        raise _too_large(most)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(_SECONDS):
            async for chunk in request.stream():
                size += len(chunk)
                if size > most:
                    raise _too_large(most)
                chunks.append(chunk)
    except TimeoutError:
        raise Refused(408, f"the body did not come within {_SECONDS:g} seconds", connection="close") from None
    return b"".join(chunks)


def _too_large(most: int) -> Refused:
    return Refused(
        413, f"the body is larger than {most:,} bytes, which is the limit here", connection="close"
    )


def json_of(body: bytes) -> Any:
    """JSON of a request. Raises `Refused` for what is none, and for what cannot be stored."""
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except RecursionError:
        raise Refused(400, "the JSON is nested too deeply") from None
    except ValueError as error:
        raise Refused(400, f"the body is no JSON: {error}") from None
    if _is_deeper(value, _DEEPEST):
        raise Refused(400, f"the JSON is nested more than {_DEEPEST} levels deep")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not allowed in it")


def _is_deeper(value: Any, depth: int) -> bool:
    level: list[Any] = [value]
    while level:
        if depth < 0:
            return True
        depth -= 1
        level = [inner for each in level for inner in _inside(each)]
    return False


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return cast("dict[str, Any]", value).values()
    return cast("list[Any]", value) if isinstance(value, list) else ()


def request_of(request: Request, body: bytes, without: frozenset[str]) -> HttpRequest:
    """A request as its event has it. Headers with credentials are left out, and those `without`. Raises `Refused`."""
    headers = {
        name: value
        for name, value in request.headers.items()
        if name not in _ON_THE_WAY and name not in without and not is_credential(name)
    }
    query = fields_of(request.url.query)
    return HttpRequest(request.method, headers, query, _data_of(request, body))


def fields_of(text: str) -> dict[str, Any]:
    """The fields of a query or a form. A name that comes twice has a list. Raises `Refused`."""
    found: dict[str, Any] = {}
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise Refused(400, f"there are more than {_MOST_FIELDS} fields") from None
    for name, value in pairs:
        if name not in found:
            found[name] = value
        elif isinstance(found[name], list):
            found[name].append(value)
        else:
            found[name] = [found[name], value]
    return found


def _data_of(request: Request, body: bytes) -> Any:
    if not body:
        return None
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        return json_of(body)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return body
    if kind == "application/x-www-form-urlencoded":
        return fields_of(text)
    if not kind:
        try:
            return json_of(body)
        except Refused:
            return text
    return text
