"""Endpoints: addresses to which services send their requests, and the triggers that start jobs for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, cast

from . import filters, signatures
from .errors import InvalidOptionError, InvalidPayloadError, UsageError
from .triggers import EventTrigger

__all__ = ["EndpointTrigger", "HttpEndpoint", "HttpRequest", "RespondWith"]

Takes: TypeAlias = Literal["request", "body"]
_PARTS = ("method", "headers", "query", "body")


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request that has come to an endpoint: the payload of the jobs that it starts.

    - `method`: such as "POST".
    - `headers`: by their names in lower case, without those that hold credentials and signatures.
    - `query`: the parameters of the address; a name that comes twice has a list.
    - `body`: JSON and forms as their data, other text as text, all else as bytes; None if there is none.

    >>> HttpRequest(body={"id": 7}).body["id"]
    7
    """

    method: str = "POST"
    headers: dict[str, str] = field(default_factory=dict[str, str])
    query: dict[str, Any] = field(default_factory=dict[str, Any])
    body: Any = None

    def data(self) -> dict[str, Any]:
        """The request as plain data, as the event of it has them."""
        return {name: getattr(self, name) for name in _PARTS}


@dataclass(frozen=True, slots=True)
class RespondWith:
    """How an endpoint answers, for a service that wants more than an empty "200 OK".

    - `handler`: a function of the `HttpRequest`, `def` or `async def`. It returns what is sent: text, JSON data, bytes, a status
      such as 204, a pair of status and one of these, or a response of Starlette's.
    - `filter`: only requests that match are answered by it: by `method`, `headers`, `query` and `body`, as for `on_request`.
    - `skip_runs`: these requests are answered, and are no events: they start no runs.

    ```
    challenge = RespondWith(lambda request: request.query["hub.challenge"], {"method": ["GET"]}, skip_runs=True)
    messages = client.http_endpoint("messages", respond_with=challenge)
    ```
    """

    handler: Callable[[HttpRequest], Any]
    filter: filters.Filter | None = None
    skip_runs: bool = False

    def __post_init__(self) -> None:
        if not callable(self.handler):
            raise InvalidOptionError(f"respond_with is a function of the request, not {self.handler!r:.100}")
        if self.filter is not None:
            object.__setattr__(self, "filter", _checked_filter(self.filter))


class Home(Protocol):
    """The store in this process, as an endpoint sees it."""

    endpoints: dict[str, HttpEndpoint]

    def address_of(self, endpoint: str) -> str:
        """The address of an endpoint. Raises `UsageError` if nobody serves it."""
        ...


