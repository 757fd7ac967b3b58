"""The end of this process, as far as it is announced: a restart from the menu, SIGTERM, the end of the interpreter."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

logger = logging.getLogger("trigger_nb")
_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class _Announcer:
    """Makes a call when the process is told to end. What kills it without a word (SIGKILL, a crash) is no such end."""

    def __init__(self) -> None:
        self._call: Callable[[], object] = lambda: None
        self._shell: Any = None  # the IPython shell that is observed
        self._process = 0  # a forked child inherits handlers, and announces nothing

    def listen(self, call: Callable[[], object]) -> None:
        """Have `call` made when the process is about to end. It may be made twice, and from any thread."""
        if self._process != os.getpid():
            self._process, self._call, self._shell = os.getpid(), call, None
            atexit.register(self._announce)
        self._listen_to_shell()
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) is signal.SIG_DFL:
                    signal.signal(number, self._on_signal)

    def _listen_to_shell(self) -> None:
        """A kernel that is asked to end says so by `exit_now`, on its control thread: also while a cell blocks."""
        ipython: Any = sys.modules.get("IPython")
        shell = None if ipython is None else ipython.get_ipython()
        if shell is not None and shell is not self._shell:
            self._shell = shell
            shell.observe(self._on_exit, "exit_now")

    def _on_exit(self, change: Any) -> None:
        if change["new"]:
            self._announce()

    def _on_signal(self, number: int, frame: object) -> None:
        """Announce, then end as without this handler. In a thread: what the signal has met may hold a lock."""
        signal.signal(number, signal.SIG_DFL)

        def end() -> None:
            self._announce()
            os.kill(os.getpid(), number)

        threading.Thread(target=end, name="trigger_nb end", daemon=True).start()

    def _announce(self) -> None:
        if self._process != os.getpid():
            return
        try:
            self._call()
        except Exception:
            logger.warning("the end of the process could not be noted", exc_info=True)


announcer = _Announcer()
