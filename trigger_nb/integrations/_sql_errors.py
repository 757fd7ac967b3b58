"""Which errors of a database are transient."""

from __future__ import annotations

from typing import Any

# SQLite, https://www.sqlite.org/rescode.html: busy, locked, protocol (a race of locks).
_SQLITE = frozenset({5, 6, 15})
# PostgreSQL, https://www.postgresql.org/docs/current/errcodes-appendix.html: serialization failure, deadlock
# and lock not available; too many connections; shutting down, crashed, starting up. Its class 08, and those
# that it shares with ODBC's drivers, are of the connection.
_SQLSTATES = frozenset({"40001", "40P01", "55P03", "53300", "57P01", "57P02", "57P03", "HYT00", "HYT01"})
_CONNECTION_CLASS = "08"
# MySQL and MariaDB, https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html: lock wait
# timeout, deadlock (SQL Server's too), too many connections, shutting down; and of the client's, from 2002
# on, that there is no connection or no longer one.
_NUMBERS = frozenset({1205, 1213, 1040, 1053, 1927, 2002, 2003, 2006, 2013, 2055, 4031})
# libpq has no codes for connection errors. With these texts, the next connection would fail as well.
_WITHOUT_CODE = ("OperationalError", "ConnectionTimeout")
_REFUSALS = ("authentication failed", "does not exist", "no pg_hba.conf entry", "no password supplied")


def is_transient(error: Any) -> bool:
    """Whether the next attempt may succeed after a driver's error (`DBAPIError.orig`)."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in _SQLITE
    code = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or next(iter(error.args), None)
    if isinstance(code, int):
        return code in _NUMBERS
    if isinstance(code, str) and len(code) == 5:
        return code in _SQLSTATES or code.startswith(_CONNECTION_CLASS)
    libpq = type(error).__module__.startswith("psycopg") and type(error).__name__ in _WITHOUT_CODE
    return libpq and not any(text in str(error) for text in _REFUSALS)