@dataclass(frozen=True)
class HttpEndpoint:
    """An address to which a service sends requests: each is an event that is recorded, and starts jobs. See `client.http_endpoint`.

    ```
    orders = client.http_endpoint("orders", verify=signatures.hmac("ORDERS_SECRET", header="X-Signature"))

    @client.job(trigger=orders.on_request(filter={"body": {"status": ["paid"]}}))
    async def ship(request, io):
        return request.body["id"]
    ```
    """

    id: str
    source: str | None = None
    verify: signatures.Verify = None
    respond_with: RespondWith | Callable[[HttpRequest], Any] | None = None
    _homes: list[Home] = field(default_factory=list[Home], init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not self.id:  # pyright: ignore[reportUnnecessaryIsInstance]  # a user's value
            raise InvalidOptionError(f'the id of an endpoint is text such as "orders", not {self.id!r:.100}')
        if self.source is not None and not isinstance(self.source, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOptionError(f"source is text, not {self.source!r:.100}")
        object.__setattr__(self, "verify", signatures.of(self.verify))
        respond = self.respond_with
        if respond is not None and not isinstance(respond, RespondWith):
            object.__setattr__(self, "respond_with", RespondWith(respond))

    @property
    def event(self) -> str:
        """The name of the events that its requests are."""
        return f"http:{self.id}"

    def on_request(self, filter: filters.Filter | None = None, *, schema: object = None) -> EndpointTrigger:
        """A trigger that starts a job for each request to this endpoint. The payload is an `HttpRequest`.

        - `filter`: the requests that start it, by `method`, `headers`, `query` and `body`; see `trigger_nb.filters`.
        - `schema`: the `body` is validated with it; a request whose body does not fit is refused with 422.

        Raises `InvalidFilterError` and `InvalidOptionError`.

        >>> HttpEndpoint("orders").on_request({"method": ["POST"]}).names
        ('http:orders',)
        """
        return self._trigger(filter, schema, "request")

    def on_body(self, filter: filters.Filter | None = None, *, schema: object = None) -> EndpointTrigger:
        """As `on_request`, for a job whose payload is the body of the request alone.

        >>> HttpEndpoint("orders").on_body().takes
        'body'
        """
        return self._trigger(filter, schema, "body")

    def _trigger(self, filter: filters.Filter | None, schema: object, takes: Takes) -> EndpointTrigger:
        checked = None if filter is None else _checked_filter(filter)
        return EndpointTrigger(names=(self.event,), endpoint=self, filter=checked, schema=schema, takes=takes)

    def bind(self, home: Home) -> None:
        """A client has this endpoint, in place of an earlier one with the same id."""
        home.endpoints[self.id] = self
        if not any(each is home for each in self._homes):
            self._homes.append(home)

    @property
    def url(self) -> str:
        """The address for the settings of the service. It is a secret, and the same in each process on this store.

        Raises `UsageError` if no server serves it: `client.serve()`.
        """
        return self.home.address_of(self.id)

    @property
    def home(self) -> Home:
        """The store that it belongs to. Raises `UsageError` if there is none."""
        if not self._homes:
            raise UsageError(
                f"endpoint {self.id!r} belongs to no client yet: define a job with its trigger, or make it by "
                f"client.http_endpoint({self.id!r})"
            )
        return self._homes[-1]

    def __hash__(self) -> int:
        return hash(self.id)


@dataclass(frozen=True, kw_only=True)
class EndpointTrigger(EventTrigger):
    """A trigger of an endpoint. Create it with `endpoint.on_request`."""

    endpoint: HttpEndpoint
    takes: Takes = "request"

    def parse(self, payload: object) -> Any:
        """The payload that the run function gets: the request, or its body, validated by the schema."""
        if self.takes == "body":
            return super().parse(_request(payload).body if _is_request(payload) else payload)
        if not _is_request(payload):
            raise InvalidPayloadError(
                f"the payload of a job of an endpoint is a request: HttpRequest(body=...), not {payload!r:.100}"
            )
        request = _request(payload)
        if self.schema is None:
            return request
        return HttpRequest(request.method, request.headers, request.query, super().parse(request.body))

    def fit(self, payload: Any) -> Any:
        """A stored payload as the run function gets it."""
        return payload if isinstance(payload, HttpRequest) and self.schema is None else super().fit(payload)


def _is_request(payload: object) -> bool:
    if isinstance(payload, HttpRequest):
        return True
    return isinstance(payload, dict) and set(cast("dict[Any, Any]", payload)) == set(_PARTS)


def _request(payload: object) -> HttpRequest:
    if isinstance(payload, HttpRequest):
        return payload
    return HttpRequest(**cast("dict[str, Any]", payload))


def _checked_filter(filter: filters.Filter) -> filters.Filter:
    """A filter of requests, with the names of headers in lower case. Raises `InvalidFilterError`."""
    filters.validate(filter)
    unknown = [name for name in filter if name not in _PARTS]
    if unknown:
        raise InvalidOptionError(
            f"a request has {', '.join(_PARTS)}, and no {unknown[0]!r}: the fields of its body are below "
            f'"body", as in {{"body": {{{unknown[0]!r}: [...]}}}}'
        )
    headers = filter.get("headers")
    if not isinstance(headers, Mapping):
        return filter
    named = cast("Mapping[str, Any]", headers)
    return {**filter, "headers": {name.lower(): wanted for name, wanted in named.items()}}
