"""Signed pickles, an opt-in (S2)."""

from __future__ import annotations

import json
import os
import pickle
import stat

import pytest

from tests.support.codec import MemoryBlobs
from trigger_nb._fingerprint.fingerprints import Fingerprints
from trigger_nb._values.codec import load
from trigger_nb._values.signed_pickle import Place, decode_signed, encode_signed as encode_at, moved
from trigger_nb.errors import BadSignatureError, NotStorableError


@pytest.fixture(autouse=True)
def key(tmp_path, monkeypatch):
    file = tmp_path / "keys" / "signing.key"
    monkeypatch.setenv("TRIGGER_NB_KEY_FILE", str(file))
    return file


class Evil:
    """Unpickling it leaves a mark."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


HERE = Place("run_1", "deploy", 0, is_call=True)


def encode_signed(value, blobs):
    return encode_at(value, blobs, HERE)


def read(encoded, blobs, place=HERE):
    assert encoded.form == "signed"
    return load(encoded.form, json.loads(encoded.text), blobs, place=place)


@pytest.mark.parametrize("size", [1, 100_000])
def test_what_this_user_pickled_comes_back(size):
    """S2: cloudpickle, so functions of a cell too; large ones lie in a file."""
    blobs = MemoryBlobs()
    data = "x" * size
    assert read(encode_signed(lambda: len(data), blobs), blobs)() == size
    assert bool(blobs.files) == (size > 1)


def test_code_that_comes_back_knows_its_file():
    """Tracebacks lead to the cell, also after a replay: whose value replaces the methods of the class by its own."""

    class Kept:
        def method(self):
            return lambda: None

    blobs = MemoryBlobs()
    kept, function = read(encode_signed((Kept(), lambda: None), blobs), blobs)
    assert type(kept) is Kept
    for each in (function, Kept.method, kept.method()):
        assert each.__code__.co_filename == __file__
    assert Fingerprints().of(function) == Fingerprints().of(lambda: None)


def test_the_key_is_private_and_is_kept(key):
    """S2: outside the store, mode 0600, the same one next time."""
    blobs = MemoryBlobs()
    encoded = encode_signed(1, blobs)
    first = key.read_bytes()
    assert len(first) == 32
    if os.name == "posix":
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    encode_signed(2, blobs)
    assert key.read_bytes() == first
    assert [path.name for path in key.parent.iterdir()] == [key.name]
    assert read(encoded, blobs) == 1


def test_a_changed_pickle_is_refused_unread(tmp_path):
    """S2: a bad signature is refused before a byte is loaded."""
    blobs = MemoryBlobs()
    encoded = encode_signed(1, blobs)
    data = json.loads(encoded.text)
    import base64

    data["pickle"]["b64"] = base64.b64encode(pickle.dumps(Evil(tmp_path / "mark"))).decode()
    for signature in (data["signature"], data["signature"][2:], "", "é", None):
        data["signature"] = signature
        with pytest.raises(BadSignatureError, match="not signed with this user's key"):
            decode_signed(data, blobs, HERE)
    assert not (tmp_path / "mark").exists()


def test_another_users_pickle_is_refused(key, monkeypatch, tmp_path):
    """S2: a store that somebody handed over."""
    blobs = MemoryBlobs()
    encoded = encode_signed(Evil(tmp_path / "mark"), blobs)
    monkeypatch.setenv("TRIGGER_NB_KEY_FILE", str(tmp_path / "other.key"))
    with pytest.raises(BadSignatureError, match=r"other\.key"):
        read(encoded, blobs)
    assert not (tmp_path / "mark").exists()
    monkeypatch.setenv("TRIGGER_NB_KEY_FILE", str(key))
    read(encoded, blobs)
    assert (tmp_path / "mark").exists(), "the test's pickle does what it is said to do"


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_key_that_others_can_read_is_refused(key):
    """S2"""
    blobs = MemoryBlobs()
    encoded = encode_signed(1, blobs)
    key.chmod(0o644)
    with pytest.raises(BadSignatureError, match="chmod 600"):
        read(encoded, blobs)


def test_what_cannot_be_pickled_is_refused():
    """S4: then the result is treated as any that cannot be stored."""
    with pytest.raises(NotStorableError, match="cannot be pickled"):
        encode_signed((n for n in ()), MemoryBlobs())


@pytest.mark.parametrize(
    "elsewhere",
    [
        HERE._replace(run_id="run_2"),
        HERE._replace(path="name"),
        HERE._replace(generation=1),
        None,
    ],
)
def test_a_pickle_that_is_pasted_into_another_place_is_not_loaded(elsewhere, tmp_path):
    """S2: into another run or task, an earlier result into a later one, or where nobody asked for a pickle."""
    blobs = MemoryBlobs()
    encoded = encode_signed(Evil(tmp_path / "mark"), blobs)
    with pytest.raises(BadSignatureError):
        read(encoded, blobs, elsewhere)
    assert not (tmp_path / "mark").exists()


def test_a_pickle_of_an_earlier_version_is_loaded_only_by_a_call_that_asks_for_it(tmp_path):
    """S2: its signature names no place."""
    import hashlib
    import hmac

    blobs = MemoryBlobs()
    data = json.loads(encode_signed(Evil(tmp_path / "mark"), blobs).text)
    import base64

    signed = b"trigger_nb signed pickle 1\0" + base64.b64decode(data["pickle"]["b64"])
    with open(os.environ["TRIGGER_NB_KEY_FILE"], "rb") as key:
        data["signature"] = hmac.new(key.read(), signed, hashlib.sha256).hexdigest()
    for place in (None, HERE._replace(is_call=False)):
        with pytest.raises(BadSignatureError):
            decode_signed(data, blobs, place)
    assert not (tmp_path / "mark").exists()
    decode_signed(data, blobs, HERE)
    assert (tmp_path / "mark").exists()
    assert moved(data, blobs, HERE, HERE) == data, "a fork does not sign what was signed for no place"
