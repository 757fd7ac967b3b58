"""`io.logger`: log lines in the tree."""

from __future__ import annotations

from .._engine.pass_ import Pass
from .._tasks.call import DONE, AlreadyDone, Scope

_LEVELS = ("debug", "info", "warning", "error")


class Logger:
    """Log lines of one scope. The methods log at once; awaiting the result is optional and does nothing.

    ```
    io.logger.info("found", {"rows": 3})
    ```
    """

    def __init__(self, owner: Pass, scope: Scope, level: str) -> None:
        self._owner = owner
        self._scope = scope
        self._least = _LEVELS.index(level)

    def _log(self, level: str, message: object, data: object) -> AlreadyDone:
        if _LEVELS.index(level) >= self._least:
            self._owner.log(self._scope, level, message, data)
        return DONE

    def debug(self, message: object, data: object = None) -> AlreadyDone:
        """Log a line of level "debug", shown if the job has `log_level="debug"`."""
        return self._log("debug", message, data)

    def info(self, message: object, data: object = None) -> AlreadyDone:
        """Log a line of level "info". `data` is shown with it, previewed and redacted."""
        return self._log("info", message, data)

    log = info

    def warning(self, message: object, data: object = None) -> AlreadyDone:
        """Log a line of level "warning"."""
        return self._log("warning", message, data)

    warn = warning

    def error(self, message: object, data: object = None) -> AlreadyDone:
        """Log a line of level "error"."""
        return self._log("error", message, data)
