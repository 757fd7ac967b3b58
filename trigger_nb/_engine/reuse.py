"""Results of other runs: how a task finds one of the same code and arguments, and takes it over.

A result is found by its *digest*, of the fingerprint of the body's code and of its arguments. A task with `reuse=` records
its digest, and commits a pointer to the record with it (see `_store/shared_results.py`). What is found is copied into this
run, with its value files, and its record names the run that it comes from. So this run needs nothing of that one later on:
either can be deleted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from hashlib import sha256
from json.encoder import encode_basestring_ascii as as_json
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from .. import _values
from .._clock import to_seconds
from .._fingerprint.fingerprints import differs, resolve
from .._fingerprint.values import is_code
from .._keys import is_within
from .._records.records import FAN_OUT, NOT_REUSED, RunRecord, TaskRecord, scan
from .._records.status import TaskStatus
from .._redact import secrets
from .._store.value_files import FILE_NAME
from .._tasks.call import MISS
from .._values import fingerprint_inputs
from .._values.json_text import dumps
from ..errors import CorruptRecordError, StoreError, ValueNotLoadedError
from .readings import Unreadable

if TYPE_CHECKING:
    from .._store.protocol import Shared, Store
    from .._tasks.call import AnyCall, Scope
    from .._tasks.options import Settings
    from .changes import Changes
    from .ledger import Ledger


# The text of a usual record: of a plain value, and with nothing but what each record of its body has.
_HEAD = re.compile(r'\{"code":"[^"\\]*",(?:"inputs":"(?:[^"\\]|\\.)*",)?"value":')
_MIDDLE = re.compile(
    r',"started":\d+,"started_at":[\d.]+((?:,"body":"[^"\\]*")?,"reuse":"([0-9a-f]{32})")(,"params":)?'
)
_END = re.compile(r'(?:,"name":"(?:[^"\\]|\\.)*")?,"ended_at":([\d.]+),"ended":\d+\}')
# Options that do not change the text of a record, and the name.
_OPTIONS_OF_COPIES = frozenset(
    {
        "name",
        "retry",
        "rate",
        "timeout",
        "on_error",
        "repeatable",
        "reuse",
        "expires_after",
        "thread",
        "executor",
        "returns",
    }
)


class Found(NamedTuple):
    """A completed result of another run."""

    run_id: str
    path: str
    digest: str
    made_at: float  # when its body ended
    text: str  # of its record
    parts: _Parts | None  # of the text of a usual record, which is copied without reading all of it


class _Parts(NamedTuple):
    value: Any
    head: str  # up to the value and with it
    kept: str  # further fields that the copy has too


class Reuses:
    """The look-ups of one pass in other runs."""

    def __init__(
        self,
        run: RunRecord,
        settings: Settings,
        ledger: Ledger,
        changes: Changes,
        store: Store,
        now: Callable[[], float],
    ) -> None:
        self._run = run
        self._settings = settings
        self._ledger = ledger
        self._changes = changes
        self._store = store
        self._now = now
        self._looked: dict[str, Found | None] = {}  # by path: what `look_ahead` found
        self.is_used = settings.reuse != "run"  # else only by tasks that ask for it themselves
        # Of the last call: body, options, whether it gets lists, and the part of the digest that is made of them.
        self._known: tuple[object, object, bool, bytes | None] | None = None

    # What is asked for ------------------------------------------------------------------------------

    def within(self, call: AnyCall) -> str:
        """How far a call looks: "run", "job" or "client"."""
        return self._asked(call, "reuse", self._settings.reuse)

    def is_expired(self, call: AnyCall, record: TaskRecord) -> bool:
        """Whether a result is older than `expires_after=` says."""
        limit = self._limit(call)
        return limit is not None and self._now() - record.made_at > limit

    def _limit(self, call: AnyCall) -> float | None:
        """The seconds after which a result is too old; None if it never is."""
        limit = self._asked(call, "expires_after", self._settings.expires_after)
        return None if limit is None else to_seconds(limit, "expires_after")

    def _asked(self, call: AnyCall, option: str, default: Any) -> Any:
        """An option of the call. The defaults of job and client never apply to an integration's tasks: they may write."""
        if option in call.options:
            return cast("dict[str, Any]", call.options)[option]
        if call.kind == "task" and call.service is None:
            return default
        return "run" if option == "reuse" else None

    def digest(self, call: AnyCall, *, batch: bool = False) -> str:
        """The digest of a call; "" if it asks for none, or if it has something that cannot be compared."""
        if self.within(call) == "run":
            return NOT_REUSED if self.is_used and call.service is not None else ""
        return self._digest(call, whole=batch or call.batch is not None)

    def _digest(self, call: AnyCall, *, whole: bool) -> str:
        self.is_used = True
        body, options = call.body, call.options
        known = self._known
        if known is not None and known[0] is body and known[1] is options and known[2] == whole:
            of_body = known[3]
        else:
            of_body = self._of_body(call, whole=whole)
            # No closure and no defaults: nothing of it can change. The items of a map share one.
            self._known = (body, options, whole, of_body) if self._changes.of(call).body is body else None
        params = options.get("params", call.args)
        inputs = call.inputs or (fingerprint_inputs(params) if params != () else "()")
        if of_body is None or not inputs:
            return ""
        return sha256(of_body + inputs.encode("utf-8", "backslashreplace")).hexdigest()[:32]

    def _of_body(self, call: AnyCall, *, whole: bool) -> bytes | None:
        """The part of the digest that is the same for all arguments; None if something in it cannot be compared."""
        run, options = self._run, call.options
        if call.kind != "task" or run.is_test or not run.keys or "codec" in options:
            return None
        code, bound = self._changes.of(call).code, _data_text(call.body)
        checked = self._check_of(options.get("check"))
        if not code or bound is None or checked is None:
            return None
        text = f"{run.client}\n{code}\n{bound}\n{checked}\n{'batch' * whole}\n"
        return sha256(text.encode("utf-8", "backslashreplace")).digest()

    def _check_of(self, check: object) -> str | None:
        """A text of the code and data of `check=`: another check may keep another result."""
        if check is None:
            return ""
        code, data = self._changes.code_of(check), _data_text(check)
        return f"{code} {data}" if code and data is not None else None

    # Looking up -------------------------------------------------------------------------------------

    def find(self, call: AnyCall) -> Found | None:
        """A result for a call. Raises `Unreadable`."""
        if self.within(call) == "run":
            return None
        if call.path not in self._looked:
            self.look_ahead([call], batch=call.batch is not None)
        return self._looked.get(call.path)

    def look_ahead(self, calls: Iterable[AnyCall], *, batch: bool = False) -> list[tuple[AnyCall, Found]]:
        """Results for many calls, by one query. `find` knows them from then on. Raises `Unreadable`."""
        in_job: dict[str, list[AnyCall]] = {}
        in_client: dict[str, list[AnyCall]] = {}
        wanted, options = in_job, None
        for call in calls:
            self._looked[call.path] = None
            if call.options is not options:  # the items of a map share theirs
                options = call.options
                wanted = in_job if self.within(call) == "job" else in_client
            if digest := self._digest(call, whole=batch):
                if (same := wanted.get(digest)) is None:
                    wanted[digest] = [call]
                else:
                    same.append(call)
        hits: list[tuple[AnyCall, Found]] = []
        for wanted in filter(None, (in_job, in_client)):
            try:
                results = self._store.shared.look_up(wanted, self._ledger.job if wanted is in_job else None)
            except StoreError as error:
                raise Unreadable(error) from None
            newest: dict[str, Found] = {}
            for shared in results:
                if (found := self._usable(shared)) is not None:
                    known = newest.setdefault(found.digest, found)
                    if known.made_at < found.made_at:
                        newest[found.digest] = found
            limit, options = None, None
            for digest, found in newest.items():
                for call in wanted.get(digest, ()):
                    if call.options is not options:
                        options, limit = call.options, self._limit(call)
                    if limit is None or self._now() - found.made_at <= limit:
                        self._looked[call.path] = found
                        hits.append((call, found))
        return hits

    def _usable(self, shared: Shared) -> Found | None:
        """The result that a pointer leads to; None unless it is whole, another run's, and made by the code as it is now."""
        if shared.run_id == self._run.id:
            return None
        text = shared.text
        try:
            if (usual := _usual(shared)) is not None:
                return usual
            record = TaskRecord.loads(text)
        except (CorruptRecordError, StopIteration, ValueError):
            return None
        if not record.is_shareable or any(self._has_changed(*each) for each in record.made_by.items()):
            return None
        return Found(shared.run_id, shared.path, record.reuse, record.made_at, text, None)

    def _has_changed(self, reference: str, code: str) -> bool:
        body = resolve(reference)
        return body is not None and differs(code, self._changes.code_of(body))

    # Taking over ------------------------------------------------------------------------------------

    def copied(self, call: AnyCall, found: Found, now: float) -> str | None:
        """The text of the record of a call that takes a usual result over; None if its record needs more fields."""
        parts, options = found.parts, call.options
        if parts is None or self._settings.redact or not _OPTIONS_OF_COPIES.issuperset(options):
            return None
        named = f',"name":{dumps(secrets.hide(options["name"]))}' if "name" in options else ""
        ordinals = self._ledger.ordinals
        return (
            f'{parts.head},"started":{next(ordinals)},"started_at":{now}{parts.kept}{named},"reused_from":'
            f'{{"run":{as_json(found.run_id)},"path":{as_json(found.path)},"at":{found.made_at}}}'
            f',"ended_at":{now},"ended":{next(ordinals)}}}'
        )

    def plain(self, call: AnyCall, found: Found) -> object:
        """The value of a usual result, if it is handed out as it is; `MISS` if a replay has to read it."""
        return MISS if found.parts is None or self._changes.returns(call) else found.parts.value

    def taken(
        self,
        call: AnyCall,
        found: Found,
        earlier: TaskRecord | None,
        make: Callable[[AnyCall, TaskRecord | None], TaskRecord],
    ) -> TaskRecord | None:
        """The record of a call that takes a result over, with its value files in this run. None if one of these is lost.

        `make` makes the record of a task that is about to run. Raises `Unreadable`.
        """
        theirs = _record_of(found)
        if theirs is None or ((theirs.form or theirs.shown) and not self._has_files(found.run_id, theirs)):
            return None
        record = make(call, earlier)
        record.status = TaskStatus.COMPLETED
        record.form, record.value, record.checked = theirs.form, theirs.value, theirs.checked
        record.output_properties, record.made_by = theirs.output_properties, theirs.made_by
        record.show(theirs.shown)
        origin = {"run": found.run_id, "path": found.path, "at": found.made_at}
        record.reused_from = theirs.reused_from or origin
        record.ended_at = self._now()
        return record

    def _has_files(self, run_id: str, record: TaskRecord) -> bool:
        """Give this run the value files of a result as well; whether all are there, and whole."""
        theirs = self._store.blobs(run_id)
        try:
            names = FILE_NAME.findall(json.dumps(record.value))
            if record.form == "file" and record.value["form"]:  # a plain file names no others
                names += FILE_NAME.findall(theirs.get(record.value["file"]).decode("ascii"))
            pictures = FILE_NAME.findall(json.dumps(record.shown))  # one that is lost is missed by nobody
            self._store.share_blobs(run_id, self._run.id, {*names, *pictures})
            for name in set(names):
                self._ledger.blobs.get(name)
        except CorruptRecordError:
            return False
        except StoreError as error:
            raise Unreadable(error) from None
        return True

    def value(self, call: AnyCall, found: Found, returns: Any) -> Any:
        """The value of a result, for a plan, which takes nothing over; `MISS` if it cannot be had."""
        record = _record_of(found)
        if record is None:
            return MISS
        try:
            blobs = self._store.blobs(found.run_id)
            return _values.load(record.form, record.value, blobs, None if record.checked else returns)
        except (StoreError, ValueNotLoadedError):
            return MISS

    # What others may find ---------------------------------------------------------------------------

    def settle(self, record: TaskRecord, scope: Scope) -> None:
        """Take the digest off a result that is not to be reused: for what happened in it, or because it was cut short."""
        if record.reuse == NOT_REUSED:
            return
        if not record.is_shareable or ((scope.seen or scope.logged) and not self._is_whole(record)):
            record.reuse = ""

    def _is_whole(self, record: TaskRecord) -> bool:
        """Whether a task and its subtasks can be reused as a whole: they are tasks of the user's code, and all completed."""
        ledger = self._ledger
        made_by: dict[str, str] = {}
        for path in list(ledger.texts):
            if not is_within(path, record.path) or path == record.path:
                continue
            inside = ledger.glance(path)
            if inside is None or not _is_reusable_within(inside):
                return False
            if inside.body and made_by.setdefault(inside.body, inside.code) != inside.code:
                return False
        record.made_by = made_by
        return True


