"""The pages on which people answer what runs ask: plain HTML, without a script.

A page is opened by its address alone, whose token nobody can guess. To look at it changes nothing, so that a program that
follows links in messages answers nothing; the form sends the answer to the same address.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from starlette.responses import HTMLResponse

from .._keys import display_path
from .._records.questions import APPROVAL, KIND, REJECT, Field, Question, answer_key, question_of
from .._records.records import RunRecord, TaskRecord
from .._records.status import FINISHED, TaskStatus
from .._redact import secrets
from .._runs import answering
from .._runs.open_questions import open_questions
from .._view.escape import escaped, markup, visible_block
from .._view.words import ago, utc
from ..errors import (
    AlreadyAnsweredError,
    CorruptRecordError,
    InvalidAnswerError,
    NotFoundError,
    RunStateError,
)

if TYPE_CHECKING:
    from .inbox import Inbox

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cache-Control": "no-store",
    # The address opens the page: no other site may learn it. "no-referrer" would hide the origin from the page itself.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
}
_STYLE = """
:root{color-scheme:light dark;--ink:#1f2328;--quiet:#59636e;--back:#f6f8fa;--card:#fff;--line:#8c959f;--go:#0b5cad;
--on-go:#fff;--bad:#b3261e;--ok:#1a6d35}
@media(prefers-color-scheme:dark){:root{--ink:#e3e6ea;--quiet:#a3abb5;--back:#15181c;--card:#1e2227;--line:#737c87;
--go:#7ab7f5;--on-go:#10161d;--bad:#ff9d94;--ok:#7fd49a}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:640px;margin:32px auto;padding:0 16px}
article{background:var(--card);border:1px solid color-mix(in srgb,var(--line) 45%,transparent);border-radius:10px;
padding:24px;margin-bottom:16px}
h1{font-size:20px;line-height:1.35;margin:0 0 4px;white-space:pre-wrap;overflow-wrap:anywhere}
p{margin:8px 0;overflow-wrap:anywhere}.quiet{color:var(--quiet);font-size:14px}
code{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
label{display:block;font-weight:600;margin-top:16px}label.box{display:flex;gap:8px;align-items:center}
.about{color:var(--quiet);font-size:14px;margin:0}.fault{color:var(--bad);margin:4px 0 0}
input:not([type=checkbox]),select,textarea{width:100%;margin-top:4px;padding:8px 10px;font:inherit;color:inherit;
background:var(--card);border:1px solid var(--line);border-radius:6px}
textarea{min-height:88px}[aria-invalid=true]{border-color:var(--bad)!important}
input[type=checkbox]{width:18px;height:18px;accent-color:var(--go)}
.buttons{display:flex;flex-wrap:wrap;gap:8px;margin-top:24px}
button{font:inherit;font-weight:600;padding:8px 18px;border-radius:6px;border:1px solid var(--line);background:none;
color:inherit;cursor:pointer}
button.first{background:var(--go);border-color:var(--go);color:var(--on-go)}
:focus-visible{outline:2px solid var(--go);outline-offset:2px}
a{color:var(--go)}.done{color:var(--ok);font-weight:600}.bad{color:var(--bad)}
"""


def page(status: int, body: str) -> HTMLResponse:
    """The answer with a page."""
    html = (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        'content="width=device-width,initial-scale=1"><meta name="color-scheme" content="light dark">'
        f"<title>Answer</title><style>{_STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )
    return HTMLResponse(html, status, headers=_HEADERS)


def _note(title: str, *lines: str, kind: str = "") -> str:
    said = "".join(f"<p>{line}</p>" for line in lines)
    return f"<article><h1{f' class={kind}' if kind else ''}>{title}</h1>{said}</article>"


NOTHING = _note("There is no such question", "The link is not whole, or the run was deleted.")


# What is asked -------------------------------------------------------------------------------------


def questions(inbox: Inbox) -> str:
    """The page with all open questions."""
    runtime = inbox.runtime
    found = sorted(open_questions(runtime), key=lambda each: each.asked_at)
    if not found:
        return _note("No open questions", "No run waits for an answer.")
    now = runtime.clock.time()
    rows: list[str] = []
    for each in found:
        address = f"{quote(each.run_id, safe='')}/{inbox.addresses.token('question', each.run_id, each.path)}"
        asked = f"{markup(each.job)} · {markup(each.path)} · asked {markup(ago(max(0.0, now - each.asked_at.timestamp())))}"
        prompt = markup(each.prompt or each.path, 300)
        # Beside this page, wherever a proxy has it.
        rows.append(
            f'<article><h1><a href="{escaped(address)}">{prompt}</a></h1><p class="quiet">{asked}</p></article>'
        )
    return "".join(rows)


def question(inbox: Inbox, run_id: str, token: str) -> tuple[int, str]:
    """The page of one question: its form, or its answer."""
    found = _find(inbox, run_id, token)
    if found is None:
        return 404, NOTHING
    run, record = found
    return 200, _shown(inbox, run, record)


def answer(inbox: Inbox, run_id: str, token: str, form: Mapping[str, Any]) -> tuple[int, str]:
    """Record an answer. The status is 303 if it counts, and else that of the page that says why not."""
    found = _find(inbox, run_id, token)
    if found is None:
        return 404, NOTHING
    run, record = found
    asked = question_of(record)
    assert asked is not None
    if inbox.runtime.status_of(run) in FINISHED:
        return 409, _shown(inbox, run, record)
    by = str(form.get("by", "")).strip()[:100] or "somebody by link"
    faults: dict[str, str] = {}
    try:
        if asked.asks == APPROVAL:
            choice = _choice(asked, form)
            data = None
            if asked.fields:
                with suppress(*([InvalidAnswerError] if choice == REJECT else [])):  # it needs no data
                    data = _data(asked, form)
            answering.choose(inbox.runtime, run.id, display_path(record.path), choice, data, by)
        else:
            answering.give(inbox.runtime, run.id, display_path(record.path), _data(asked, form), by)
    except InvalidAnswerError as error:
        faults = error.fields or {"": str(error)}
        return 422, _shown(inbox, run, record, form, faults)
    except (AlreadyAnsweredError, RunStateError) as error:
        return 409, _note("This answer does not count", markup(secrets.hide(str(error)), 500), kind="bad") + (
            _shown(inbox, *(_find(inbox, run_id, token) or found))
        )
    except NotFoundError:
        return 404, NOTHING
    return 303, ""


def _find(inbox: Inbox, run_id: str, token: str) -> tuple[RunRecord, TaskRecord] | None:
    """The question of an address."""
    run = inbox.runtime.run_record(run_id)
    if run is None:
        return None
    for record in inbox.runtime.each_task_record(run_id):
        if record.kind == KIND and inbox.addresses.opens(
            token, "question", run_id, display_path(record.path)
        ):
            return (run, record) if question_of(record) is not None else None
    return None


def _shown(
    inbox: Inbox,
    run: RunRecord,
    record: TaskRecord,
    form: Mapping[str, Any] | None = None,
    faults: Mapping[str, str] | None = None,
) -> str:
    asked = question_of(record)
    assert asked is not None
    runtime = inbox.runtime
    prompt = escaped(visible_block(secrets.hide(asked.prompt or display_path(record.path)), 2000))
    about = f'<p class="quiet">Job {markup(run.job)} · <code>{markup(display_path(record.path))}</code></p>'
    said = _answer_of(inbox, run, record, asked)
    if said:
        return f'<article><h1>{prompt}</h1>{about}<p class="done">{said}</p></article>'
    if record.status != TaskStatus.WAITING or runtime.status_of(run) in FINISHED:
        state = markup(str(runtime.status_of(run)).lower())
        return f"<article><h1>{prompt}</h1>{about}<p>This run waits for no answer now: it is {state}.</p></article>"
    until = "" if record.next_at is None else f'<p class="quiet">Until {markup(utc(record.next_at))}</p>'
    refused = f'<p class="fault">{markup(asked.refused, 500)}</p>' if asked.refused else ""
    whole = (
        f'<p class="fault" role="alert">{markup(faults[""], 500)}</p>'
        if faults and "" in faults and asked.has_names
        else ""
    )
    fields = "".join(_fields(asked, form, faults or {}))
    by = markup(str((form or {}).get("by", "")), 100)
    name = f'<label for="by">Your name</label><input id="by" name="by" maxlength="100" autocomplete="name" value="{by}">'
    return (
        f'<article><h1>{prompt}</h1>{about}{until}{refused}<form method="post">{fields}{name}{whole}'
        f'<div class="buttons">{"".join(_buttons(asked))}</div></form></article>'
    )


def _answer_of(inbox: Inbox, run: RunRecord, record: TaskRecord, asked: Question) -> str:
    """Who has answered, and what; "" if nobody has."""
    text = inbox.runtime.store.get(answer_key(run.id, record.path, record.generation))
    if text is not None:
        try:
            given = answering.Answer.loads(text)
        except CorruptRecordError:
            return ""
        return f"{markup(given.words)} · {markup(utc(given.at))}"
    told = asked.answer
    if told and record.status == TaskStatus.COMPLETED:
        given = answering.Answer(
            told.get("choice"), None, str(told.get("by", "")), timed_out=told.get("timed_out") is True
        )
        return markup(given.words)
    return ""


def _buttons(asked: Question) -> Iterator[str]:
    choices = asked.choices if asked.asks == APPROVAL else ("answer",)
    for at, choice in enumerate(choices):
        # Without JavaScript, the browser checks a form before any button but one that says so.
        skips = " formnovalidate" if choice == REJECT else ""
        first = ' class="first"' if at == 0 else ""
        label = choice[:1].upper() + choice[1:]
        yield f'<button{first} name="choice" value="{at}"{skips}>{markup(label, 60)}</button>'


# The form --------------------------------------------------------------------------------------------


def _fields(asked: Question, form: Mapping[str, Any] | None, faults: Mapping[str, str]) -> Iterator[str]:
    for at, field in enumerate(asked.fields):
        name, kind = f"f{at}", str(field.get("kind", "json"))
        fault = faults.get(str(field.get("name", "")))
        marks = f' id="{name}" name="{name}"'
        marks += ' aria-invalid="true"' if fault else ""
        marks += f' aria-describedby="{name}-about"' if fault or field.get("about") else ""
        label = markup(field.get("label") or "Answer", 100)
        is_filled = field.get("required") or "default" in field
        optional = "" if is_filled else ' <span class="quiet">(may be left empty)</span>'
        value = None if form is None else form.get(name, "")
        if kind == "checkbox" and not field.get("nullable"):
            is_on = field.get("default") is True if value is None else value != ""
            yield f'<label class="box" for="{name}"><input type="checkbox" value="on"{marks}{" checked" * is_on}>{label}</label>'
        else:
            yield f'<label for="{name}">{label}{optional}</label>{_control(field, kind, marks, value)}'
        about = f'<p class="about">{markup(field["about"], 500)}</p>' if field.get("about") else ""
        wrong = f'<p class="fault">{markup(fault, 300)}</p>' if fault else ""
        yield f'<div id="{name}-about">{about}{wrong}</div>' if about or wrong else ""


def _control(field: Field, kind: str, marks: str, value: Any) -> str:
    default = field.get("default")
    needed = " required" if field.get("required") else ""
    choices = _choices(field, kind)
    if choices is not None:
        chosen = (
            str(value)
            if value is not None
            else next(
                (
                    str(at)
                    for at, each in enumerate(choices)
                    if each == default and type(each) is type(default)
                ),
                "",
            )
        )
        options = "".join(
            f'<option value="{at}"{" selected" * (chosen == str(at))}>{markup(_word(each))}</option>'
            for at, each in enumerate(choices)
        )
        return f'<select{marks}{needed}><option value=""></option>{options}</select>'
    if kind == "json":
        text = (
            value
            if value is not None
            else ""
            if default is None
            else json.dumps(default, ensure_ascii=False, indent=1)
        )
        return f'<textarea{marks}{needed} spellcheck="false" placeholder="JSON">{_kept(text)}</textarea>'
    text = value if value is not None else "" if default is None else default
    limits: dict[str, Any] = field.get("limits") or {}
    bounds = "".join(
        f' {name}="{_kept(limits[limit])}"'
        for limit, name in (
            ("ge", "min"),
            ("le", "max"),
            ("min_length", "minlength"),
            ("max_length", "maxlength"),
        )
        if limit in limits and (name in ("min", "max")) == (kind in ("integer", "number"))
    )
    shape = {
        "integer": 'type="number" step="1"',
        "number": 'type="number" step="any"',
        "date": 'type="date"',
    }.get(kind, 'type="text"')
    return f'<input {shape}{marks}{needed}{bounds} value="{_kept(text)}">'


def _kept(text: object) -> str:
    """Text in a control, as it is: it is sent back."""
    return escaped(str(text))


def _choices(field: Field, kind: str) -> list[Any] | None:
    if kind == "checkbox":
        return [True, False]
    return list(field.get("choices") or ()) if kind == "choice" else None


def _word(choice: object) -> str:
    return {True: "yes", False: "no"}[choice] if isinstance(choice, bool) else str(choice)


def _choice(asked: Question, form: Mapping[str, Any]) -> str:
    given = str(form.get("choice", ""))
    if not given.isdecimal() or int(given[:6]) >= len(asked.choices):
        raise InvalidAnswerError("no choice was sent: use one of the buttons")
    return asked.choices[int(given[:6])]


def _data(asked: Question, form: Mapping[str, Any]) -> Any:
    """The data of a form. Raises `InvalidAnswerError`."""
    found: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for at, field in enumerate(asked.fields):
        name = str(field.get("name", ""))
        given: Any = form.get(f"f{at}", "")
        text = given if isinstance(given, str) else str(cast("list[Any]", given)[0])
        try:
            value = _value(field, text)
        except ValueError as error:
            faults[name] = str(error)
            continue
        if value is not _MISSING:
            found[name] = value
        elif field.get("required"):
            faults[name] = "This is needed"
    if faults:
        raise InvalidAnswerError("the form is not right", fields=faults)
    return found if asked.has_names else found.get("")


_MISSING: Any = object()


def _value(field: Field, text: str) -> Any:
    """The value of a field, as the widget's form makes it. Raises `ValueError`."""
    kind, nullable = str(field.get("kind", "json")), bool(field.get("nullable"))
    if kind == "checkbox" and not nullable:
        return text != ""
    if kind == "text":
        if text == "" and field.get("required"):
            return _MISSING
        return None if text == "" and nullable else text.replace("\r\n", "\n")
    if text.strip() == "":
        return None if nullable else _MISSING
    choices = _choices(field, kind)
    if choices is not None:
        if not text.isdecimal() or int(text[:6]) >= len(choices):
            raise ValueError("This is none of the choices")
        return choices[int(text[:6])]
    if kind == "json":
        try:
            return json.loads(text)
        except RecursionError:
            raise ValueError("This is nested too deeply") from None
        except ValueError as error:
            raise ValueError(f"This is no JSON: {error}") from None
    return text.strip()
