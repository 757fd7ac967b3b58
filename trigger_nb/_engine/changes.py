"""What has changed since a result was stored: fingerprints of code, params and codec (rule R6)."""

from __future__ import annotations

from dataclasses import dataclass
from types import FunctionType, MethodType
from typing import TYPE_CHECKING

from .._fingerprint.fingerprints import Fingerprints, differs, reference, resolve
from .._keys import ancestors, last_segment, parent_path
from .._records.records import TaskRecord, opening
from .._tasks.signature import Signature, signature_of
from .._values import fingerprint_inputs

if TYPE_CHECKING:
    from .._tasks.call import AnyCall
    from .ledger import Ledger

_NEVER = "-"  # no record's text begins like this


@dataclass(slots=True)
class BodyFacts:
    """What a pass knows of the body of a call."""

    body: object  # None if another look at it may find other facts: what a closure holds, or a default, can change
    signature: Signature
    code: str  # the fingerprint of its code; "" for a body that belongs to this package
    opening: str  # how a record's text begins whose plain value can be handed out as it is
    code_object: object = None  # kept alive, because its id is a key
    reference: str | None = None  # worked out when it is asked for


class Changes:
    """The comparison of one pass's calls with what is stored of them."""

    def __init__(self, ledger: Ledger, keys: int) -> None:
        self.found: dict[str, str] = {}  # by path: what differs
        self.parents: set[str] = set()  # tasks with subtasks or log lines in the store
        self.lines: dict[str, list[str]] = {}  # paths of the log lines in the store, by task
        for path in ledger.texts:
            if "/" in path:
                self.parents.add(parent := parent_path(path))
                if "~." in path and last_segment(path).startswith("~."):
                    self.lines.setdefault(parent, []).append(path)
        # By the id of a code object: the facts about the last body with this code. A loop may make thousands of them.
        self.known: dict[int, BodyFacts] = {}
        self._code_of = Fingerprints().of
        self._ledger = ledger
        self._keys = keys  # of the run's record: the form of the stored fingerprints of params
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
        facts = BodyFacts(None, signature, code, opening(code) if signature.returns is None else _NEVER)
        function = body.__func__ if type(body) is MethodType else body
        if type(function) is FunctionType:
            if not (function.__closure__ or function.__defaults__ or function.__kwdefaults__):
                facts.body = body
            facts.code_object = code_object
            self.known[id(code_object)] = facts
        return facts

    def expected(self, call: AnyCall) -> tuple[str, str]:
        """How the record's text begins, and its inputs, when there is nothing to do but to hand out its plain value."""
        options = call.options
        if call.body is None or (options and ("codec" in options or "returns" in options)):
            return _NEVER, ""
        return self.of(call).opening, self.inputs(call) if call.args or options else ""

    def difference(self, call: AnyCall, record: TaskRecord) -> str:
        """What differs from the stored fingerprints: "" or some of "code", "params", "codec", "subtask"."""
        found: list[str] = []
        if call.body is not None and record.code and differs(record.code, self._code_of(call.body)):
            found.append("code")
        if (
            record.inputs
            and (inputs := self.inputs(call)) != record.inputs
            and inputs
            and (self._keys or _earlier_inputs(call) != record.inputs)
        ):
            found.append("params")
        if record.codec != call.options.get("codec", ""):
            found.append("codec")
        if call.path in self.parents and call.path in self._around_changed():
            found.append("subtask")
        if not found:
            return ""
        self.found[call.path] = text = ", ".join(found)
        return text

    def inputs(self, call: AnyCall) -> str:
        if call.inputs is not None:
            return call.inputs
        params = call.options.get("params", call.args)
        return fingerprint_inputs(params) if params != () else ""

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
