"""A fake Supabase project: the tables and functions of its database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from trigger_nb.testing.services import Answer, Request, Service, route

# Errors of PostgREST, which passes on PostgreSQL's codes. The gateway answers other statuses.
_CODES = {
    400: ("22P02", "invalid input syntax for type uuid"),
    403: ("42501", "permission denied for table"),
    404: ("PGRST205", "Could not find the table in the schema cache"),
    409: ("23505", "duplicate key value violates unique constraint"),
    500: ("57014", "canceling statement due to statement timeout"),
    503: ("PGRST002", "Could not query the database for the schema cache. Retrying."),
}


class FakeSupabase(Service):
    """Supabase's Data API for rows and functions.

    `tables` has rows by primary key, the column `id`; a table is created when it is first named. `functions` has
    Python functions by name, for `rpc`.
    """

    def __init__(self, *, key: str | None = None) -> None:
        super().__init__()
        self.tables: dict[str, dict[Any, dict[str, Any]]] = {}
        self.functions: dict[str, Callable[..., Any]] = {}
        self._key = key  # the valid credential; None: any

    @route("GET", "/rest/v1/{table}")
    def select(self, request: Request, table: str) -> Answer:
        equal = {name: text.removeprefix("eq.") for name, text in request.query.items() if text[:3] == "eq."}
        rows = self.tables.get(table, {}).values()
        return Answer(200, [row for row in rows if all(str(row.get(n)) == v for n, v in equal.items())])

    @route("POST", "/rest/v1/{table}")
    def insert(self, request: Request, table: str) -> Answer:
        rows = self.tables.setdefault(table, {})
        preferred = request.headers.get("prefer", "")
        given: list[dict[str, Any]] = request.json if request.body.startswith(b"[") else [request.json]
        given = [{"id": str(uuid4()), **row} for row in given]  # the column's default
        known = [row for row in given if row["id"] in rows]
        if known and "resolution=" not in preferred:
            return self.error(409, "")
        if "resolution=ignore-duplicates" in preferred:
            given = [row for row in given if row["id"] not in rows]
        for row in given:
            rows[row["id"]] = rows.get(row["id"], {}) | row
        return Answer(201, [rows[row["id"]] for row in given])

    @route("POST", "/rest/v1/rpc/{function}")
    def call(self, request: Request, function: str) -> Answer:
        if function not in self.functions:
            return Answer(
                404,
                {
                    "code": "PGRST202",
                    "message": f"Could not find the function public.{function}",
                    "details": None,
                    "hint": None,
                },
            )
        return Answer(200, self.functions[function](**(request.json or {})))

    def refusal(self, request: Request) -> Answer | None:
        given = request.headers.get("apikey", "")
        if not given or (self._key is not None and given != self._key):
            return self.error(401, "Invalid API key" if given else "No API key found in request")
        return None

    def error(self, status: int, message: str) -> Answer:
        if status in _CODES:
            code, text = _CODES[status]
            return Answer(status, {"code": code, "message": text, "details": None, "hint": None})
        if status == 429:
            return Answer(status, {"message": "API rate limit exceeded"}, {"Retry-After": "20"})
        return Answer(status, {"message": message})
