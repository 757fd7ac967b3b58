"""A try-out as text and as HTML: old and new side by side, with the differences marked."""

from __future__ import annotations

import difflib
import html
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .. import _values
from .._keys import display_path
from .._redact import redact, secrets
from .._view.escape import markup, visible, visible_block
from .._view.model.readable import error_line
from .._view.pretty import preview
from .._view.render import tables
from .._view.words import about, duration, plural

if TYPE_CHECKING:
    from .tried import Tried

_ROWS = 30  # items that are drawn
_SHOWN = 1_000  # characters of a value
_BEFORE = 80  # of them before the first difference, where a long value is cut
_READ = 100_000  # characters of a value that are looked through for the first difference
_WORDS = re.compile(r"\d+(?:\.\d+)?|\w+|\s+|[^\w\s]")
_NOTHING = "(nothing)"

# Old and new are beside each other, and below each other where that is too narrow. Marks are not told by colour alone.
_STYLE = """
.tnb .tnb-try { margin: 0 6px 4px 14px; }
.tnb.tnb .tnb-try td { max-width: none; white-space: normal; vertical-align: top; overflow: visible; }
.tnb.tnb .tnb-try pre { max-height: 14em; overflow: auto; }
.tnb .tnb-try td:first-child { width: 20%; overflow-wrap: anywhere; }
.tnb .tnb-try td:is(:nth-child(2), :nth-child(3)) { width: 33%; }
.tnb .tnb-try td:last-child { white-space: nowrap; }
.tnb .tnb-try del, .tnb .tnb-try ins { padding: 0 1px; border-radius: 2px; color: inherit; }
.tnb .tnb-try del { background: color-mix(in srgb, var(--bad) 20%, transparent); text-decoration: line-through; }
.tnb .tnb-try ins { background: color-mix(in srgb, var(--ok) 22%, transparent); text-decoration: underline; }
.tnb .tnb-try .tnb-same { color: var(--quiet); }
@container (max-width: 620px) {
  .tnb .tnb-try thead { display: none; }
  .tnb.tnb .tnb-try :is(tr, td) { display: block; width: auto; }
  .tnb.tnb .tnb-try td { border: 0; padding: 1px 0; }
  .tnb.tnb .tnb-try tr { padding: 4px 0; border-top: 1px solid var(--line); }
  .tnb.tnb .tnb-try td[data-title]::before { content: attr(data-title) " "; color: var(--quiet); font-size: 11px; }
}
"""


@dataclass(slots=True)
class State:
    """A try-out as it is now."""

    path: str
    tried: Sequence[Tried]
    chosen: int
    items: int  # of the map; 1 for a task alone
    concurrency: int
    outdated: int
    redacted: list[str] = field(default_factory=list[str])
    fault: str = ""
    seconds: float | None = None  # that all items would take
    usage: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def is_over(self) -> bool:
        """Whether all calls have ended."""
        return not self.fault and len(self.tried) == self.chosen

    @property
    def is_map(self) -> bool:
        """Whether items of a map are tried."""
        return any(each.path != self.path for each in self.tried) or self.chosen > 1


class Drawing:
    """A try-out as it was when it was drawn, for a notebook."""

    def __init__(self, text: str, page: str) -> None:
        self._text = text
        self._page = page

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        return self._page


def shown_path(path: str) -> str:
    """A path for a reader, and for code."""
    return display_path(path)


def error_text(error: BaseException | None) -> str:
    """An error as one line; "" for none."""
    return "" if error is None else error_line(_values.encode_error(error))


def as_text(state: State) -> str:
    """The try-out as lines of text."""
    return "\n".join([_headline(state), *_lines(state), *_rest(state)])


def as_html(state: State) -> str:
    """The try-out as HTML."""
    titles = ("Item" if state.is_map else "Task", "Old", "New", "Took")
    head = "".join(f"<th>{each}</th>" for each in titles)
    rows = "".join(_row(state, each) for each in _drawn(state))
    table = f'<div class="tnb-try"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    notes = "".join(tables.note(line, 400) for line in _rest(state))
    return tables.block(tables.note(_headline(state), 400), table if rows else "", notes, style=_STYLE)


# Around the items -------------------------------------------------------------------------------------
def _headline(state: State) -> str:
    name = repr(visible(display_path(state.path), 80))
    what = f"{state.chosen:,} of {plural(state.items, 'item')} of {name}" if state.is_map else f"task {name}"
    if state.fault:
        return f"{what} cannot be tried: {visible(state.fault, 400)}"
    if not state.is_over:
        return f"trying {what}: {len(state.tried):,} of {state.chosen:,} done"
    return f"{what} tried, nothing recorded: {_found(state)}"


def _found(state: State) -> str:
    failed = sum(each.new_error is not None for each in state.tried)
    differ = sum(each.differs and each.new_error is None for each in state.tried)
    same = state.chosen - failed - differ
    parts = [(differ, "differ" if differ != 1 else "differs"), (same, "the same"), (failed, "failed")]
    return ", ".join(f"{count:,} {word}" for count, word in parts if count)


