"""SQL on PostgreSQL: what only a server can do to a client."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest
import sqlalchemy as sa

from tests.integrations.jobs import BACKOFF, attempts
from tests.integrations.postgres import PASSWORD
from trigger_nb.integrations import SQL

pytestmark = pytest.mark.anyio

BALANCE = sa.text("SELECT balance FROM accounts ORDER BY id")


@pytest.fixture
async def sql(postgres_url):
    sql = SQL(postgres_url)
    with sql.native.begin() as connection:
        connection.execute(sa.text("CREATE TABLE accounts (id INT PRIMARY KEY, balance INT)"))
        connection.execute(sa.text("INSERT INTO accounts VALUES (1, 0), (2, 0)"))
    yield sql
    await sql.aclose()


def balances(sql):
    with sql.native.connect() as connection:
        return list(connection.scalars(BALANCE))


def pay(connection, account=1, amount=100):
    connection.execute(
        sa.text("UPDATE accounts SET balance = balance + :it WHERE id = :id"), {"it": amount, "id": account}
    )
    return amount


class Proxy:
    """Stands before a server, and breaks the connection at a COMMIT: before the server has it, or after."""

    def __init__(self, url):
        self._target = (url.host, url.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = url.set(port=self._listener.getsockname()[1])
        self.breaks: list[str] = []  # what becomes of the next commits
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with client, socket.create_connection(self._target) as server:
            answers = threading.Thread(target=_pass_on, args=(server, client), daemon=True)
            answers.start()
            with contextlib.suppress(OSError):
                if self._pass_on_until_it_breaks(client, server) == "after":
                    answers.join()  # ends with the answer to the COMMIT, which has nowhere to go
            _shut(server)
            answers.join()

    def _pass_on_until_it_breaks(self, client, server):
        while data := client.recv(65536):
            how = self.breaks.pop(0) if b"COMMIT" in data and self.breaks else ""
            if how:
                _shut(client)
            if how != "before":
                server.sendall(data)
            if how:
                return how
        return ""

    def close(self):
        _shut(self._listener)
        self._listener.close()


def _pass_on(source, target):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)


def _shut(connection):
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_connection_lost_during_commit(client, sql, when):
    """Whether it was committed cannot be known; the key tells, and the effect is there once."""
    proxy = Proxy(sql.native.url)
    through = SQL(proxy.url)
    calls = []

    def body(connection):
        calls.append(1)
        return pay(connection)

    @client.job(integrations={"sql": through})
    async def transfer(payload, io):
        await io.sql.transaction("first", pay, 2)  # the table of keys is there from here on
        proxy.breaks.append(when)
        return await io.sql.transaction("pay", body)

    assert await transfer.run() == 100
    assert balances(sql) == [100, 100]
    assert proxy.breaks == []
    assert transfer.runs()[0].task("pay").attempt == 2
    assert len(calls) == (2 if when == "before" else 1)
    await through.aclose()
    proxy.close()


async def test_a_connection_that_the_server_ends(client, clock, sql):
    ended = []

    def body(connection):
        pay(connection)
        if not ended:
            ended.append(1)
            pid = connection.scalar(sa.text("SELECT pg_backend_pid()"))
            with sql.native.connect() as other:
                other.execute(sa.text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
        return pay(connection)

    @client.job(integrations={"sql": sql})
    async def transfer(payload, io):
        return await io.sql.transaction("pay", body)

    assert await attempts(transfer, None, clock) == (2, BACKOFF)
    assert balances(sql) == [200, 0]


async def test_a_deadlock(client, clock, sql):
    """PostgreSQL ends one of the two; it is made again."""
    other = sql.native.connect()
    failed = []

    def body(connection):
        if failed:
            return pay(connection)
        pay(connection, 1)
        # The other waits for this one's row, then this one for the other's.
        pay(other, 2)
        waiting = threading.Thread(target=pay, args=(other, 1))
        waiting.start()
        while connection.scalar(sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")) == 0:
            time.sleep(0.01)
        try:
            pay(connection, 2)
        except sa.exc.OperationalError as error:
            failed.append(error.orig.sqlstate)
            raise
        finally:
            connection.rollback()  # lets the other go on
            waiting.join()
            other.close()

    with other.begin():
        other.execute(sa.text("SET deadlock_timeout = '10min'"))  # so that it is this one that finds it

    @client.job(integrations={"sql": sql})
    async def transfer(payload, io):
        return await io.sql.transaction("pay", body)

    assert await attempts(transfer, None, clock) == (2, BACKOFF)
    assert failed == ["40P01"]
    assert balances(sql) == [100, 0]


async def test_a_serialization_failure(client, clock, postgres_url, sql):
    strict = SQL(postgres_url, isolation_level="SERIALIZABLE")
    begun = []

    def body(connection):
        before = connection.scalar(BALANCE)
        if not begun:
            begun.append(1)
            with sql.native.begin() as other:
                pay(other)
        connection.execute(sa.text("UPDATE accounts SET balance = :it WHERE id = 1"), {"it": before + 1})

    @client.job(integrations={"sql": strict})
    async def transfer(payload, io):
        await io.sql.transaction("pay", body)

    assert await attempts(transfer, None, clock) == (2, BACKOFF)
    assert balances(sql) == [101, 0]
    await strict.aclose()


async def test_a_server_that_is_not_there_is_tried_again(client, clock, sql):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        gone = SQL(sql.native.url.set(port=unused.getsockname()[1]))

        @client.job(integrations={"sql": gone})
        async def ask(payload, io):
            await io.sql.fetch_value("ask", "SELECT 1", task_options={"retry": 3})

        assert (await attempts(ask, None, clock))[0] == 3
    await gone.aclose()


@pytest.mark.parametrize(
    "change", [{"password": "wrong-password-1"}, {"username": "eve"}, {"database": "nowhere"}]
)
async def test_a_refusal_is_final(client, clock, sql, change):
    refused = SQL(sql.native.url.set(**change))

    @client.job(integrations={"sql": refused})
    async def ask(payload, io):
        await io.sql.fetch_value("ask", "SELECT 1")

    assert await attempts(ask, None, clock) == (1, None)
    await refused.aclose()


async def test_the_password_is_nowhere_in_the_store(client, tmp_path, sql):
    """S8: also by itself, where an error repeats it."""
    url = sql.native.url.render_as_string(hide_password=False)

    def body(connection):
        print("connected to", url)
        raise LookupError(f"{url} and {PASSWORD}")

    @client.job(integrations={"sql": sql})
    async def tell(payload, io):
        await io.sql.transaction("tell", body)

    with pytest.raises(LookupError) as caught:
        await tell.run()
    kept = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert PASSWORD.encode() not in kept
    assert PASSWORD not in f"{caught.value} {tell.runs()[0].tree()} {sql!r}"


async def test_the_table_of_keys_in_a_schema(client, postgres_url, sql):
    with sql.native.begin() as connection:
        connection.execute(sa.text("CREATE SCHEMA jobs"))
    elsewhere = SQL(postgres_url, schema="jobs", table="done")

    @client.job(integrations={"sql": elsewhere})
    async def transfer(payload, io):
        return await io.sql.transaction("pay", pay)

    assert await transfer.run() == 100
    assert sa.inspect(sql.native).get_table_names(schema="jobs") == ["done"]
    assert sa.inspect(sql.native).get_table_names() == ["accounts"]
    await elsewhere.aclose()


async def test_ddl_is_made_once(client, postgres_url, sql):
    @client.job(integrations={"sql": sql})
    async def create(payload, io):
        return await io.sql.execute("create", "CREATE TABLE t (n INT)")

    first = await create.run()
    assert await create.run() == first
    assert sa.inspect(sql.native).has_table("t")
