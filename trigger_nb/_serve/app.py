"""The ASGI application of `client.serve()`: its routes, and the answers."""

from __future__ import annotations

import asyncio
import hmac
import inspect
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeAlias, TypeVar, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from .. import filters
from ..endpoints import HttpEndpoint, HttpRequest, RespondWith
from ..errors import InvalidSignatureError, StoreError
from . import pages
from .inbox import Inbox
from .reading import Refused, body_of, fields_of, request_of
from .writer import Writer

logger = logging.getLogger("trigger_nb")
T = TypeVar("T")
Handler: TypeAlias = Callable[[Request], Awaitable[Response]]
CallHandler: TypeAlias = Callable[[Callable[[HttpRequest], Any], HttpRequest], Awaitable[Any]]
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_SMALL = 16_384  # bytes of a body whose values are rows, and no files
_FORM = 1_000_000  # bytes of an answer on a page
_ANSWER_SECONDS = 25.0  # for `respond_with=`
_SAFE = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


class App:
    """The application of one store.

    - `most`: bytes of a body.
    - `call`: how an `async def` of the user's is called: on the kernel's event loop.
    """

    def __init__(
        self, inbox: Inbox, *, most: int, public: Callable[[], str | None], call: CallHandler
    ) -> None:
        self._inbox = inbox
        self._most = most
        self._public = public
        self._call = call
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="trigger_nb serve")
        self._writer = Writer(inbox.runtime.post)
        self.asgi = Starlette(
            routes=[
                Route("/health", self._health, methods=["GET"]),
                Route("/events", self._guarded(self._events), methods=["POST"]),
                Route("/endpoints/{name:path}/{token}", self._guarded(self._endpoint), methods=_METHODS),
                Route("/requests/{run}/{token}", self._guarded(self._callback), methods=["POST"]),
                Route("/approvals/{token}", self._guarded(self._questions), methods=["GET"]),
                Route("/approvals/{run}/{token}", self._guarded(self._question), methods=["GET", "POST"]),
            ],
            exception_handlers={HTTPException: _no_route},
        )

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False)
        self._writer.close()

    async def _do(self, function: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(function, *args))

    async def _prepare(self, body: bytes, function: Callable[..., T], *args: Any) -> T:
        """As `_do`, and here for a small body: while a kernel computes, each change of threads takes milliseconds."""
        return function(*args) if len(body) <= _SMALL else await self._do(function, *args)

    def _guarded(self, handler: Handler) -> Handler:
        """The handler, with an answer for all that it may raise. What is wrong here is no secret of the request's."""

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except Refused as refused:
                return _error(refused.status, refused.text, refused.headers)
            except StoreError as error:
                logger.warning("a request could not be recorded: %s", error)
                return _error(
                    503, "the store is busy or cannot be written: send it again", {"Retry-After": "5"}
                )
            except ClientDisconnect:
                return _error(400, "the connection was closed before the end of the body", {})
            except Exception:
                logger.exception("a request met an error")
                return _error(500, "this is an error of the server: its log says more", {})

        return handle

    async def _health(self, request: Request) -> Response:
        return PlainTextResponse("ok\n", headers=_SAFE)

    # What is recorded -----------------------------------------------------------------------------------

    async def _events(self, request: Request) -> Response:
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self._inbox.token}".encode()):
            raise Refused(
                401,
                "events are sent with the header Authorization: Bearer, and the token that server.token says",
                www_authenticate="Bearer",
            )
        body = await body_of(request, self._most)
        key = request.headers.get("idempotency-key", "")[:500]
        sent = await self._writer.send(await self._prepare(body, self._inbox.events, body, key))
        told = [
            {
                "id": each.record.id,
                "name": each.record.name,
                "status": each.record.state,
                "is_new": not each.is_known,
            }
            for each in sent
        ]
        is_list = body.lstrip()[:1] == b"["
        status = 200 if all(each.is_known for each in sent) else 201
        return JSONResponse(told if is_list else told[0], status, headers=_SAFE)

    async def _endpoint(self, request: Request) -> Response:
        endpoint = self._inbox.endpoint(request.path_params["name"], request.path_params["token"])
        if request.method == "HEAD":
            raise Refused(405, "HEAD is no request that starts anything")
        body = await body_of(request, self._most)
        headers = dict(request.headers)
        self._inbox.verify(endpoint, headers, body)
        verify: Any = endpoint.verify
        without = frozenset({verify.header} if hasattr(verify, "header") else ())
        taken = request_of(request, body, without)
        if verify is not None and not hasattr(verify, "check"):
            await self._ask(endpoint, verify, request, body, taken)
        challenge: Any = getattr(verify, "challenge", None)
        if challenge is not None and (answer := challenge(taken.body)) is not None:
            return PlainTextResponse(answer, headers=_SAFE)
        respond = cast("RespondWith | None", endpoint.respond_with)
        if (
            respond is not None
            and respond.filter is not None
            and not filters.matches(respond.filter, taken.data())
        ):
            respond = None
        if respond is None or not respond.skip_runs:
            record = await self._prepare(body, self._inbox.request, endpoint, taken, headers)
            await self._writer.send([record])
            if respond is None:
                return JSONResponse({"id": record.id}, headers=_SAFE)
        return await self._respond(endpoint, respond, taken)

    async def _ask(
        self, endpoint: HttpEndpoint, verify: Any, request: Request, body: bytes, taken: HttpRequest
    ) -> None:
        """Have the user's own function check a request: it gets all headers, and the body as bytes."""
        whole = HttpRequest(taken.method, dict(request.headers), taken.query, body)
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                is_right = await self._call(verify, whole)
        except InvalidSignatureError as error:
            raise Refused(401, str(error)) from None
        except Exception:
            logger.exception("verify= of endpoint %r met an error, so the request is refused", endpoint.id)
            raise Refused(401, "the request could not be verified") from None
        if is_right is not True:  # a function that forgets to return must not let everybody in
            raise Refused(401, "the request is not signed as it must be")

    async def _respond(self, endpoint: HttpEndpoint, respond: RespondWith, taken: HttpRequest) -> Response:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return _response(await self._call(respond.handler, taken))
        except TimeoutError:
            logger.warning("respond_with= of endpoint %r took more than %g s", endpoint.id, _ANSWER_SECONDS)
        except Exception:
            logger.exception("respond_with= of endpoint %r met an error", endpoint.id)
        said = "" if respond.skip_runs else " The request itself was recorded"
        raise Refused(500, f"the answer could not be made: the server's log says more.{said}")

    async def _callback(self, request: Request) -> Response:
        body = await body_of(request, self._most)
        run, token = request.path_params["run"], request.path_params["token"]
        received = await self._do(self._inbox.callback, run, token, body)
        return JSONResponse({"status": received.name.lower()}, headers=_SAFE)

    # Pages ------------------------------------------------------------------------------------------------

    async def _questions(self, request: Request) -> Response:
        if not self._inbox.addresses.opens(request.path_params["token"], "questions"):
            return pages.page(404, pages.NOTHING)
        return pages.page(200, await self._do(pages.questions, self._inbox))

    async def _question(self, request: Request) -> Response:
        run, token = request.path_params["run"], request.path_params["token"]
        if request.method != "POST":
            return pages.page(*await self._do(pages.question, self._inbox, run, token))
        self._check_origin(request)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            raise Refused(415, "an answer is sent by the form of its page")
        body = await body_of(request, _FORM)
        try:
            form = fields_of(body.decode("utf-8"))
        except UnicodeDecodeError:
            raise Refused(400, "the form is no UTF-8") from None
        status, html = await self._do(pages.answer, self._inbox, run, token, form)
        if status == 303:
            return Response(status_code=303, headers={**_SAFE, "Location": token})
        return pages.page(status, html)

    def _check_origin(self, request: Request) -> None:
        """Refuse a form that another site has sent: only the page itself may answer."""
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise Refused(403, "the answer comes from another site: open the link, and answer there")
        origin = request.headers.get("origin")
        if origin is None:
            return
        own = {f"http://{request.headers.get('host', '')}", f"https://{request.headers.get('host', '')}"}
        public = self._public()
        if public is not None:
            own.add("/".join(public.split("/")[:3]))
        if origin not in own:
            raise Refused(403, "the answer comes from another site: open the link, and answer there")


