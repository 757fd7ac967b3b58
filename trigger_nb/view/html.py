"""A run as HTML that needs nothing: no script, no network, no kernel.

With its styles it is a calm tree, light or dark as the page around it. With every style stripped,
as GitHub does it, it is still nested `<details>` with separators, symbols and words in the text.
Everything that comes from outside passes `markup` or `safe_url` (rule D5).
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

from .._records import RunStatus
from . import icons
from .escape import markup, markup_block, preview, safe_url
from .model import (
    SYMBOLS,
    Property,
    Row,
    RunModel,
    Shown,
    State,
    error_line,
    run_state,
    status_text,
    value_text,
)
from .text import by_state, counts, error_told, error_told_below, marks, moved_line, progress_text
from .words import duration, moment, plural

# Where the final HTML of a huge run ends. Details go first, then rows; what is left out is counted.
_DETAILS_UNTIL = 200_000
_ROWS_UNTIL = 350_000


def live(model: RunModel, *, rows: int = 40) -> str:
    """A run under way: a header, and what is running, failed or happened last."""
    page = _Page(model, model.excerpt(rows))
    return page.wrapped([*page.head(), *page.plain_rows(model.root)])


def final(model: RunModel, *, rows: int = 300, fold: int = 100) -> str:
    """What remains of a run (rule D4): every task's details inside nested `<details>`."""
    page = _Page(model, model.outline(rows=rows, fold=fold))
    return page.wrapped(
        [*page.head(), *page.failures(), *page.rows(model.root), *page.output(), *page.actions()]
    )


def moved(model: RunModel) -> str:
    """What stands in place of a run under way that is shown elsewhere from here on."""
    line = markup(moved_line(model), 250)
    return f'<div class="tnb"><style>{stylesheet()}</style><div class="tnb-a">{line}</div></div>'


def page(model: RunModel, title: str = "") -> str:
    """A self-contained page, for `run.export_html(path)`."""
    return standalone(final(model, rows=2000, fold=500), title or model.title)


def standalone(body: str, title: str) -> str:
    """A page around HTML of ours, light or dark as the reader's system is."""
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{markup(title)}</title><style>{_PAGE_CSS}</style></head><body>{body}</body></html>\n"
    )


_PAGE_CSS = (
    ":root{color-scheme:light dark}"
    "body{margin:24px auto;max-width:1100px;padding:0 16px;background:#fff;color:#1f2328}"
    "@media(prefers-color-scheme:dark){body{background:#16181c;color:#d9dce1}}"
    "@media print{body{background:#fff;color:#000;margin:0}}"
)


