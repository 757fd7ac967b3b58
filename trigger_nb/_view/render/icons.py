"""Small icons, drawn as CSS masks, so that nothing remains of them where there are no styles.

Each icon is drawn on a grid of 16 x 16 with a line width of 1.5.
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import quote

from ..model.rows import State

_LINE = "fill='none' stroke='#000' stroke-width='1.5' stroke-linecap='round' stroke-linejoin='round'"
# A full disc with a sign cut out.
_DISC = (
    "<mask id='m'><path d='M0 0h16v16H0z' fill='#fff' stroke='none'/><path d='{}' stroke='#000'/></mask>"
    "<circle cx='8' cy='8' r='7.25' fill='#000' stroke='none' mask='url(#m)'/>"
)
_STATES = {
    State.COMPLETED: _DISC.format("M4.8 8.3l2.2 2.2 4.2-4.6"),
    State.FAILED: _DISC.format("M5.6 5.6l4.8 4.8m0-4.8l-4.8 4.8"),
    State.RUNNING: "<circle cx='8' cy='8' r='6.5' stroke-dasharray='2 2.1'/>"
    "<circle cx='8' cy='8' r='3' fill='#000'/>",
    State.RETRYING: "<path d='M13.5 3v3.5H10M13.3 6.5A5.75 5.75 0 1 0 13.7 9.3'/>",
    State.WAITING: "<circle cx='8' cy='8' r='6.5'/><path d='M8 4.5V8l2.3 1.5'/>",
    State.PENDING: "<circle cx='8' cy='8' r='6.5'/>",
    State.CANCELED: "<circle cx='8' cy='8' r='6.5'/><path d='M3.6 12.4l8.8-8.8'/>",
    State.UNFINISHED: "<circle cx='8' cy='8' r='6.5'/><path d='M8 1.5a6.5 6.5 0 0 0 0 13z' fill='#000'/>",
    State.NOT_REACHED: "<circle cx='8' cy='8' r='6.5' stroke-dasharray='1.6 2.48'/>",
    State.LOG: "<circle cx='8' cy='8' r='2.25' fill='#000'/>",
}
_NAMES = {
    "bell": "<path d='M4 11V7a4 4 0 0 1 8 0v4l1 1.2H3zM6.7 14.2h2.6'/>",
    "bolt": "<path d='M9 1.5L3.5 9H8l-1 5.5L12.5 7H8z'/>",
    "calendar": "<rect x='2' y='3' width='12' height='11' rx='1.5'/><path d='M2 6.5h12M5 1.5v3m6-3v3'/>",
    "chart": "<path d='M2 14h12M4 11V8m4 3V3m4 8V6'/>",
    "check": "<path d='M3 8.5l3.3 3.3L13 4.5'/>",
    "clock": "<circle cx='8' cy='8' r='6.25'/><path d='M8 4.5V8l2.3 1.5'/>",
    "cloud": "<path d='M4.5 13a3 3 0 0 1-.3-6A4 4 0 0 1 12 7a3 3 0 0 1-.3 6z'/>",
    "code": "<path d='M5 4L1.5 8 5 12m6-8l3.5 4-3.5 4'/>",
    "credit-card": "<rect x='1.5' y='3' width='13' height='10' rx='1.5'/><path d='M1.5 6.5h13M4 10h2'/>",
    "database": "<ellipse cx='8' cy='3.7' rx='5.5' ry='2.2'/>"
    "<path d='M2.5 3.7v8.6c0 1.2 2.5 2.2 5.5 2.2s5.5-1 "
    "5.5-2.2V3.7M2.5 8c0 1.2 2.5 2.2 5.5 2.2s5.5-1 5.5-2.2'/>",
    "download": "<path d='M8 2v8m-3-3l3 3 3-3M2.5 13.5h11'/>",
    "file": "<path d='M9 1.5H4.5A1.5 1.5 0 0 0 3 3v10a1.5 1.5 0 "
    "0 0 1.5 1.5h7A1.5 1.5 0 0 0 13 13V5.5zM9 1.5v4h4'/>",
    "folder": "<path d='M1.5 12V4A1 1 0 0 1 2.5 3h3.2l1.5 2h6.3a1 "
    "1 0 0 1 1 1v6a1 1 0 0 1-1 1h-11a1 1 0 0 1-1-1z'/>",
    "git": "<circle cx='4.5' cy='3.5' r='1.8'/><circle cx='4.5' cy='12.5' r='1.8'/>"
    "<circle cx='11.5' cy='5.5' r='1.8'/>"
    "<path d='M4.5 5.3v5.4M11.5 7.3c0 2.4-3 2.2-5.5 3.6'/>",
    "globe": "<circle cx='8' cy='8' r='6.25'/>"
    "<path d='M1.75 8h12.5M8 1.75c4 3.7 4 8.8 0 12.5-4-3.7-4-8.8 0-12.5z'/>",
    "key": "<circle cx='5' cy='11' r='3'/><path d='M7.2 8.8L13.5 2.5m-2 2l2 2'/>",
    "list": "<path d='M6 4h8M6 8h8M6 12h8M2.5 4h.01M2.5 8h.01M2.5 12h.01'/>",
    "lock": "<rect x='3' y='7' width='10' height='7' rx='1.5'/><path d='M5.2 7V5a2.8 2.8 0 0 1 5.6 0v2'/>",
    "mail": "<rect x='1.5' y='3' width='13' height='10' rx='1.5'/><path d='M2 4.2l6 4.6 6-4.6'/>",
    "message": "<path d='M2 3.5A1.5 1.5 0 0 1 3.5 2h9A1.5 1.5 0 0 1 14 "
    "3.5v6a1.5 1.5 0 0 1-1.5 1.5H7l-3.5 3V11A1.5 1.5 0 0 1 2 9.5z'/>",
    "photo": "<rect x='1.5' y='2.5' width='13' height='11' rx='1.5'/><circle cx='5.3' cy='6' r='1.2'/>"
    "<path d='M2 12l3.8-3.6 2.4 2.2 2.6-2.8 3.5 3.7'/>",
    "play": "<path d='M4.5 2.5v11l9-5.5z'/>",
    "refresh": "<path d='M13.5 3v3.5H10M13.3 6.5A5.75 5.75 0 1 0 13.7 9.3'/>",
    "robot": "<rect x='2.5' y='5' width='11' height='8.5' rx='2'/><path d='M8 5V2M5.8 8.8v.9m4.4-.9v.9'/>",
    "search": "<circle cx='7' cy='7' r='4.75'/><path d='M10.5 10.5L14 14'/>",
    "send": "<path d='M14.2 1.8L7 9M14.2 1.8L9.7 14.2 7 9 1.8 6.3z'/>",
    "server": "<rect x='2' y='2' width='12' height='5' rx='1.2'/>"
    "<rect x='2' y='9' width='12' height='5' rx='1.2'/>"
    "<path d='M4.7 4.5h.01M4.7 11.5h.01'/>",
    "settings": "<path d='M2 4.5h6m4 0h2M2 11.5h2m4 0h6'/>"
    "<circle cx='10' cy='4.5' r='1.8'/><circle cx='6' cy='11.5' r='1.8'/>",
    "star": "<path d='M8 1.8l1.9 4 4.3.6-3.1 3 .7 4.3L8 11.6l-3.8 2.1.7-4.3-3.1-3 4.3-.6z'/>",
    "table": "<rect x='1.5' y='2.5' width='13' height='11' rx='1.5'/><path d='M1.5 6h13M6 6v7.5'/>",
    "terminal": "<path d='M2.5 4l4 4-4 4M8.5 12.5h5'/>",
    "upload": "<path d='M8 10V2m-3 3l3-3 3 3M2.5 13.5h11'/>",
    "user": "<circle cx='8' cy='5' r='3'/><path d='M2.5 14c.4-3 2.6-4.5 5.5-4.5s5.1 1.5 5.5 4.5'/>",
    "users": "<circle cx='6' cy='5.2' r='2.7'/>"
    "<path d='M1 13.5c.3-2.7 2.3-4 5-4s4.7 1.3 5 4M10.5 2.7a2.7 2.7 0 0 1 0 5M13 13.5'/>"
    "<path d='M12.6 10c1.4.6 2.2 1.8 2.4 3.5'/>",
    "webhook": "<circle cx='8' cy='4' r='2'/><circle cx='3.5' cy='12' r='2'/>"
    "<circle cx='12.5' cy='12' r='2'/>"
    "<path d='M7 5.8L4.5 10.2m4.5-4.4l2.5 4.4M5.5 12h5'/>",
}
# Other common names of the same picture.
_ALIASES = {
    "alarm": "clock",
    "api": "code",
    "at": "mail",
    "bot": "robot",
    "brand-github": "github",
    "brand-openai": "openai",
    "brand-slack": "slack",
    "brand-stripe": "stripe",
    "card": "credit-card",
    "email": "mail",
    "envelope": "mail",
    "git-branch": "git",
    "git-commit": "git",
    "hourglass": "clock",
    "http": "globe",
    "image": "photo",
    "lightning": "bolt",
    "log": "terminal",
    "message-circle": "message",
    "parallel": "list",
    "postgres": "database",
    "sql": "database",
    "timer": "clock",
    "wait": "clock",
    "world": "globe",
    "zap": "bolt",
}
# A badge with a letter in a colour of the service. Each has its own letter: not everyone can see the colours.
_BADGES = {
    "airtable": ("A", "#8f6708"),
    "github": ("G", "#57606a"),
    "openai": ("O", "#0c7d62"),
    "replicate": ("P", "#b3402a"),
    "resend": ("R", "#4b5563"),
    "sendgrid": ("@", "#1670c4"),
    "slack": ("#", "#7b3a7d"),
    "stripe": ("S", "#635bff"),
    "supabase": ("B", "#218358"),
}
_PLAIN_BADGE = "#69717b"


def names() -> list[str]:
    """The names of all icons that have a picture."""
    return sorted(_NAMES)


def known(icon: str) -> str:
    """The name of the picture of an icon; "" if the icon has only a badge."""
    name = _ALIASES.get(icon, icon)
    return name if name in _NAMES else ""


def badges() -> list[str]:
    """The names of all icons with a badge of their own."""
    return sorted(_BADGES)


def badge(icon: str) -> tuple[str, str]:
    """The letter and the colour of the badge of an icon without a picture."""
    name = _ALIASES.get(icon, icon)
    letter = name[:1].upper()[:1]
    return _BADGES.get(name) or (letter if letter.strip() and letter.isprintable() else "?", _PLAIN_BADGE)


def badge_name(letter: str) -> str:
    """The CSS class that shows a badge's letter."""
    return f"tnb-g-{ord(letter):x}"


def state_name(state: State) -> str:
    """The state as part of a CSS class."""
    return state.replace(" ", "-")


def css(states: Collection[State], names: Collection[str] = (), letters: Collection[str] = ()) -> str:
    """The CSS rules of the shapes, icons and badges that are used."""
    rules = [_rule(f"tnb-s-{state_name(state)}", _STATES[state]) for state in sorted(states)]
    rules += [_rule(f"tnb-i-{name}", _NAMES[name]) for name in sorted(names)]
    rules += [
        f'.tnb .{badge_name(letter)}::before{{content:"\\{ord(letter):x}"}}' for letter in sorted(letters)
    ]
    return "".join(rules)


def _rule(name: str, drawing: str) -> str:
    svg = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16' {_LINE}>{drawing}</svg>"
    return f'.tnb .{name}{{--m:url("data:image/svg+xml,{quote(svg, safe=_SAFE)}")}}'


_SAFE = " ='/:.-,()!*"
