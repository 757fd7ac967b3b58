"""A run as static HTML that needs no script, no network and no kernel.

With its styles, the HTML is a tree in the colours of the page around it, light or dark. GitHub strips all
styles; without them, it is still nested `<details>` with separators, symbols and words in the text.
All text from outside passes `markup` or `safe_url` (rule D5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby, islice

from ..._keys import ancestors
from ..._records.status import RunStatus
from ..escape import apart, escaped, isolated, markup
from ..model.excerpt import Shown, latest, outline
from ..model.hints import NO_WIDGET, WARNING, actions, hints, last_seen, to_answer
from ..model.readable import error_line
from ..model.rows import SYMBOLS, Row, State
from ..model.run_model import RunModel
from ..model.run_status import job_and_version, run_state, run_title, status_text
from ..words import moment, probably_left
from . import bars, details, icons
from .drawing import Drawing, result_of
from .fields import DOT, error_html, field_list, property_html
from .map_stats import Alike, together, without_groups
from .page import standalone
from .parts import (
    PARTS,
    PROPERTIES,
    Parts,
    counts,
    error_shown_below,
    foreseen,
    lasted,
    lasting,
    logged_at,
    more,
    own_error,
    parts_of,
    shares,
    stands_for,
    tally_of,
)
from .stylesheet import with_styles

# Size limits of the final HTML, in characters. A huge run first loses details of rows, then details of
# failed rows, then rows, which are counted instead.
_DETAILS_UNTIL = 100_000
_FAILURES_UNTIL = 250_000
_ROWS_UNTIL = 350_000
_PICTURES, _PICTURES_OF_PAGE = (
    250_000,
    5_000_000,
)  # of all thumbnails: in a notebook, and in a page of its own
_LARGE = 40  # in a run with more rows, only rows that contain a failure are open
_LISTED = 5  # failures that are listed above the tree of a large run, and revealed in it
_OPEN = 3  # of these failures, those with open details
_FEW = 20  # up to this many children of one task are all drawn
_FEW_OF_MANY = 8  # the same in a large run
_KEPT = 3  # of more children, at least this many are drawn, even if all are alike


def live(model: RunModel, *, rows: int = 24, advice: bool = False, styled: bool = True) -> str:
    """The HTML of a run under way: a header, and active, failed and recent rows.

    It says when it was drawn, because it stays if nothing draws it again. `advice`: no live widget was seen.
    Without styles it has a tenth of the size, and looks as on GitHub.
    """
    page = _Page(model, latest(model, rows=rows))
    notes = page.notes(*to_answer(model), last_seen(model), NO_WIDGET if advice else "")
    return result_of(page.drawn(page.head(), notes, page.plain_rows(model.root), styled=styled))


def final(model: RunModel, *, rows: int = 300, fold: int = 100, pictures: int = _PICTURES) -> str:
    """The HTML that remains of a run (rule D4): the details of every task inside nested `<details>`.

    Thumbnails are in it until they have `pictures` characters.
    """
    return result_of(final_drawing(model, rows=rows, fold=fold, pictures=pictures))


def final_drawing(
    model: RunModel, *, rows: int = 300, fold: int = 100, pictures: int = _PICTURES
) -> Drawing[str]:
    """The same in steps of a few milliseconds, so that an event loop is not blocked.

    No event may be applied to the model before the last one.
    """
    page = _Page(model, outline(model, rows=rows, fold=fold), pictures)
    yield
    page.survey()
    return (
        yield from page.drawn(
            page.head(), page.failures(), page.rows(model.root), page.output(), page.actions()
        )
    )


def page(model: RunModel, title: str) -> str:
    """A self-contained HTML page, for `run.export_html(path)`."""
    return standalone(final(model, rows=2000, fold=500, pictures=_PICTURES_OF_PAGE), title)


_LINK = re.compile(r"</?a\b[^>]*>")  # in the details of a row, not in the row, which is pressed itself
# The keyboard opens and closes a row. JupyterLab has other uses for its letters (`b` adds a cell), unless the element says so.
_SUMMARY = '<summary data-lm-suppress-shortcuts="true"'


class _Page:
    """One drawing of a model: the rows to draw, and the shapes and icons that they need."""

    def __init__(self, model: RunModel, shown: Shown, pictures: int = _PICTURES) -> None:
        self._model = model
        self._shown = shown
        self._now = model.ticking
        self._states: set[State] = set()
        self._icons: set[str] = set()
        self._letters: set[str] = set()
        self._size = 0
        self._pictures = pictures
        many = len(model.rows)
        self._large = many > _LARGE
        # The more rows there are, the shorter their previews.
        self._preview = max(200, min(2000, 60_000 // max(1, many)))
        self._listed: list[Row] = []  # failures that are listed above the tree
        self._open: set[str] = set()  # paths of open rows
        self._span: tuple[float, float] | None = None  # start and length of the time that the bars show

    def drawn(self, *parts: Iterable[str], styled: bool = True) -> Drawing[str]:
        """All parts in one element, with the styles that they need."""
        by_scope = self._shown.by_scope
        rows = self._model.rows.values() if by_scope is None else chain.from_iterable(by_scope.values())
        classes = "tnb-ics" if any(row.record is not None and row.record.icon for row in rows) else ""
        texts: list[str] = []
        for text in chain.from_iterable(parts):
            texts.append(text.replace("<summary", _SUMMARY))
            yield
        body = "".join(texts)
        if not styled:
            return f'<div class="tnb {classes}">{body}</div>'
        return with_styles(body, classes, icons.css(self._states, self._icons, self._letters))

    def survey(self) -> None:
        """Find the failures to list, the rows to open, and the time span of the rows."""
        failures = (row for row in self._model.failures[:200] if not error_shown_below(row))
        self._listed = list(islice(failures, _LISTED))
        self._open = {path for row in self._listed for path in ancestors(row.path)}
        if self._model.run.status != RunStatus.COMPLETED:
            # A failure that the job handled needs no open details; its line is enough.
            self._open.update(row.path for row in self._listed[:_OPEN])
        self._span = bars.span_of(self._model)

    # --- header -----------------------------------------------------------------------

    def head(self) -> Iterator[str]:
        model, run = self._model, self._model.run
        state = run_state(run)
        elapsed, ends_at = model.elapsed, model.ends_at
        yield (
            f'<div class="tnb-h">{self._shape(state)} <b class="tnb-t">{isolated(run_title(model.run))}</b> '
            f"{_code(job_and_version(model.run))}"
            f"{_mark('test run') if run.is_test else ''}{DOT}"
            f'<span class="tnb-w tnb-w-{icons.state_name(state)}">{markup(status_text(run), 60)}</span>'
            f"{_sep(lasting(elapsed, still=model.is_ticking), 'tnb-el') if elapsed is not None else ''}"
            f"{_sep(probably_left(ends_at - model.now), 'tnb-eta') if ends_at is not None else ''}</div>"
        )
        yield bars.states(shares(model))
        yield from self._statuses()
        said = [text for text in (counts(model.tally), stands_for(model)) if text]
        about = [*map(markup, said), f"<code>{markup(run.id)}</code>"]
        if run.started_at:
            about.append(markup(moment(run.started_at)))
        if model.store:
            about.append(f"<code>{markup(model.store, 300)}</code>")
        separated = DOT.join(f"<span>{part}</span>" for part in about)
        yield f'<div class="tnb-a">{separated}</div>'
        for hint in hints(model):
            warns = " tnb-warn" if hint.startswith(WARNING) else ""
            yield f'<div class="tnb-y{warns}">{_with_code(hint)}</div>'

    def _statuses(self) -> Iterator[str]:
        lines, more = self._model.statuses()
        if not lines:
            return
        yield '<div class="tnb-sts">'
        for line in lines:
            label = escaped(line.label)
            bar = bars.share(line.share) if line.share is not None else ""
            texts = "".join(_mark(escaped(part)) for part in (line.percent, line.text) if part)
            yield (
                f'<div class="tnb-st tnb-st-{icons.state_name(line.state)}">{self._shape(line.state)} '
                f'<span class="tnb-n" title="{label}">{label}</span> <span class="tnb-sd">{bar}{texts}</span></div>'
            )
        if more:
            yield f'<div class="tnb-u">… and {more:,} more statuses</div>'
        yield "</div>"

    def failures(self) -> Iterator[str]:
        """The errors above the tree: the run's own error, and failures deep in a large tree."""
        if (error := own_error(self._model)) is not None:
            yield f'<div class="tnb-y tnb-y-bad">{error_html(details.error_data(error))}</div>'
        for row in self._listed if self._large else ():
            is_first_in_map = row.parent is not None and row.parent.folds and row.depth == 1
            if not row.depth or is_first_in_map:
                continue
            yield (
                f'<div class="tnb-y tnb-y-bad">{SYMBOLS[row.state]} {isolated(row.name, 100)} '
                f"<code>{isolated(row.display_path, 120)}</code> — "
                f'<span class="tnb-bad">{isolated(error_line(row.error))}</span></div>'
            )

    @staticmethod
    def notes(*texts: str) -> Iterator[str]:
        """Lines below the header, without those that are empty."""
        return (f'<div class="tnb-y">{_with_code(text)}</div>' for text in texts if text)

    def output(self) -> Iterator[str]:
        yield field_list(details.output_sections(self._model, self._preview), " tnb-out", is_open=True)

    def actions(self) -> Iterator[str]:
        if offered := actions(self._model):
            lines = "".join(
                f"<li><code>{markup(action.code, 400)}</code> <span>{markup(action.label)}</span></li>"
                for action in offered
            )
            yield f'<ul class="tnb-z">{lines}</ul>'

    # --- rows -------------------------------------------------------------------------

    def plain_rows(self, scope: Row) -> Iterator[str]:
        """Rows without details. The count of omitted rows comes first: they are the earlier ones."""
        rows, rest = self._shown.of(scope)
        if not rows and not rest:
            return
        yield '<ul class="tnb-rows">'
        if rest:
            yield f'<li class="tnb-u">{markup(more(rest))}</li>'
        for row in rows:
            yield f'<li class="{_row_class(row)}"><div class="tnb-r">{self._line(row)}</div>'
            yield from self.plain_rows(row)
            yield "</li>"
        yield "</ul>"

    def rows(self, scope: Row) -> Iterator[str]:
        """Rows with their details; similar rows are folded, and omitted rows are counted."""
        rows, rest = self._shown.of(scope)
        if not rows and not rest:
            return
        yield '<ul class="tnb-rows">'
        lines = [*together(scope, rows)]
        groups = [line for line in lines if isinstance(line, Alike)]
        for group in groups:
            yield from self._alike(group)
        alone = [line for line in lines if not isinstance(line, Alike)]
        drawn = 0
        for stretch, is_folded in self._stretches(alone):
            if self._size > _ROWS_UNTIL:
                rest = scope.tally.without(
                    [*chain.from_iterable(group.rows for group in groups), *alone[:drawn]]
                )
                break
            drawn += len(stretch)
            yield from self._folded(stretch) if is_folded else self._rows(stretch)
        if rest := without_groups(rest, groups):
            yield f'<li class="tnb-u">… {markup(more(rest))}, not listed</li>'
        yield "</ul>"

    def _stretches(self, rows: Sequence[Row]) -> Iterator[tuple[Sequence[Row], bool]]:
        """The rows of a scope in order, as stretches that are folded or not: long stretches of similar rows are.

        The first rows are not folded, to show what the others are like, nor are the first failures.
        """
        if len(rows) <= (_FEW_OF_MANY if self._large else _FEW):
            yield rows, False
            return
        yield rows[:_KEPT], False
        times = [took for row in rows if (took := row.duration(None)) is not None]
        slow = 3 * sum(times) / max(1, len(times))
        for event, stretch in groupby(rows[_KEPT:], key=lambda row: self._event(row, slow)):
            alike = list(stretch)
            shown = {"": 0, "failed": 2 * _KEPT}.get(event, len(alike))
            if len(alike) - shown <= _KEPT:
                shown = len(alike)
            if shown:
                yield alike[:shown], False
            if alike[shown:]:
                yield alike[shown:], True

    def _event(self, row: Row, slow: float) -> str:
        """The reason not to fold a row: "failed" or "other"; "" if there is none."""
        if row.state is State.FAILED and not row.children:
            return "failed"
        is_odd = row.changed or not row.stored or row.by_hand is not None
        if row.below.states[State.FAILED] or is_odd or (row.duration(None) or 0.0) > slow:
            return "other"
        return "" if row.state in (State.COMPLETED, State.LOG, State.NOT_REACHED) else "other"

    def _rows(self, rows: Iterable[Row]) -> Iterator[str]:
        for row in rows:
            yield from self._row(row)

    def _folded(self, rows: Sequence[Row]) -> Iterator[str]:
        yield (
            '<li class="tnb-par"><details class="tnb-fold"><summary class="tnb-r tnb-u">'
            f'<span class="tnb-v"></span>{markup(more(tally_of(rows)))}</summary><ul class="tnb-rows">'
        )
        yield from self._rows(rows)
        yield "</ul></details></li>"

    def _alike(self, alike: Alike) -> Iterator[str]:
        """Equal errors: the first rows that have them, and the others folded."""
        yield self._counted(
            '<li class="tnb-par"><details open><summary class="tnb-r"><span class="tnb-v"></span>'
            f'{self._shape(State.FAILED)} <span class="tnb-n">{markup(alike.line)}</span></summary><ul class="tnb-rows">'
        )
        yield from self._rows(alike.first)
        if alike.others:
            yield from self._folded(alike.others)
        if alike.omitted:
            yield f'<li class="tnb-u">… {alike.omitted:,} more with this error, not listed</li>'
        yield "</ul></details></li>"

    def _row(self, row: Row) -> Iterator[str]:
        line = f'<summary class="tnb-r"><span class="tnb-v"></span>{_LINK.sub("", self._line(row))}</summary>'
        until = _FAILURES_UNTIL if row.state is State.FAILED else _DETAILS_UNTIL
        fields = self._fields(row) if self._size < until else ""
        if row.children and fields:
            fields = f'<details class="tnb-own"><summary>details</summary>{fields}</details>'
        is_open = row.path in self._open or (bool(row.children) and not self._large)
        start = f'<li class="{_row_class(row)}"><details{" open" if is_open else ""}>'
        yield self._counted(f"{start}{line}{fields}")
        yield from self.rows(row)
        yield "</details></li>"

    def _counted(self, text: str) -> str:
        self._size += len(text)
        return text

    def _line(self, row: Row) -> str:
        parts = parts_of(row)
        took = lasted(row, self._now) or logged_at(row)
        drawn = {
            "state": self._shape(row.state),
            "icon": self._icon(row),
            "name": f'<span class="tnb-n">{apart(escaped(parts.name))}</span>',
            "key": f'<code class="tnb-k">{apart(escaped(parts.key))}</code>' if parts.key else "",
            "counts": self._counts(parts),
            "marks": "".join(map(_mark, map(escaped, parts.marks))),
            "hot": "".join(_mark(escaped(mark), hot=True) for mark in parts.hot),
            "countdown": _mark(
                escaped(parts.countdown(row.state, self._model.now, still=self._now is not None)), hot=True
            ),
            "progress": self._progress(parts),
            "properties": " ".join(DOT + property_html(each) for each in details.judged(row, PROPERTIES)),
            "error": parts.error
            and f'<span class="tnb-e"><span class="tnb-x"> — </span>{apart(escaped(parts.error))}</span>',
            "duration": self._when(row) + (_sep(took, "tnb-d") if took else ""),
        }
        return " ".join(drawn[part] for part in PARTS if drawn[part])

    def _counts(self, parts: Parts) -> str:
        """The tasks inside, by state. Without styles, the symbols of the states tell them apart."""
        counts = (
            f'<span class="tnb-count" title="{count:,} {state}">{self._shape(state)} {count:,}</span>'
            for state, count in parts.counts
        )
        return f'<span class="tnb-counts">{DOT}{" ".join(counts)}</span>' if parts.counts else ""

    def _progress(self, parts: Parts) -> str:
        if parts.bar is None:
            return ""
        return bars.progress(parts.bar) + _mark(escaped(foreseen(parts.bar, self._now)))

    def _when(self, row: Row) -> str:
        """The bar that shows when the row ran."""
        took = row.duration(self._now)
        return "" if self._span is None else bars.when(row, took, *self._span)

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

    # --- details of a row -------------------------------------------------------------

    def _fields(self, row: Row) -> str:
        sections = details.sections(self._model, row, self._preview, pictures=self._pictures > 0)
        pictures = sum(map(details.length_of_picture, sections))
        self._pictures -= pictures
        self._size -= pictures  # they are counted by themselves
        return field_list(sections)


