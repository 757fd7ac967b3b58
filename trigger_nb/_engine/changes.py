"""What has changed since a result was stored: fingerprints of code, params and codec (rule R6)."""

from __future__ import annotations

from types import MethodType
from typing import TYPE_CHECKING, Any

from .. import _values
from .._fingerprint.fingerprints import Fingerprints, differs, reference, resolve
from .._keys import ancestors, parent_path
from .._records.records import TaskRecord, opening, plain_head
from .._tasks.signature import signature_of

if TYPE_CHECKING:
    from .._tasks.call import Call
    from .ledger import Ledger


class Changes:
    """The comparison of one pass's calls with what is stored of them."""

    def __init__(self, ledger: Ledger, keys: int) -> None:
        self.found: dict[str, str] = {}  # by path: what differs
        self.parents = {parent_path(path) for path in ledger.texts if "/" in path}
        self.code_of = Fingerprints().of
        self._ledger = ledger
        self._keys = keys  # of the run's record: the form of the stored fingerprints of params
        self._changed: set[str] | None = None  # see `_around_changed`
        self._references: dict[int, tuple[Any, str]] = {}  # by the id of a body's code: the body, its name

    def head(self, call: Call[Any]) -> str:
        """How the record's text begins when there is nothing to do but to hand out its plain value."""
        body, options = call.body, call.options
        if body is None or (options and ("codec" in options or "returns" in options)):
            return "-"
        if signature_of(body).returns is not None:
            return "-"
        code = self.code_of(body) if call.kind == "task" else ""
        return plain_head(opening(code), self.inputs(call) if call.args or options else "")

    def difference(self, call: Call[Any], record: TaskRecord) -> str:
        """What differs from the stored fingerprints: "" or some of "code", "params", "codec", "subtask"."""
        found: list[str] = []
        body = call.body
        if (
            body is not None
            and record.code
            and record.code != (now := self.code_of(body))
            and differs(record.code, now)
        ):
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
                if body is not None and differs(record.code, self.code_of(body)):
                    self.found[path] = "code"
                    if record.on_change != "keep":
                        self._changed.update(ancestors(path))
        return self._changed

    def reference(self, body: Any) -> str:
        """Where to find the body again by name; worked out once for each piece of code."""
        code = getattr(body, "__code__", None)
        if code is None:
            return reference(body)
        known = self._references.get(id(code))
        # Each look at a method of an object makes another bound method, equal to the others.
        if known is None or not (known[0] is body or (type(body) is MethodType and known[0] == body)):
            known = self._references[id(code)] = (body, reference(body))
        return known[1]


def _earlier_inputs(call: Call[Any]) -> str:
    """The fingerprint of a call's params as versions up to November 2026 made it."""
    return _values.fingerprint_inputs(call.options.get("params", call.args), "set")
