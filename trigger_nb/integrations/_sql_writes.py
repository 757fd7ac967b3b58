"""Exactly-once writes: a table in the user's database has a row for each committed write.

The row is inserted in the same transaction as the write, so both are committed or neither is. It holds the
write's result, which a later attempt returns when it finds the row.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

from .. import _values
from ..errors import NotStorableError, ValueNotStoredError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Table
    from sqlalchemy.exc import IntegrityError

T = TypeVar("T")
WRITES = "trigger_nb_writes"  # the execution option of a connection that will write


class Writes:
    """The table of committed writes, in any database."""

    def __init__(self, name: str, schema: str | None, *, create: bool) -> None:
        self._name = name
        self._schema = schema
        self._create = create
        self._lock = threading.Lock()
        self._ready: WeakSet[Engine] = WeakSet()  # databases that have the table

    def once(self, engine: Engine, key: str, write: Callable[[Connection], T]) -> T:
        """The result of `write(connection)`, or the stored result if this key has one."""
        self._make_sure_of_table(engine)
        try:
            return self._attempt(engine, key, write)
        except _TakenError:
            pass  # another attempt has committed in the meantime: its row exists now
        try:
            return self._attempt(engine, key, write)
        except _TakenError as refused:  # the user's own table raised it for another reason
            raise refused.reason from None

    def forget(self, engine: Engine, older_than: timedelta) -> int:
        """Delete older rows; the number of deleted rows."""
        self._make_sure_of_table(engine)
        old = self._table.c.created_at < _now() - older_than
        with writing(engine) as connection:
            return connection.execute(self._table.delete().where(old)).rowcount

    def _attempt(self, engine: Engine, key: str, write: Callable[[Connection], T]) -> T:
        row = self._table.c.idempotency_key == key
        with writing(engine) as connection:
            found = connection.execute(self._table.select().where(row)).one_or_none()
            if found is not None:
                return _decode(found.result, self._name, key)
            self._claim(connection, key)
            value = write(connection)
            connection.execute(self._table.update().where(row), {"result": _encode(value)})
            return value

    def _claim(self, connection: Connection, key: str) -> None:
        """Insert the row before the write: a second attempt waits here until the first has ended."""
        from sqlalchemy.exc import IntegrityError

        try:
            connection.execute(self._table.insert(), {"idempotency_key": key, "created_at": _now()})
        except IntegrityError as error:
            raise _TakenError(error) from None

    def _make_sure_of_table(self, engine: Engine) -> None:
        from sqlalchemy import inspect
        from sqlalchemy.exc import SQLAlchemyError

        with self._lock:
            if engine in self._ready or not self._create:
                return
            try:
                with writing(engine) as connection:
                    self._table.create(connection, checkfirst=True)
            except SQLAlchemyError:
                # Two attempts may find the table missing at the same time; one of them then fails to create it.
                if not inspect(engine).has_table(self._name, self._schema):
                    raise
            self._ready.add(engine)

    @cached_property
    def _table(self) -> Table:
        from sqlalchemy import Column, DateTime, MetaData, String, Table, Text
        from sqlalchemy.dialects.mysql import LONGTEXT

        return Table(
            self._name,
            MetaData(),
            Column("idempotency_key", String(64), primary_key=True),
            Column("result", Text().with_variant(LONGTEXT(), "mysql", "mariadb")),
            Column("created_at", DateTime(), nullable=False),  # UTC
            schema=self._schema,
        )


class _TakenError(Exception):
    """Raised if another attempt seems to have committed the write."""

    def __init__(self, reason: IntegrityError) -> None:
        self.reason = reason


@contextmanager
def writing(engine: Engine) -> Generator[Connection]:
    """A connection in a transaction, committed at the end."""
    with engine.connect() as connection:
        # Otherwise SQLAlchemy does not always ask for the number of rows.
        connection.execution_options(**{WRITES: True, "preserve_rowcount": True})
        with connection.begin():
            yield connection


@contextmanager
def reading(engine: Engine) -> Generator[Connection]:
    """A connection in a transaction that is rolled back, and is read-only if the database supports that."""
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execution_options(postgresql_readonly=True)
        if engine.dialect.name != "sqlite":
            yield connection
            return
        connection.exec_driver_sql("PRAGMA query_only = ON")
        try:
            yield connection
        finally:
            connection.exec_driver_sql("PRAGMA query_only = OFF")


def _now() -> datetime:
    """The time in UTC, without a time zone: not every database stores one."""
    return datetime.now(UTC).replace(tzinfo=None)


def _encode(value: Any) -> str:
    try:
        form, text = _values.encode(value, _Inline())
    except NotStorableError as error:
        error.add_note(
            "Nothing was written: a transaction is committed together with its result, so that no attempt "
            "makes it again. Return plain data, such as ids and counts."
        )
        raise
    return json.dumps({"form": form, "text": text})


def _decode(result: str | None, table: str, key: str) -> Any:
    if result is None:
        raise ValueNotStoredError(
            f"this write was committed before, but its result is unknown: it committed by itself before its "
            f"transaction ended, or it changed tables in a database that then commits, such as MySQL. "
            f"To make it again, delete the row {key!r} of {table}."
        )
    stored = json.loads(result)
    return _values.decode(stored["form"], json.loads(stored["text"]), _Inline())


class _Inline:
    """A replacement for value files: large bytes are stored in the text itself."""

    def put(self, data: bytes) -> str:
        return base64.b64encode(data).decode("ascii")

    def get(self, name: str) -> bytes:
        return base64.b64decode(name)
