"""SQL through SQLAlchemy: on SQLite, and on PostgreSQL where one can be started."""

from __future__ import annotations

import asyncio
import datetime as dt
import signal
import subprocess
import sys
import threading
import uuid
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa
import sqlalchemy.dialects.postgresql
import sqlalchemy.dialects.sqlite
from sqlalchemy import orm

from tests.integrations.jobs import PATIENCE, attempts
from trigger_nb.errors import (
    InvalidOptionError,
    MissingCredentialError,
    MissingExtraError,
    NotStorableError,
    ValueNotStoredError,
)
from trigger_nb.integrations import SQL
from trigger_nb.integrations.sql import Written
from trigger_nb.testing import check_integration

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]


class Base(orm.DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    email: orm.Mapped[str] = orm.mapped_column(unique=True)
    name: orm.Mapped[str | None]


class Account(Base):
    __tablename__ = "accounts"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    balance: orm.Mapped[int]


class Thing(Base):
    __tablename__ = "things"
    id: orm.Mapped[uuid.UUID] = orm.mapped_column(primary_key=True)
    price: orm.Mapped[Decimal] = orm.mapped_column(sa.Numeric(12, 2))
    day: orm.Mapped[dt.date]
    at: orm.Mapped[dt.datetime]
    content: orm.Mapped[bytes]
    extra: orm.Mapped[dict] = orm.mapped_column(sa.JSON)


users, accounts, things = (model.__table__ for model in (User, Account, Thing))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "postgresql":
        return request.getfixturevalue("postgres_url")
    return f"sqlite:///{tmp_path}/app.db"


@pytest.fixture
async def sql(url):
    sql = SQL(url)
    Base.metadata.create_all(sql.native)
    with sql.native.begin() as connection:
        connection.execute(
            users.insert(),
            [{"email": f"{name}@example.org".lower(), "name": name} for name in ("Ana", "Ben")],
        )
        connection.execute(accounts.insert(), {"balance": 0})
    yield sql
    await sql.aclose()


@pytest.fixture
def one(client, sql):
    """A job of the one task that its caller gives."""

    def make(call, **options):
        @client.job(integrations={"sql": sql}, id=f"job-{uuid.uuid4().hex[:6]}", **options)
        async def job(payload, io):
            return await call(io.sql)

        return job

    return make


def count(sql, table=users):
    with sql.native.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table))


def balance(sql):
    with sql.native.connect() as connection:
        return connection.scalar(sa.select(accounts.c.balance))


def add(connection, amount):
    connection.execute(accounts.update().values(balance=accounts.c.balance + amount))
    return connection.scalar(sa.select(accounts.c.balance))


# --- Reading ------------------------------------------------------------------------------------


async def test_the_pages_sample(client, sql):
    @client.job(integrations={"sql": sql})
    async def welcome(payload, io):
        user = await io.sql.fetch_one(
            "user", "SELECT email, name FROM users WHERE id = :id", {"id": payload["user_id"]}
        )
        return user["name"]

    assert await welcome.run({"user_id": 1}) == "Ana"
    task = welcome.runs()[0].task("user")
    assert task.output == {"email": "ana@example.org", "name": "Ana"}
    assert (task.icon, task.name) == ("sql", "Fetch row")
    assert task.params == {
        "statement": "SELECT email, name FROM users WHERE id = :id",
        "parameters": {"id": 1},
    }
    assert task.properties == [{"label": "Statement", "text": "SELECT email, name FROM users WHERE id = :id"}]
    [database] = task.output_properties
    assert database == {"label": "Database", "text": sql.native.url.database.rpartition("/")[2]}


@pytest.mark.parametrize(
    ("method", "statement", "parameters", "expected"),
    [
        ("fetch_all", "SELECT id, name FROM users ORDER BY id", None, [{"id": 1, "name": "Ana"}, {"id": 2, "name": "Ben"}]),
        ("fetch_all", sa.select(users.c.name).where(users.c.id.in_([2])), None, [{"name": "Ben"}]),
        ("fetch_all", "SELECT id FROM users WHERE id > 9", None, []),
        ("fetch_one", sa.select(User).where(User.id == 1), None, {"id": 1, "email": "ana@example.org", "name": "Ana"}),
        ("fetch_one", sa.select(User.name).where(User.id == sa.bindparam("n")), {"n": 2}, {"name": "Ben"}),
        ("fetch_one_or_none", "SELECT name FROM users WHERE id = 1", None, {"name": "Ana"}),
        ("fetch_one_or_none", "SELECT name FROM users WHERE id = 9", None, None),
        ("fetch_value", "SELECT count(*) FROM users", None, 2),
        ("fetch_value", sa.select(User.name).where(User.id == 2), None, "Ben"),
    ],
)  # fmt: skip
async def test_reads(one, sql, method, statement, parameters, expected):
    """R1, R2"""
    job = one(lambda sql: getattr(sql, method)("read", statement, parameters))
    assert await job.run() == expected
    with sql.native.begin() as connection:
        connection.execute(users.delete())
    assert await job.run() == expected


