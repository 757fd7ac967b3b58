"""The HTTP transport of Replicate's SDK, without its own retries and with a time limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

# Seconds, of each part of a request.
_LIMITS: dict[str, float] = dict.fromkeys(("connect", "pool", "write", "read"), 60.0)


def transport() -> httpx.AsyncHTTPTransport:
    """A transport that bypasses the SDK's own one, which repeats requests other than POST up to ten times.

    The SDK passes it to an async client and to a sync one, so it is both.
    """
    import httpx

    class Transport(httpx.AsyncHTTPTransport, httpx.BaseTransport):
        def __init__(self) -> None:
            super().__init__()
            self._sync = httpx.HTTPTransport()

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            return self._sync.handle_request(_limited(request))

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return await super().handle_async_request(_limited(request))

        def close(self) -> None:
            self._sync.close()

        async def aclose(self) -> None:
            self._sync.close()
            await super().aclose()

    return Transport()


def _limited(request: httpx.Request) -> httpx.Request:
    """The request with `_LIMITS` where it has none of its own, as the SDK's `create` has not."""
    given: dict[str, float | None] = request.extensions["timeout"]
    limits = {name: _LIMITS[name] if limit is None else limit for name, limit in given.items()}
    request.extensions = {**request.extensions, "timeout": limits}
    return request
