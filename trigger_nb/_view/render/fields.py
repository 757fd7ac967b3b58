"""The details of a task as HTML: the sections that `details` makes, escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..escape import escaped
from ..model.rows import Print
from ..words import duration, moment, time_of_day
from .details import AttemptData, JudgedProperty, Section
from .displays import display_html
from .errors import ErrorData

DOT = '<span class="tnb-x"> · </span>'  # separates parts where there are no styles


def field_list(sections: Iterable[Section], more: str = "", *, is_open: bool = False) -> str:
    """A list of the sections, each with its label and content; "" if there are none. `more` adds a class; `is_open`: displays
    are not folded."""
    fields = "".join(f"<li><b>{escaped(each.label)}</b> {_content(each, is_open)}</li>" for each in sections)
    return f'<ul class="tnb-f{more}">{fields}</ul>' if fields else ""


def _content(section: Section, is_open: bool) -> str:
    if section.display is not None:
        return f"<div>{display_html(section.display, is_open=is_open)}</div>"
    if section.error is not None:
        return f"<div>{error_html(section.error)}</div>"
    if section.attempts:
        return f'<ul class="tnb-ats">{"".join(map(_attempt, section.attempts))}</ul>'
    if section.properties:
        return f"<div>{DOT.join(map(property_html, section.properties))}</div>"
    if section.prints:
        return f"<pre>{''.join(_printed(section.prints))}</pre>"
    if section.pre:
        return f"<pre>{escaped(section.pre)}</pre>"
    if section.code:
        return f"<code>{escaped(section.code)}</code>"
    time = moment(section.at) if section.at else ""
    return f"<span>{escaped(' · '.join(filter(None, [time, section.text])))}</span>"


def _attempt(attempt: AttemptData) -> str:
    parts = [
        str(attempt.number),
        attempt.state,
        moment(attempt.began) if attempt.began else "",
        f"took {duration(attempt.took)}" if attempt.took is not None else "",
    ]
    line = escaped(" · ".join(filter(None, parts)))
    error = f' <span class="tnb-bad">{escaped(attempt.error)}</span>' if attempt.error else ""
    then = escaped(f" · next attempt at {time_of_day(attempt.next_at)}") if attempt.next_at else ""
    return f"<li>{line}{error}{then}</li>"


def _printed(prints: Iterable[Print]) -> Iterator[str]:
    """The pieces of a text, with the time where a line begins that was printed in another second."""
    shown, is_new_line = 0, True
    for stream, text, second in prints:
        if second and second != shown and is_new_line:
            shown = second
            yield f'<span class="tnb-o-at">{time_of_day(second)} </span>'
        name = _STREAMS.get(stream, "")
        yield f'<span class="{name}">{escaped(text)}</span>' if name else escaped(text)
        is_new_line = text.endswith("\n")


_STREAMS = {
    **dict.fromkeys(("err", "warning"), "tnb-o-err"),
    **dict.fromkeys(("error", "critical"), "tnb-bad"),
    **dict.fromkeys(("note", "debug"), "tnb-o-note"),
}


def error_html(error: ErrorData) -> str:
    """An error with its causes, notes, traceback and members."""
    parts = [_error_alone(error)]
    for label, cause in error.causes:
        parts.append(f'<div class="tnb-cause"><b>{label}</b> {_error_alone(cause)}</div>')
    if error.members or error.more:
        lines = "".join(f"<li>{error_html(member)}</li>" for member in error.members)
        rest = f"<li>… {error.more:,} more</li>" if error.more else ""
        parts.append(f'<ul class="tnb-err">{lines}{rest}</ul>')
    return "".join(parts)


def _error_alone(error: ErrorData) -> str:
    parts = [f'<span class="tnb-bad">{_lines(error.line)}</span>']
    parts += [f"<div>{_lines(note)}</div>" for note in error.notes]
    if error.traceback:
        opened = " open" if error.is_open else ""
        text = escaped(error.traceback)
        parts.append(f"<details{opened}><summary>Traceback</summary><pre>{text}</pre></details>")
    return "".join(parts)


def _lines(text: str) -> str:
    return escaped(text).replace("&#10;", "<br>")


def property_html(given: JudgedProperty) -> str:
    """A property: label, text, picture and link."""
    text = escaped(given.text)
    if given.url:
        text = f'<a href="{escaped(given.url)}" target="_blank" rel="noopener noreferrer">{text}</a>'
    image = ""
    if given.image_url:
        image = f'<img src="{escaped(given.image_url)}" height="14" alt="" referrerpolicy="no-referrer"> '
    label = f"<b>{escaped(given.label)}:</b>"
    return f'<span class="tnb-p">{image}{label} {text}</span>'
