"""Which Chromium the tests use: `python -m tests.browser.chromium` finds it, or gets one.

One that is there is used as it is, and nothing is asked of the network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache

VARIABLE = "TRIGGER_NB_CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
PACKAGES = ("chromium", "fonts-dejavu-core")  # without a font it draws no letters

HELP = f"""\
The tests in tests/browser need Chromium or Chrome, none was found, and it could not be installed.
Install one of these, whichever is easiest:
  apt-get install chromium             (Debian; with sudo)
  {sys.executable} -m playwright install --with-deps chromium
or say where one is: {VARIABLE}=/path/to/chromium make test"""


@cache
def find() -> str | None:
    """The path of a Chromium that starts, or None. Raises `LookupError` when the one that was named does not."""
    if named := os.environ.get(VARIABLE):
        if not _starts(named):
            raise LookupError(f"{VARIABLE}={named} is no Chromium that starts")
        return named
    on_path = filter(None, map(shutil.which, NAMES))
    return next(filter(_starts, [*on_path, *filter(os.path.exists, MAC)]), None) or _of_playwright()


def get() -> str | None:
    """The path of a Chromium, which is installed if there was none; None when that did not work."""
    for install in (_with_apt, _with_playwright):
        if found := find():
            return found
        install()
        find.cache_clear()
    return find()


def _starts(path: str) -> bool:
    """Ubuntu's `chromium-browser` is a script that only says to install something else."""
    try:
        done = subprocess.run(
            [path, "--version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=240, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and b"Chrom" in done.stdout


def _of_playwright() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if os.path.exists(path) and _starts(path) else None


def _with_apt() -> None:
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if shutil.which("apt-get") is None or (sudo and not _succeeds("sudo", "-n", "true")):
        return
    print("Installing Chromium with apt-get (once) ...", flush=True)
    apt = [*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
    _succeeds(*apt, "update")  # the lists may be missing
    _succeeds(*apt, "install", "-y", "--no-install-recommends", *PACKAGES)


def _with_playwright() -> None:
    print("Installing Chromium with Playwright (once) ...", flush=True)
    _succeeds(sys.executable, "-m", "playwright", "install", "chromium")


def _succeeds(*command: str) -> bool:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)
    except OSError:
        return False
    return done.returncode == 0


def main() -> None:
    try:
        found = get()
    except LookupError as error:
        sys.exit(str(error))
    sys.exit(None if found else HELP)


if __name__ == "__main__":
    main()
