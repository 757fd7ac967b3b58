"""A tab of the browser that tests use one after the other, each as if it had just been opened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from playwright.sync_api import BrowserContext, Page, ViewportSize

SIZE = ViewportSize(width=1280, height=900)
USES = 30  # tests; then it is another page, for JupyterLab keeps some of what it has shown


class Tab:
    """One page for many tests: a page of its own for each would cost seconds of a processor, most of all with JupyterLab in it.

    What is not undone between two tests is what scripts have made of the page: it is gone when another page is loaded.
    Whoever adds init scripts or a clock takes a page of its own, for they stay.
    """

    def __init__(self, context: BrowserContext) -> None:
        self._context = context
        self._page: Page | None = None
        self._uses = 0

    def page(self) -> Page:
        """The page, in front, of the size and in the colours that a new one has."""
        if self._uses >= USES:
            self.close()
        self._uses += 1
        if self._page is None or self._page.is_closed():
            self._page = self._context.new_page()
            return self._page
        page = self._page
        page.bring_to_front()
        page.unroute_all()
        self._context.clear_permissions()
        page.mouse.move(0, 0)
        if page.viewport_size != SIZE:
            page.set_viewport_size(SIZE)
        page.emulate_media(
            media="null",
            color_scheme="light",
            reduced_motion="no-preference",
            forced_colors="none",
            contrast="no-preference",
        )
        return page

    def empty(self) -> Page:
        """The same, without anything in it."""
        page = self.page()
        page.goto("about:blank")
        return page

    def close(self) -> None:
        """The next test gets a new page."""
        if self._page is not None:
            self._page.close()
        self._page, self._uses = None, 0


_exposed: WeakKeyDictionary[Page, dict[str, Callable[..., Any]]] = WeakKeyDictionary()


def expose(page: Page, name: str, function: Callable[..., Any]) -> None:
    """Give the page's scripts a function of this process, in place of the one of this name that a test before gave them."""
    functions = _exposed.setdefault(page, {})
    if name not in functions:
        page.expose_function(name, lambda *args: functions[name](*args))
    functions[name] = function
