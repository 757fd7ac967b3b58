"""The sources of bodies, kept once for each version of their code, so that a change can be shown as a difference.

They are rows of their own beside those of the run, which are read only for this: the record of the run, with the digests of
the parts, is read for every list of runs.
"""

from __future__ import annotations

import ast
import json
from typing import TYPE_CHECKING, cast

from .._fingerprint.parts import sources_of
from .._redact import HIDDEN, is_credential, secrets
from .._store.protocol import Row
from ..errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .ledger import Ledger


def sources_tag(run_id: str) -> str:
    """The tag of the rows of a run's sources; each key is the tag and a fingerprint of code."""
    return f"kv/source/{run_id}"


def source_row(run_id: str, code: str, body: object) -> Row:
    """The row with the sources of a body whose code has this fingerprint."""
    tag = sources_tag(run_id)
    return Row(f"{tag}/{code}", tag, json.dumps(hidden_sources(body)))


def hidden_sources(body: object) -> dict[str, str]:
    """The sources of a body's parts as they may be stored and shown: without credentials (S8)."""
    masked = {name: secrets.hide(_masked(text)) for name, text in sources_of(body).items()}
    return {name: text for name, text in masked.items() if text}


def _masked(text: str) -> str:
    """A source in which the texts are replaced that are made a `SecretStr`, or bound to a name of a credential.

    "" for a source that cannot be parsed, as one that was cut.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return ""
    data = text.encode()
    starts = [0, *(at + 1 for at, byte in enumerate(data) if byte == ord("\n"))]
    spans = sorted(
        (starts[each.lineno - 1] + each.col_offset, starts[each.end_lineno - 1] + each.end_col_offset)
        for node in ast.walk(tree)
        for value in _secret_values(node)
        for each in ast.walk(value)
        if (isinstance(each, ast.Constant) and isinstance(each.value, (str, bytes)))
        or isinstance(each, ast.JoinedStr)
        if each.end_lineno is not None and each.end_col_offset is not None
    )
    parts: list[bytes] = []
    done = 0
    for begin, end in spans:
        if begin >= done:  # the parts of an f-string lie in it
            parts += [data[done:begin], f'"{HIDDEN}"'.encode()]
            done = end
    return b"".join([*parts, data[done:]]).decode()


def _secret_values(node: ast.AST) -> Iterator[ast.expr]:
    """The expressions in a node that are secrets by what becomes of them."""
    pairs: list[tuple[str, ast.expr | None]] = []
    match node:
        case ast.Call():
            if _name_of(node.func).startswith("Secret"):
                yield from [*node.args, *(each.value for each in node.keywords)]
            pairs = [(each.arg or "", each.value) for each in node.keywords]
        case ast.Assign():
            pairs = [(_name_of(each), node.value) for each in node.targets]
        case ast.AnnAssign() | ast.NamedExpr():
            pairs = [(_name_of(node.target), node.value)]
        case ast.Dict():
            pairs = [(_name_of(key), value) for key, value in zip(node.keys, node.values, strict=True)]
        case ast.arguments():
            by_place = [*node.posonlyargs, *node.args]
            places = by_place[len(by_place) - len(node.defaults) :]
            given = [
                *zip(places, node.defaults, strict=True),
                *zip(node.kwonlyargs, node.kw_defaults, strict=True),
            ]
            pairs = [(each.arg, value) for each, value in given]
        case _:
            pass
    yield from [value for name, value in pairs if value is not None and name and is_credential(name)]


def _name_of(node: ast.expr | None) -> str:
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute():
            return node.attr
        case ast.Subscript():
            return _name_of(node.slice)
        case ast.Constant(value=str(text)):
            return text
        case _:
            return ""


def stored_sources(ledger: Ledger, run_id: str, code: str) -> dict[str, str]:
    """The sources that are stored for a fingerprint; empty if none are, or if they cannot be read."""
    try:
        text = ledger._store.get(f"{sources_tag(run_id)}/{code}")
        found: object = json.loads(text) if text is not None else {}
    except (StoreError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    items = cast("dict[str, object]", found).items()
    return {name: each for name, each in items if isinstance(each, str)}
