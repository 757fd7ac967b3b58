"""Airtable, on pyairtable: `pip install 'trigger-nb[airtable]'`.

```python
client.job(id="leads", integrations={"airtable": Airtable()})
...
leads = io.airtable.table("appXXXXXXXXXXXXXX", "Leads")
await leads.create_records("add", [{"Name": "Ana"}], typecast=True)
```
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from .._tasks.call import Call
from .._tasks.options import Options, Property
from .._tasks.task import Task
from ..retry import RetryAt
from ._base import Credential, SecretText, retry_only
from ._http_retries import by_status, is_connection_error
from ._sdk import Known, Params, SdkIntegration, SdkPath, plain

if TYPE_CHECKING:
    from pyairtable import Api

_PENALTY = RetryAt(30)
_TIMEOUT = (10, 60)  # seconds to connect and to read; pyairtable has no timeout by default
_BATCH = 10  # Airtable's maximum of records in a request
Record = dict[str, Any]
# Methods of the SDK that request nothing.
_MAKE_OBJECTS = frozenset({"base", "enterprise", "table", "workspace"})


def _found(records: list[Record]) -> Iterable[Property]:
    yield Property("Found", str(len(records)))


def _one(created: list[Record]) -> Iterable[Property]:
    if len(created) == 1:
        yield Property("Record", created[0]["id"])


def _records(params: Params) -> Params:
    """Parameters of a change, with one name for records and for their ids."""
    return {"records" if name == "record_ids" else name: value for name, value in params.items()}


def _count(params: Params) -> int:
    return len(params["records"])


class Airtable(SdkIntegration["Api", Any]):
    """Airtable's Web API. The client is `pyairtable.Api`, and bodies run in threads.

    **Methods** are those of the table below, and the SDK's own: `io.airtable.whoami("who")`, and those of
    `pyairtable.Table` of a table: `io.airtable.table("appXXXXXXXXXXXXXX", "Leads").first("newest", sort=["-Date"])`.
    They return plain data.

    `api_key` is a personal access token; without one, `AIRTABLE_API_KEY` is read when it is needed.

    **Retried**: 429 after the 30 seconds for which Airtable then refuses all requests to the base
    (https://airtable.com/developers/web/api/rate-limits: 5 requests a second a base), but not when the
    month's calls are used up; 5xx; broken connections and timeouts
    (https://airtable.com/developers/web/api/errors). No other error is.

    Airtable takes ten records a request. With more, each ten are a task of their own below the method's, and
    what is done stays done. It takes no idempotency key: when the kernel dies between Airtable's answer and
    its record, or the connection breaks after the request was taken, the next attempt creates those ten
    again. To create them once, have Airtable look for a field of your own first:

    ```
    def upsert(records, client):
        table = client.table("appXXXXXXXXXXXXXX", "Leads")
        return table.batch_upsert(records, key_fields=["Email"])["records"]

    await io.airtable.run_task("upsert", upsert, [{"fields": {"Email": "ana@example.com"}}])
    ```
    """

    service = "Airtable"
    icon = "airtable"
    extra = "airtable"
    client_per_loop = False

    def __init__(
        self, api_key: str | SecretText | None = None, *, base_url: str = "https://api.airtable.com"
    ):
        super().__init__()
        self._api_key = Credential("Airtable(api_key=...)", api_key, "AIRTABLE_API_KEY")
        self._base_url = base_url

    def open_client(self) -> Api:
        from http.cookiejar import DefaultCookiePolicy

        from pyairtable import Api

        api = Api(self._api_key.read(), timeout=_TIMEOUT, retry_strategy=None, endpoint_url=self._base_url)
        # Threads share the session. Requests would only change its cookies, which no call needs.
        api.session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        return api

    async def close_client(self, client: Api) -> None:
        client.session.close()

    def should_retry(self, error: Exception) -> bool | RetryAt | None:
        import requests

        if isinstance(error, requests.HTTPError) and error.response is not None:
            # Also a 429, but it lasts until next month.
            if "PUBLIC_API_BILLING_LIMIT_EXCEEDED" in error.response.text:
                return False
            return by_status(error.response.status_code, _PENALTY)
        return True if is_connection_error(error) else None

    _flat = True

    @classmethod
    def _sdk(cls) -> Any:
        from pyairtable import Api

        return Api("of no account")

    @classmethod
    def _is_group(cls, value: Any) -> bool:
        return isinstance(value, type)

    @classmethod
    def _member(cls, owner: Any, name: str) -> Any:
        if name == "records":
            from pyairtable import Table

            return Table
        return None if name in _MAKE_OBJECTS else super()._member(owner, name)

    def _body(self, path: str) -> Callable[..., Any]:
        return functools.partial(_call, path, self._about(path))

    _known: ClassVar[Mapping[str, Known]] = {
        "records.all": Known(name="Get records", tells=_found),
        "records.get": Known(name="Get record", shows={"Record": "record_id"}),
        "records.batch_create": Known(name="Create records", shows={"Records": _count}, tells=_one),
        "records.batch_update": Known(name="Update records", shows={"Records": _count}),
        "records.batch_delete": Known(name="Delete records", shows={"Records": _count}, prepare=_records),
    }

    def table(self, base: str, table: str) -> Table:
        """The methods for one table: a base's id, and a table's id or name."""
        return Table(self, "records", {"base": base, "table": table})

    def _properties(self, path: str, params: Params) -> list[Property]:
        shown = super()._properties(path, params)
        return [*_where(params), *shown] if "base" in params else shown


class Table(SdkPath[Any]):
    """The records of one table, as `io.airtable.table(base, table)` gives them.

    A record is a dict: `{"id": "rec...", "createdTime": "...", "fields": {"Name": "Ana"}}`. `more` is what
    pyairtable's method of the same purpose takes, `typecast=True` for example.
    """

    def get_records(
        self, key: Any, *, task_options: Options | None = None, **more: Any
    ) -> Call[list[Record]]:
        """All records, or those that `formula` and `view` select, with as many requests as needed; also `fields`,
        `sort` and `max_records`."""
        return self.all(key, task_options=task_options, **more)

    def get_record(
        self, key: Any, *, record_id: str, task_options: Options | None = None, **more: Any
    ) -> Call[Record]:
        """One record by its id."""
        return self.get(key, record_id=record_id, task_options=task_options, **more)

    def create_records(
        self,
        key: Any,
        records: Sequence[Mapping[str, Any]],
        *,
        task_options: Options | None = None,
        **more: Any,
    ) -> Call[list[Record]]:
        """Create records from their fields: `[{"Name": "Ana"}]`. The records, with their ids."""
        return self._change(key, "batch_create", records, task_options, more)

    def update_records(
        self,
        key: Any,
        records: Sequence[Mapping[str, Any]],
        *,
        task_options: Options | None = None,
        **more: Any,
    ) -> Call[list[Record]]:
        """Update records: `[{"id": "rec...", "fields": {"Name": "Ana"}}]`. The records as they are then."""
        return self._change(key, "batch_update", records, task_options, more)

    def delete_records(
        self, key: Any, record_ids: Sequence[str], *, task_options: Options | None = None
    ) -> Call[list[Record]]:
        """Delete records by their ids: `[{"id": "rec...", "deleted": True}]`.

        Airtable refuses to delete a record that does not exist: if it deleted a record and the answer was
        lost, the next attempt ends in that error.
        """
        return self._change(key, "batch_delete", record_ids, task_options, {})

    def _change(
        self, key: Any, method: str, records: Sequence[Any], task_options: Options | None, more: Params
    ) -> Call[list[Record]]:
        """One request for up to ten records, otherwise a subtask for each ten."""
        airtable, path = self._integration, f"records.{method}"
        body = airtable._body(path)
        params = {**self._fixed, "records": list(records), **more}
        return airtable.task(
            key,
            body if len(records) <= _BATCH else _in_batches(airtable, body, task_options),
            params,
            name=airtable._about(path).name,
            properties=airtable._properties(path, params),
            task_options=task_options,
        )


def _in_batches(
    airtable: SdkIntegration[Any, Any], body: Callable[..., Any], task_options: Options | None
) -> Callable[..., Awaitable[list[Record]]]:
    tried = retry_only(task_options)

    async def run(params: Params, io: Any, task: Task) -> list[Record]:
        bound, records = airtable.bind(io), params["records"]
        done: list[Record] = []
        for first in range(0, len(records), _BATCH):
            task.progress(first, len(records))
            batch = records[first : first + _BATCH]
            done += await bound.task(
                ("records", first),
                body,
                {**params, "records": batch},
                name=f"Records {first + 1} to {first + len(batch)}",
                task_options=tried,
            )
        return done

    return run


def _call(path: str, known: Known, params: Params, client: Any, task: Task) -> Any:
    """The body. pyairtable's records are TypedDicts: plain dicts, which is what is stored."""
    options = dict(params)
    owner = client.table(options.pop("base"), options.pop("table")) if path.startswith("records.") else client
    if path == "records.batch_delete":
        options["record_ids"] = options.pop("records")
    answer = getattr(owner, path.rpartition(".")[2])(**options)
    if isinstance(answer, (list, Iterator)):
        answer = [_plain(each) for each in cast("Iterable[Any]", answer)]
    task.output_properties = [*known.tells(answer)]
    return _plain(answer)


def _plain(answer: Any) -> Any:
    """Plain data; of an object that has a client in it, such as a base, its id and name."""
    return {"id": answer.id, "name": answer.name} if hasattr(answer, "api") else plain(answer)


def _where(params: Mapping[str, Any]) -> list[Property]:
    """The properties that name the base and the table, with their pages, whose addresses have ids."""
    base, table = params["base"], params["table"]
    page = f"https://airtable.com/{base}"
    return [
        Property("Base", base, url=page),
        Property("Table", table, url=f"{page}/{table}" if table.startswith("tbl") else None),
    ]