def shape(state: State) -> str:
    """The symbol of a state, drawn as a shape where there are styles."""
    return f'<span class="tnb-s tnb-s-{icons.state_name(state)}" title="{state}">{SYMBOLS[state]}</span>'


def _row_class(row: Row) -> str:
    names = [
        "tnb-old" if row.replayed else "",
        "tnb-off" if row.state in (State.NOT_REACHED, State.PENDING) else "",
        "tnb-min" if row.minimal or row.state is State.LOG else "",
        "tnb-par" if row.children else "",
    ]
    return " ".join(name for name in names if name)


def _code(text: str) -> str:
    return f'<code class="tnb-k">{markup(text, 80)}</code>' if text else ""


def _mark(text: str, *, hot: bool = False) -> str:
    return text and f'<span class="tnb-m{" tnb-m-hot" if hot else ""}">{DOT}{text}</span>'


def _sep(text: str, name: str) -> str:
    return f'{DOT}<span class="{name}">{markup(text)}</span>'


def _with_code(text: str) -> str:
    """A hint; text between backticks becomes code."""
    parts = re.split(r"`([^`]*)`", text[:2000])
    return "".join(
        f"<code>{markup(part, 500)}</code>" if at % 2 else markup(part, 1000) for at, part in enumerate(parts)
    )
