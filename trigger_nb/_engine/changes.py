"""What has changed since a result was stored: fingerprints of code, params and codec (rule R6)."""

from __future__ import annotations

from dataclasses import dataclass
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from .. import _values
from .._fingerprint.fingerprints import Fingerprints, differs, reference, resolve
from .._keys import ancestors, parent_path
from .._records.records import TaskRecord, opening
from .._tasks.signature import Signature, signature_of

if TYPE_CHECKING:
    from .._tasks.call import Call
    from .ledger import Ledger

_NOT_PLAIN = ("-", "")  # no text begins like this


@dataclass(slots=True)
class BodyFacts:
    """What a pass knows of the body of a call."""

    body: object
    signature: Signature
    code: str  # the fingerprint of its code; "" for a body that belongs to this package
    opening: str  # how the texts of its records begin
    reference: str | None = None  # worked out when it is asked for
    code_object: object = None  # kept alive, because its id is a key


class Changes:
    """The comparison of one pass's calls with what is stored of them."""

    def __init__(self, ledger: Ledger) -> None:
        self.found: dict[str, str] = {}  # by path: what differs
        self.parents = {parent_path(path) for path in ledger.texts if "/" in path}
        self._code_of = Fingerprints().of
        self._ledger = ledger
        self._changed: set[str] | None = None  # see `_around_changed`
        # By the id of a code object: the last body with this code that was met. A loop may make thousands of them.
        self._known: dict[int, BodyFacts] = {}

    def of(self, call: Call[Any]) -> BodyFacts:
        """The facts about a call's body."""
        facts = call.facts
        if facts is None:
            facts = call.facts = self._look_at(call.body) if call.kind == "task" else _of_own(call.body)
        return facts

    def _look_at(self, body: object) -> BodyFacts:
        known = self._known.get(id(getattr(body, "__code__", None)))
        # Each look at a method of an object makes another bound method, equal to the others.
        if known is not None and (known.body is body or (type(body) is MethodType and known.body == body)):
            return known
        code = self._code_of(body)
        facts = BodyFacts(body, signature_of(body), code, opening(code))
        function = body.__func__ if type(body) is MethodType else body
        if type(function) is FunctionType and not (
            function.__closure__ or function.__defaults__ or function.__kwdefaults__  # these can change
        ):
            facts.code_object = function.__code__
            self._known[id(function.__code__)] = facts
        return facts

    def expected(self, call: Call[Any]) -> tuple[str, str]:
        """How the record's text begins, and its inputs, when there is nothing to do but to hand out its plain value."""
        options = call.options
        if call.body is None or (options and ("codec" in options or "returns" in options)):
            return _NOT_PLAIN
        facts = self.of(call)
        if facts.signature.returns is not None:
            return _NOT_PLAIN
        return facts.opening, self.inputs(call) if call.args or options else ""

    def difference(self, call: Call[Any], record: TaskRecord) -> str:
        """What differs from the stored fingerprints: "" or some of "code", "params", "codec", "subtask"."""
        found: list[str] = []
        if call.body is not None and record.code and differs(record.code, self._code_of(call.body)):
            found.append("code")
        if record.inputs and (inputs := self.inputs(call)) != record.inputs and inputs:
            found.append("params")
        if record.codec != call.options.get("codec", ""):
            found.append("codec")
        if call.path in self.parents and call.path in self._around_changed():
            found.append("subtask")
        if not found:
            return ""
        self.found[call.path] = text = ", ".join(found)
        return text

    def inputs(self, call: Call[Any]) -> str:
        if call.inputs is not None:
            return call.inputs
        params = call.options.get("params", call.args)
        return _values.fingerprint_inputs(params) if params != () else ""

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

    def reference(self, facts: BodyFacts) -> str:
        """Where to find the body again by name."""
        if facts.reference is None:
            facts.reference = reference(facts.body)
        return facts.reference


def _of_own(body: object) -> BodyFacts:
    return BodyFacts(body, signature_of(body), "", opening(""))
