"""A small bookshop on this machine, in place of a site that you crawl. Two of its pages are not as the others.

The shop has a front page with links, and a page for each book. The page of book 7 has no price, because it is sold
out; that of book 13 is broken, and stays so.
"""

from __future__ import annotations

import html
import urllib.error
import urllib.request

from trigger_nb.testing.services import Answer, Request, Service, route

TITLES = [
    "Emma", "Persuasion", "Middlemarch", "Silas Marner", "Jane Eyre", "Villette", "Moby-Dick", "Walden",
    "Dracula", "Frankenstein", "Candide", "Germinal", "The Time Machine", "Oblomov", "Don Quixote", "Utopia",
    "Cranford", "Kim",
]  # fmt: skip
SOLD_OUT, BROKEN = 7, 13


class SiteError(Exception):
    """The site refused; `status` is its HTTP status."""

    def __init__(self, status: int, path: str) -> None:
        super().__init__(status, path)
        self.status = status

    def __str__(self) -> str:
        return f"{self.status} for {self.args[1]}"


class Site(Service):
    """A running site after `Site().start()`. `requests` lists the pages that were asked for."""

    def get(self, path: str) -> str:
        """The page at a path, as HTML. Raises `SiteError`."""
        # No proxy stands between this machine and itself, whatever the environment says.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self.url}{path}", timeout=10) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as refused:
            refused.close()
            raise SiteError(refused.code, path) from None

    @route("GET", "/")
    def front(self, request: Request) -> Answer:
        links = (f'<li><a href="/books/{n}">{html.escape(title)}</a>' for n, title in enumerate(TITLES, 1))
        return _page(f"<h1>The bookshop</h1><ul>{''.join(links)}</ul>")

    @route("GET", "/books/{number}")
    def book(self, request: Request, number: str) -> Answer:
        n = int(number)
        if n == BROKEN:
            return Answer(500, "the page is broken")
        price = "sold out" if n == SOLD_OUT else f"{4 + n * 7 % 11}.50"
        return _page(f"<h1>{html.escape(TITLES[n - 1])}</h1><b>{price}</b>")


def _page(content: str) -> Answer:
    return Answer(200, content.encode(), {"Content-Type": "text/html; charset=utf-8"})
