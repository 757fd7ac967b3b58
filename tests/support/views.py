"""For tests of what a run looks like: records with little to write, and a strict reader of HTML."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from trigger_nb import TaskStatus
from trigger_nb._records.records import RunRecord, TaskRecord

T = 1_700_000_000.0


class Clock:
    """It is always 100 seconds after `T`."""

    def time(self) -> float:
        return T + 100

    async def sleep_until(self, when: float) -> None:
        raise NotImplementedError


def task(path: str, started: int = 1, status: str = TaskStatus.COMPLETED, **fields) -> TaskRecord:
    """A task that started so many seconds after `T`, and took a quarter of one."""
    ended_at = T + started + 0.25 if status not in (TaskStatus.RUNNING, TaskStatus.WAITING) else None
    given = {"started_at": T + started, "ended_at": ended_at, **fields}
    return TaskRecord(path=path, started=started, status=status, **given)


def run(status: str = "COMPLETED", **fields) -> RunRecord:
    """A run that took 3.2 seconds from `T` on."""
    given = {
        "id": "run_1",
        "job": "job",
        "name": "My job",
        "version": "1.0",
        "started_at": T,
        "finished_at": T + 3.2,
    }
    return RunRecord(**{**given, "status": status, **fields})


TAGS = {
    *(
        "div",
        "span",
        "b",
        "i",
        "code",
        "pre",
        "ul",
        "li",
        "a",
        "img",
        "details",
        "summary",
        "style",
        "br",
        "small",
    ),
    *("table", "thead", "tbody", "tr", "th", "td", "html", "head", "body", "main", "meta", "title"),
}
ATTRIBUTES = {
    *("class", "style", "title", "open", "href", "target", "rel", "src", "height", "alt", "referrerpolicy"),
    *("lang", "charset", "name", "content", "data-lm-suppress-shortcuts", "scope", "width"),
}
VOID = {"br", "img", "meta"}
PICTURE = r"data:image/(png|jpeg);base64,[A-Za-z0-9+/]+=*"
STYLE = r"((left:[\d.]+%;)?width:[\d.]+%|background:#[0-9a-f]{6})"


class Page(HTMLParser):
    """Reads HTML as a browser would, keeps its text and its bones, and refuses what we never write."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.text = ""
        self.links: list[str] = []
        self.counts: dict[str, int] = {}
        self.bones: list[tuple[str, ...]] = []  # tags and names of attributes, in order
        self._open: list[str] = []
        self.feed(source)
        self.close()
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag, attrs):
        assert tag in TAGS, tag
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.bones.append((tag, *(name for name, _ in attrs)))
        for name, value in attrs:
            assert name in ATTRIBUTES, name
            if name in ("href", "src"):
                is_picture = tag == "img" and re.fullmatch(PICTURE, value)
                assert is_picture or re.match(r"(https?://|mailto:)", value, re.IGNORECASE), value
                self.links += [] if is_picture else [value]
            if name == "style":
                assert re.fullmatch(STYLE, value), value
        if tag not in VOID:
            self._open.append(tag)
        if tag in ("div", "li", "summary"):
            self.text += "\n"

    def handle_endtag(self, tag):
        assert self._open.pop() == tag
        self.bones.append((f"/{tag}",))

    def handle_data(self, data):
        if self._open[-1:] != ["style"]:
            self.text += data

    def handle_decl(self, decl):
        assert decl == "DOCTYPE html", decl

    def handle_comment(self, data):
        raise AssertionError("a comment")

    def unknown_decl(self, data):
        raise AssertionError("a declaration")

    handle_pi = unknown_decl

    @property
    def lines(self) -> list[str]:
        return [" ".join(line.split()) for line in self.text.splitlines() if line.strip()]
