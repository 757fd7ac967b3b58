"""Codecs for the errors of urllib, httpx, requests, githubkit and pydantic."""

from __future__ import annotations

import io
import sys
from datetime import timedelta
from typing import Any, Final, cast, get_args

from .._redact import hide_in_urls, kept_headers, secrets
from ..errors import ValueNotStoredError
from .errors import ErrorWriter, add_error, add_part, part_writers
from .names import kind_of, of_type
from .tagged import TAG, Reader, Writer

_MAX_BODY = 31 * 1024


def _write_httpx_request(writer: Writer, request: Any) -> Any:
    return {
        TAG: f"error.{_library(request)}.Request",
        "method": request.method,
        "url": hide_in_urls(str(request.url), strict=True),
        "headers": kept_headers(request.headers.multi_items()),
    }


def _library(value: Any) -> str:
    """httpx, or httpx2, which has the same interface."""
    return kind_of(value).__module__.partition(".")[0]


def _read_httpx_request(reader: Reader, data: dict[str, Any]) -> Any:
    httpx = sys.modules[data[TAG].split(".")[1]]
    headers = [(name.encode(), value.encode()) for name, value in data["headers"]]  # "•••" is not ASCII
    # The body is not stored. An unread stream raises an error when its content is requested.
    return httpx.Request(data["method"], data["url"], headers=headers, stream=httpx.ByteStream(b""))


# These headers describe the body as it was sent, but the decoded body is stored.
_TRANSFER_HEADERS: Final = frozenset({"content-encoding", "transfer-encoding"})


def _write_httpx_response(writer: Writer, response: Any) -> Any:
    try:
        body = secrets.hide_in_bytes(response.content)
    except Exception:  # ResponseNotRead, for a stream
        body = None
    try:
        elapsed = response.elapsed.total_seconds()
    except RuntimeError:
        elapsed = None
    request = getattr(response, "_request", None)
    return {
        TAG: f"error.{_library(response)}.Response",
        "status": response.status_code,
        "headers": kept_headers(response.headers.multi_items()),
        "body": writer.write(body) if body is not None and len(body) <= _MAX_BODY else None,
        "reason": response.reason_phrase,
        "http": response.http_version,
        "elapsed": elapsed,
        "request": writer.write(request),
    }


def _read_httpx_response(reader: Reader, data: dict[str, Any]) -> Any:
    httpx = sys.modules[data[TAG].split(".")[1]]
    body = reader.of(data["body"], bytes, type(None))
    response = httpx.Response(
        data["status"],
        headers=[
            (name.encode(), value.encode())
            for name, value in data["headers"]
            if name.lower() not in _TRANSFER_HEADERS
        ],
        # A body that was not stored counts as unread: requesting it is an error and does not return "".
        **({"stream": httpx.ByteStream(b"")} if body is None else {"content": body}),
        request=reader.read(data["request"]),
        extensions={"reason_phrase": data["reason"].encode(), "http_version": data["http"].encode()},
    )
    if data["elapsed"] is not None:
        response.elapsed = timedelta(seconds=data["elapsed"])
    return response


def _write_githubkit_response(writer: Writer, response: Any) -> Any:
    return {TAG: "error.githubkit.Response", "response": writer.write(response.raw_response)}


def _read_githubkit_response(reader: Reader, data: dict[str, Any]) -> Any:
    # githubkit's errors hold the response in a wrapper, which can also parse it into a model.
    return sys.modules["githubkit.response"].Response(reader.read(data["response"]), Any)


def _write_requests_request(writer: Writer, request: Any) -> Any:
    headers = cast("Any", request.headers or {})
    return {
        TAG: "error.requests.PreparedRequest",
        "method": request.method,
        "url": hide_in_urls(request.url or "", strict=True),
        "headers": kept_headers(headers.items()),
    }


def _read_requests_request(reader: Reader, data: dict[str, Any]) -> Any:
    requests = sys.modules["requests"]
    request = requests.PreparedRequest()
    request.method, request.url = data["method"], data["url"]
    request.headers = requests.structures.CaseInsensitiveDict(data["headers"])
    return request


def _write_requests_response(writer: Writer, response: Any) -> Any:
    # Accessing the content of a streamed response would read it from the network.
    read = getattr(response, "_content_consumed", False)
    body = secrets.hide_in_bytes(response.content) if read else None
    return {
        TAG: "error.requests.Response",
        "status": response.status_code,
        "headers": kept_headers(response.headers.items()),
        "body": writer.write(body) if body is not None and len(body) <= _MAX_BODY else None,
        "url": hide_in_urls(response.url, strict=True),
        "reason": writer.write(response.reason),
        "encoding": response.encoding,
        "elapsed": response.elapsed.total_seconds(),
        "request": writer.write(response.request),
    }


def _read_requests_response(reader: Reader, data: dict[str, Any]) -> Any:
    requests = sys.modules["requests"]
    response = requests.Response()
    response.status_code, response.url, response.encoding = data["status"], data["url"], data["encoding"]
    response.headers = requests.structures.CaseInsensitiveDict(data["headers"])
    response.reason = reader.read(data["reason"])
    response.elapsed = timedelta(seconds=data["elapsed"])
    response.request = reader.read(data["request"])
    body = reader.of(data["body"], bytes, type(None))
    if body is not None:
        response._content, response._content_consumed = body, True
    return response


# pydantic's ValidationError, which is defined in its compiled core ---------------------------------


def _validation_error_to_data(error: Any) -> Any:
    details = [
        {name: detail[name] for name in ("type", "loc", "msg", "input", "ctx") if name in detail}
        for detail in error.errors(include_url=False)
    ]
    for detail in details:
        detail["input"] = _Input(detail["input"])
    return {"title": error.title, "details": details}


