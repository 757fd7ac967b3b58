"""The credentials in use are in nothing that is kept or shown, wherever they come from (S8)."""

from __future__ import annotations

import io
import logging

import pytest

from trigger_nb import TriggerClient
from trigger_nb._redact import HIDDEN, Secrets, secrets
from trigger_nb._values.error_reading import error_or_stand_in
from trigger_nb._values.errors import encode_error

pytestmark = pytest.mark.anyio

SECRET = 'canary-"0123\\456789é'


@pytest.fixture(autouse=True)
def _known(monkeypatch):
    monkeypatch.setattr(secrets, "_known", ())
    secrets.add(SECRET)


class Refused(Exception):
    """An error with the credential in its message, in an attribute, and deeper."""

    def __init__(self, told):
        super().__init__(f"refused: {told}")
        self.told = told
        self.headers = [told]


class Stubborn(Exception):
    def __str__(self):
        raise RuntimeError("no text")

    def __setattr__(self, name, value):
        raise AttributeError(name)


def holds_secret(data):
    return b"canary" in data  # however the rest of it is written


def test_hiding_takes_out_each_form():
    assert secrets.hide(f"a {SECRET} b") == f"a {HIDDEN} b"
    assert secrets.hide_in({"k": [SECRET, 1, None, {"deep": f"x{SECRET}"}]}) == {
        "k": [HIDDEN, 1, None, {"deep": f"x{HIDDEN}"}]
    }
    assert secrets.hide_in_bytes(f"a {SECRET}".encode()) == f"a {HIDDEN}".encode()
    assert "canary" not in secrets.hide(repr({"key": SECRET}))


def test_what_is_short_is_no_secret():
    known = Secrets()
    known.add("")
    known.add("a")
    assert known.hide("banana") == "banana"


def test_of_two_the_longer_one_goes_first():
    known = Secrets()
    known.add("secret-1")
    known.add("secret-1-and-more")
    assert known.hide("secret-1-and-more") == HIDDEN


def test_an_error_is_cleaned_in_place_and_all_that_belongs_to_it():
    error = ExceptionGroup("all", [Refused(SECRET)])
    error.__cause__ = Refused(SECRET)
    error.__cause__.__context__ = error  # a circle
    error.add_note(f"with {SECRET}")
    secrets.hide_in_error(error)
    inner = error.exceptions[0]
    assert str(inner) == f"refused: {HIDDEN}"
    assert (inner.told, inner.headers) == (HIDDEN, [HIDDEN])
    assert str(error.__cause__) == f"refused: {HIDDEN}"
    assert error.__notes__ == [f"with {HIDDEN}"]


class Password(ValueError):
    """Its name, and that of a field of its record, are what weak passwords are."""


@pytest.mark.parametrize("word", ["Password", "message", "traceback", "ValueError"])
def test_a_credential_that_is_a_word_does_not_break_the_record_of_an_error(word):
    """R4: it is hidden in what the error says, and the error comes back as what it was."""
    secrets.add(word)
    data = encode_error(Password(f"wrong: {word}"))
    error = error_or_stand_in(data)
    assert type(error) is Password
    assert error.args == (f"wrong: {HIDDEN}",)
    assert data["message"] == f"wrong: {HIDDEN}"


def test_one_that_cannot_be_cleaned_is_left():
    secrets.hide_in_error(Stubborn(SECRET))


async def test_no_part_of_a_run_keeps_it(tmp_path):
    """In the store's bytes, the tree, the page: of an error, a print, a log line, a name, params, properties."""
    client = TriggerClient("leaks", dir=tmp_path, display=False)
    caught = []

    @client.job
    async def leak(payload, io):
        line = f"using {SECRET}"
        io.logger.info(line, {"key": SECRET})

        async def fail(task):
            print("sending", SECRET)
            task.log(f"sent {SECRET}", [SECRET])
            task.output_properties = {"Key": SECRET}
            raise Refused(SECRET)

        try:
            await io.run_task(
                "a",
                fail,
                name=f"with {SECRET}",
                description=SECRET,
                params={"key": SECRET},
                properties={"Key": SECRET, SECRET: "key"},
            )
        except Refused as error:
            caught.append(str(error))

        async def say(task):
            task.output_properties = {"Key": SECRET}

        await io.run_task("b", say, params=SECRET)
        raise Refused(SECRET)

    with pytest.raises(Refused, match=HIDDEN):
        await leak.run()
    assert caught == [f"refused: {HIDDEN}"]
    run = client.runs()[0]
    run.export_html(tmp_path / "page.html")
    assert "canary" not in str(run.tree())
    held = [path.name for path in tmp_path.rglob("*") if path.is_file() and holds_secret(path.read_bytes())]
    assert held == []


async def test_a_result_is_given_back_as_it_was(tmp_path):
    """R2 comes before: a value is what the body returned, in the first pass and later."""
    client = TriggerClient("values", dir=tmp_path, display=False)

    @client.job
    async def give(payload, io):
        return await io.run_task("token", lambda: SECRET)

    assert [await give.run(), await give.run()] == [SECRET, SECRET]


async def test_what_a_body_prints_and_logs_is_masked_where_it_goes_too(tmp_path, capsys):
    """A cell's output is saved with the notebook, and SDKs log what they send."""
    client = TriggerClient("masks", dir=tmp_path, display=False)
    stream = io.StringIO()
    logger = logging.getLogger("sdk")
    logger.addHandler(handler := logging.StreamHandler(stream))

    @client.job
    async def talk(payload, io):
        def body():
            logger.warning("sending %s with %s", {"Authorization": SECRET}, SECRET)
            logger.warning("plain %d", 7)
            return print("key:", SECRET)

        await io.run_task("talk", body)

    try:
        await talk.run()
    finally:
        logger.removeHandler(handler)
    assert capsys.readouterr().out == f"key: {HIDDEN}\n"
    assert stream.getvalue() == f"sending {{'Authorization': '{HIDDEN}'}} with {HIDDEN}\nplain 7\n"
    assert "canary" not in client.runs()[0].task("talk").prints
