"""One HTTP request and its response."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, urlsplit

from .._redact import SENSITIVE, hide_in_urls, is_credential, secrets
from .._tasks.task import Task
from ..errors import ResponseTooLargeError

if TYPE_CHECKING:
    from httpx import AsyncClient, Request, Response

# RFC 9110, section 9.2: safe methods, and idempotent ones.
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
IDEMPOTENT = _SAFE | {"PUT", "DELETE"}
# More names of parameters that hold credentials. Their values may also be plain words, which are shorter.
_PRIVATE = frozenset({"auth", "key", "sig", "signature", "token", "x-amz-signature"})
_LONGER_THAN_WORDS = 16
_NOTED = 500  # characters of an error response that are added as a note
_CHUNK = 256 * 1024
_OF_PACKED = (
    "content-encoding",
    "content-length",
    "transfer-encoding",
)  # headers that no longer hold for a body that was read


@dataclass(frozen=True)
class Exchange:
    """A request, and the statuses that it accepts."""

    method: str
    url: str
    given: Mapping[str, Any]  # httpx's arguments
    allow_status: Collection[int] = ()
    idempotency_header: str | None = None

    def __post_init__(self) -> None:
        # A service may repeat credentials in a redirect or an error: they are hidden in all records.
        address = urlsplit(self.url)
        named: list[tuple[str, Any]] = [("password", address.password), *parse_qsl(address.query)]
        for part in ("params", "data", "json"):
            named += _items(self.given.get(part))
        found = [value for name, value in named if isinstance(value, str) and _is_secret(name, value)]
        found += [value for name, value in _items(self.given.get("headers")) if is_credential(name)]
        for value in found:
            secrets.add(str(value))

    def params(self) -> dict[str, Any]:
        """The task's input."""
        return {"method": self.method, "url": self.url, **self.given}

    def request(self, client: AsyncClient, task: Task | None) -> Request:
        """The request, with the task's idempotency key unless its method is safe."""
        request = client.build_request(self.method, self.url, **self.given)
        if task is not None and self.idempotency_header is not None and self.method not in _SAFE:
            request.headers.setdefault(self.idempotency_header, task.idempotency_key)
        return request

    def check(self, response: Response) -> None:
        """Raise `httpx.HTTPStatusError`, with the response's text as a note, for a status that is not accepted."""
        import httpx

        if response.status_code in self.allow_status:
            return
        try:
            response.raise_for_status()
        except httpx.HTTPStatusError as error:
            if response.text:
                error.add_note(secrets.hide(response.text)[:_NOTED])
            raise


def _is_secret(name: str, value: str) -> bool:
    plain = str(name).lower().replace("_", "-")
    return bool(SENSITIVE.search(plain)) or (plain in _PRIVATE and len(value) >= _LONGER_THAN_WORDS)


def content(response: Response) -> Any:
    """The body by its content type: JSON values, text or bytes; None for an empty body."""
    if not response.content:
        return None
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        try:
            return response.json()
        except ValueError:
            return response.text
    is_text = kind.startswith("text/") or kind.endswith(("xml", "javascript", "x-www-form-urlencoded"))
    return response.text if is_text else response.content


async def send(
    client: AsyncClient, exchange: Exchange, task: Task | None = None, max_bytes: int | None = None
) -> Response:
    """The response with its body. Raises `ResponseTooLargeError` if that is longer than `max_bytes`."""
    request = exchange.request(client, task)
    if max_bytes is None:
        return await client.send(request)
    response = await client.send(request, stream=True)
    try:
        told = _total(response)
        if told is not None and told > max_bytes:
            raise _too_large(exchange, max_bytes)
        parts: list[bytes] = []  # counted as they come: a short body may unpack to a long one
        size = 0
        async for part in response.aiter_bytes(_CHUNK):
            size += len(part)
            if size > max_bytes:
                raise _too_large(exchange, max_bytes)
            parts.append(part)
    finally:
        await response.aclose()
    return _with_body(response, b"".join(parts))


def _with_body(response: Response, body: bytes) -> Response:
    """A response whose body was read, and unpacked, in parts."""
    import httpx

    headers = [each for each in response.headers.multi_items() if each[0] not in _OF_PACKED]
    said = {name: each for name, each in response.extensions.items() if name == "reason_phrase"}
    return httpx.Response(
        response.status_code, headers=headers, content=body, request=response.request, extensions=said
    )


def _too_large(exchange: Exchange, max_bytes: int) -> ResponseTooLargeError:
    return ResponseTooLargeError(
        f"the response to {exchange.method} {hide_in_urls(exchange.url)} is longer than {max_bytes:,} bytes. Allow more with "
        "max_bytes=, or write it into a file: `download` of trigger_nb.integrations.HTTP"
    )


async def download(client: AsyncClient, exchange: Exchange, path: str, task: Task) -> dict[str, Any]:
    """Write the response's body to a file, which appears once it is complete."""
    import anyio

    draft = f"{path}.{task.idempotency_key[-12:]}.part"
    digest = hashlib.sha256()
    size = 0
    response = await client.send(exchange.request(client, task), stream=True)
    try:
        if not response.is_success:
            await response.aread()
        exchange.check(response)
        total = _total(response)
        _remove(draft)  # left by a killed attempt, or a link that would overwrite another file
        async with await anyio.open_file(draft, "xb") as file:
            async for chunk in response.aiter_bytes(_CHUNK):
                await file.write(chunk)
                digest.update(chunk)
                size += len(chunk)
                task.progress(size, total)
            await file.flush()
            await anyio.to_thread.run_sync(os.fsync, file.wrapped.fileno())
        os.replace(draft, path)
    finally:
        await response.aclose()
        _remove(draft)
    return {"path": path, "size": size, "sha256": digest.hexdigest()}


def _total(response: Response) -> int | None:
    """The size of the body; None if it is unknown or is the compressed size."""
    told = response.headers.get("content-length", "")
    return int(told) if told.isdecimal() and "content-encoding" not in response.headers else None


def _remove(draft: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.remove(draft)


def _items(given: Any) -> Iterable[tuple[str, Any]]:
    return cast("Mapping[str, Any]", given).items() if isinstance(given, Mapping) else ()
