"""What has changed since a result was stored: fingerprints of code, params and codec (rule R6)."""

from __future__ import annotations

from dataclasses import dataclass
from types import FunctionType, MethodType
from typing import TYPE_CHECKING

from .._fingerprint.fingerprints import Fingerprints, differs, reference, resolve
from .._fingerprint.parts import Parts, changed_parts, difference_of, parts_of
from .._keys import ancestors, last_segment, parent_path
from .._records.records import RunRecord, TaskRecord, opening
from .._tasks.signature import Signature, signature_of
from .._values import fingerprint_inputs
from .code_sources import hidden_sources, stored_sources

if TYPE_CHECKING:
    from .._tasks.call import AnyCall
    from .ledger import Ledger

_MOST_CODES = 40  # of which a run keeps the parts
_NAMED = 3  # parts that are named of a difference
_NEVER = "-"  # no record's text begins like this
_SLOW = frozenset({"codec", "returns", "expires_after"})  # options that a replay needs more of a record for


@dataclass(slots=True)
class BodyFacts:
    """A body's signature and fingerprint. Within a pass, bodies with the same code share them."""

    # None for a body with a closure or defaults: their values can change, so each call looks at it again.
    body: object
    signature: Signature
    code: str  # the fingerprint of its code; "" for a body that belongs to this package
    opening: str  # how the text of a record begins whose value can be replayed without a decision
    code_object: object = None  # kept alive, because its id is a key of `Changes.known`
    reference: str | None = None  # see `Changes.reference`, which sets it


