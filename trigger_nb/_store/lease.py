"""One run is driven by one kernel at a time (rule C5).

An operating-system lock says which: the kernel's process holds it, and it ends with the process. So
*alive means locked*, and nobody has to guess from a heartbeat. Locks do not reach other machines, which
is one reason why a store has to be on a local disk (`_localdisk`). A holder on another machine is met all
the same where a folder is shared with a virtual machine, or a store was moved while a run was under way:
its record counts for a day.

A lease costs no commit: the holder is part of the run's record, which the engine writes anyway at the
beginning of a pass.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import sys
import threading
import time
from collections.abc import Generator
from functools import cache
from os import getpid
from pathlib import Path
from typing import Any

from ..errors import RunLockedError, StoreError
from .files import file_identity, open_file
from .local_disk import SINGLE_MACHINE, is_single_machine

# For how many seconds after it began a kernel on another machine is taken for alive.
TIME_TO_LIVE = 86_400.0


def acquire(
    store: Path, run_id: str, recorded: dict[str, Any] | None = None, *, now: float | None = None
) -> Lease:
    """Take the lease of a run, or raise `RunLockedError`, which names the holder.

    `recorded` is the holder in the run's record (`RunRecord.holder`) at this moment, or None. `now` is
    the machine's time in seconds since the epoch, for tests.
    """
    now = time.time() if now is None else now
    if recorded and _may_live_elsewhere(recorded, now):
        raise RunLockedError(_message_elsewhere(run_id, recorded))
    with _reach(store, run_id):
        lock = _Lock(store, run_id)
        if not lock.take():
            raise RunLockedError(_message(run_id, recorded if _may_hold_lock(recorded) else None))
    return Lease(lock, {**_this_kernel(getpid()), "since": now})


def is_held(store: Path, run_id: str, recorded: dict[str, Any], *, now: float | None = None) -> bool:
    """Whether a living kernel drives a run whose record names `recorded` as the holder."""
    if not _is_on_this_machine(recorded):
        return _may_live_elsewhere(recorded, time.time() if now is None else now)
    with _reach(store, run_id):
        return _Lock(store, run_id).is_taken()


@contextlib.contextmanager
def _reach(store: Path, run_id: str) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"run {run_id!r} cannot be locked against other kernels in {store}: {error}. The directory must "
            "be writable and on a file system with locks; put the store elsewhere with "
            "TriggerClient(..., dir=...) or TRIGGER_NB_DIR."
        ) from error


class Lease:
    """The right to drive one run, until `release` or the end of the process.

    `holder` is for `RunRecord.holder`: host, boot, pid, started (when the process started, in its
    machine's own unit), notebook, since.
    """

    def __init__(self, lock: _Lock, holder: dict[str, Any]) -> None:
        self.holder = holder
        self._lock = lock
        self._mutex = threading.Lock()
        self._lost = False

    @property
    def lost(self) -> bool:
        """Whether this kernel may not drive the run any more. Ask before changing the run's status.

        True for good once another kernel took over, after `release`, and in a forked child.
        """
        with self._mutex:
            # Taking the lock once more keeps it: POSIX drops a process's lock when the file is closed
            # anywhere in it, as a copy of the store's directory made in the notebook does.
            self._lost = self._lost or not self._lock.keep()
            return self._lost

    def release(self) -> None:
        """Give the lease back. A second time does nothing."""
        with self._mutex:
            self._lost = True
            self._lock.give_back()


# The lock
class _Lock:
    """A lock on one byte of the store's lock file: the byte stands for the run.

    All runs share one file. A process opens it once and never closes it, since that would drop its locks
    on all of them. A forked child does not inherit the lock, though it has the file open.
    """

    def __init__(self, store: Path, run_id: str) -> None:
        self.pid = getpid()
        self._process = _process()
        self._file = self._process.lock_file(store / "run.lock")
        digest = hashlib.sha256(run_id.encode()).digest()
        # 31 bits: what every system and file system can seek to. Were two living runs to share a byte,
        # one would wait for the other.
        self._byte = int.from_bytes(digest[:4]) >> 1

    def take(self) -> bool:
        """Take the lock if it is free; whether it was."""
        held = self._process.held
        with self._process.mutex:
            # The system tells processes apart, not the threads of one.
            if (self._file, self._byte) in held or not _try_lock(self._file, self._byte):
                return False
            held.add((self._file, self._byte))
            return True

    def is_taken(self) -> bool:
        """Whether any process holds the lock, this one included. The lock stays as it is."""
        with self._process.mutex:
            return (self._file, self._byte) in self._process.held or _is_locked(self._file, self._byte)

    def keep(self) -> bool:
        """Take the lock again where the system has dropped it; whether this process holds it."""
        return self.pid == getpid() and _try_lock(self._file, self._byte)

    def give_back(self) -> None:
        if self.pid != getpid():
            return
        with self._process.mutex:
            if (self._file, self._byte) in self._process.held:
                self._process.held.discard((self._file, self._byte))
                _unlock(self._file, self._byte)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: int, byte: int) -> bool:
        os.lseek(file, byte, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return (file, byte) in _process().held
        return True

    def _unlock(file: int, byte: int) -> None:
        os.lseek(file, byte, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

    def _is_locked(file: int, byte: int) -> bool:
        if not _try_lock(file, byte):
            return True
        _unlock(file, byte)
        return False

else:
    import fcntl

    def _try_lock(file: int, byte: int) -> bool:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def _unlock(file: int, byte: int) -> None:
        fcntl.lockf(file, fcntl.LOCK_UN, 1, byte)

    def _is_locked(file: int, byte: int) -> bool:
        os.lseek(file, byte, os.SEEK_SET)
        try:
            os.lockf(file, os.F_TEST, 1)
        except (BlockingIOError, PermissionError):
            return True
        return False


class _Process:
    """The locks and lock files of this process; a forked child begins with none."""

    def __init__(self) -> None:
        self.pid = getpid()
        self.mutex = threading.Lock()
        self.held: set[tuple[int, int]] = set()  # (file, byte) of each lock
        self._files: dict[Path, tuple[int, tuple[int, int]]] = {}

    def lock_file(self, path: Path) -> int:
        """The descriptor of a lock file, opened anew only when the file has been replaced."""
        with self.mutex:
            known = self._files.get(path)
            if known is not None and known[1] == file_identity(path):
                return known[0]
            # The replaced file stays open, so that locks in it are kept.
            file = open_file(path, os.O_RDWR | os.O_CREAT)
            status = os.fstat(file)
            self._files[path] = (file, (status.st_dev, status.st_ino))
            return file


_current: _Process | None = None


def _process() -> _Process:
    global _current
    if _current is None or _current.pid != getpid():
        _current = _Process()
    return _current


# Who holds it
@cache
def _this_kernel(pid: int) -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "boot": _read_line("/proc/sys/kernel/random/boot_id"),
        "pid": pid,
        "started": _started(pid),
        "notebook": os.environ.get("JPY_SESSION_NAME", ""),
    }


def _is_on_this_machine(holder: dict[str, Any]) -> bool:
    # Containers on one machine differ in the host name and share the boot id. After a reboot, and on
    # systems without a boot id, the host name decides.
    ours = _this_kernel(getpid())
    return holder.get("host") == ours["host"] or (bool(ours["boot"]) and holder.get("boot") == ours["boot"])


def _may_live_elsewhere(holder: dict[str, Any], now: float) -> bool:
    """Whether the holder is on another machine and has begun so lately that it may be alive."""
    if is_single_machine() or _is_on_this_machine(holder):
        return False
    return abs(now - float(holder.get("since") or 0.0)) < TIME_TO_LIVE


def _may_hold_lock(holder: dict[str, Any] | None) -> bool:
    """Whether the recorded holder can be the one that has the lock: the record may be older."""
    if not holder or holder.get("host") != socket.gethostname() or sys.platform != "linux":
        return bool(holder)
    return _started(int(holder.get("pid") or 0)) == holder.get("started")


def _started(pid: int) -> int | None:
    """When a process started, in its machine's own unit. Pids are used again; pid and start are not."""
    # The 22nd field. The second one, the name in parentheses, may hold anything, spaces included.
    fields = _read_line(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(fields[19]) if len(fields) > 19 else None


def _read_line(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return ""


def _message(run_id: str, holder: dict[str, Any] | None) -> str:
    if not holder:
        return (
            f"run {run_id!r} is driven by another kernel, which has only just begun and has not written "
            "down its name. Wait for it to end, or cancel the run there (run.cancel()) or stop that kernel."
        )
    return (
        f"run {run_id!r} is driven by another kernel: {_describe(holder)}. Wait for it to end, or cancel the "
        "run there (run.cancel()) or stop that kernel; then run this cell again, which goes on where it was."
    )


def _message_elsewhere(run_id: str, holder: dict[str, Any]) -> str:
    until = _utc(float(holder.get("since") or 0.0) + TIME_TO_LIVE)
    return (
        f"run {run_id!r} is driven by a kernel on another machine: {_describe(holder)}. Wait for it to end, or "
        "cancel the run there (run.cancel()). If that kernel is gone, for instance because the store was moved "
        f"to this machine, set the environment variable {SINGLE_MACHINE}=1 and run this cell again; from "
        f"{until} UTC on the run goes on here without it."
    )


def _describe(holder: dict[str, Any]) -> str:
    notebook = f", notebook {holder['notebook']}" if holder.get("notebook") else ""
    since = _utc(float(holder.get("since") or 0.0))
    return f"process {holder.get('pid')} on {holder.get('host')}{notebook}, since {since} UTC"


def _utc(timestamp: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(timestamp))
