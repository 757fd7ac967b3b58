"""The way home for what bodies report while they run: data, signed, and never in a body's way."""

from __future__ import annotations

import contextlib
import json
import socket
import threading

import pytest

from tests.remote.effects import PATIENCE, wait_for
from trigger_nb._remote.listener import _MOST_STRANGERS, Listener
from trigger_nb._remote.reporter import Reporter, Route, sender, sign
from trigger_nb._remote.worker import RemoteTask, TaskFacts


@pytest.fixture
def home():
    """A home, its route, and what a task with the token "t" has told it."""
    listener, told = Listener(), []
    listener.subscribe("t", told.append)
    return listener, listener.loopback_route(), told


def send_raw(route, data):
    with socket.create_connection(("127.0.0.1", route.port)) as connection:
        connection.sendall(data)
        connection.settimeout(PATIENCE)
        return connection.recv(1)  # b"": it was closed


def test_a_message_comes_home_to_its_task(home):
    listener, route, told = home
    send = sender(route)
    send(json.dumps({"task": "other", "n": 1}))
    send(json.dumps({"task": "t", "n": 2}))
    wait_for(lambda: told)
    assert told == [{"task": "t", "n": 2}]
    listener.unsubscribe("t")
    send(json.dumps({"task": "t", "n": 3}))
    listener.subscribe("end", told.append)
    send(json.dumps({"task": "end"}))
    wait_for(lambda: len(told) == 2)
    assert told[1] == {"task": "end"}


def test_a_stranger_is_not_listened_to(home):
    _, route, told = home
    message = json.dumps({"task": "t"}).encode()
    for data in (
        message + b"\n",
        sign(b"another key", message) + b" " + message + b"\n",
        b"x" * 1_000_000 + b"\n",
    ):
        try:
            assert send_raw(route, data) == b""
        except ConnectionError:
            pass  # closed while it was still sending
    signed_but_none = b"[]"
    sender(route)("no JSON")
    sender(route)(signed_but_none.decode())
    sender(route)(json.dumps({"task": "t", "ok": True}))
    wait_for(lambda: told)
    assert told == [{"task": "t", "ok": True}]


def test_where_no_way_leads_home_the_body_does_not_notice():
    assert sender(Route()) is None
    assert sender(Route("tcp", host="another-machine", port=1)) is None
    assert sender(Route("dask", topic="t")) is None  # not on a worker of Dask's
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    sender(Route("tcp", host=socket.gethostname(), port=port))("lost")
    task = RemoteTask(TaskFacts("r", "p", "k", 1, "i", "t", Route(), ("", 0)), Reporter(), None)
    task.progress(1, 2)
    task.log("kept", {"object": object})
    assert json.loads(task.lines[0])[:2] == ["info", "kept"]


def test_of_much_progress_only_the_latest_is_sent():
    sent, reporter, all_told = [], Reporter(), threading.Event()

    def send(text):
        assert all_told.wait(PATIENCE)
        sent.append(json.loads(text)["done"])

    for n in range(1000):
        reporter.send_progress(send, "t", {"done": n})
    all_told.set()
    wait_for(lambda: sent and sent[-1] == 999)
    assert len(sent) <= 2  # what was being sent when the rest came, and the last


def test_a_home_that_does_not_answer_holds_up_no_body():
    sent, reporter, answers = [], Reporter(), threading.Event()

    def hang(text):
        assert answers.wait(PATIENCE)
        sent.append(text)

    for n in range(100):
        reporter.send(hang, "t", {"n": n})
        reporter.send_progress(hang, "t", {"done": n})
    reporter.forget("t")
    assert sent == []
    answers.set()


def test_connections_of_strangers_are_closed_again_and_keep_no_worker_out(home):
    _, route, told = home
    strangers = [socket.create_connection(("127.0.0.1", route.port)) for _ in range(200)]
    try:
        for connection in strangers[: 200 - _MOST_STRANGERS]:
            connection.settimeout(PATIENCE)
            with contextlib.suppress(ConnectionError):
                assert connection.recv(1) == b""
        sender(route)(json.dumps({"task": "t", "n": 1}))
        wait_for(lambda: told)
        assert told == [{"task": "t", "n": 1}]
    finally:
        for connection in strangers:
            connection.close()
