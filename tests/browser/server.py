"""A Jupyter server for the tests: settings, folders and port of its own, nothing of whoever runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

ROOT = Path(__file__).parents[2]
TOKEN = "for-tests"
STARTS_WITHIN = 240.0  # seconds; only a server that does not start is waited for that long

# No news, no questions, and light or dark as the browser says it prefers.
SETTINGS: dict[str, dict[str, Any]] = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "apputils-extension/themes": {"adaptive-theme": True},
}
# Each page that is loaded would have the server ask Node.js whether JupyterLab is to be built.
PAGE_CONFIG = {"buildAvailable": False, "buildCheck": False}


class Server:
    """A running server. Notebooks lie in folders of `root`; both JupyterLab and Notebook 7 are served."""

    def __init__(self, url: str, root: Path, home: Path) -> None:
        self.url = url
        self.root = root
        self.home = home
        self._folders = 0

    def new_folder(self, name: str) -> Path:
        """An empty folder in which no other notebook lies: a notebook's store is beside it."""
        self._folders += 1
        folder = self.root / f"{name[:40]}-{self._folders}"
        folder.mkdir()
        return folder

    def stop_kernels(self) -> None:
        """Those of all notebooks."""
        for session in json.loads(self._request("GET", "/api/sessions")):
            self._request("DELETE", f"/api/sessions/{session['id']}")

    def _request(self, method: str, path: str) -> bytes:
        request = Request(self.url + path, method=method, headers={"Authorization": f"token {TOKEN}"})
        with urlopen(request, timeout=STARTS_WITHIN) as response:
            return response.read()


@contextmanager
def jupyter_server(directory: Path, *, without: Sequence[str] = ()) -> Iterator[Server]:
    """A server that is stopped, its kernels too, whatever happens. It has all extensions of its page but those `without`."""
    root, log = directory / "notebooks", directory / "server.log"
    root.mkdir()
    environment = _private(directory)
    (config := directory / "config" / "labconfig").mkdir()
    (config / "page_config.json").write_text(
        json.dumps(PAGE_CONFIG | {"disabledExtensions": dict.fromkeys(without, True)})
    )
    with log.open("wb") as out:
        process = subprocess.Popen(
            [
                sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root",
                "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0", f"--ServerApp.root_dir={root}",
                "--LabApp.expose_app_in_browser=True", "--JupyterNotebookApp.expose_app_in_browser=True",
                "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
            ],
            env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
        )  # fmt: skip
    try:
        url = _url(process, Path(environment["JUPYTER_RUNTIME_DIR"]), log)
        yield Server(url, root, directory)
    finally:
        process.terminate()  # it stops its kernels
        try:
            process.wait(STARTS_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _private(directory: Path) -> dict[str, str]:
    """The environment of the server and its kernels."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("JUPYTER", "JPY_"))}
    env.pop("TRIGGER_NB_DIR", None)
    for name in ("HOME", "IPYTHONDIR", "CONFIG", "DATA", "RUNTIME", "SETTINGS", "WORKSPACES"):
        path = directory / name.lower()
        path.mkdir(mode=0o700)
        lab = "LAB" if name in ("SETTINGS", "WORKSPACES") else ""
        env[name if name in ("HOME", "IPYTHONDIR") else f"JUPYTER{lab}_{name}_DIR"] = str(path)
    for name, settings in SETTINGS.items():
        file = directory / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(settings))
    return env | {"JUPYTER_TOKEN": TOKEN, "PYTHONPATH": str(ROOT)}


def _url(process: subprocess.Popen[bytes], runtime: Path, log: Path) -> str:
    """Where it listens, which it writes down once it does. Raises what it said when it does not start."""
    told = runtime / f"jpserver-{process.pid}.json"
    deadline = time.monotonic() + STARTS_WITHIN
    while not (written := _written(told)):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the Jupyter server did not start:\n{log.read_text()[-5000:]}")
        time.sleep(0.05)
    return f"http://127.0.0.1:{written['port']}"


def _written(file: Path) -> dict[str, Any]:
    """What is in the file; nothing while it is not there, or not yet whole."""
    try:
        return json.loads(file.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