class _Input:
    """The validated input, which can be any object. An input that cannot be stored becomes a placeholder."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _write_input(writer: Writer, value: _Input) -> Any:
    assert isinstance(writer.errors, ErrorWriter)
    return writer.errors.argument(value.value)


def _validation_error_from_data(data: Any) -> BaseException:
    core = sys.modules["pydantic_core"]
    parts = of_type(of_type(data, dict)["details"], list)
    details = [_line_error(core, of_type(detail, dict)) for detail in parts]
    error = core.ValidationError.from_exception_data(data["title"], details)
    error.args = ()
    return error


def _line_error(core: Any, detail: dict[str, Any]) -> dict[str, Any]:
    context = detail.get("ctx")
    if of_type(detail["type"], str) in get_args(core.core_schema.ErrorType):
        kind = detail["type"]
    else:
        kind = core.PydanticCustomError(detail["type"], detail["msg"], context)
    loc = tuple(of_type(step, str, int) for step in of_type(detail["loc"], tuple))
    line = {"type": kind, "loc": loc, "input": detail["input"]}
    return {**line, "ctx": context} if context is not None else line


def _http_error_to_data(error: Any) -> Any:
    """An HTTPError of urllib. Its body is read here, and can be read again by whoever handles the error."""
    try:
        body = error.read()
    except Exception:  # it is closed, or the connection has failed
        body = None
    if body is not None:
        attributes: dict[str, Any] = error.__dict__
        for name in attributes.keys() - _OF_HTTP_ERROR:
            del attributes[name]  # methods of the stream that was read, which the error keeps
        error.fp = error.file = io.BytesIO(body)
    hidden = None if body is None else secrets.hide_in_bytes(body)
    return {
        "url": hide_in_urls(secrets.hide(str(error.url)), strict=True),
        "code": error.code,
        "msg": error.msg,
        "headers": None if error.hdrs is None else kept_headers(error.hdrs.items()),
        "body": hidden if hidden is not None and len(hidden) <= _MAX_BODY else None,
    }


_OF_HTTP_ERROR: Final = frozenset(
    {"args", "code", "msg", "hdrs", "fp", "filename", "url", "headers", "name", "delete", "file", "_closer"}
)


def _http_error_from_data(data: Any) -> BaseException:
    from http.client import HTTPMessage

    data = of_type(data, dict)
    headers = HTTPMessage()
    given: list[list[Any]] = [] if data["headers"] is None else of_type(data["headers"], list)
    for name, value in given:
        headers[name] = of_type(value, str)
    body = _Unread() if data["body"] is None else io.BytesIO(of_type(data["body"], bytes))
    return sys.modules["urllib.error"].HTTPError(
        data["url"], data["code"], data["msg"], None if data["headers"] is None else headers, body
    )


class _Unread(io.RawIOBase):
    """The body of a response that is not stored."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        raise ValueNotStoredError(
            f"the body of a stored HTTPError is read, but it was not stored: it could not be read, or had more than {_MAX_BODY:,} "
            "bytes. Read it in the task's body, and return or raise what you need of it."
        )


# aiohttp's ClientResponseError -----------------------------------------------------------------------


def _write_request_info(writer: Writer, info: Any) -> Any:
    return {
        TAG: "error.aiohttp.RequestInfo",
        "urls": [hide_in_urls(str(url), strict=True) for url in (info.url, info.real_url)],
        "method": info.method,
        "headers": kept_headers(info.headers.items()),
    }


def _read_request_info(reader: Reader, data: dict[str, Any]) -> Any:
    url, real_url = map(sys.modules["yarl"].URL, data["urls"])
    headers = _multidict(data["headers"])
    return sys.modules["aiohttp"].RequestInfo(url, data["method"], headers, real_url)


def _write_multidict(writer: Writer, headers: Any) -> Any:
    return {TAG: "error.multidict.CIMultiDictProxy", "headers": kept_headers(headers.items())}


def _multidict(headers: list[list[str]]) -> Any:
    multidict = sys.modules["multidict"]
    return multidict.CIMultiDictProxy(multidict.CIMultiDict([(name, value) for name, value in headers]))


def register_parts() -> None:
    """Register the errors of urllib, pydantic, httpx, githubkit and requests, with the requests and responses in them."""
    add_error(
        "pydantic_core._pydantic_core:ValidationError", _validation_error_to_data, _validation_error_from_data
    )
    add_error("urllib.error:HTTPError", _http_error_to_data, _http_error_from_data)
    part_writers[f"{__name__}._Input"] = _write_input
    for library in ("httpx", "httpx2"):
        add_part(f"{library}.Request", f"error.{library}.Request", _write_httpx_request, _read_httpx_request)
        add_part(
            f"{library}.Response", f"error.{library}.Response", _write_httpx_response, _read_httpx_response
        )
    add_part(
        "aiohttp.client_reqrep.RequestInfo",
        "error.aiohttp.RequestInfo",
        _write_request_info,
        _read_request_info,
    )
    for name in ("CIMultiDictProxy", "CIMultiDict"):
        add_part(
            f"multidict._multidict.{name}",
            "error.multidict.CIMultiDictProxy",
            _write_multidict,
            lambda reader, data: _multidict(data["headers"]),
        )
    add_part(
        "githubkit.response.Response",
        "error.githubkit.Response",
        _write_githubkit_response,
        _read_githubkit_response,
    )
    add_part(
        "requests.models.PreparedRequest",
        "error.requests.PreparedRequest",
        _write_requests_request,
        _read_requests_request,
    )
    add_part(
        "requests.models.Response",
        "error.requests.Response",
        _write_requests_response,
        _read_requests_response,
    )