class Changes:
    """The comparison of one pass's calls with what is stored of them."""

    def __init__(self, ledger: Ledger, run: RunRecord, *, expire: bool = False) -> None:
        self.found: dict[str, str] = {}  # by path: what differs
        # By path: the functions and globals that make a difference in code, and their sources as a diff, if known.
        self.parts: dict[str, str] = {}
        self.diffs: dict[str, str] = {}
        self.parents: set[str] = set()  # tasks with subtasks or log lines in the store
        self.lines: dict[str, list[str]] = {}  # paths of the log lines in the store, by task
        for path in ledger.texts:
            if "/" in path:
                self.parents.add(parent := parent_path(path))
                if "~." in path and last_segment(path).startswith("~."):
                    self.lines.setdefault(parent, []).append(path)
        # By the id of a code object: the facts about the last body with this code. A loop may make thousands of them.
        self.known: dict[int, BodyFacts] = {}
        self.code_of = self._code_of = Fingerprints().of
        self._ledger = ledger
        self._run = run
        self._expire = expire  # results may be too old, so each replay looks at more than the value
        self._parts_now: dict[str, Parts] = {}  # by fingerprint
        self._diffs: dict[tuple[str, str], str] = {}  # by the fingerprints before and now
        self._changed: set[str] | None = None  # see `_around_changed`

    def of(self, call: AnyCall) -> BodyFacts:
        """The facts about a call's body."""
        facts = call.facts
        if facts is None:
            facts = call.facts = self._look_at(call.body) if call.kind == "task" else _of_own(call.body)
        return facts

    def _look_at(self, body: object) -> BodyFacts:
        code_object = getattr(body, "__code__", None)
        known = self.known.get(id(code_object))
        # Each look at a method of an object makes another bound method, equal to the others.
        if known is not None and (known.body is body or (type(body) is MethodType and known.body == body)):
            return known
        code, signature = self._code_of(body), signature_of(body)
        if known is not None and known.body is None and (known.code, known.signature) == (code, signature):
            return known
        facts = BodyFacts(None, signature, code, self._opening(code, signature))
        function = body.__func__ if type(body) is MethodType else body
        if type(function) is FunctionType:
            if not (function.__closure__ or function.__defaults__ or function.__kwdefaults__):
                facts.body = body
            facts.code_object = code_object
            self.known[id(code_object)] = facts
        return facts

    def _opening(self, code: str, signature: Signature) -> str:
        return opening(code) if signature.returns is None and not self._expire else _NEVER

    def returns(self, call: AnyCall) -> bool:
        """Whether the value of a call is validated into a type."""
        return "returns" in call.options or self.of(call).signature.returns is not None

    def expected(self, call: AnyCall) -> tuple[str, str]:
        """How the record's text begins, and its inputs, when there is nothing to do but to hand out its plain value.

        Raises `NotReadYetError` for a large `File` that must be read first.
        """
        options = call.options
        if call.body is None or (options and not _SLOW.isdisjoint(options)):
            return _NEVER, ""
        return self.of(call).opening, self.inputs(call, may_read=False) if call.args or options else ""

    def difference(self, call: AnyCall, record: TaskRecord) -> str:
        """What differs from the stored fingerprints: "" or some of "code", "params", "codec", "subtask"."""
        found: list[str] = []
        if call.body is not None and record.code and differs(record.code, self._code_of(call.body)):
            found.append("code")
            self._name_parts(call.path, record.code, call.body)
        if (
            record.inputs
            and (inputs := self.inputs(call)) != record.inputs
            and inputs
            and (self._run.keys or _earlier_inputs(call) != record.inputs)
        ):
            found.append("params")
        if record.codec != call.options.get("codec", ""):
            found.append("codec")
        # What a person set did not come from the subtasks.
        if record.by_hand is None and call.path in self.parents and call.path in self._around_changed():
            found.append("subtask")
        if not found:
            return ""
        self.found[call.path] = text = ", ".join(found)
        return text

    def keep_parts(self, body: object, code: str) -> bool:
        """Keep in the run's record what a body is made of, to name a change by. False if it is known or not kept."""
        known = self._run.parts
        if not code or code in known or len(known) >= _MOST_CODES:
            return False
        self._run.parts = {**known, code: parts_of(body)}
        return True

    def _name_parts(self, path: str, stored: str, body: object) -> None:
        """Note which parts of a body's code are others than when its result was stored."""
        now = self._code_of(body)
        if now not in self._parts_now:
            self._parts_now[now] = parts_of(body)
        names = changed_parts(self._run.parts.get(stored, {}), self._parts_now[now])
        if names:
            more = [f"{len(names) - _NAMED} more"] if len(names) > _NAMED else []
            own = f"function {getattr(body, '__name__', type(body).__name__)}"
            self.parts[path] = ", ".join([*(name or own for name in names[:_NAMED]), *more])
            key = stored, now
            if key not in self._diffs:
                before = stored_sources(self._ledger, self._run.id, stored)
                self._diffs[key] = difference_of(before, hidden_sources(body), names) if before else ""
            if self._diffs[key]:
                self.diffs[path] = self._diffs[key]

    def inputs(self, call: AnyCall, may_read: bool = True) -> str:
        """The fingerprint of a call's params. Raises `UnreadableFileError`, and `NotReadYetError` unless it may read."""
        if call.inputs is not None:
            return call.inputs
        params = call.options.get("params", call.args)
        return fingerprint_inputs(params, "changed", may_read) if params != () else ""

    def _around_changed(self) -> set[str]:
        """Paths of the tasks around stored ones whose code is another now: their replay would hide it.

        Looked for once a pass. A task that keeps its result by an option of its own does not count.
        """
        if self._changed is None:
            self._changed = set()
            for path, text in list(self._ledger.texts.items()):
                if "/" not in path or '"body":' not in text or (record := self._ledger.glance(path)) is None:
                    continue
                body = resolve(record.body)
                if body is not None and differs(record.code, self._code_of(body)):
                    self.found[path] = "code"
                    self._name_parts(path, record.code, body)
                    if record.on_change != "keep":
                        self._changed.update(ancestors(path))
        return self._changed

    def reference(self, call: AnyCall) -> str:
        """Where to find the call's body again by name."""
        facts = self.of(call)
        if facts.body is None:
            return reference(call.body)
        if facts.reference is None:
            facts.reference = reference(facts.body)
        return facts.reference


def _of_own(body: object) -> BodyFacts:
    signature = signature_of(body)
    return BodyFacts(None, signature, "", opening("") if signature.returns is None else _NEVER)


def _earlier_inputs(call: AnyCall) -> str:
    """The fingerprint of a call's params as versions up to November 2026 made it."""
    return fingerprint_inputs(call.options.get("params", call.args), "set")
