"""Redaction (S8): credentials, and parts of values that `redact=["user.email", "items.*.token"]` names.

`redact=` hides parts wherever a value is shown. The record keeps the whole value, because a replay needs it.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias, TypeVar, cast
from urllib.parse import unquote

from .errors import InvalidOptionError

HIDDEN = "•••"
# Characters. Shorter texts, such as "a" or "1", occur in the middle of unrelated words.
_SHORTEST_SCRUBBED = 4
# Characters of the shortest credential.
_SHORTEST_SECRET = 6
# How the tokens of addresses begin that this package makes: they are hidden by their form, and need not be known.
TOKEN = "tnbk_"  # noqa: S105
_token = re.compile(TOKEN + r"[\w-]{20,}")
# The parts to hide, by key or index; None: the whole value.
_Tree: TypeAlias = "dict[str, _Tree | None]"
T = TypeVar("T")  # JSON data


class Secrets:
    """The credentials in use in this process, which no stored or shown text may contain.

    Services repeat credentials in their errors, and libraries in their logs. The return value of a body is
    left as it is, since a replay must return the same value.
    """

    def __init__(self) -> None:
        self._known: tuple[str, ...] = ()  # longest first: one may be the beginning of another
        self._lock = threading.Lock()

    def add(self, secret: str) -> None:
        """Hide this text from now on."""
        if len(secret) < _SHORTEST_SECRET or secret in self._known:
            return
        with self._lock:
            forms = {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1]}
            self._known = tuple(sorted({*self._known, *forms}, key=len, reverse=True))

    def hide(self, text: str) -> str:
        """`text` with the credentials replaced."""
        return _without(self._known, text)

    def hide_in_bytes(self, data: bytes) -> bytes:
        """`data` with the credentials replaced, for the body of a response."""
        for secret in self._known:
            data = data.replace(secret.encode(), HIDDEN.encode())
        return data

    def hide_in(self, data: T, names: frozenset[str] = frozenset()) -> T:
        """A copy of JSON data with the credentials replaced.

        A credential that is a plain word, such as "postgres", is not replaced in keys or in values of the
        keys `names`: it may be there by chance, and code relies on these texts to read the data.
        """
        no_words = tuple(secret for secret in self._known if not secret.isalpha())

        def hidden(data: object, known: tuple[str, ...]) -> object:
            if isinstance(data, str):
                return _without(known, data)
            if isinstance(data, dict):
                return {
                    _without(no_words, key): hidden(value, no_words if key in names else known)
                    for key, value in cast("dict[str, object]", data).items()
                }
            if isinstance(data, list):
                return [hidden(value, known) for value in cast("list[object]", data)]
            return data

        return cast("T", hidden(data, self._known))

    def hide_in_error(self, error: BaseException) -> None:
        """Replace the credentials in an error and its causes, in place: user code or a cell may show them."""
        seen: set[int] = set()
        pending: list[BaseException | None] = [error]
        while pending:
            each = pending.pop()
            if each is None or id(each) in seen:
                continue
            seen.add(id(each))
            with contextlib.suppress(Exception):  # the error's class can raise anything; its record is clean
                self._clean(each, is_of_http(each))
            pending += [each.__cause__, each.__context__]
            pending += [part for part in each.args if isinstance(part, BaseException)]
            if isinstance(each, BaseExceptionGroup):
                pending += cast("BaseExceptionGroup[BaseException]", each).exceptions

    def _clean(self, error: BaseException, strict: bool) -> None:
        hidden = tuple(hide_in_urls(self.hide_in(argument), strict) for argument in error.args)
        if hidden != error.args:
            error.args = hidden
        attributes: dict[str, object] = vars(error)
        texts = {name: value for name, value in attributes.items() if issubclass(type(value), (str, list))}
        for name, value in texts.items():
            if (clean := hide_in_urls(self.hide_in(value), strict)) != value:
                setattr(error, name, clean)
        if hasattr(attributes.get("request_info"), "real_url"):
            _clean_request(error)


def _without(known: tuple[str, ...], text: str) -> str:
    for secret in known:
        if secret in text:
            text = text.replace(secret, HIDDEN)
    return _token.sub(HIDDEN, text) if TOKEN in text else text


secrets = Secrets()


def check_redact(patterns: object) -> list[str]:
    """The patterns of `redact=` as a list. Raises `InvalidOptionError` for invalid ones."""
    if isinstance(patterns, str) or not isinstance(patterns, Iterable):
        raise InvalidOptionError(
            f'redact= is a list of paths such as ["user.email", "items.*.token"], not {patterns!r}'
        )
    checked: list[str] = []
    for pattern in cast("Iterable[object]", patterns):
        if not isinstance(pattern, str) or not all(_steps(pattern)):
            raise InvalidOptionError(
                f"redact= has the invalid path {pattern!r}. A path has keys and list indexes, joined "
                'by dots, with "*" for any of them: "user.email", "items.*.token"'
            )
        checked.append(pattern)
    return checked


def redact(patterns: Sequence[str], value: Any) -> Any:
    """A copy of JSON data, with the parts that the patterns name replaced by "•••".

    >>> redact(["items.*.token"], {"items": [{"id": 1, "token": "s3cret"}]})
    {'items': [{'id': 1, 'token': '•••'}]}
    """
    return _hide(_compiled(tuple(patterns)), value) if patterns else value


def redact_tagged(patterns: Sequence[str], data: Any) -> Any:
    """As `redact`, for the codec's JSON with tags (see `_values/tagged.py`): the paths are those of the value."""
    return _hide(_compiled(tuple(patterns)), data, tagged=True) if patterns else data


