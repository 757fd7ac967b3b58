"""Databases, on SQLAlchemy 2: `pip install 'trigger-nb[sql]'`, and the database's driver.

```python
client.job(id="welcome", integrations={"sql": SQL("sqlite:///app.db")})
...
user = await io.sql.fetch_one("user", "SELECT email, name FROM users WHERE id = :id", {"id": user_id})
```
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast
from urllib.parse import quote

from .._clock import to_seconds
from .._redact import secrets
from .._tasks.call import Call
from .._tasks.options import Options
from .._tasks.signature import is_async
from .._tasks.task import Task
from ..errors import InvalidOptionError, MissingExtraError
from ..retry import RetryAt
from ._base import Credential, Integration, SecretText
from ._sql_errors import is_transient
from ._sql_query import Query, Row, all_rows, one, one_or_none, plain, value
from ._sql_writes import WRITES, Writes, reading

if TYPE_CHECKING:
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
    from sqlalchemy import URL, Connection, CursorResult, Engine, Executable

T = TypeVar("T")
Parameters: TypeAlias = Mapping[str, Any] | Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Written:
    """The result of a write.

    >>> Written(1, [{"id": 7}]).rows[0]["id"]
    7
    """

    row_count: int  # number of rows written; -1 if the database does not say
    rows: list[Row] = field(default_factory=list[Row])  # the rows of `RETURNING`
    primary_key: Row | None = None  # of the row that `insert(table)` inserted


class SQL(Integration["Engine"]):
    """A database. The client is a `sqlalchemy.Engine`; calls run in worker threads.

    `url` is SQLAlchemy's, "postgresql+psycopg://ana:...@db.example.org/shop"; without one, `DATABASE_URL`
    is read when it is needed. `engine_options` go to `sqlalchemy.create_engine`.

    **Reads** run in a transaction that is rolled back, and in PostgreSQL and SQLite cannot write at all.

    **Writes take effect exactly once.** A write, and the task's idempotency key with what the write gave,
    are committed in one transaction. When the kernel dies after it, or the connection breaks while it
    commits, the next attempt finds the key and returns what is stored with it. The keys are in a table
    of the user's database, which the first write creates:

    ```sql
    CREATE TABLE trigger_nb_tasks (
        idempotency_key VARCHAR(64) PRIMARY KEY, result TEXT, created_at TIMESTAMP NOT NULL  -- in UTC
    )
    ```

    `table` and `schema` name another; with `create_table=False` it has to be there. Of attempts of one task
    that come at once, the second waits for the first and returns what that one wrote. A row is of no use
    once its task is in the store: `forget_tasks` deletes old ones. MySQL and Oracle commit by themselves
    at statements such as CREATE TABLE: there, these may be made twice.

    **Retried**: connections that cannot be made or are lost, serialization failures and deadlocks
    (https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html,
    https://dev.mysql.com/doc/refman/8.4/en/innodb-error-handling.html), waits for a lock or a free connection
    that took too long, "database is locked" (https://www.sqlite.org/rescode.html#busy). No other error is: a
    violated constraint, a mistake in the SQL, a wrong password end the task at once.

    SQLite: a write takes the lock at its beginning, and waits 30 s for it. The file's journal stays as it is;
    `PRAGMA journal_mode=WAL`, once, lets others read meanwhile.
    """

    service = "SQL"
    icon = "sql"
    extra = "sql"
    client_per_loop = False

    def __init__(
        self,
        url: str | SecretText | URL | None = None,
        *,
        table: str = "trigger_nb_tasks",
        schema: str | None = None,
        create_table: bool = True,
        **engine_options: Any,
    ) -> None:
        super().__init__()
        if engine_options.get("isolation_level") == "AUTOCOMMIT":
            raise InvalidOptionError(
                'SQL(isolation_level="AUTOCOMMIT") cannot be: a write and its idempotency key are one transaction'
            )
        self._url = Credential("SQL(url=...)", _as_text(url), "DATABASE_URL")
        self._writes = Writes(table, schema, create=create_table)
        self._engine_options = engine_options

    def open_client(self) -> Engine:
        import sqlalchemy
        from sqlalchemy.exc import ArgumentError

        try:
            url = sqlalchemy.make_url(self._url.read())
        except (ArgumentError, ValueError):  # its message can contain a part of the password
            raise InvalidOptionError(
                "SQL's url is none of SQLAlchemy's, as in postgresql+psycopg://ana:password@localhost/shop. "
                "In a password, characters such as @ / : are written by urllib.parse.quote(password, safe='')"
            ) from None
        if url.drivername == "postgres":  # as some hosting services write it
            url = url.set(drivername="postgresql")
        _hide_password(url)
        if url.get_dialect().is_async:
            raise InvalidOptionError(
                f"{url.drivername} is a driver for asyncio, and SQL runs in threads. Name another one in the "
                "url: postgresql+psycopg, mysql+pymysql, sqlite"
            )
        # A notebook's connections are idle for hours, and servers drop them.
        options = {"pool_pre_ping": True, **self._engine_options}
        if url.get_backend_name() == "sqlite":
            options = _for_sqlite(url, options)
        try:
            engine = sqlalchemy.create_engine(url, **options)
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                f"SQL needs a driver that is not installed here: {error.name}. Install it, or name another one "
                "in the url, as in postgresql+psycopg://... (pip install 'psycopg[binary]')"
            ) from None
        if engine.dialect.name == "sqlite":
            _begin_ourselves(engine)
        return engine

    async def close_client(self, client: Engine) -> None:
        client.dispose()

    def should_retry(self, error: Exception) -> bool | RetryAt | None:
        from sqlalchemy import exc

        if isinstance(error, exc.DBAPIError):
            return error.connection_invalidated or is_transient(error.orig)
        if isinstance(error, exc.SQLAlchemyError):
            return isinstance(error, exc.TimeoutError)  # all connections of the pool were in use
        return None

    # Reading ----------------------------------------------------------------------------------

    def fetch_all(
        self,
        key: Any,
        statement: str | Executable,
        parameters: Mapping[str, Any] | None = None,
        *,
        task_options: Options | None = None,
    ) -> Call[list[Row]]:
        """All rows, each as a dict by column.

        `statement` is text with `:name` in place of each parameter, or one of SQLAlchemy's: `select(User)`.
        """
        return self._fetched(key, "Fetch rows", all_rows, Query(statement, parameters), task_options)

    def fetch_one(
        self,
        key: Any,
        statement: str | Executable,
        parameters: Mapping[str, Any] | None = None,
        *,
        task_options: Options | None = None,
    ) -> Call[Row]:
        """The only row, as a dict by column.

        `sqlalchemy.exc.NoResultFound` when there is none, `MultipleResultsFound` when there are more.
        """
        return self._fetched(key, "Fetch row", one, Query(statement, parameters), task_options)

    def fetch_one_or_none(
        self,
        key: Any,
        statement: str | Executable,
        parameters: Mapping[str, Any] | None = None,
        *,
        task_options: Options | None = None,
    ) -> Call[Row | None]:
        """The only row as a dict, or None; `sqlalchemy.exc.MultipleResultsFound` when there are more."""
        return self._fetched(key, "Fetch row", one_or_none, Query(statement, parameters), task_options)

    def fetch_value(
        self,
        key: Any,
        statement: str | Executable,
        parameters: Mapping[str, Any] | None = None,
        *,
        task_options: Options | None = None,
    ) -> Call[Any]:
        """The first column of the only row; the errors are those of `fetch_one`."""
        return self._fetched(key, "Fetch value", value, Query(statement, parameters), task_options)

    def frame(
        self,
        key: Any,
        statement: str | Executable,
        parameters: Mapping[str, Any] | None = None,
        *,
        task_options: Options | None = None,
        **more: Any,
    ) -> Call[pd.DataFrame]:
        """All rows as a pandas table, by `pandas.read_sql_query`, which takes `more`: `index_col`, `dtype`.

        Needs pandas: `pip install 'trigger-nb[pandas]'`.
        """
        query = Query(statement, parameters)
        return self.task(
            key,
            partial(_frame, query=query, more=more),
            {**query.params(), **more},
            name="Fetch table",
            properties=query.properties(),
            task_options=task_options,
        )

    def _fetched(
        self, key: Any, name: str, take: Callable[[Any], Any], query: Query, task_options: Options | None
    ) -> Call[Any]:
        return self.task(
            key,
            partial(_fetch, query=query, take=take),
            query.params(),
            name=name,
            properties=query.properties(),
            task_options=task_options,
        )

    # Writing ----------------------------------------------------------------------------------

    def execute(
        self,
        key: Any,
        statement: str | Executable,
        parameters: Parameters | None = None,
        *,
        task_options: Options | None = None,
    ) -> Call[Written]:
        """Execute one write exactly once; its `row_count`, `rows` (of RETURNING) and `primary_key`.

        `primary_key` is that of the row that a construct `insert(table)` has made. With a list of
        `parameters` the statement is executed for each of them, in one transaction.
        """
        query = Query(statement, parameters)
        return self.task(
            key,
            partial(_execute, query=query, writes=self._writes),
            query.params(),
            name="Write",
            properties=query.properties(),
            task_options=task_options,
        )

    def transaction(
        self, key: Any, body: Callable[..., T], *args: Any, task_options: Options | None = None
    ) -> Call[T]:
        """Execute several writes in one transaction, exactly once.

        `body(connection, *args)` gets a `sqlalchemy.Connection` in a transaction, which is committed when it
        returns and rolled back when it raises; it does not commit itself. What it returns is the result,
        and is kept with the writes, so it has to be something that can be stored.

        ```
        def transfer(connection, amount):
            connection.execute(text("UPDATE accounts SET balance = balance - :it WHERE id = 1"), {"it": amount})
            connection.execute(text("UPDATE accounts SET balance = balance + :it WHERE id = 2"), {"it": amount})

        await io.sql.transaction("transfer", transfer, 100)
        ```
        """
        if is_async(body):
            raise InvalidOptionError(
                "the body of a transaction runs in a thread, with a connection that blocks: write def, not async def"
            )
        # Not `task`, which is for this package's bodies: the code of the user's body is fingerprinted (R6).
        return self._submit(
            key,
            partial(_transact, body=body, writes=self._writes),
            args,
            {"name": "Transaction", **(task_options or {})},
            "task",
        )

    # Outside of runs --------------------------------------------------------------------------

    def forget_tasks(self, older_than: timedelta | float) -> int:
        """Delete idempotency keys older than this many seconds; the number of deleted keys.

        A key is needed until the store has the result: as long as an interrupted run may run again.
        """
        age = timedelta(seconds=to_seconds(older_than, "older_than"))
        return self._writes.forget(self.native, age)


# Bodies -----------------------------------------------------------------------------------------
def _fetch(
    params: dict[str, Any], client: Engine, task: Task, *, query: Query, take: Callable[[Any], Any]
) -> Any:
    query.refuse_to_write()
    with reading(client) as connection:
        taken = take(query.run(connection))
    task.output_properties = _told(client, len(taken) if take is all_rows else None)
    return taken


def _frame(
    params: dict[str, Any], client: Engine, task: Task, *, query: Query, more: dict[str, Any]
) -> pd.DataFrame:
    query.refuse_to_write()
    try:
        import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
    except ModuleNotFoundError:
        raise MissingExtraError("SQL.frame needs pandas: pip install 'trigger-nb[pandas]'") from None
    with reading(client) as connection:
        table: pd.DataFrame = cast("Any", pd).read_sql_query(
            query.statement, connection, params=query.parameters, **more
        )
    task.output_properties = _told(client, len(table))
    return table


def _execute(params: dict[str, Any], client: Engine, task: Task, *, query: Query, writes: Writes) -> Written:
    written = writes.once(client, task.idempotency_key, lambda connection: _written(query.run(connection)))
    task.output_properties = _told(client, written.row_count)
    return written


def _transact(*args: Any, client: Engine, task: Task, body: Callable[..., Any], writes: Writes) -> Any:
    value = writes.once(client, task.idempotency_key, lambda connection: body(connection, *args))
    task.output_properties = _told(client, None)
    return value


def _written(result: CursorResult[Any]) -> Written:
    key = _primary_key(result)
    # SQLAlchemy may have added its own RETURNING to get the key.
    if key is None and result.returns_rows:
        rows = all_rows(result)
        return Written(len(rows), rows)
    return Written(result.rowcount, primary_key=key)


def _primary_key(result: CursorResult[Any]) -> Row | None:
    from sqlalchemy.exc import InvalidRequestError

    if result.rowcount == 0:  # after ON CONFLICT DO NOTHING, a driver returns the key of an earlier insert
        return None
    try:
        inserted: Any = result.inserted_primary_key
    except InvalidRequestError:  # text, no INSERT, many rows, or the user's own RETURNING
        return None
    return None if inserted is None else plain(inserted._mapping)


def _told(engine: Engine, rows: int | None) -> dict[str, object]:
    name = os.path.basename(engine.url.database or "")
    if not name and engine.dialect.name == "sqlite":
        name = "in memory"
    told: dict[str, object] = {"Database": name} if name else {}
    return told if rows is None or rows < 0 else {**told, "Rows": rows}  # -1: unknown


# The engine -------------------------------------------------------------------------------------
def _as_text(url: Any) -> str | SecretText | None:
    return url.render_as_string(hide_password=False) if hasattr(url, "render_as_string") else url


def _hide_password(url: URL) -> None:
    """Hide the password as well, unless it equals the user's name, which would then be hidden everywhere."""
    for password in (url.password, url.query.get("password")):
        if isinstance(password, str) and password != url.username:
            secrets.add(password)
            secrets.add(quote(password, safe=""))


def _for_sqlite(url: URL, options: dict[str, Any]) -> dict[str, Any]:
    connect_args = {"timeout": 30.0, **options.get("connect_args", {})}
    if url.database in (None, "", ":memory:"):
        # By default each thread would get its own in-memory database, so all threads share one connection.
        from sqlalchemy import QueuePool

        connect_args = {"check_same_thread": False, **connect_args}
        options = {"poolclass": QueuePool, "pool_size": 1, "max_overflow": 0, **options}
    return {**options, "connect_args": connect_args}


def _begin_ourselves(engine: Engine) -> None:
    """Have transactions of SQLite begin where SQLAlchemy says so, and not at the first write.

    A transaction that will write takes the lock at its start: taking the lock after a read fails at once if
    another transaction has written in between.
    https://docs.sqlalchemy.org/en/20/dialects/sqlite.html#pysqlite-serializable
    """
    from sqlalchemy import event

    def connected(connection: Any, _: object) -> None:
        connection.isolation_level = None

    def begun(connection: Connection) -> None:
        writes = connection.get_execution_options().get(WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)
