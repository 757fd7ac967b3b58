"""A fake Airtable workspace: bases, tables and records."""

from __future__ import annotations

from itertools import count
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from trigger_nb.testing.services import Answer, Request, Service, route

_ERRORS: dict[int, Any] = {
    401: {"error": {"type": "AUTHENTICATION_REQUIRED", "message": "Authentication required"}},
    404: {"error": "NOT_FOUND"},
    429: {
        "errors": [{"error": "RATE_LIMIT_REACHED", "message": "Rate limit exceeded. Please try again later"}]
    },
}
_PAGE = 100  # records, at most
_BATCH = 10


class FakeAirtable(Service):
    """The part of Airtable's Web API that reads and writes records.

    `records` are those of all tables, by their ids. A table is there as soon as it is named. Formulas, views
    and sorting are noted and not carried out.
    """

    def __init__(self, *, api_key: str | None = None) -> None:
        super().__init__()
        self.records: dict[str, dict[str, Any]] = {}
        self._table_of: dict[str, tuple[str, str]] = {}
        self._api_key = api_key  # the valid credential; None: any
        self._ids = count(1)

    @route("GET", "/v0/{base}/{table}")
    def list_records(self, request: Request, base: str, table: str) -> Answer:
        found = [self.records[each] for each, at in self._table_of.items() if at == (base, table)]
        found = found[: int(request.query.get("maxRecords", len(found)))]
        first = int(request.query.get("offset", 0))
        last = first + min(int(request.query.get("pageSize", _PAGE)), _PAGE)
        more = {"offset": str(last)} if last < len(found) else {}
        return Answer(200, {"records": found[first:last], **more})

    @route("GET", "/v0/{base}/{table}/{id}")
    def get_record(self, request: Request, base: str, table: str, id: str) -> Answer:
        return Answer(200, self.records[id]) if id in self.records else self.error(404, "")

    @route("POST", "/v0/{base}/{table}")
    def create_records(self, request: Request, base: str, table: str) -> Answer:
        asked = request.json["records"]
        if len(asked) > _BATCH:
            return self.error(422, f"A maximum of {_BATCH} records may be created at once")
        return Answer(200, {"records": [self._new(base, table, each["fields"]) for each in asked]})

    @route("PATCH", "/v0/{base}/{table}")
    def update_records(self, request: Request, base: str, table: str) -> Answer:
        asked = request.json["records"]
        if missing := [each["id"] for each in asked if each["id"] not in self.records]:
            return self.error(422, f"Record ID {missing[0]} does not exist in this table")
        for each in asked:
            self.records[each["id"]]["fields"].update(each["fields"])
        return Answer(200, {"records": [self.records[each["id"]] for each in asked]})

    @route("DELETE", "/v0/{base}/{table}")
    def delete_records(self, request: Request, base: str, table: str) -> Answer:
        ids = [value for name, value in parse_qsl(urlsplit(request.target).query) if name == "records[]"]
        if any(each not in self.records for each in ids):
            return self.error(404, "")
        for each in ids:
            del self.records[each], self._table_of[each]
        return Answer(200, {"records": [{"id": each, "deleted": True} for each in ids]})

    def refusal(self, request: Request) -> Answer | None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not given or (self._api_key is not None and given != self._api_key):
            return self.error(401, "")
        return None

    def error(self, status: int, message: str) -> Answer:
        other = {"error": {"type": "INVALID_REQUEST_UNKNOWN", "message": message}}
        return Answer(status, _ERRORS.get(status, other))

    def _new(self, base: str, table: str, fields: dict[str, Any]) -> dict[str, Any]:
        new = f"rec{next(self._ids):014}"
        self._table_of[new] = (base, table)
        self.records[new] = {"id": new, "createdTime": "2024-01-01T00:00:00.000Z", "fields": fields}
        return self.records[new]