@pytest.mark.parametrize("method", ["fetch_one", "fetch_one_or_none", "fetch_value"])
async def test_not_exactly_one_row(one, method):
    """R4: SQLAlchemy's own errors, final."""
    many = one(lambda sql: getattr(sql, method)("read", "SELECT name FROM users"))
    with pytest.raises(sa.exc.MultipleResultsFound):
        await many.run()
    none = one(lambda sql: getattr(sql, method)("read", "SELECT name FROM users WHERE id = 9"))
    if method != "fetch_one_or_none":
        with pytest.raises(sa.exc.NoResultFound):
            await none.run()
        assert none.runs()[0].task("read").attempt == 1


async def test_values_of_all_kinds_come_back_as_they_were(one, sql):
    """R2"""
    row = {
        "id": uuid.uuid4(), "price": Decimal("12.50"), "day": dt.date(2024, 2, 29),
        "at": dt.datetime(2024, 2, 29, 12, 30, 0, 7), "content": bytes(range(256)) * 100, "extra": {"a": [1, None]},
    }  # fmt: skip
    write = one(lambda sql: sql.execute("write", things.insert(), row))
    assert (await write.run()).primary_key == {"id": row["id"]}
    read = one(lambda sql: sql.fetch_one("read", sa.select(things)))
    for _ in range(2):
        found = await read.run()
        assert found == row
        assert {name: type(value) for name, value in found.items()} == {
            name: type(value) for name, value in row.items()
        }


async def test_a_table_for_pandas(one):
    job = one(
        lambda sql: sql.frame(
            "frame", "SELECT id, name FROM users WHERE id < :n ORDER BY id", {"n": 9}, index_col="id"
        )
    )
    expected = pd.DataFrame({"name": ["Ana", "Ben"]}, index=pd.Index([1, 2], name="id"))
    pd.testing.assert_frame_equal(await job.run(), expected)
    pd.testing.assert_frame_equal(await job.run(), expected)
    task = job.runs()[0].task("frame")
    assert task.params["index_col"] == "id"
    assert {"label": "Rows", "text": "2"} in task.output_properties


async def test_a_statement_without_a_number_of_rows_shows_none(one):
    job = one(lambda sql: sql.execute("create", "CREATE TABLE visits (id INTEGER)"))
    assert (await job.run()).row_count == -1
    assert "Rows" not in [each["label"] for each in job.runs()[0].task("create").output_properties]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO users (email) VALUES ('x') RETURNING id",
        "  delete from users",
        users.insert().values(email="x"),
    ],
)
async def test_a_fetch_does_not_write(one, sql, statement):
    job = one(lambda sql: sql.fetch_all("read", statement))
    with pytest.raises(InvalidOptionError, match="Use execute"):
        await job.run()
    assert count(sql) == 2


async def test_the_database_itself_keeps_a_fetch_from_writing(one, sql):
    """Also where the statement does not look like a write."""
    hidden = "/**/ INSERT INTO users (email) VALUES ('x') RETURNING id"
    with pytest.raises(sa.exc.DBAPIError, match=r"readonly|read-only"):
        await one(lambda sql: sql.fetch_all("read", hidden)).run()
    assert count(sql) == 2
    with sql.native.begin() as connection:  # the connection is as it was
        connection.execute(users.delete())


async def test_two_columns_of_one_name_are_refused(one):
    with pytest.raises(InvalidOptionError, match="two columns named 'id'"):
        await one(
            lambda sql: sql.fetch_all("read", "SELECT a.id, b.id FROM users a JOIN users b ON a.id = b.id")
        ).run()


@pytest.mark.parametrize(
    "statement",
    [
        lambda id: ("SELECT name FROM users WHERE id = :id", {"id": id}),
        lambda id: (sa.select(User.name).where(User.id == id), None),
    ],
)
async def test_a_change_of_the_parameters_is_seen(one, statement):
    """R6: whatever form the statement has."""
    wanted = [1]
    job = one(lambda sql: sql.fetch_value("read", *statement(wanted[0])), on_change="only")
    assert await job.run() == "Ana"
    wanted[0] = 2
    assert await job.run() == "Ben"


