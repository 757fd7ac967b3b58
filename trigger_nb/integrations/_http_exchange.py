"""One exchange over HTTP: what is sent, and what is made of the answer."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, urlsplit

from .._codec.exceptions import _SENSITIVE
from .._redact import secrets
from .._task import Task

if TYPE_CHECKING:
    from httpx import AsyncClient, Request, Response

# RFC 9110, section 9.2: what asks for nothing to be done, and what does the same when it is done twice.
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
IDEMPOTENT = _SAFE | {"PUT", "DELETE"}

# Parameters that hold credentials, beside those whose names say so as headers' names do. Under these there
# may be plain words too, which are shorter.
_PRIVATE = frozenset({"auth", "key", "sig", "signature", "token", "x-amz-signature"})
_LONGER_THAN_WORDS = 16

_NOTED = 500  # characters of what a service says with an error
_CHUNK = 256 * 1024


@dataclass(frozen=True)
class Exchange:
    """What a call sends, and which answers it takes."""

    method: str
    url: str
    given: Mapping[str, Any]  # httpx's arguments
    allow_status: Collection[int] = ()
    idempotency_header: str | None = None

    def __post_init__(self) -> None:
        # A service may repeat them, in a redirect or an error: they are kept out of all that is recorded.
        named: list[tuple[str, Any]] = [*parse_qsl(urlsplit(self.url).query)]
        for part in ("params", "headers", "data", "json"):
            named += _items(self.given.get(part))
        for name, value in named:
            if isinstance(value, str) and _is_secret(name, value):
                secrets.add(value)

    def params(self) -> dict[str, Any]:
        """The task's input."""
        return {"method": self.method, "url": self.url, **self.given}

    def request(self, client: AsyncClient, task: Task) -> Request:
        """The request, with the task's idempotency key if it asks for something to be done."""
        request = client.build_request(self.method, self.url, **self.given)
        if self.idempotency_header is not None and self.method not in _SAFE:
            request.headers.setdefault(self.idempotency_header, task.idempotency_key)
        return request

    def check(self, response: Response) -> None:
        """Raise `httpx.HTTPStatusError`, with what the service says, for an answer that is not taken."""
        import httpx

        if response.status_code in self.allow_status:
            return
        try:
            response.raise_for_status()
        except httpx.HTTPStatusError as error:
            if response.text:
                error.add_note(secrets.hide(response.text)[:_NOTED])
            raise


def is_private(name: str) -> bool:
    """Whether a header or parameter holds a credential, by its name."""
    return _plain(name) in _PRIVATE or _SENSITIVE.search(_plain(name)) is not None


def _is_secret(name: str, value: str) -> bool:
    return is_private(name) and (_plain(name) not in _PRIVATE or len(value) >= _LONGER_THAN_WORDS)


def _plain(name: str) -> str:
    return str(name).lower().replace("_", "-")


def content(response: Response) -> Any:
    """The body as its content type says: JSON's values, text or bytes; None for none."""
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
    """Write the answer's body to a file, which is there when all of it is."""
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
        _remove(draft)  # of an attempt that was killed, or a link that would have another file overwritten
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
    """The size of the body, where the service tells that of what arrives and not of what is sent."""
    told = response.headers.get("content-length", "")
    return int(told) if told.isdecimal() and "content-encoding" not in response.headers else None


def _remove(draft: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.remove(draft)


def _items(given: Any) -> Iterable[tuple[str, Any]]:
    return cast("Mapping[str, Any]", given).items() if isinstance(given, Mapping) else ()
