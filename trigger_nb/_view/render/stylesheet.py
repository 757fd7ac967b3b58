"""The styles of static HTML: of `style.css`, the rules that one piece of HTML needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from hashlib import sha256
from pathlib import Path

_STYLE = Path(__file__).with_name("style.css")
_ROOT = re.compile(r"\.tnb(?![\w-])")
_TAGS = re.compile(r'<([a-z]+)(?:[^>]*? class="([^"]*)")?')
_RULE = re.compile(r"(@[^{]*)\{((?:[^{}]*\{[^{}]*\})*)\}|([^{}]*)(\{[^{}]*\})")  # a group of rules, or a rule
_PARENTHESES = re.compile(r"\((?:[^()]|\([^()]*\))*\)")
_ALTERNATIVES = re.compile(r",(?![^()]*\))")
_NAMES = re.compile(r"\.[\w-]+|(?<![\w.:#[-])[a-z]+")
_VARIABLE = re.compile(r"(--[\w-]+):[^;}]*;")


@cache
def stylesheet(path: Path = _STYLE) -> str:
    """The rules of a stylesheet on one line: in Markdown, a blank line would end the HTML."""
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return re.sub(r"\s*([{};,>])\s*|(?<=[\w)]:)\s+", r"\1", re.sub(r"\s+", " ", text)).strip()


def under(root: str, rules: str) -> str:
    """The rules for elements with the class `root` in place of `tnb`."""
    return _ROOT.sub(f".{root}", rules)


def with_styles(body: str, classes: str = "", own: str = "") -> str:
    """HTML in one element with the styles that it needs. `classes` are of that element, `own` are further rules."""
    root, rules = _needed(frozenset([*_names_in(body), *(f".{name}" for name in classes.split())]))
    return f'<div class="{" ".join(filter(None, ("tnb", root, classes)))}"><style>{rules}{own}</style>{body}</div>'


@lru_cache(maxsize=256)
def _needed(names: frozenset[str]) -> tuple[str, str]:
    """The class of a root, and the rules nested in it that elements and classes of these names need.

    The class stands for these very rules. Were it `tnb` for all, the rules of one output would also apply to outputs above
    it, and come after a rule there that is to override them.
    """
    text = "".join(_nested(stylesheet(), names))
    used = set(re.findall(r"var\((--[\w-]+)", text))
    text = _VARIABLE.sub(lambda found: found[0] if found[1] in used else "", text)
    root = f"tnb-{sha256(text.encode()).hexdigest()[:6]}"
    return root, f".{root}{{{text}}}"


def _nested(rules: str, names: frozenset[str]) -> Iterator[str]:
    for group, inside, selectors, declarations in _RULE.findall(rules):
        if group:
            kept = "".join(_nested(inside, names))
            yield f"{group}{{{kept}}}" if kept else ""
        else:
            met = [_below_root(one) for one in _ALTERNATIVES.split(selectors) if _may_match(one, names)]
            yield f"{','.join(met)}{declarations}" if met else ""


def _below_root(selector: str) -> str:
    """`.tnb .tnb-r` as it is said within the rule of `.tnb`."""
    selector = _ROOT.sub("&", selector, count=1)
    return selector[2:] if selector.startswith(("& .", "& :")) else selector


def _may_match(selector: str, names: frozenset[str]) -> bool:
    """Whether elements of these names may match. What is in parentheses, as in `:not(...)`, rules nothing out."""
    named = set(_NAMES.findall(_PARENTHESES.sub("", selector)))
    return named - {".tnb"} <= names


def _names_in(markup: str) -> Iterator[str]:
    """What rules can name in HTML: elements as `li`, and classes as `.tnb-r`."""
    for tag, classes in _TAGS.findall(markup):
        yield tag
        for name in classes.split():
            yield f".{name}"