def _rest(state: State) -> Iterator[str]:
    """What is left out, what all would cost, and what to type then."""
    left = len(state.tried) - _ROWS
    if left > 0:
        yield f"… and {left:,} more: list(trial) has all"
    if not state.is_over:
        return
    if state.is_map and state.seconds is not None:
        used = "".join(f" · {count:,.0f} {visible(name, 40)}" for name, count in state.usage.items())
        yield f"all {plural(state.items, 'item')}: {about(state.seconds)}, {state.concurrency:,} at a time{used}"
    again = f" ({plural(state.outdated, 'item')})" if state.is_map else ""
    if state.outdated:
        yield f"trial.all() runs again what other code made{again} · trial.only() these · trial.accept_old() keeps the old results"
    else:
        yield "trial.only() runs these again in the run"


def _drawn(state: State) -> list[Tried]:
    """The items to draw: failures and differences first."""
    order = sorted(state.tried, key=lambda each: (each.new_error is None, not each.differs))
    return order[:_ROWS]


# One item ---------------------------------------------------------------------------------------------
def _lines(state: State) -> Iterator[str]:
    for each in _drawn(state):
        word = "failed" if each.new_error else "differs" if each.differs else "the same"
        yield f"  {visible(each.name, 80)} · {word} · {_took(each)}"
        old, new = (visible_block(text, _SHOWN) for text in _sides(state, each))
        if each.differs or each.new_error is not None:
            yield from _indented("- ", old)
        yield from _indented("+ " if each.differs or each.new_error is not None else "  ", new)


def _indented(sign: str, text: str) -> Iterable[str]:
    return (f"    {sign}{line}" for line in (text or _NOTHING).splitlines() or [_NOTHING])


def _took(each: Tried) -> str:
    before = "" if each.old_seconds is None else f" (was {duration(each.old_seconds)})"
    used = "".join(f" · {count:,.0f} {visible(name, 40)}" for name, count in each.usage.items())
    return f"{duration(each.seconds)}{before}{used}"


def _row(state: State, each: Tried) -> str:
    old, new = _sides(state, each)
    if each.differs and each.new_error is None and each.old_error is None:
        left, right = _marked(old, new)
    else:
        left, right = _block(old), _block(new)
    classes = ["", ""] if each.differs else [' class="tnb-same"', ' class="tnb-same"']
    if each.old_error is not None:
        classes[0] = ' class="tnb-bad"'
    if each.new_error is not None:
        classes[1] = ' class="tnb-bad"'
    return (
        f"<tr><td><b>{markup(each.name, 80)}</b></td>"
        f'<td data-title="Old"{classes[0]}><pre>{left}</pre></td>'
        f'<td data-title="New"{classes[1]}><pre>{right}</pre></td>'
        f"<td>{markup(_took(each), 200)}</td></tr>"
    )


def _block(text: str) -> str:
    return html.escape(visible_block(text, _SHOWN)) or _NOTHING


def _sides(state: State, each: Tried) -> tuple[str, str]:
    """The old and the new value or error as text, both from shortly before their first difference."""
    old = error_text(each.old_error) or _text(each.old, state.redacted)
    new = error_text(each.new_error) or _text(each.new, state.redacted)
    if each.old_error is None and each.new_error is None:
        return _cut(old, new)
    return old, new


def _text(value: Any, redacted: list[str]) -> str:
    if value is None:
        return "None"
    if isinstance(value, str) and not redacted:
        return secrets.hide(value[:_READ])
    shown = _values.preview(value, _READ)
    if redacted:
        shown = redact(redacted, shown)
    return shown if isinstance(shown, str) else preview(shown, _READ)


def _cut(old: str, new: str) -> tuple[str, str]:
    if max(len(old), len(new)) <= _SHOWN:
        return old, new
    same = next((at for at, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), 0)
    begin = max(0, same - _BEFORE) if same > _SHOWN // 2 else 0
    before, end = "…" if begin else "", begin + _SHOWN
    cut = [f"{before}{text[begin:end]}{'…' if len(text) > end else ''}" for text in (old, new)]
    return cut[0], cut[1]


def _marked(old: str, new: str) -> tuple[str, str]:
    """Both as HTML, with what is only in one of them marked, word by word."""
    left, right = (_WORDS.findall(visible_block(text, _SHOWN + 2)) for text in (old, new))
    sides: tuple[list[str], list[str]] = ([], [])
    matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
    for what, from_left, to_left, from_right, to_right in matcher.get_opcodes():
        pieces = (
            html.escape("".join(left[from_left:to_left])),
            html.escape("".join(right[from_right:to_right])),
        )
        for side, piece, tag in zip(sides, pieces, ("del", "ins"), strict=True):
            if piece:
                side.append(piece if what == "equal" else f"<{tag}>{piece}</{tag}>")
    return "".join(sides[0]) or _NOTHING, "".join(sides[1]) or _NOTHING