def scrub(patterns: Sequence[str], value: object, text: str) -> str:
    """`text` with the texts and numbers replaced that the patterns hide in `value`.

    Error messages need this, because they repeat parts of the input.

    >>> scrub(["email"], {"email": "ana@example.org"}, "no account for ana@example.org")
    'no account for •••'
    """
    hidden = {found for pattern in patterns for found in _found(_steps(pattern), value)}
    for secret in sorted(hidden, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SCRUBBED:
            text = text.replace(secret, HIDDEN)
    return text


def scrub_error(patterns: Sequence[str], inputs: Sequence[object], data: dict[str, Any]) -> None:
    """Add a redacted message and notes to the data of an error and of its causes.

    A replay needs the original message, so the redacted text is added under "shown". Tracebacks are only
    shown, so they are redacted in place.
    """

    def scrubbed(text: str) -> str:
        for value in inputs:
            text = scrub(patterns, value, text)
        return text

    for node in with_causes(data):
        node["shown"] = {
            "message": scrubbed(str(node.get("message", ""))),
            "notes": [scrubbed(str(note)) for note in node.get("notes", ())],
        }
        if "traceback" in node:
            node["traceback"] = [scrubbed(str(line)) for line in node["traceback"]]


def with_causes(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The data of an error, of its causes, and of the members of a group."""
    pending: list[Any] = [data]
    while pending:
        each = pending.pop()
        if isinstance(each, dict):
            node = cast("dict[str, Any]", each)
            yield node
            pending += [node.get("cause"), node.get("context"), *node.get("errors", ())]


def _steps(pattern: str) -> list[str]:
    """The steps of a path. A JSONPath with "$." and "[*]" is accepted as well."""
    plain = pattern.removeprefix("$").removeprefix(".").replace("[", ".").replace("]", "")
    return plain.split(".")


@functools.lru_cache(maxsize=256)
def _compiled(patterns: tuple[str, ...]) -> _Tree:
    tree: _Tree = {}
    for pattern in patterns:
        *above, last = _steps(pattern)
        branch: _Tree | None = tree
        for step in above:
            # A step that is hidden as a whole needs no further steps.
            branch = branch.setdefault(step, {}) if branch is not None else None
        if branch is not None:
            branch[last] = None
    return tree


def _hide(tree: _Tree, value: object, *, tagged: bool = False) -> object:
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value)
        if tagged and isinstance(items.get("$"), str):
            return _hide_in_tagged(tree, items)
        return {key: _hide_item(tree, key, item, tagged) for key, item in items.items()}
    if isinstance(value, list):
        members = enumerate(cast("list[object]", value))
        return [_hide_item(tree, str(index), item, tagged) for index, item in members]
    return value


def _hide_in_tagged(tree: _Tree, data: dict[str, Any]) -> object:
    """A value with the tag of its type. That of a mapping has a list of pairs."""
    value = data.get("v")
    if data["$"] in _PAIRS and isinstance(value, list):
        pairs = cast("list[tuple[object, object]]", value)
        return {**data, "v": [[key, _hide_item(tree, str(key), item, True)] for key, item in pairs]}
    return {**data, "v": _hide(tree, value, tagged=True)} if "v" in data else data


_PAIRS = frozenset({"dict", "OrderedDict", "Counter", "defaultdict"})


def _hide_item(tree: _Tree, step: str, item: object, tagged: bool) -> object:
    for branch in (tree[name] for name in (step, "*") if name in tree):
        if branch is None:
            return HIDDEN
        item = _hide(branch, item, tagged=tagged)
    return item


def _found(steps: list[str], value: object) -> Iterable[str]:
    """The texts and numbers at and below a path."""
    if isinstance(value, dict):
        items = cast("dict[str, object]", value).items()
    elif isinstance(value, list):
        items = ((str(index), item) for index, item in enumerate(cast("list[object]", value)))
    else:
        if not steps and value is not None and not isinstance(value, bool):
            yield str(value)
        return
    for key, item in items:
        if not steps:
            yield from _found([], item)
        elif steps[0] in (key, "*"):
            yield from _found(steps[1:], item)


# Requests and responses ----------------------------------------------------------------------------


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SENSITIVE = re.compile(
    r"authorization|cookie|api-?key|(auth|access|csrf|security|private|refresh|session|id)-?token|secret|password"
)
_OF_CREDENTIALS = _words(
    "auth credential credentials csrf dpop hmac jwt key nonce otp passphrase passwd password pwd sas secret session "
    "sessionid sid sig signature token xsrf"
)
# Headers of requests and responses that are kept with an error, beside those of rate limits and ids of requests.
_HEADERS = _words(
    "accept accept-encoding accept-language accept-ranges age allow cache-control connection content-disposition "
    "content-encoding content-language content-length content-location content-range content-type date deprecation etag "
    "expires host idempotency-key idempotent-replayed if-match if-modified-since if-none-match last-modified link location "
    "openai-processing-ms openai-version prefer range retry-after retry-after-ms server stripe-should-retry stripe-version "
    "sunset transfer-encoding user-agent vary via warning x-accepted-oauth-scopes x-oauth-scopes x-should-retry cf-ray "
    "x-error-code x-error-message x-total-count"
)
_HEADER_KINDS = re.compile(
    r"(.+-)?rate-?limit(-.+)?|(.+-)?(request|correlation|trace)-?id|x-amzn-errortype|x-amz-id-2"
)
# Parameters of a query whose values are kept.
_QUERY = _words(
    "api-version count dir direction expand fields format from include lang language limit locale max-results offset order "
    "order-by page page-size pagesize per-page since size skip sort sort-by start status to top type until v version"
)
_SHORT = re.compile(r"\d{0,4}|true|false")  # values that are no credentials
_LONGEST_FLAG = 12  # characters of a parameter without a value
_HIDDEN_IN_URL = "***"  # a URL is ASCII
_REST = r"[^\s'\"<>`]*[^\s'\"<>`.,:;!)\]}]"  # of a URL, without the marks of the text around it
_IN_TEXT = re.compile(rf"\b[a-z][a-z0-9+.-]*://{_REST}|(?<=url: )/{_REST}", re.IGNORECASE)
# Libraries whose errors name the URL of a request.
_HTTP = frozenset(
    {"aiohttp", "http", "httpcore", "httpcore2", "httpx", "httpx2", "requests", "urllib", "urllib3"}
)
_more_headers: set[str] = set()
_more_query: set[str] = set()


def keep_in_errors(*, headers: Iterable[str] = (), query: Iterable[str] = ()) -> None:
    """Keep more of the requests and responses that stored errors hold: values of `headers`, and of parameters in the `query` of URLs.

    Errors of httpx, requests, aiohttp, urllib and the SDKs on them hold the request, and may hold the response. Of their headers
    only some are kept: the content type, rate limits, ids of requests and such. Of URLs neither user nor password is, and of
    the query only values such as `page`. Names are the same in any case, with "_" or "-". Raises `InvalidOptionError` if they
    are not texts.

        keep_in_errors(headers=["x-quota-left"], query=["customer"])
    """
    for option, given, kept in (("headers", headers, _more_headers), ("query", query, _more_query)):
        names: list[object] = [given] if isinstance(given, str) else list(given)
        if not all(isinstance(name, str) for name in names):
            raise InvalidOptionError(f"{option}= of keep_in_errors is a list of names, not {names!r}")
        kept.update(map(_dashed, names))


def _dashed(name: object) -> str:
    return str(name).lower().replace("_", "-")


def is_credential(name: str) -> bool:
    """Whether the name of a header or parameter says that it may hold a credential."""
    plain = _dashed(name)
    if is_kept_header(plain):
        return False
    return SENSITIVE.search(plain) is not None or not _OF_CREDENTIALS.isdisjoint(
        re.split(r"[^a-z0-9]+", plain)
    )


def is_kept_header(name: str) -> bool:
    """Whether the value of a header is kept with an error."""
    name = _dashed(name)
    return name in _HEADERS or name in _more_headers or _HEADER_KINDS.fullmatch(name) is not None


def kept_headers(headers: Iterable[tuple[str, str]]) -> list[list[str]]:
    """The headers of a request or response that are kept with an error, by an allow-list."""
    return [[name, hide_in_urls(value, True)] for name, value in headers if is_kept_header(name)]


def is_of_http(error: BaseException) -> bool:
    """Whether an error is one of an HTTP library, or was raised because of one."""
    return any(
        base.__module__.partition(".")[0] in _HTTP
        for each in (error, error.__cause__, error.__context__)
        if each is not None
        for base in type(each).__mro__
    )


def _clean_request(error: Any) -> None:
    """Replace the request in an error of aiohttp, whose text has the URL, and whose `repr` has all headers."""

    def kept(headers: Any) -> Any:
        proxy = sys.modules["multidict"]
        return headers and proxy.CIMultiDictProxy(
            proxy.CIMultiDict(map(tuple, kept_headers(headers.items())))
        )

    info = error.request_info
    url, real_url = (type(url)(hide_in_urls(str(url), True)) for url in (info.url, info.real_url))
    error.request_info = info._replace(url=url, real_url=real_url, headers=kept(info.headers))
    error.args = (error.request_info, *error.args[1:])
    error.headers = kept(error.headers)


def hide_in_urls(data: T, strict: bool = False) -> T:
    """A copy of JSON data without the users, passwords and credentials in URLs; if `strict`, without all values of queries
    that are not allowed."""
    if isinstance(data, str):
        return cast("T", _urls_hidden(data, strict))
    if isinstance(data, dict):
        items = cast("dict[str, object]", data).items()
        return cast("T", {key: hide_in_urls(value, strict) for key, value in items})
    if isinstance(data, list):
        return cast("T", [hide_in_urls(value, strict) for value in cast("list[object]", data)])
    return data


def _urls_hidden(text: str, strict: bool) -> str:
    if strict and text.startswith(("/", "?")) and not re.search(r"\s", text):
        return _url_hidden(text, strict)
    if "://" not in text and "url: /" not in text:
        return text
    return _IN_TEXT.sub(lambda found: _url_hidden(found[0], strict), text)


def _url_hidden(url: str, strict: bool) -> str:
    scheme, slashes, rest = ("", "", url) if url[0] in "/?" else url.partition("://")
    rest, hash_, fragment = rest.partition("#")
    rest, mark, query = rest.partition("?")
    authority, slash, path = rest.partition("/")
    if "=" in fragment:
        fragment = _query_hidden(fragment, strict)
    host = authority.rpartition("@")[2]
    return "".join((scheme, slashes, host, slash, path, mark, _query_hidden(query, strict), hash_, fragment))


def _query_hidden(query: str, strict: bool) -> str:
    return "".join(
        part if at % 2 else _parameter_hidden(part, strict)
        for at, part in enumerate(re.split("([&;])", query))
    )


def _parameter_hidden(part: str, strict: bool) -> str:
    name, equals, value = part.partition("=")
    plain = _dashed(unquote(name))
    if plain in _more_query:
        return part
    if not equals:
        return _HIDDEN_IN_URL if strict and len(part) > _LONGEST_FLAG else part
    if strict:
        return part if plain in _QUERY or _SHORT.fullmatch(value) else f"{name}={_HIDDEN_IN_URL}"
    return f"{name}={_HIDDEN_IN_URL}" if is_credential(plain) else part