# --- Writing ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "parameters", "expected"),
    [
        ("INSERT INTO users (email) VALUES (:email)", {"email": "c"}, Written(1)),
        ("INSERT INTO users (email) VALUES (:email) RETURNING id", {"email": "c"}, Written(1, [{"id": 3}])),
        (users.insert(), {"email": "c"}, Written(1, primary_key={"id": 3})),
        (
            sa.insert(User).values(email="c").returning(User.id, User.name),
            None,
            Written(1, [{"id": 3, "name": None}]),
        ),
        (users.insert(), [{"email": "c"}, {"email": "d"}], Written(2)),
        ("UPDATE users SET name = 'Eve'", None, Written(2)),
        (sa.update(User).where(User.id == 1).values(name="Eve"), None, Written(1)),
        ("DELETE FROM users WHERE id = :id", {"id": 9}, Written(0)),
    ],
)
async def test_writes(one, sql, statement, parameters, expected):
    """R1, R2"""
    job = one(lambda sql: sql.execute("write", statement, parameters))
    assert await job.run() == expected
    after = count(sql)
    assert await job.run() == expected
    assert count(sql) == after


async def test_a_construct_shows_its_sql(one):
    job = one(lambda sql: sql.execute("write", users.insert(), {"email": "c", "name": "Cy"}))
    await job.run()
    task = job.runs()[0].task("write")
    assert task.name == "Write"
    assert task.params == {
        "statement": "INSERT INTO users (email, name) VALUES (:email, :name)",
        "parameters": {"email": "c", "name": "Cy"},
    }


async def test_an_upsert_and_ddl(one, sql):
    """What only one database knows has a text, too."""
    dialect = getattr(sa.dialects, sql.native.dialect.name)
    upsert = dialect.insert(users).values(email="ana@example.org").on_conflict_do_nothing()
    table = sa.Table("made", sa.MetaData(), sa.Column("n", sa.Integer))
    for statement, start in (
        (upsert, "INSERT INTO users"),
        (sa.schema.CreateTable(table), "CREATE TABLE made"),
    ):
        job = one(lambda sql, statement=statement: sql.execute("write", statement))
        assert (await job.run()).primary_key is None
        assert job.runs()[0].task("write").params["statement"].strip().startswith(start)
    assert count(sql) == 2
    assert count(sql, table) == 0


async def test_a_transaction_is_made_as_a_whole_or_not_at_all(one, sql):
    def fail(connection):
        add(connection, 100)
        raise LookupError("no")

    with pytest.raises(LookupError):
        await one(lambda sql: sql.transaction("t", fail)).run()
    assert balance(sql) == 0
    job = one(lambda sql: sql.transaction("t", add, 100))
    assert [await job.run(), await job.run(), balance(sql)] == [100, 100, 100]
    assert job.runs()[0].task("t").params == [100]


async def test_a_changed_body_of_a_transaction_is_seen(client, sql):
    """R6: it is the user's code."""

    def define(factor):
        space = {"add": add}
        exec(f"def body(connection, n):\n    return add(connection, n * {factor})", space)

        @client.job(id="changing", integrations={"sql": sql}, on_change="only")
        async def changing(payload, io):
            return await io.sql.transaction("t", space["body"], 10)

        return changing

    assert await define(1).run() == 10
    assert await define(1).run() == 10
    assert await define(2).run() == 30


async def test_a_result_that_cannot_be_stored_undoes_the_write(one, sql):
    """S4 would keep it without its result; here nothing need be lost, as it is not committed yet."""

    def body(connection):
        add(connection, 100)
        return connection

    job = one(lambda sql: sql.transaction("t", body))
    with pytest.raises(NotStorableError) as caught:
        await job.run()
    assert "Nothing was written" in caught.value.__notes__[0]
    assert balance(sql) == 0


async def test_a_body_that_commits_by_itself_is_told(one, sql):
    def body(connection):
        add(connection, 100)
        connection.commit()

    job = one(lambda sql: sql.transaction("t", body))
    with pytest.raises(sa.exc.InvalidRequestError):
        await job.run()
    with pytest.raises(ValueNotStoredError, match="delete the row"):
        await job.run()
    assert balance(sql) == 100