class _Page:
    """One drawing of a model: what is drawn of it, and which shapes and icons that takes."""

    def __init__(self, model: RunModel, shown: Shown) -> None:
        self._model = model
        self._shown = shown
        self._now = model.ticking
        self._states: set[State] = set()
        self._icons: set[str] = set()
        self._letters: set[str] = set()
        self._size = 0
        many = len(model.rows)
        self._open_all = many <= 40
        # The more rows, the shorter each one's previews.
        self._preview = max(200, min(2000, 60_000 // max(1, many)))
        # A failure that the job handled is told in its line, and that will do.
        self._open_failures = 0 if model.run.status == RunStatus.COMPLETED else 3

    def wrapped(self, parts: Iterable[str]) -> str:
        body = "".join(parts)
        style = f"<style>{stylesheet()}{icons.css(self._states, self._icons, self._letters)}</style>"
        return f'<div class="tnb{" tnb-ics" if self._icons or self._letters else ""}">{style}{body}</div>'

    # --- header -----------------------------------------------------------------------

    def head(self) -> Iterator[str]:
        model, run = self._model, self._model.run
        state = run_state(run)
        elapsed = model.elapsed
        yield (
            f'<div class="tnb-h">{self._shape(state)} <b class="tnb-t">{markup(model.title)}</b> '
            f"{_code(model.job_and_version)}"
            f'{_mark("test run") if run.is_test else ""}<span class="tnb-x"> · </span>'
            f'<span class="tnb-w tnb-w-{icons.state_name(state)}">{markup(status_text(run), 60)}</span>'
            f"{_sep(duration(elapsed), 'tnb-el') if elapsed is not None else ''}</div>"
        )
        yield self._bar()
        about = [markup(counts(model.tally)), f"<code>{markup(run.id)}</code>"]
        if run.started_at:
            about.append(markup(moment(run.started_at)))
        if model.store:
            about.append(f"<code>{markup(model.store, 300)}</code>")
        separated = '<span class="tnb-x"> · </span>'.join(f"<span>{part}</span>" for part in about)
        yield f'<div class="tnb-a">{separated}</div>'
        for hint in model.hints():
            yield f'<div class="tnb-y">{_with_code(hint)}</div>'

    def _bar(self) -> str:
        tally = self._model.tally
        total = tally.tasks
        if not total:
            return '<div class="tnb-bar"></div>'
        replayed = min(tally.replayed, tally.states[State.COMPLETED])
        parts = [(icons.state_name(state), count) for state, count in tally.items() if state is not State.LOG]
        parts = [(name, count - replayed if name == State.COMPLETED else count) for name, count in parts]
        parts.insert(0, ("replayed", replayed))
        shares = "".join(
            f'<i class="tnb-b-{name}" style="width:{100 * count / total:.2f}%"></i>'
            for name, count in parts
            if count > 0
            if name not in ("pending", "not-reached")
        )
        return f'<div class="tnb-bar">{shares}</div>'

    def failures(self) -> Iterator[str]:
        """What went wrong, before the tree: the run's own error, and failures deep in a large tree."""
        model = self._model
        if model.run.error is not None and not error_told(model.run.error, model.failures[:50]):
            yield f'<div class="tnb-y tnb-y-bad">{self._error(model.run.error)}</div>'
        if len(model.rows) <= 40:
            return
        rows = [row for row in model.failures[:200] if row.depth and not error_told_below(row)][:5]
        for row in rows:
            yield (
                f'<div class="tnb-y tnb-y-bad">{SYMBOLS[row.state]} {markup(row.name, 100)} '
                f"<code>{markup(row.display_path, 120)}</code> — "
                f'<span class="tnb-bad">{markup(error_line(row.error))}</span></div>'
            )

    def output(self) -> Iterator[str]:
        run = self._model.run
        if text := value_text(run.form, run.output, run.redact, self._preview):
            yield f'<ul class="tnb-f"><li><b>Output</b> {_value(text)}</li></ul>'

    def actions(self) -> Iterator[str]:
        if actions := self._model.actions():
            lines = "".join(
                f"<li><code>{markup(action.code, 400)}</code> <span>{markup(action.label)}</span></li>"
                for action in actions
            )
            yield f'<ul class="tnb-z">{lines}</ul>'

    # --- rows -------------------------------------------------------------------------

    def plain_rows(self, scope: Row) -> Iterator[str]:
        """Rows without details, the count of those left out first: they are the earlier ones."""
        rows, rest = self._shown.of(scope)
        if not rows and not rest:
            return
        yield '<ul class="tnb-rows">'
        if rest:
            yield f'<li class="tnb-u">{rest.rows:,} more: {markup(by_state(rest))}</li>'
        for row in rows:
            yield f'<li class="{_row_class(row)}"><div class="tnb-r">{self._line(row)}</div>'
            yield from self.plain_rows(row)
            yield "</li>"
        yield "</ul>"

    def rows(self, scope: Row) -> Iterator[str]:
        """Rows with their details inside; in a folded group failures come first."""
        rows, rest = self._shown.of(scope)
        if not rows and not rest:
            return
        if rest:
            rows = sorted(rows, key=lambda row: row.state is not State.FAILED)
        yield self._counted('<ul class="tnb-rows">')
        for at, row in enumerate(rows):
            if self._size > _ROWS_UNTIL:
                rest = scope.tally.without(rows[:at])
                break
            yield from self._row(row)
        if rest:
            yield f'<li class="tnb-u">… {rest.rows:,} more: {markup(by_state(rest))}</li>'
        yield "</ul>"

    def _row(self, row: Row) -> Iterator[str]:
        line = f'<summary class="tnb-r"><span class="tnb-v"></span>{self._line(row)}</summary>'
        details = self._fields(row) if self._size < _DETAILS_UNTIL else ""
        if row.children:
            if details:
                details = f'<details class="tnb-own"><summary>details</summary>{details}</details>'
            is_open = self._open_all or _holds_failure(row)
        else:
            is_open = row.state is State.FAILED and self._open_failures > 0
            self._open_failures -= is_open
        start = f'<li class="{_row_class(row)}"><details{" open" if is_open else ""}>'
        yield self._counted(f"{start}{line}{details}")
        yield from self.rows(row)
        yield "</details></li>"

    def _counted(self, text: str) -> str:
        self._size += len(text)
        return text

    def _line(self, row: Row) -> str:
        parts = [self._shape(row.state), self._icon(row), f'<span class="tnb-n">{markup(row.name)}</span>']
        if row.state is not State.LOG and row.key and row.key != row.name:
            parts.append(f'<code class="tnb-k">{markup(row.key, 100)}</code>')
        if row.state is State.LOG and row.record is not None and row.record.level not in ("", "info", "log"):
            parts.append(_mark(markup(row.record.level, 20), hot=row.record.level != "debug"))
        hot = row.next_at is not None or bool(row.changed) or not row.stored
        parts += [
            _mark(markup(said), hot=hot and said not in ("replayed", "not reached"))
            for said in marks(row, self._now)
        ]
        if text := progress_text(row):
            parts.append(_progress_bar(row) + _mark(markup(text)))
        parts += [self._property(given) for given in [*row.properties, *row.output_properties][:6]]
        if row.error is not None and row.state is not State.NOT_REACHED and not error_told_below(row):
            parts.append(
                f'<span class="tnb-e"><span class="tnb-x"> — </span>{markup(error_line(row.error))}</span>'
            )
        if row.children and row.tally.tasks:
            parts.append(_mark(plural(row.tally.tasks, "subtask")))
        took = row.duration(self._now)
        if took is not None:
            parts.append(_sep(duration(took), "tnb-d"))
        return " ".join(part for part in parts if part)

    def _shape(self, state: State) -> str:
        self._states.add(state)
        return shape(state)

    def _icon(self, row: Row) -> str:
        given = row.record.icon if row.record is not None else ""
        if not given:
            return '<span class="tnb-i0"></span>'
        if name := icons.known(given):
            self._icons.add(name)
            return f'<span class="tnb-i tnb-i-{name}" title="{markup(given, 40)}"></span>'
        letter, colour = icons.badge(given)
        self._letters.add(letter)
        name = icons.badge_name(letter)
        return f'<span class="tnb-g {name}" style="background:{colour}" title="{markup(given, 40)}"></span>'

    @staticmethod
    def _property(given: Property) -> str:
        text = markup(given.text, 120)
        if (url := safe_url(given.url)) is not None:
            text = _link(url, text)
        elif given.url:
            text += f" ({markup(given.url, 120)})"
        image = ""
        if (source := safe_url(given.image_url)) is not None and not source.lower().startswith("mailto:"):
            image = f'<img src="{html.escape(source)}" height="14" alt="" referrerpolicy="no-referrer"> '
        label = f"<b>{markup(given.label, 60)}:</b>"
        return f'<span class="tnb-p"><span class="tnb-x"> · </span>{image}{label} {text}</span>'

    # --- details of a row -------------------------------------------------------------

    def _fields(self, row: Row) -> str:
        fields = "".join(f"<li><b>{label}</b> {value}</li>" for label, value in self._details(row) if value)
        return f'<ul class="tnb-f">{fields}</ul>' if fields else ""

    def _details(self, row: Row) -> Iterator[tuple[str, str]]:
        record = row.record
        if record is None:
            yield "Path", f"<code>{markup(row.path, 400)}</code>"
            return
        if row.error is not None and not error_told_below(row):
            yield "Error", f"<div>{self._error(row.error)}</div>"
        yield "About", markup(record.description, 1000)
        yield "Params", _value(preview(record.params, self._preview)) if record.params is not None else ""
        yield "Output", _value(value_text(record.form, record.value, record.redact, self._preview))
        yield "Data", _value(preview(record.data, self._preview)) if record.data is not None else ""
        if given := [*row.properties, *row.output_properties][:40]:
            yield "Properties", f"<div>{' '.join(map(self._property, given))}</div>"
        yield "Status", self._why(row)
        if row.next_at is not None:
            yield "Until", markup(moment(row.next_at))
        if record.started_at:
            took = row.duration(self._now)
            length = f", took {duration(took)}" if took is not None else ""
            yield "Started", markup(moment(record.started_at) + length)
        yield "Path", f"<code>{markup(row.path, 400)}</code>"
        if record.kind == "task":
            yield "Idempotency key", f"<code>{self._model.idempotency_key(row)}</code>"

    def _why(self, row: Row) -> str:
        said = [str(row.state), plural(row.attempt, "attempt") if row.attempt > 1 else "", row.reason or ""]
        if row.changed:
            said.append(f"changed since it was stored: {row.changed}")
        if row.record is not None and row.record.crashes:
            said.append(f"the process died under it {plural(row.record.crashes, 'time')}")
        return markup(" · ".join(dict.fromkeys(part for part in said if part)))

    def _error(self, error: Mapping[str, Any], depth: int = 0) -> str:
        """An error with its notes, traceback, causes and members, tolerant of what is missing."""
        told = markup_block(error_line(error, 2000), 2000).replace("&#10;", "<br>")
        parts = [f'<span class="tnb-bad">{told}</span>']
        parts += [
            f"<div>{markup(note, 1000)}</div>"
            for note in _list((error.get("shown") or error).get("notes"))[:10]
        ]
        if lines := _list(error.get("traceback")):
            text = "\n".join(str(line).rstrip("\n") for line in lines[-200:])
            parts.append(
                f"<details><summary>Traceback</summary><pre>{markup_block(text[-6000:])}</pre></details>"
            )
        if depth < 3:
            # As Python shows it: `raise ... from None` hides what was being handled.
            context = None if error.get("suppress_context") else error.get("context")
            for label, inner in [("Caused by", error.get("cause")), ("While handling", context)]:
                if isinstance(inner, dict):
                    parts.append(
                        f"<div>{label}: {self._error(cast('dict[str, Any]', inner), depth + 1)}</div>"
                    )
                    break
            members = [cast("dict[str, Any]", e) for e in _list(error.get("errors")) if isinstance(e, dict)]
            if members:
                lines = "".join(f"<li>{self._error(member, depth + 1)}</li>" for member in members[:10])
                rest = f"<li>… {len(members) - 10:,} more</li>" if len(members) > 10 else ""
                parts.append(f'<ul class="tnb-err">{lines}{rest}</ul>')
        return "".join(parts)


def shape(state: State) -> str:
    """A state's symbol, drawn as its shape where there are styles."""
    return f'<span class="tnb-s tnb-s-{icons.state_name(state)}" title="{state}">{SYMBOLS[state]}</span>'


def _row_class(row: Row) -> str:
    names = [
        "tnb-old" if row.replayed else "",
        "tnb-off" if row.state in (State.NOT_REACHED, State.PENDING) else "",
        "tnb-min" if row.minimal or row.state is State.LOG else "",
        "tnb-par" if row.children else "",
    ]
    return " ".join(name for name in names if name)


def _holds_failure(row: Row) -> bool:
    return row.tally.states[State.FAILED] > 0 or any(_holds_failure(child) for child in row.children.values())


def _progress_bar(row: Row) -> str:
    progress = row.progress
    if progress is None or not progress.total or not progress.total > 0:
        return ""
    share = min(1.0, max(0.0, progress.done / progress.total))
    return f'<span class="tnb-pb"><i style="width:{100 * share:.1f}%"></i></span>'


def _code(text: str) -> str:
    return f'<code class="tnb-k">{markup(text, 80)}</code>' if text else ""


def _mark(text: str, *, hot: bool = False) -> str:
    return f'<span class="tnb-m{" tnb-m-hot" if hot else ""}"><span class="tnb-x"> · </span>{text}</span>'


def _sep(text: str, name: str) -> str:
    return f'<span class="tnb-x"> · </span><span class="{name}">{markup(text)}</span>'


def _link(url: str, text: str) -> str:
    return f'<a href="{html.escape(url)}" target="_blank" rel="noopener noreferrer">{text}</a>'


def _value(text: str) -> str:
    if not text:
        return ""
    return f"<pre>{markup_block(text)}</pre>" if "\n" in text else f"<code>{markup(text, 10_000)}</code>"


def _with_code(text: str) -> str:
    """A hint, with what stands between backticks as code."""
    parts = re.split(r"`([^`]*)`", text[:2000])
    return "".join(
        f"<code>{markup(part, 500)}</code>" if at % 2 else markup(part, 1000) for at, part in enumerate(parts)
    )


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


@cache
def stylesheet() -> str:
    """The styles, on one line: a blank line would end the HTML in Markdown."""
    text = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return re.sub(r"\s*([{};,>])\s*", r"\1", re.sub(r"\s+", " ", text)).strip()
