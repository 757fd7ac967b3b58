"""The details of a task as HTML: the sections that `details` makes, escaped."""

from __future__ import annotations

from collections.abc import Iterable

from ..escape import escaped, visible_block
from .details import ErrorData, JudgedProperty, Section

DOT = '<span class="tnb-x"> · </span>'  # separates parts where there are no styles


def field_list(sections: Iterable[Section]) -> str:
    """A list of the sections, each with its label and content; "" if there are none."""
    fields = "".join(f"<li><b>{escaped(each.label)}</b> {_content(each)}</li>" for each in sections)
    return f'<ul class="tnb-f">{fields}</ul>' if fields else ""


def _content(section: Section) -> str:
    if section.error is not None:
        return f"<div>{error_html(section.error)}</div>"
    if section.properties:
        return f"<div>{DOT.join(map(property_html, section.properties))}</div>"
    if section.prints:
        return f"<pre>{''.join(_printed(*each) for each in section.prints)}</pre>"
    if section.pre:
        return f"<pre>{escaped(section.pre)}</pre>"
    if section.code:
        return f"<code>{escaped(section.code)}</code>"
    return f"<span>{escaped(section.text)}</span>"


def _printed(stream: str, text: str) -> str:
    name = {"err": "tnb-o-err", "note": "tnb-o-note"}.get(stream, "")
    return f'<span class="{name}">{escaped(text)}</span>' if name else escaped(text)


def error_html(error: ErrorData) -> str:
    """An error with its causes, notes, traceback and members."""
    parts = [_error_alone(error)]
    parts += [f"<div>{label}: {_error_alone(cause)}</div>" for label, cause in error.causes]
    if error.members or error.more:
        lines = "".join(f"<li>{error_html(member)}</li>" for member in error.members)
        rest = f"<li>… {error.more:,} more</li>" if error.more else ""
        parts.append(f'<ul class="tnb-err">{lines}{rest}</ul>')
    return "".join(parts)


def _error_alone(error: ErrorData) -> str:
    parts = [f'<span class="tnb-bad">{_lines(error.line)}</span>']
    parts += [f"<div>{_lines(note)}</div>" for note in error.notes]
    if error.traceback:
        parts.append(f"<details><summary>Traceback</summary><pre>{escaped(error.traceback)}</pre></details>")
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


def value_html(text: str) -> str:
    """A value's preview, which has not passed `visible` yet."""
    text = visible_block(text)
    return f"<pre>{escaped(text)}</pre>" if "\n" in text else f"<code>{escaped(text)}</code>"
