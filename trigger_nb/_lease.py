"""One run is driven by one kernel at a time (rule C5).

On one machine an operating-system lock says who: it is held by the kernel's process and ends with
it, whatever the kernel was doing, so *alive means locked* and nobody has to guess from a heartbeat.
A lock does not reach other machines. There the kernel that is written down as the run's holder is
taken for alive while its heartbeat, a small file beside the database, is less than `TIME_TO_LIVE`
old; after that another may take over, and the former one finds out (`Lease.lost`).

The plain path costs no commit: the holder goes into the run's record, which the engine writes anyway
at the beginning of a pass, and the first heartbeat comes after `INTERVAL`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import socket
import sys
import threading
import time
from collections.abc import Generator
from functools import cache
from os import getpid
from pathlib import Path
from typing import Any

from ._files import is_file, is_folder, make_folder, open_file, read_file
from .errors import RunLockedError, StoreError

# For how many seconds a kernel on another machine is taken for alive after its last heartbeat.
TIME_TO_LIVE = 60.0
# How often a kernel beats: two beats in a row may fail.
INTERVAL = TIME_TO_LIVE / 3
# A heartbeat that is older is nobody's, in seconds.
_LONG_DEAD = 86_400.0

_BEAT = re.compile(r"[0-9a-f]{16}\.beat\Z")


def acquire(
    store: Path, run_id: str, recorded: dict[str, Any] | None = None, *, now: float | None = None
) -> Lease:
    """Take the lease of a run, or raise `RunLockedError`, which names who has it.

    `recorded` is what the run's record says of its holder (`RunRecord.holder`) at this moment, or
    None. `now` is the machine's time in seconds since the epoch, for tests.
    """
    now = time.time() if now is None else now
    holder = {**_this_kernel(getpid()), "since": now, "token": secrets.token_hex(8)}
    with _reach(store, run_id):
        lock = _Lock(store, run_id)
        if not lock.take():
            raise RunLockedError(_message(run_id, recorded if _may_be_living(recorded) else None))
        try:
            _take_over(store, run_id, recorded, holder)
        except BaseException:
            lock.give_back()
            raise
    return Lease(store, lock, holder)


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


def is_held(store: Path, run_id: str, recorded: dict[str, Any]) -> bool:
    """Whether a run is driven by a kernel that lives, where `recorded` is written down as its holder."""
    with _reach(store, run_id):
        if _on_this_machine(recorded):
            return _Lock(store, run_id).is_taken()
        beaten_at = float(_read(_beat_file(store, recorded)).get("at") or recorded.get("since") or 0.0)
        return time.time() - beaten_at < TIME_TO_LIVE


def sweep(store: Path) -> None:
    """Remove heartbeats of kernels that died long ago.

    What was written to tell a kernel that another took over from it stays: it may only be asleep.
    """
    if not is_folder(store / "leases"):
        return
    for path in (store / "leases").glob("*.beat"):
        with contextlib.suppress(OSError):
            if _BEAT.match(path.name) and is_file(path) and time.time() - path.stat().st_mtime > _LONG_DEAD:
                path.unlink()


class Lease:
    """The right to drive one run. `release` gives it back; so does the end of the process.

    `holder` is for `RunRecord.holder`: host, boot, pid, started (of the process, in its machine's own
    unit), notebook, since, token.
    """

    def __init__(self, store: Path, lock: _Lock, holder: dict[str, Any]) -> None:
        self.holder = holder
        self._lock = lock
        self._beat_file = _beat_file(store, holder)
        self._claim_file = _claim_file(store, holder)
        self._mutex = threading.Lock()
        self._lost = False
        self._beaten_at = time.monotonic()
        _process().heart.add(self)

    @property
    def lost(self) -> bool:
        """Whether this kernel may not drive the run any more. Ask before changing the run's status.

        True for good once another kernel took over, after `release`, and in a forked child.
        """
        with self._mutex:
            # Taking the lock once more keeps it: POSIX drops a process's lock when the file is closed
            # anywhere in it, as a copy of the store's directory made in the notebook does.
            if not self._lost and (not self._lock.keep() or self._overslept()):
                self._lost = True
            return self._lost

    def release(self) -> None:
        """Give the lease back. A second time does nothing."""
        process = _process()
        process.heart.remove(self)
        with self._mutex:
            self._lost = True
            self._lock.give_back()
        self._remove_beat()

    def beat(self) -> None:
        """Tell other machines that this kernel lives."""
        if self.lost:
            return
        if self._claim_file.exists():
            self._lost = True
            return
        # A beat that cannot be written must not end a run that is doing well. If none can be for
        # long, another machine may take over, and this one will find its claim.
        with contextlib.suppress(OSError):
            _write(self._beat_file, {"at": time.time()})
            self._beaten_at = time.monotonic()
        if self._lost:  # Released meanwhile.
            self._remove_beat()

    def _overslept(self) -> bool:
        """Whether another machine took over while this one was suspended or could not beat."""
        return time.monotonic() - self._beaten_at > TIME_TO_LIVE / 2 and self._claim_file.exists()

    def _remove_beat(self) -> None:
        if self._lock.pid == getpid():
            with contextlib.suppress(OSError):
                self._beat_file.unlink(missing_ok=True)


# This machine: the lock


class _Lock:
    """A lock on one byte of the store's lock file: the byte stands for the run.

    One file for all runs, opened once a process and never closed, since closing it would drop the
    locks on all of them. A forked child does not inherit the lock, though it has the file open.
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
        """Whether the lock is ours now, and was nobody's before."""
        held = self._process.held
        with self._process.mutex:
            # The system knows processes only: within this one we must know ourselves.
            if (self._file, self._byte) in held or not _try_lock(self._file, self._byte):
                return False
            held.add((self._file, self._byte))
            return True

    def is_taken(self) -> bool:
        """Whether some process has the lock, this one or another; looked at, not touched."""
        with self._process.mutex:
            return (self._file, self._byte) in self._process.held or _is_locked(self._file, self._byte)

    def keep(self) -> bool:
        """Whether the lock is still ours, taking it again where it got lost."""
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
    """What this process holds; a forked child begins with nothing."""

    def __init__(self) -> None:
        self.pid = getpid()
        self.mutex = threading.Lock()
        self.held: set[tuple[int, int]] = set()  # file and byte of the locks taken
        self.heart = _Heart()
        self._files: dict[Path, tuple[int, tuple[int, int]]] = {}

    def lock_file(self, path: Path) -> int:
        """The descriptor of a lock file, opened anew only when the file was replaced."""
        with self.mutex:
            known = self._files.get(path)
            if known is not None and known[1] == _identity(path):
                return known[0]
            # One that was replaced stays open: whoever holds a lock in it keeps that much.
            file = open_file(path, os.O_RDWR | os.O_CREAT)
            status = os.fstat(file)
            self._files[path] = (file, (status.st_dev, status.st_ino))
            return file


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


