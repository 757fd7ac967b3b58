"""Signed pickles, for tasks with `codec="pickle"`.

Loading a pickle can run any code. So each pickle is signed with a key outside the store, and a pickle without a
valid signature, such as one that another person added to the store, is refused without being loaded.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import sys
from pathlib import Path
from typing import Any

from ..errors import BadSignatureError, InvalidOptionError, NotStorableError, ValueNotLoadedError
from . import pickling
from .json_text import dumps
from .names import kind_of, type_name
from .tagged import Blobs, Encoded, Reader, Writer

_DOMAIN = b"trigger_nb signed pickle 1\0"


def encode_signed(value: Any, blobs: Blobs) -> Encoded:
    """A value as a pickle that is signed with this user's key.

    Raises `NotStorableError` if the value cannot be pickled, and `InvalidOptionError` if cloudpickle is not
    installed.
    """
    _cloudpickle()
    try:
        data = pickling.dumps(value)
    except Exception as error:
        kind = type_name(kind_of(value))
        raise NotStorableError("$", kind, f"it cannot be pickled: {error}") from error
    return Encoded("signed", dumps({"pickle": Writer(blobs).data(data), "signature": _sign(data)}))


def decode_signed(data: dict[str, Any], blobs: Blobs) -> Any:
    """The value of a signed pickle. Raises `BadSignatureError` unless this user's key signed it."""
    pickled = Reader(blobs).data(data["pickle"])
    if not hmac.compare_digest(_sign(pickled).encode(), str(data["signature"]).encode()):
        raise BadSignatureError(
            "a value that was stored as a pickle was not signed with this user's key, so it is not loaded: "
            f"loading a pickle can run any code. The key is {key_file()}. If the value was written with another key "
            "that you trust, set TRIGGER_NB_KEY_FILE to that key's file. Otherwise run the task again."
        )
    cloudpickle = _cloudpickle()
    try:
        return cloudpickle.loads(pickled)
    except Exception as error:
        raise ValueNotLoadedError(
            f"a value that was stored as a pickle cannot be loaded here: {type(error).__name__}: {error}. "
            "It is still in the store: import or define the classes that it needs, then run this cell again."
        ) from error


def _cloudpickle() -> Any:
    try:
        import cloudpickle  # pyright: ignore[reportMissingTypeStubs]
    except ImportError as error:
        raise InvalidOptionError(
            'codec="pickle" needs the package cloudpickle: pip install "trigger_nb[pickle]"'
        ) from error
    return cloudpickle


def _sign(data: bytes) -> str:
    return hmac.new(_key(), _DOMAIN + data, hashlib.sha256).hexdigest()


def key_file() -> Path:
    """The file of this user's key: `TRIGGER_NB_KEY_FILE`, or a file in the user's data folder."""
    named = os.environ.get("TRIGGER_NB_KEY_FILE")
    if named:
        return Path(named).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "trigger_nb" / "signing.key"


def _key() -> bytes:
    file = key_file()
    try:
        key = file.read_bytes()
    except FileNotFoundError:
        key = _make_key(file)
    if os.name == "posix" and file.stat().st_mode & 0o077:
        raise BadSignatureError(
            f"the key {file} can be read by other users, so its signatures prove nothing. "
            f"Make it private: chmod 600 {file}"
        )
    if len(key) < 32:
        raise BadSignatureError(
            f"the key {file} is shorter than 32 bytes. Delete it, and a new key is created"
        )
    return key


def _make_key(file: Path) -> bytes:
    import secrets

    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = secrets.token_bytes(32)
    # Written under another name first, because another kernel must never read half a key.
    fresh = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(key)
    try:
        os.link(fresh, file)
    except FileExistsError:  # another kernel was first
        return file.read_bytes()
    finally:
        fresh.unlink()
    return key
