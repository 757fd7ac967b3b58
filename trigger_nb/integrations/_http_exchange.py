"""One HTTP request and its response."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, urlsplit

from .._redact import SENSITIVE, is_credential, secrets
from .._tasks.task import Task

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

    def request(self, client: AsyncClient, task: Task) -> Request:
        """The request, with the task's idempotency key unless its method is safe."""
        request = client.build_request(self.method, self.url, **self.given)
        if self.idempotency_header is not None and self.method not in _SAFE:
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