async def call_here(function: Callable[[HttpRequest], Any], request: HttpRequest) -> Any:
    """Call a function of the user's on this loop; a `def` in a thread."""
    if inspect.iscoroutinefunction(function):
        return await function(request)
    value = await asyncio.to_thread(function, request)
    return await value if inspect.isawaitable(value) else value


def _response(given: Any) -> Response:
    status = 200
    if isinstance(given, Response):
        return given
    if isinstance(given, tuple):
        pair = cast("tuple[Any, ...]", given)
        if len(pair) != 2 or type(pair[0]) is not int:
            raise TypeError(f"respond_with returns a status and what is sent, not {given!r:.100}")
        status, given = pair
    if type(given) is int:
        return Response(status_code=given, headers=_SAFE)
    if given is None:
        return Response(status_code=204 if status == 200 else status, headers=_SAFE)
    if isinstance(given, str):
        return PlainTextResponse(given, status, headers=_SAFE)
    if isinstance(given, bytes):
        return Response(given, status, headers=_SAFE, media_type="application/octet-stream")
    return JSONResponse(given, status, headers=_SAFE)


def _error(status: int, text: str, headers: dict[str, str]) -> Response:
    return JSONResponse({"error": text}, status, headers={**_SAFE, **headers})


async def _no_route(request: Request, error: Exception) -> Response:
    fault = cast("HTTPException", error)
    text = "there is no such address" if fault.status_code == 404 else f"{request.method} is not allowed here"
    return _error(fault.status_code, text, dict(fault.headers or {}))
