"""Supabase, on its own SDK: `pip install 'trigger-nb[supabase]'`.

```python
client.job(id="users", integrations={"supabase": Supabase()})
...
await io.supabase.upsert("save", table="users", rows=[{"id": "u1", "name": "Ana"}])

async def active(client):
    return (await client.table("users").select("*").eq("active", True).execute()).data

users = await io.supabase.run_task("active", active)
```
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from .._tasks.call import Call
from .._tasks.options import Options
from ..errors import MissingCredentialError
from ..retry import RetryAt
from ._base import Credential, SecretText
from ._http_retries import by_status, is_connection_error, retry_after
from ._sdk import SdkIntegration, plain

if TYPE_CHECKING:
    import httpx
    from supabase import AsyncClient

_TIMEOUT = 120.0  # seconds, the default of the SDK's database client
# Prefixes of the transient error codes of PostgREST and PostgreSQL: the database cannot be reached, has no
# space left, was stopped, or rolled the transaction back. They come with status 500, 503 or 504.
_TRANSIENT = ("PGRST000", "PGRST001", "PGRST002", "PGRST003", "08", "40", "53", "55", "57", "58", "XX")


# The SDK's packages for what is not a query.
_GROUPS = frozenset({"storage3", "supabase_auth", "supabase_functions"})


class Supabase(SdkIntegration["AsyncClient", Any]):
    """A Supabase project. The client is `supabase.AsyncClient`; use it in bodies with `run_task`.

    **Methods** below `auth`, `functions` and `storage` are the SDK's own, by their path, and return plain data:
    `io.supabase.auth.admin.list_users("users", per_page=50)`. Queries are chains of calls, which a body makes.

    `url` is the project's, `key` one of its secret keys; without them, `SUPABASE_URL` and `SUPABASE_KEY` or
    `SUPABASE_SERVICE_ROLE_KEY` are read when they are needed.

    **Retried**: 429 at the time that `Retry-After` gives, or after a while; 5xx of the gateway; errors of the
    database that pass by themselves, as the codes of PostgREST and PostgreSQL say
    (https://supabase.com/docs/guides/api/rest/postgrest-error-codes); broken connections and timeouts.
    No other error is. An error of the gateway, which has no such code, is raised as `httpx.HTTPStatusError`:
    the SDK would leave out its status.

    Supabase takes no idempotency key: when the kernel dies between its answer and its record, or the
    connection breaks after the rows were written, the next attempt writes them again. `upsert` by a primary
    key that you choose takes effect once however often it is sent; `insert` of such rows then ends in the
    error 23505.
    """

    service = "Supabase"
    icon = "supabase"
    extra = "supabase"

    def __init__(self, url: str | None = None, key: str | SecretText | None = None):
        super().__init__()
        self._url = url
        self._key = Credential("Supabase(key=...)", key, "SUPABASE_KEY", "SUPABASE_SERVICE_ROLE_KEY")

    def open_client(self) -> AsyncClient:
        import httpx
        from supabase import AsyncClient, AsyncClientOptions

        url = self._url or os.environ.get("SUPABASE_URL")
        if not url:
            raise MissingCredentialError(
                "no project: pass Supabase(url=...), or set the environment variable SUPABASE_URL "
                "before the task runs"
            )
        options = AsyncClientOptions(
            httpx_client=httpx.AsyncClient(
                timeout=_TIMEOUT, follow_redirects=True, event_hooks={"response": [_keep_status]}
            ),
            postgrest_client_retry=False,
            auto_refresh_token=False,  # the key authenticates, not a user
            persist_session=False,
        )
        return AsyncClient(url, self._key.read(), options)

    async def close_client(self, client: AsyncClient) -> None:
        options: Any = client.options
        await options.httpx_client.aclose()

    def should_retry(self, error: Exception) -> bool | RetryAt | None:
        import httpx
        from postgrest import APIError
        from storage3.exceptions import StorageApiError
        from supabase_auth.errors import AuthApiError, AuthRetryableError
        from supabase_functions.errors import FunctionsError

        if isinstance(error, httpx.HTTPStatusError):
            return by_status(error.response.status_code, retry_after(error.response.headers))
        if isinstance(error, APIError):
            code = error.code or ""
            if len(code) == 3 and code.isdigit():  # the status of an answer of the gateway
                return by_status(int(code))
            return code.startswith(_TRANSIENT)
        if isinstance(error, (StorageApiError, FunctionsError, AuthApiError, AuthRetryableError)):
            return by_status(int(error.status))
        return True if is_connection_error(error) else None

    @classmethod
    def _sdk(cls) -> Any:
        from supabase import AsyncClient

        return AsyncClient("http://localhost", "of no project")

    @classmethod
    def _is_group(cls, value: Any) -> bool:
        return any(kind.__module__.partition(".")[0] in _GROUPS for kind in type(value).__mro__)

    def _body(self, path: str) -> Callable[..., Any]:
        return functools.partial(_call, path)

    def insert(
        self,
        key: Any,
        *,
        table: str,
        rows: Sequence[Mapping[str, Any]],
        task_options: Options | None = None,
        **more: Any,
    ) -> Call[list[dict[str, Any]]]:
        """Insert rows; the rows as they are then. `more` is what the SDK's `insert` takes."""
        return self.task(
            key,
            _insert,
            {"table": table, "rows": list(rows), **more},
            name="Insert",
            properties={"Table": table, "Rows": len(rows)},
            task_options=task_options,
        )

    def upsert(
        self,
        key: Any,
        *,
        table: str,
        rows: Sequence[Mapping[str, Any]],
        on_conflict: str | None = None,
        task_options: Options | None = None,
        **more: Any,
    ) -> Call[list[dict[str, Any]]]:
        """Insert rows, or update existing ones, by their primary key or by the columns `on_conflict`.

        The rows as they are then. `more` is what the SDK's `upsert` takes, `ignore_duplicates=True` for one.
        """
        return self.task(
            key,
            _upsert,
            {"table": table, "rows": list(rows), "on_conflict": on_conflict, **more},
            name="Upsert",
            properties={"Table": table, "Rows": len(rows)},
            task_options=task_options,
        )

    def rpc(
        self,
        key: Any,
        *,
        fn: str,
        params: Mapping[str, Any] | None = None,
        task_options: Options | None = None,
        **more: Any,
    ) -> Call[Any]:
        """Call a function of the database; what it returns. `more` is what the SDK's `rpc` takes."""
        return self.task(
            key,
            _rpc,
            {"fn": fn, "params": dict(params or {}), **more},
            name="Call function",
            properties={"Function": fn},
            task_options=task_options,
        )


async def _call(path: str, params: dict[str, Any], client: Any) -> Any:
    return plain(await attrgetter(path)(client)(**params))


# `client` is an AsyncClient, whose answers are typed in part only.
async def _insert(params: dict[str, Any], client: Any) -> Any:
    options = dict(params)
    return (await client.table(options.pop("table")).insert(options.pop("rows"), **options).execute()).data


async def _upsert(params: dict[str, Any], client: Any) -> Any:
    options = dict(params)
    return (await client.table(options.pop("table")).upsert(options.pop("rows"), **options).execute()).data


async def _rpc(params: dict[str, Any], client: Any) -> Any:
    return (await client.rpc(**params).execute()).data


async def _keep_status(response: httpx.Response) -> None:
    """Raise the gateway's errors, which have no code: the SDK would leave out status and headers."""
    if response.status_code == 429 or response.status_code >= 500:
        await response.aread()
        if b'"code"' not in response.content:
            response.raise_for_status()