# Other machines: the heartbeat


class _Heart:
    """The thread that beats for all leases of this process. It is never the event loop, which may
    stand still under a long cell. It ends when it finds nothing to beat for."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._leases: set[Lease] = set()
        self._thread: threading.Thread | None = None

    def add(self, lease: Lease) -> None:
        with self._mutex:
            self._leases.add(lease)
            if self._thread is None:
                self._thread = threading.Thread(target=self._beat, name="trigger_nb-heartbeat", daemon=True)
                self._thread.start()

    def remove(self, lease: Lease) -> None:
        with self._mutex:
            self._leases.discard(lease)

    def _beat(self) -> None:
        while True:
            time.sleep(INTERVAL)
            with self._mutex:
                leases = list(self._leases)
                if not leases:
                    self._thread = None
                    return
            for lease in leases:
                lease.beat()


_current: _Process | None = None


def _process() -> _Process:
    global _current
    if _current is None or _current.pid != getpid():
        _current = _Process()
    return _current


def _take_over(store: Path, run_id: str, recorded: dict[str, Any] | None, holder: dict[str, Any]) -> None:
    """See to it that nobody else drives the run: not the recorded holder, nor who took over from it.

    We have the lock, so a holder on this machine is dead. One on another machine is when its
    heartbeat has stopped; that we take over is then written where it looks.
    """
    while recorded:
        claim = _claim_file(store, recorded)
        if claim.exists():
            recorded = _read(claim)
            continue
        if _on_this_machine(recorded):
            return
        beaten_at = float(_read(_beat_file(store, recorded)).get("at") or recorded.get("since") or 0.0)
        if holder["since"] - beaten_at < TIME_TO_LIVE:
            raise RunLockedError(_message(run_id, recorded, beaten_at))
        if _claim(claim, holder):
            return


def _beat_file(store: Path, holder: dict[str, Any]) -> Path:
    return _lease_file(store, holder, "beat")


def _claim_file(store: Path, holder: dict[str, Any]) -> Path:
    return _lease_file(store, holder, "taken")


def _lease_file(store: Path, holder: dict[str, Any], kind: str) -> Path:
    # Hashed: a token that was read from the database is not to name a file elsewhere.
    token = hashlib.sha256(str(holder.get("token")).encode()).hexdigest()[:16]
    return store / "leases" / f"{token}.{kind}"


def _claim(path: Path, holder: dict[str, Any]) -> bool:
    """Write `path`, unless another machine was quicker."""
    draft = path.with_name(f"{path.name}.{holder['token']}")
    _write(draft, holder)
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def _write(path: Path, data: dict[str, Any]) -> None:
    make_folder(path.parent)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    draft.write_text(json.dumps(data))
    draft.replace(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(read_file(path))
    except (FileNotFoundError, ValueError):
        return {}


# Who is who


@cache
def _this_kernel(pid: int) -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "boot": _read_line("/proc/sys/kernel/random/boot_id"),
        "pid": pid,
        "started": _started(pid),
        "notebook": os.environ.get("JPY_SESSION_NAME", ""),
    }


def _on_this_machine(holder: dict[str, Any]) -> bool:
    # The boot's id sees through containers, each of which has a host name of its own; the name knows
    # a machine that was started anew, and one that has no such id.
    ours = _this_kernel(getpid())
    return holder.get("host") == ours["host"] or (bool(ours["boot"]) and holder.get("boot") == ours["boot"])


def _may_be_living(holder: dict[str, Any] | None) -> bool:
    """Whether the recorded holder can be the one who has the lock: the record may be older."""
    if not holder or holder.get("host") != socket.gethostname() or sys.platform != "linux":
        return bool(holder)
    return _started(int(holder.get("pid") or 0)) == holder.get("started")


def _started(pid: int) -> int | None:
    """When a process started, in its machine's own unit; with the pid it names a process for good."""
    # The name in parentheses, which may hold anything, is the second field; this is the 22nd.
    fields = _read_line(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(fields[19]) if len(fields) > 19 else None


def _read_line(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return ""


def _message(run_id: str, holder: dict[str, Any] | None, beaten_at: float | None = None) -> str:
    if not holder:
        return (
            f"run {run_id!r} is driven by another kernel, which has only just begun and has not written "
            "down its name. Wait for it to end, or cancel the run there (run.cancel()) or stop that kernel."
        )
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(float(holder.get("since") or 0.0)))
    notebook = f", notebook {holder['notebook']}" if holder.get("notebook") else ""
    who = f"process {holder.get('pid')} on {holder.get('host')}{notebook}, since {since} UTC"
    if beaten_at is None:
        return (
            f"run {run_id!r} is driven by another kernel: {who}. Wait for it to end, or cancel the run there "
            "(run.cancel()) or stop that kernel; then run this cell again, which goes on where it was."
        )
    last = time.strftime("%H:%M:%S", time.gmtime(beaten_at))
    return (
        f"run {run_id!r} is driven by a kernel on another machine: {who}, last heard of at {last} UTC. Wait "
        "for it to end, or cancel the run there (run.cancel()). If it is dead, run this cell again "
        f"{TIME_TO_LIVE:g} s after it was last heard of, and the run goes on here."
    )
