"""A page of its own around our HTML."""

from __future__ import annotations

from ..escape import markup

PAGE_CSS = (
    ":root{color-scheme:light dark}"
    "body{margin:24px auto;max-width:1100px;padding:0 16px;background:#fff;color:#1f2328}"
    "@media(prefers-color-scheme:dark){body{background:#16181c;color:#d9dce1;--jp-ui-font-color2:#9aa1ab}}"
    "@media print{body{background:#fff;color:#000;margin:0}}"
)


def standalone(body: str, title: str) -> str:
    """An HTML page around our HTML, light or dark according to the reader's system."""
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{markup(title)}</title><style>{PAGE_CSS}</style></head><body><main>{body}</main></body></html>\n"
    )
