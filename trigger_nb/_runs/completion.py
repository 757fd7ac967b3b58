"""Completions in a notebook for `io.`, `ctx.` and `task.` in a function whose parameter has no annotation."""

from __future__ import annotations

import re
import sys
from typing import Any

from .._io.io import Io
from .._tasks.task import Task
from .context import Context

_NAMES = {
    "io": dir(Io),
    "ctx": list(Context.__annotations__),
    "task": [*dir(Task), "attempt", "output_properties", "path", "run_id", "status"],
}
_TOKEN = re.compile(r"(?<![\w.])(\w+)\.(\w*)$")
_DEFINITION = re.compile(
    r"^([ \t]*)(?:async[ \t]+)?def[ \t]+\w+[ \t]*\(([^()]*(?:\([^()]*\)[^()]*)*)\)", re.MULTILINE
)


def complete(before: str) -> tuple[list[str], str]:
    """The names that complete the code before the cursor, and the part of it that they replace.

    >>> complete("async def greet(payload, io):\\n    await io.w")
    (['wait'], 'w')
    """
    token = _TOKEN.search(before)
    if token is None or token[1] not in _NAMES or not _is_parameter(token[1], before):
        return [], ""
    names = sorted({name for name in _NAMES[token[1]] if not name.startswith("_")})
    return [name for name in names if name.startswith(token[2])], token[2]


def _is_parameter(name: str, before: str) -> bool:
    """Whether a function around the end of the code has a parameter of this name without an annotation."""
    last = before.rpartition("\n")[2]
    indent = len(last) - len(last.lstrip())
    for found in reversed(list(_DEFINITION.finditer(before))):
        is_on_line = found.end() > len(before) - len(last)
        if len(found[1]) < indent or is_on_line:
            indent = len(found[1])
            if name in [parameter.partition("=")[0].strip() for parameter in found[2].split(",")]:
                return True
    return False


def _matcher(context: Any) -> dict[str, Any]:
    from IPython.core.completer import SimpleCompletion

    lines = context.full_text.split("\n")[: context.cursor_line]
    names, fragment = complete("\n".join([*lines, context.text_until_cursor]))
    found = [SimpleCompletion(name, type="function") for name in names]
    return {"completions": found, "matched_fragment": fragment}


def register() -> None:
    """Let IPython's completer ask for these completions, if this is a notebook. Does not import IPython."""
    get_ipython: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)
    matchers: list[Any] = getattr(getattr(get_ipython(), "Completer", None), "custom_matchers", [])
    is_known = hasattr(sys.modules.get("IPython.core.completer"), "SimpleCompletion")  # from IPython 8.6 on
    if is_known and not any(getattr(each, "matcher_identifier", "") == _IDENTIFIER for each in matchers):
        vars(_matcher).update(matcher_api_version=2, matcher_identifier=_IDENTIFIER)
        matchers.append(_matcher)


_IDENTIFIER = "trigger_nb"
