"""Signed pickles, for tasks with `codec="pickle"`.

Loading a pickle can run any code. So each pickle is signed with a key outside the store, and a pickle without a
valid signature, such as one that another person added to the store, is refused without being loaded. A signature
holds for one place, so that a pickle cannot be copied to where another value is expected.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import BadSignatureError, InvalidOptionError, NotStorableError, ValueNotLoadedError
from . import pickling
from .json_text import dumps
from .names import kind_of, type_name
from .tagged import Blobs, Encoded, Reader, Writer

_DOMAIN = b"trigger_nb signed pickle 2\0"
_BOUND = "2:"  # how a signature for a place begins
_DOMAIN_1 = b"trigger_nb signed pickle 1\0"  # up to November 2026: without a place


class Place(NamedTuple):
    """Where a signed pickle belongs: to one result of one task. It is loaded nowhere else."""

    run_id: str
    path: str
    generation: int
    is_call: bool = False  # the call of the task says codec="pickle", and is not only the record that does


def encode_signed(value: Any, blobs: Blobs, place: Place) -> Encoded:
    """A value as a pickle that is signed with this user's key, for one place.

    Raises `NotStorableError` if the value cannot be pickled, and `InvalidOptionError` if cloudpickle is not
    installed.
    """
    _cloudpickle()
    try:
        data = pickling.dumps(value)
    except Exception as error:
        kind = type_name(kind_of(value))
        raise NotStorableError("$", kind, f"it cannot be pickled: {error}") from error
    return Encoded("signed", dumps({"pickle": Writer(blobs).data(data), "signature": _sign(data, place)}))


def decode_signed(data: dict[str, Any], blobs: Blobs, place: Place | None) -> Any:
    """The value of a signed pickle. Raises `BadSignatureError` unless this user's key signed it for this place.

    A signature of up to November 2026 names no place, so it only counts where the call says codec="pickle".
    """
    if place is None:
        raise BadSignatureError(
            "a value is stored as a pickle where none is asked for, so it is not loaded: loading a pickle can run any code. If "
            'its task had codec="pickle" when it ran, say so again. Otherwise run the task again.'
        )
    pickled = Reader(blobs).data(data["pickle"])
    signature = str(data["signature"])
    is_bound = signature.startswith(_BOUND)
    if not is_bound and not place.is_call:
        raise BadSignatureError(
            "a value that was stored as a pickle has a signature of an earlier version, which does not say where the value "
            "belongs. It is only loaded when the call of its task is replayed: run the cell of the job."
        )
    ours = _sign(pickled, place) if is_bound else _digest(_DOMAIN_1 + pickled)
    if not hmac.compare_digest(ours.encode(), signature.encode()):
        raise BadSignatureError(
            "a value that was stored as a pickle was not signed with this user's key for this place, so it is not loaded: "
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


def moved(data: dict[str, Any], blobs: Blobs, place: Place, to: Place) -> dict[str, Any]:
    """The data of a signed pickle for another place, where a fork has copied it to; unchanged if it was not signed for its own."""
    pickled = Reader(blobs).data(data["pickle"])
    if not hmac.compare_digest(_sign(pickled, place).encode(), str(data["signature"]).encode()):
        return data
    return {**data, "signature": _sign(pickled, to)}


def _cloudpickle() -> Any:
    try:
        import cloudpickle  # pyright: ignore[reportMissingTypeStubs]
    except ImportError as error:
        raise InvalidOptionError(
            'codec="pickle" needs the package cloudpickle: pip install "trigger_nb[pickle]"'
        ) from error
    return cloudpickle


def _sign(data: bytes, place: Place) -> str:
    where = dumps([place.run_id, place.path, place.generation]).encode("ascii")
    return _BOUND + _digest(_DOMAIN + where + b"\0" + data)


def _digest(data: bytes) -> str:
    return hmac.new(_key(), data, hashlib.sha256).hexdigest()


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
