"""The lease on a run: one kernel at a time drives it (rule C5).

The kernel's process holds an operating-system lock, which ends with the process. So *alive means locked*, and
no heartbeat is needed. Locks do not work across machines, which is one reason why a store must be on a local
disk (see `local_disk.py`). A holder on another machine is still possible, if a folder is shared with a virtual
machine or a store was moved during a run. Such a holder counts as alive for a day.

A lease needs no extra commit: the holder is part of the run's record, which the engine writes at the beginning
of a pass anyway.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import sys
import threading
import time
from collections.abc import Generator, Mapping
from functools import cache
from os import getpid
from pathlib import Path
from typing import TypeAlias

from ..errors import RunLockedError, StoreError
from .files import create_file, file_identity, open_file
from .local_disk import SINGLE_MACHINE, is_single_machine

# The number of seconds for which a holder on another machine counts as alive, from the start of its lease.
TIME_TO_LIVE = 86_400.0
_FILE = "run.lock"
_Fact: TypeAlias = str | float | None
Holder: TypeAlias = Mapping[str, _Fact]  # the kernel that drives a run, as the run's record names it


def acquire(store: Path, run_id: str, recorded: Holder | None = None, *, now: float | None = None) -> Lease:
    """Acquire the lease on a run, or raise `RunLockedError`, which names the holder.

    `recorded` is the current holder in the run's record (`RunRecord.holder`), or None. Tests pass `now`, the
    time in seconds since the epoch.
    """
    now = time.time() if now is None else now
    if recorded and _may_live_elsewhere(recorded, now):
        raise RunLockedError(_message_elsewhere(run_id, recorded))
    with _reach(store, run_id):
        lock = _Lock(store, run_id)
        if not lock.take():
            raise RunLockedError(_message(run_id, recorded if _may_hold_lock(recorded) else None))
    return Lease(lock, {**_this_kernel(getpid()), "since": now})


def is_held(store: Path, run_id: str, recorded: Holder, *, now: float | None = None) -> bool:
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
            "be writable and on a file system that supports locks. To put the store elsewhere, use "
            "TriggerClient(..., dir=...) or TRIGGER_NB_DIR."
        ) from error


class Lease:
    """The exclusive right to drive one run, until `release` or the end of the process.

    `holder` is the value for `RunRecord.holder`. Its keys are host, boot, pid, started (the start of the
    process, in a unit of its machine), notebook and since.
    """

    def __init__(self, lock: _Lock, holder: dict[str, _Fact]) -> None:
        self.holder = holder
        self._lock = lock
        self._mutex = threading.Lock()
        self._lost = False

    @property
    def lost(self) -> bool:
        """Whether this kernel must no longer drive the run. Check it before changing the run's status.

        Remains true once another kernel has taken over, after `release`, and in a forked child.
        """
        with self._mutex:
            # Locking again keeps the lock: POSIX drops a process's locks on a file when any of its code closes
            # the file, for instance after copying the store's directory in the notebook.
            self._lost = self._lost or not self._lock.keep()
            return self._lost

    def release(self) -> None:
        """Release the lease. Does nothing if it is released already."""
        with self._mutex:
            self._lost = True
            self._lock.release()


# The lock ----------------------------------------------------------------------------------------


def close(store: Path) -> None:
    """Close the store's lock file in this process, unless it holds the lease on a run of the store."""
    process = _process()
    with process.mutex:
        process.close(store / _FILE)


