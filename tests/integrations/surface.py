"""What there is to call in the integrations, found by looking at them.

`python -m tests.integrations.surface` writes the sections of `docs/reference/integrations.md` from docstrings,
signatures and the tables of methods; a test says when the page and the code differ.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trigger_nb import integrations
from trigger_nb.integrations import Integration, Methods
from trigger_nb.integrations._sdk import SdkIntegration

KINDS = sorted(
    (kind for kind in vars(integrations).values()
     if isinstance(kind, type) and issubclass(kind, Integration) and kind is not Integration),
    key=lambda kind: kind.service.lower(),
)  # fmt: skip

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "integrations.md"

# In every integration, so described once.
_COMMON = {name for name in dir(Integration) if not name.startswith("_")}
_IN_EACH = {"open_client", "close_client", "should_retry"}


def methods(kind: type[Integration[Any]]) -> dict[str, str]:
    """The methods of an integration that are its own, by their path: "emails.send" -> its parameters."""
    return {path: parameters for path, parameters, _ in _rows(kind)}


def section(kind: type[Integration[Any]]) -> str:
    """What the page says of an integration."""
    rows = [f"| `{path}({parameters})` | {about} |" for path, parameters, about in _rows(kind)]
    return "\n".join([
        f"## {kind.service}\n",
        f"`pip install 'trigger-nb[{kind.extra}]'`\n",
        f"`{kind.__name__}({_parameters(kind.__init__)})`\n",
        f"{_prose(kind)}\n",
        "| method | |",
        "| --- | --- |",
        *rows,
        "",
    ])  # fmt: skip


def _prose(kind: type[Integration[Any]]) -> str:
    """Its docstring. A sample in it stands for itself: it is not run with the page's other blocks."""
    return inspect.cleandoc(kind.__doc__ or "").replace("```python", "```")


def _rows(kind: type[Integration[Any]]) -> list[tuple[str, str, str]]:
    """The methods that the page lists: of the class, and of the SDK those of which there is something to say."""
    own = {path: function for path, function in _methods(kind, "") if path not in _COMMON | _IN_EACH}
    rows = [(path, _parameters(function), _summary(function)) for path, function in own.items()]
    if issubclass(kind, SdkIntegration):
        rows += [(path, "key, ...", known.about) for path, known in kind._known.items() if known.about]
        for path, group in kind._groups.items():
            rows += [(f"{path}.{name}", _parameters(f), _summary(f)) for name, f in _functions(group)]
    return sorted(rows)


def _functions(group: type[Any]) -> list[tuple[str, Any]]:
    return [
        (name, f) for name, f in inspect.getmembers(group, inspect.isfunction) if not name.startswith("_")
    ]


def _methods(kind: type[Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, member in inspect.getmembers(kind):
        if name.startswith("_"):
            continue
        function = member.fget if isinstance(member, property) else member
        if not inspect.isfunction(function):
            continue
        group = _group(function)
        if group is not None:
            yield from _methods(group, f"{prefix}{name}{'(...)' if inspect.isfunction(member) else ''}.")
        elif inspect.isfunction(member):
            yield f"{prefix}{name}", function


def _group(function: Any) -> type[Any] | None:
    """The class of methods that a property, or a method such as `table(...)`, gives."""
    named = function.__annotations__.get("return", "")
    found = getattr(sys.modules[function.__module__], named, None) if isinstance(named, str) else named
    return found if isinstance(found, type) and issubclass(found, Methods) else None


def _parameters(function: Any) -> str:
    """As they are written in a call: `key, *, to, subject=None, **more`."""
    told: list[str] = []
    starred = False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in ("self", "task_options"):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            told.append("*")
            starred = True
        star = {parameter.VAR_KEYWORD: "**", parameter.VAR_POSITIONAL: "*"}.get(parameter.kind, "")
        starred = starred or star == "*"
        default = "" if parameter.default is parameter.empty else f"={parameter.default!r}"
        told.append(f"{star}{parameter.name}{default}")
    return ", ".join(told)


def _summary(function: Any) -> str:
    """The first paragraph of its docstring, in one line of a table."""
    paragraph = inspect.cleandoc(function.__doc__ or "").partition("\n\n")[0]
    return " ".join(paragraph.split()).replace("|", "\\|")


def main() -> None:
    """Write the sections into the page, where the first integration's begins."""
    text = PAGE.read_text(encoding="utf-8")
    names = "|".join(re.escape(kind.service) for kind in KINDS)
    head = re.split(rf"^## (?:{names})$", text, maxsplit=1, flags=re.MULTILINE)[0].rstrip()
    PAGE.write_text("\n\n".join([head, *map(section, KINDS)]), encoding="utf-8")


if __name__ == "__main__":
    main()
