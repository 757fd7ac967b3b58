"""The services on the loopback, by themselves."""

from __future__ import annotations

import socket

from tests.support.fakes import FakeHTTP


def test_a_request_that_is_cut_short_is_none():
    """A client that is killed while it sends has asked for nothing, and its key is still free."""
    head = b"POST /orders HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: k\r\nContent-Length: 8\r\n\r\n"
    with FakeHTTP() as service:
        address = "127.0.0.1", int(service.url.rpartition(":")[2])
        with socket.create_connection(address) as killed:
            killed.sendall(head + b"item=")
            killed.shutdown(socket.SHUT_WR)
            assert killed.recv(1) == b""
        with socket.create_connection(address) as again:
            again.sendall(head + b"item=hat")
            assert again.recv(12) == b"HTTP/1.1 201"
        assert [effect["sent"] for effect in service.effects] == [{"item": "hat"}]