async def test_an_async_body_is_refused(sql):
    async def body(connection): ...

    with pytest.raises(InvalidOptionError, match="not async def"):
        sql.transaction("t", body)


async def test_a_def_job(client, sql):
    @client.job(integrations={"sql": sql})
    def transfer(payload, io):
        io.sql.transaction("add", add, payload)
        return io.sql.fetch_value("balance", "SELECT balance FROM accounts")

    assert await transfer.run(5) == 5


async def test_a_replay_in_another_process(one, client, sql, tmp_path):
    """R2: needs neither the url nor SQLAlchemy."""

    @client.job(id="write", integrations={"sql": sql})
    async def write(payload, io):
        return await io.sql.execute("write", "INSERT INTO users (email) VALUES ('c') RETURNING id")

    first = await write.run()
    code = f"""
import asyncio, sys
from trigger_nb import TriggerClient
from trigger_nb.integrations import SQL

@TriggerClient("integrations", dir={str(tmp_path / "store")!r}, display=False).job(
    id="write", integrations={{"sql": SQL()}})
async def write(payload, io):
    return await io.sql.execute("write", "INSERT INTO users (email) VALUES ('c') RETURNING id")

print(asyncio.run(write.run()), "sqlalchemy" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == f"{first} False", done.stderr
    assert count(sql) == 3


# --- Exactly once -------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["execute", "transaction"])
async def test_killed_between_commit_and_record(sql, url, tmp_path, how):
    """R3: the write is not made again, and its result is the one that it gave."""

    def child(how):
        command = [sys.executable, "-m", "tests.integrations.sql_child", url, str(tmp_path / "child"), how]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    killed = child(f"kill-{how}")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert balance(sql) == 100
    resumed = child(how)
    assert resumed.stdout.strip() == ("1" if how == "execute" else "[100, 20000]"), resumed.stderr
    assert balance(sql) == 100


async def test_attempts_at_the_same_time_write_once(sql):
    """The second waits for the first, and gets what that one wrote."""
    begun, go = threading.Event(), threading.Event()

    def body(connection):
        begun.set()
        assert go.wait(PATIENCE)
        return add(connection, 100)

    def attempt():
        return sql._writes.once(sql.native, "the-key", body)

    async with asyncio.TaskGroup() as group:
        first = group.create_task(asyncio.to_thread(attempt))
        await asyncio.to_thread(begun.wait, PATIENCE)
        second = group.create_task(asyncio.to_thread(attempt))
        await asyncio.sleep(0.1)  # for it to wait; without that the test holds all the same
        go.set()
    assert (first.result(), second.result(), balance(sql)) == (100, 100, 100)


async def test_the_second_writes_if_the_first_fails(sql):
    begun, go = threading.Event(), threading.Event()

    def fail(connection):
        add(connection, 100)
        begun.set()
        assert go.wait(PATIENCE)
        raise LookupError

    async with asyncio.TaskGroup() as group:
        first = group.create_task(
            asyncio.to_thread(_error_of, lambda: sql._writes.once(sql.native, "k", fail))
        )
        await asyncio.to_thread(begun.wait, PATIENCE)
        second = group.create_task(asyncio.to_thread(sql._writes.once, sql.native, "k", lambda c: add(c, 7)))
        go.set()
    assert isinstance(first.result(), LookupError)
    assert (second.result(), balance(sql)) == (7, 7)


async def test_many_that_find_no_table_at_once(url):
    """Each as a kernel of its own has it."""
    kernels = [SQL(url) for _ in range(6)]
    ready = threading.Barrier(len(kernels))

    def first_write(sql):
        ready.wait(PATIENCE)
        sql._writes.once(sql.native, str(id(sql)), lambda connection: None)

    await asyncio.gather(*[asyncio.to_thread(first_write, sql) for sql in kernels])
    with kernels[0].native.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM trigger_nb_tasks")) == len(kernels)
    for sql in kernels:
        await sql.aclose()


async def test_a_table_of_another_name_that_is_there_already(client, sql, url):
    bare = SQL(url, table="done", create_table=False)

    @client.job(integrations={"sql": bare})
    async def write(payload, io):
        return await io.sql.transaction("add", add, 1)

    with pytest.raises(sa.exc.DBAPIError, match="done"):
        await write.run()
    assert write.runs()[0].task("add").attempt == 1
    with sql.native.begin() as connection:
        connection.execute(
            sa.text(
                "CREATE TABLE done (idempotency_key VARCHAR(64) PRIMARY KEY, result TEXT, created_at TIMESTAMP)"
            )
        )
    assert await write.run() == 1
    assert not sa.inspect(sql.native).has_table("trigger_nb_tasks")
    await bare.aclose()


async def test_a_table_that_refuses_the_keys_is_an_error(client, sql, url):
    """It looks like a write that another attempt has made: to look for its row would never end."""
    with sql.native.begin() as connection:
        connection.execute(
            sa.text(
                "CREATE TABLE done (idempotency_key VARCHAR(64) PRIMARY KEY, result TEXT, created_at TIMESTAMP, "
                "owner TEXT NOT NULL)"
            )
        )
    bare = SQL(url, table="done", create_table=False)

    @client.job(integrations={"sql": bare})
    async def write(payload, io):
        return await io.sql.transaction("add", add, 1)

    with pytest.raises(sa.exc.IntegrityError, match="owner"):
        await write.run()
    await bare.aclose()


async def test_old_keys_are_forgotten(one, sql):
    await one(lambda sql: sql.transaction("t", add, 1)).run()
    assert sql.forget_tasks(older_than=timedelta(days=1)) == 0
    assert sql.forget_tasks(older_than=0) == 1
    assert sql.forget_tasks(older_than=0) == 0


# --- Errors -------------------------------------------------------------------------------------


async def test_a_violated_constraint_is_final(one):
    """R4: and is raised again as itself."""
    job = one(lambda sql: sql.execute("write", users.insert(), {"email": "ana@example.org"}))
    for _ in range(2):
        with pytest.raises(sa.exc.IntegrityError):
            await job.run()
        assert job.runs()[0].task("write").attempt == 1


@pytest.mark.parametrize("statement", ["SELEC 1", "SELECT * FROM nowhere", "SELECT :missing"])
async def test_mistakes_are_final(clock, one, statement):
    job = one(lambda sql: sql.fetch_all("read", statement))
    assert await attempts(job, None, clock) == (1, None)


async def test_an_error_that_was_handled_is_the_same_on_replay(client, sql):
    """R4"""

    @client.job(integrations={"sql": sql})
    async def careful(payload, io):
        try:
            await io.sql.execute("write", users.insert(), {"email": "ana@example.org"})
        except sa.exc.IntegrityError as error:
            return [str(error.orig), error.statement, error.connection_invalidated]

    first = await careful.run()
    assert "unique" in first[0].lower()
    assert await careful.run() == first


class Refused(Exception):
    """As drivers raise it."""

    def __init__(self, *args, **attributes):
        super().__init__(*args)
        vars(self).update(attributes)


@pytest.mark.parametrize(
    ("kind", "orig", "again"),
    [
        *[(sa.exc.OperationalError, Refused("x", sqlite_errorcode=code), True) for code in (5, 6, 261, 517)],
        (sa.exc.OperationalError, Refused("no such table", sqlite_errorcode=1), False),
        (sa.exc.OperationalError, Refused("disk full", sqlite_errorcode=13), False),
        *[
            (sa.exc.OperationalError, Refused("x", sqlstate=state), True)
            for state in ("40001", "40P01", "55P03", "08006", "53300", "57P01", "57P03")
        ],
        (sa.exc.OperationalError, Refused("x", pgcode="40001"), True),
        (sa.exc.DBAPIError, Refused("40001", "deadlock, says an ODBC driver"), True),
        (sa.exc.OperationalError, Refused("x", sqlstate="57014"), False),
        (sa.exc.IntegrityError, Refused("x", sqlstate="23505"), False),
        (sa.exc.ProgrammingError, Refused("x", sqlstate="42601"), False),
        *[(sa.exc.OperationalError, Refused(code, "x"), True) for code in (1205, 1213, 2003, 2006, 2013)],
        (sa.exc.IntegrityError, Refused(1062, "x"), False),
        (sa.exc.OperationalError, Refused(1045, "x"), False),
        (sa.exc.OperationalError, Refused("some other driver's"), False),
    ],
)
def test_which_errors_are_tried_again(kind, orig, again):
    assert SQL("sqlite://").should_retry(kind("SELECT 1", None, orig)) is again


def test_a_lost_connection_and_a_full_pool_are_tried_again():
    lost = sa.exc.InterfaceError("SELECT 1", None, Refused("gone"), connection_invalidated=True)
    sql = SQL("sqlite://")
    assert sql.should_retry(lost) is True
    assert sql.should_retry(sa.exc.TimeoutError()) is True
    assert sql.should_retry(sa.exc.NoResultFound()) is False


# --- SQLite -------------------------------------------------------------------------------------


async def test_a_locked_database_is_tried_again(client, clock, tmp_path):
    sql = SQL(f"sqlite:///{tmp_path}/app.db", connect_args={"timeout": 0})
    Base.metadata.create_all(sql.native)
    holder = sql.native.connect()
    holder.execute(sa.text("UPDATE accounts SET balance = 1"))
    tried = []

    def body(connection):
        return "written"

    @client.job(integrations={"sql": sql})
    async def write(payload, io):
        def release(error, task, io):
            tried.append(task.attempt)
            holder.close()

        return await io.sql.transaction("t", body, task_options={"on_error": release})

    assert await write.run() == "written"
    assert tried == [1]
    assert write.runs()[0].task("t").attempt == 2
    await sql.aclose()


async def test_a_write_that_has_read_first_waits_for_others(sql, tmp_path):
    """SQLite refuses a transaction that read before another wrote, however long it waits; ours take the lock first."""
    if sql.native.dialect.name != "sqlite":
        pytest.skip("about SQLite")

    def read_then_write(connection):
        before = connection.scalar(sa.select(accounts.c.balance))
        connection.execute(accounts.update().values(balance=before + 1))

    writes = [asyncio.to_thread(sql._writes.once, sql.native, str(n), read_then_write) for n in range(20)]
    await asyncio.gather(*writes)
    assert balance(sql) == 20


async def test_a_database_in_memory_is_one_for_all_threads(client):
    sql = SQL("sqlite://")

    @client.job(integrations={"sql": sql})
    async def job(payload, io):
        await io.sql.execute("create", "CREATE TABLE t (n INTEGER)")
        await asyncio.gather(
            *[io.sql.execute(("insert", n), "INSERT INTO t VALUES (:n)", {"n": n}) for n in range(8)]
        )
        return await io.sql.fetch_value("sum", "SELECT sum(n) FROM t")

    assert await job.run() == 28
    assert {"label": "Database", "text": "in memory"} in job.runs()[0].task("sum").output_properties
    await sql.aclose()


# --- Where it is ---------------------------------------------------------------------------------


async def test_the_url_of_the_environment(client, monkeypatch, tmp_path):
    sql = SQL()

    @client.job(integrations={"sql": sql})
    async def ask(payload, io):
        return await io.sql.fetch_value("one", "SELECT 1")

    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(MissingCredentialError, match="DATABASE_URL"):
        await ask.run()
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/app.db")
    assert await ask.run() == 1
    await sql.aclose()


def test_a_url_as_hosts_write_it_and_as_an_object():
    for url in (
        "postgres://ana:secret-123@localhost/shop",
        sa.make_url("postgresql+psycopg://ana:secret-123@localhost/shop"),
    ):
        sql = SQL(url)
        if sa.__version__.startswith("2.0") and isinstance(url, str):
            continue  # its driver there is psycopg2, which is not installed
        assert sql.native.url.password == "secret-123"
        assert "secret-123" not in repr(sql)


@pytest.mark.parametrize(
    ("url", "error", "message"),
    [
        ("postgresql+asyncpg://localhost/shop", InvalidOptionError, "asyncio"),
        ("mysql+pymysql://localhost/shop", MissingExtraError, "pymysql"),
        ("postgresql://ana:pass:word/1@localhost:port/shop", InvalidOptionError, "quote"),
        ("shop", InvalidOptionError, "SQLAlchemy"),
    ],
)
def test_a_driver_that_will_not_do(url, error, message):
    with pytest.raises(error, match=message):
        _ = SQL(url).native


def test_autocommit_is_refused():
    with pytest.raises(InvalidOptionError, match="one transaction"):
        SQL("sqlite://", isolation_level="AUTOCOMMIT")


async def test_it_keeps_the_contract(sql):
    await check_integration(
        sql,
        [
            lambda sql: sql.fetch_all("all", "SELECT * FROM users"),
            lambda sql: sql.fetch_one("one", "SELECT * FROM users WHERE id = 1"),
            lambda sql: sql.fetch_value("value", "SELECT count(*) FROM users"),
            lambda sql: sql.execute("write", "UPDATE accounts SET balance = 1"),
            lambda sql: sql.transaction("add", add, 1),
        ],
    )


def _error_of(call):
    try:
        call()
    except Exception as error:
        return error
    return None