def _record_of(found: Found) -> TaskRecord | None:
    try:
        record = TaskRecord.loads(found.text)
    except CorruptRecordError:
        return None
    record.path = found.path
    return record


def _usual(shared: Shared) -> Found | None:
    """A result whose record is a usual one. Raises `StopIteration` or `ValueError` for a damaged text."""
    text = shared.text
    if (head := _HEAD.match(text)) is None:
        return None
    value, end = scan(text, head.end())
    if (middle := _MIDDLE.match(text, end)) is None:
        return None
    kept, digest, params = middle.groups()
    after = scan(text, middle.end())[1] if params else middle.end()
    if (tail := _END.fullmatch(text, after)) is None:
        return None
    kept = text[middle.start(1) : after] if params else kept
    return Found(shared.run_id, shared.path, digest, float(tail[1]), text, _Parts(value, text[:end], kept))


def _is_reusable_within(record: TaskRecord) -> bool:
    if record.kind == "log":
        return True
    if record.status != TaskStatus.COMPLETED or record.error is not None or record.reuse == NOT_REUSED:
        return False
    return record.kind in FAN_OUT or (record.kind == "task" and bool(record.code))


# Data that is bound to a body: it does not count in the fingerprint of its code ------------------------


def _data_text(body: object) -> str | None:
    """A text of the data; "" if there is none, None if some of it cannot be compared."""
    try:
        data = list(_bound_to(body, set()))
    except (ValueError, RecursionError):  # a cell of a closure is still empty
        return None
    return (fingerprint_inputs(data) or None) if data else ""


def _bound_to(body: object, met: set[int]) -> Iterator[object]:
    """The data in closures, partials and methods: of the body, and of the functions in these."""
    if id(body) in met:
        return
    met.add(id(body))
    inside: list[object] = []
    if not is_code(body):
        inside = [body]  # an object that can be called
    elif isinstance(body, FunctionType):
        inside = [cell.cell_contents for cell in body.__closure__ or ()]
    elif isinstance(body, MethodType):
        inside = [body.__func__, body.__self__]
    elif isinstance(body, partial):
        bound = cast("partial[object]", body)
        inside = [bound.func, *bound.args, *(value for _, value in sorted(bound.keywords.items()))]
    elif isinstance(body, BuiltinFunctionType):
        inside = [] if body.__self__ is None else [body.__self__]
    elif (wrapped := getattr(body, "__wrapped__", None)) is not None:  # a cache
        inside = [wrapped]
    for each in inside:
        if each is not body and is_code(each):
            yield from _bound_to(each, met)
        else:
            yield each
