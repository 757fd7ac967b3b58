"""Looking at an address until its response fits: what `io.background_poll` waits for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from .._redact import hide_in_urls, secrets
from .._tasks.options import describe
from .._tasks.outside import Polling
from ..errors import TaskTimeoutError
from ..filters import ResponseFilter

if TYPE_CHECKING:
    from .._tasks.task import Task
    from ..integrations._http_exchange import Exchange
    from ..integrations.http import Response

_NOTED = 200  # characters of the last response that the error tells
_LOOKS = "Looks"


class Poll:
    """Looking at one address until its response fits."""

    def __init__(
        self,
        exchange: Exchange,
        wanted: ResponseFilter | Callable[[Response], object],
        interval: float,
        seconds: dict[str, float],
        max_bytes: int,
    ) -> None:
        self.interval = interval
        self.polling = Polling(self.look, seconds["timeout"], [])
        self._exchange = exchange
        self._wanted = wanted
        self._request_timeout = seconds["request_timeout"]
        self._max_bytes = max_bytes
        self._found: Response | None = None
        self._error: Exception | None = None  # that no further look would mend
        self._last = ""  # what the last look has shown
        self._looks = 0

    async def look(self, now: float) -> float | None:
        """Send the request once. The seconds until the next look; None if there is none."""
        pause = self.interval
        try:
            response, pause = await self._ask(now)
            if response is not None and self._fits(response):
                self._found = response
        except Exception as error:  # noqa: BLE001  # the body raises it, which then is recorded
            self._error = error
        self._show()
        return None if self._found is not None or self._error is not None else pause

    async def result(self, params: dict[str, Any], task: Task) -> Any:
        """The body of the task: what the looks have found."""
        if not self._looks:  # in a test of the job, where nothing is waited for
            await self.look(0.0)
        if self._error is not None:
            raise self._error
        task.output_properties = {each["label"]: each["text"] for each in self.polling.shown}
        if self._found is None:
            raise TaskTimeoutError(
                f"no response that fits came within {timedelta(seconds=self.polling.timeout)} from "
                f"{hide_in_urls(self._exchange.url)}. The last look: {self._last}. run.retry() looks again for as long"
            )
        return self._found.body

    async def _ask(self, now: float) -> tuple[Response | None, float]:
        """The response, if one came, and the seconds until the next look."""
        import anyio

        pause = self.interval
        from ..integrations import _http_exchange as exchanges
        from ..integrations._fetches import web
        from ..integrations._http_retries import is_connection_error, retry_after
        from ..integrations.http import answer

        self._looks += 1
        try:
            with anyio.fail_after(self._request_timeout):
                raw = await exchanges.send(web.native, self._exchange, None, self._max_bytes)
        except Exception as error:
            if not is_connection_error(error):
                raise
            self._last = secrets.hide(f"{type(error).__name__}: {error}".rstrip(": "))
            return None, pause
        response = answer(raw)
        self._last = f"{raw.status_code} {raw.reason_phrase}".strip()
        if response.body is not None and not isinstance(response.body, bytes):
            self._last += f", {secrets.hide(raw.text):.{_NOTED}}"
        told = retry_after(raw.headers) if raw.status_code in (429, 503) else None
        if told is not None:
            pause = max(pause, told.due_at(now) - now)
        return response, pause

    def _fits(self, response: Response) -> bool:
        wanted = self._wanted
        if isinstance(wanted, ResponseFilter):
            return wanted.matches(response.status, response.headers, response.body)
        return bool(wanted(response))

    def _show(self) -> None:
        """Keep the properties of the row up to date."""
        looks = next((int(each["text"]) for each in self.polling.shown if each["label"] == _LOOKS), 0) + 1
        self.polling.shown[:] = describe({_LOOKS: str(looks), "Last": self._last.partition(",")[0]})
