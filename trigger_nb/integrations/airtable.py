"""Airtable, on pyairtable: `pip install 'trigger-nb[airtable]'`.

```python
client.job(id="leads", integrations={"airtable": Airtable()})
...
leads = io.airtable.table("appXXXXXXXXXXXXXX", "Leads")
await leads.create_records("add", [{"Name": "Ana"}], typecast=True)
```
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._tasks.options import Options, Property
from .._tasks.task import Task
from ..retry import RetryAt
from ._base import Credential, Integration, Methods, SecretText, retry_only
from ._verdicts import by_status, is_connection_error

if TYPE_CHECKING:
    from pyairtable import Api

    from .._tasks.call import Call

_PENALTY = RetryAt(30)
_TIMEOUT = (10, 60)  # seconds to connect and to read; pyairtable has no timeout by default
_BATCH = 10  # Airtable's maximum of records in a request
Record = dict[str, Any]


class Airtable(Integration["Api"]):
    """Airtable's Web API. The client is `pyairtable.Api`, and bodies run in threads.

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
            if (
                "PUBLIC_API_BILLING_LIMIT_EXCEEDED" in error.response.text
            ):  # also a 429, but it lasts until next month
                return False
            return by_status(error.response.status_code, _PENALTY)
        return True if is_connection_error(error) else None

    def table(self, base: str, table: str) -> Table:
        """The methods for one table: a base's id, and a table's id or name."""
        return Table(self, base, table)


class Table(Methods[Airtable]):
    """The records of one table, as `io.airtable.table(base, table)` gives them.

    A record is a dict: `{"id": "rec...", "createdTime": "...", "fields": {"Name": "Ana"}}`. `more` is what
    pyairtable's method of the same purpose takes, `typecast=True` for example.
    """

    def __init__(self, integration: Airtable, base: str, table: str) -> None:
        super().__init__(integration)
        self._where = {"base": base, "table": table}
        self._properties = [
            Property("Base", base, url=f"https://airtable.com/{base}"),
            # Airtable's pages have addresses by id, not by name.
            Property("Table", table, url=f"https://airtable.com/{base}/{table}" if _is_id(table) else None),
        ]

    def get_records(
        self,
        key: Any,
        *,
        formula: str | None = None,
        view: str | None = None,
        fields: Sequence[str] | None = None,
        sort: Sequence[str] | None = None,
        max_records: int | None = None,
        task_options: Options | None = None,
        **more: Any,
    ) -> Call[list[Record]]:
        """All records, or those that `formula` and `view` select, with as many requests as needed."""
        asked = {"formula": formula, "view": view, "fields": fields, "sort": sort, "max_records": max_records}
        return self._integration.task(
            key,
            _get_records,
            {**self._where, **asked, **more},
            name="Get records",
            properties=self._properties,
            task_options=task_options,
        )

    def get_record(
        self, key: Any, *, record_id: str, task_options: Options | None = None, **more: Any
    ) -> Call[Record]:
        """One record by its id."""
        return self._integration.task(
            key,
            _get_record,
            {**self._where, "record_id": record_id, **more},
            name="Get record",
            properties=[*self._properties, Property("Record", record_id)],
            task_options=task_options,
        )

    def create_records(
        self,
        key: Any,
        records: Sequence[Mapping[str, Any]],
        *,
        task_options: Options | None = None,
        **more: Any,
    ) -> Call[list[Record]]:
        """Create records from their fields: `[{"Name": "Ana"}]`. The records, with their ids."""
        return self._integration.task(
            key,
            self._in_batches(_create_records, records, task_options),
            {**self._where, "records": list(records), **more},
            name="Create records",
            properties=self._counting(records),
            task_options=task_options,
        )

    def update_records(
        self,
        key: Any,
        records: Sequence[Mapping[str, Any]],
        *,
        task_options: Options | None = None,
        **more: Any,
    ) -> Call[list[Record]]:
        """Update records: `[{"id": "rec...", "fields": {"Name": "Ana"}}]`. The records as they are then."""
        return self._integration.task(
            key,
            self._in_batches(_update_records, records, task_options),
            {**self._where, "records": list(records), **more},
            name="Update records",
            properties=self._counting(records),
            task_options=task_options,
        )

    def delete_records(
        self, key: Any, record_ids: Sequence[str], *, task_options: Options | None = None
    ) -> Call[list[Record]]:
        """Delete records by their ids: `[{"id": "rec...", "deleted": True}]`.

        Airtable refuses to delete a record that does not exist: if it deleted a record and the answer was
        lost, the next attempt ends in that error.
        """
        return self._integration.task(
            key,
            self._in_batches(_delete_records, record_ids, task_options),
            {**self._where, "records": list(record_ids)},
            name="Delete records",
            properties=self._counting(record_ids),
            task_options=task_options,
        )

    def _counting(self, records: Sequence[Any]) -> list[Property]:
        return [*self._properties, Property("Records", str(len(records)))]

    def _in_batches(
        self, body: Callable[..., list[Record]], records: Sequence[Any], task_options: Options | None
    ) -> Callable[..., list[Record]] | Callable[..., Awaitable[list[Record]]]:
        """The body for a number of records: one request for up to ten, otherwise a subtask for each ten."""
        if len(records) <= _BATCH:
            return body
        airtable = self._integration
        tried = retry_only(task_options)

        async def run(params: dict[str, Any], io: Any, task: Task) -> list[Record]:
            bound = airtable.bind(io)
            done: list[Record] = []
            for first in range(0, len(records), _BATCH):
                task.progress(first, len(records))
                batch = params["records"][first : first + _BATCH]
                done += await bound.task(
                    ("records", first),
                    body,
                    {**params, "records": batch},
                    name=f"Records {first + 1} to {first + len(batch)}",
                    task_options=tried,
                )
            return done

        return run


# pyairtable's records are TypedDicts: plain dicts, which is what is stored.
def _get_records(params: dict[str, Any], client: Api, task: Task) -> list[Any]:
    table, options = _split(params, client)
    found = table.all(**options)
    task.output_properties = {"Found": len(found)}
    return found


def _get_record(params: dict[str, Any], client: Api) -> Any:
    table, options = _split(params, client)
    return table.get(options.pop("record_id"), **options)


def _create_records(params: dict[str, Any], client: Api, task: Task) -> list[Any]:
    table, options = _split(params, client)
    created = table.batch_create(**options)
    if len(created) == 1:
        task.output_properties = {"Record": created[0]["id"]}
    return created


def _update_records(params: dict[str, Any], client: Api) -> list[Any]:
    table, options = _split(params, client)
    return table.batch_update(**options)


def _delete_records(params: dict[str, Any], client: Api) -> list[Any]:
    table, options = _split(params, client)
    return table.batch_delete(options["records"])


def _split(params: dict[str, Any], client: Api) -> tuple[Any, dict[str, Any]]:
    """The properties of a task: the table and the request."""
    options = dict(params)
    return client.table(options.pop("base"), options.pop("table")), options


def _is_id(table: str) -> bool:
    return table.startswith("tbl")