class _Lock:
    """A lock on one byte of the store's lock file, which stands for the run.

    All runs share one file. A process opens it once, and does not close it while it holds a lock, because closing
    would drop its locks on all runs. A forked child inherits the open file, but not the locks.
    """

    def __init__(self, store: Path, run_id: str) -> None:
        self.pid = getpid()
        self._process = _process()
        self._path = store / _FILE
        self._file = (
            -1
        )  # the descriptor, while the lock is held: one that is not held may be closed at any time
        digest = hashlib.sha256(run_id.encode()).digest()
        # 31 bits, because every system and file system can seek that far. If two active runs share a byte,
        # one is refused until the other has ended.
        self._byte = int.from_bytes(digest[:4]) >> 1

    def take(self) -> bool:
        """Acquire the lock if it is free. Returns whether it was."""
        held = self._process.held
        with self._process.mutex:
            file = self._process.lock_file(self._path)
            # The system distinguishes processes, but not the threads of one process.
            if (file, self._byte) in held or not _try_lock(file, self._byte):
                return False
            held.add((file, self._byte))
            self._file = file
            return True

    def is_taken(self) -> bool:
        """Whether any process holds the lock, including this one. Does not change the lock."""
        with self._process.mutex:
            file = self._process.lock_file(self._path)
            return (file, self._byte) in self._process.held or _is_locked(file, self._byte)

    def keep(self) -> bool:
        """Acquire the lock again if the system has dropped it. Returns whether this process holds it now."""
        return self.pid == getpid() and _try_lock(self._file, self._byte)

    def release(self) -> None:
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
    """The locks and lock files of this process. A forked child starts without any."""

    def __init__(self) -> None:
        self.pid = getpid()
        self.mutex = threading.Lock()
        self.held: set[tuple[int, int]] = set()  # (file, byte) of each lock
        self._files: dict[tuple[int, int] | None, int] = {}  # by device and inode

    def lock_file(self, path: Path) -> int:
        """The descriptor of a lock file. Each file is opened once. The caller holds the mutex."""
        # Found by its identity: the store may have been moved since. A replaced file stays open, so that its
        # locks are kept.
        identity = file_identity(path)
        if identity not in self._files:
            with contextlib.suppress(FileExistsError):
                os.close(create_file(path))
            file = open_file(path, os.O_RDWR)
            status = os.fstat(file)
            identity = status.st_dev, status.st_ino
            self._files[identity] = file
        return self._files[identity]

    def close(self, path: Path) -> None:
        """Close a lock file if this process holds no lock on it. The caller holds the mutex."""
        identity = file_identity(path)
        file = self._files.get(identity)
        if file is not None and all(each != file for each, _ in self.held):
            del self._files[identity]
            os.close(file)


_current: _Process | None = None


def _process() -> _Process:
    global _current
    if _current is None or _current.pid != getpid():
        _current = _Process()
    return _current


# The holder --------------------------------------------------------------------------------------


@cache
def _this_kernel(pid: int) -> dict[str, _Fact]:
    return {
        "host": socket.gethostname(),
        "boot": _read_line("/proc/sys/kernel/random/boot_id"),
        "pid": pid,
        "started": _started(pid),
        "notebook": os.environ.get("JPY_SESSION_NAME", ""),
    }


def _is_on_this_machine(holder: Holder) -> bool:
    # Containers on one machine have different host names and the same boot id. After a reboot, or on systems
    # without a boot id, the host name decides.
    ours = _this_kernel(getpid())
    return holder.get("host") == ours["host"] or (bool(ours["boot"]) and holder.get("boot") == ours["boot"])


def _may_live_elsewhere(holder: Holder, now: float) -> bool:
    """Whether the holder is on another machine and may be alive, because its lease is recent."""
    if is_single_machine() or _is_on_this_machine(holder):
        return False
    return abs(now - _number(holder, "since")) < TIME_TO_LIVE


def _number(holder: Holder, name: str) -> float:
    """A number of a recorded holder; 0 if the record has something else there."""
    value = holder.get(name)
    return value if isinstance(value, int | float) and 0 <= value < 2**53 else 0.0


def _may_hold_lock(holder: Holder | None) -> bool:
    """Whether the recorded holder can be the process that holds the lock. The record may be outdated."""
    if not holder or holder.get("host") != socket.gethostname() or sys.platform != "linux":
        return bool(holder)
    return _started(int(_number(holder, "pid"))) == holder.get("started")


def _started(pid: int) -> int | None:
    """The start of a process, in a unit of its machine. It tells processes apart that had the same pid."""
    # The 22nd field. The second field, the name in parentheses, may contain anything, including spaces.
    fields = _read_line(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(fields[19]) if len(fields) > 19 else None


def _read_line(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return ""


def _message(run_id: str, holder: Holder | None) -> str:
    if not holder:
        return (
            f"another kernel drives run {run_id!r}. It has only just begun, so its name is not in the store yet. "
            "Wait for the run to end, cancel it there (run.cancel()), or stop that kernel."
        )
    return (
        f"another kernel drives run {run_id!r}: {_describe(holder)}. Wait for the run to end, cancel it there "
        "(run.cancel()), or stop that kernel. Then run this cell again, which resumes the run."
    )


def _message_elsewhere(run_id: str, holder: Holder) -> str:
    until = _utc(_number(holder, "since") + TIME_TO_LIVE)
    return (
        f"a kernel on another machine drives run {run_id!r}: {_describe(holder)}. Wait for the run to end, or "
        "cancel it there (run.cancel()). If that kernel is gone, for instance because the store was moved to this "
        f"machine, set the environment variable {SINGLE_MACHINE}=1 and run this cell again. After {until} UTC, the "
        "run can be resumed here without the variable."
    )


def _describe(holder: Holder) -> str:
    notebook = f", notebook {holder['notebook']}" if holder.get("notebook") else ""
    since = _utc(_number(holder, "since"))
    return f"process {holder.get('pid')} on {holder.get('host')}{notebook}, since {since} UTC"


def _utc(timestamp: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(timestamp))
