"""A client that sends or reads slowly holds its connection for a while, and not for ever."""

import contextlib
import socket
import time
from collections.abc import Iterator
from itertools import chain, repeat

import httpx
import pytest
from serving import check, live, said, settings

HEAD = b"POST /v1/moderations HTTP/1.1\r\nHost: localhost\r\n"
JSON = b"Content-Type: application/json\r\n"
LONG = b"Content-Length: 100000\r\n\r\n"
WHOLE = b'Content-Length: 15\r\n\r\n{"input": "hi"}'
DRIPS = {
    "nothing": [],
    "a head": repeat(b"X"),
    "a head of many lines": chain([HEAD], repeat(b"X-A: b\r\n")),
    "a body": chain([HEAD + JSON + LONG], repeat(b" ")),
    "a body that was refused": chain([HEAD + LONG], repeat(b" ")),
    "a second head": chain([HEAD + JSON + WHOLE], repeat(b"X")),
}


@pytest.fixture(scope="module")
def hasty() -> Iterator[str]:
    with live(settings(limits={"body_seconds": 0.5})) as address:
        yield address


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    with live() as address:
        yield address


def connected(base: str) -> socket.socket:
    host, port = base.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=0.05)


@pytest.mark.parametrize("what", DRIPS)
def test_a_connection_that_drips_is_closed(hasty: str, what: str) -> None:
    with connected(hasty) as slow:
        until, drips = time.monotonic() + 30, iter(DRIPS[what])
        closed = False
        while not closed and time.monotonic() < until:
            try:
                slow.sendall(next(drips, b""))
                closed = slow.recv(10_000) == b""
            except TimeoutError:
                continue  # waits: the next drip
            except OSError:
                closed = True
        assert closed, what


def test_a_connection_that_rests_between_requests_stays() -> None:
    with live(settings(limits={"body_seconds": 2})) as base, httpx.Client() as client:
        first = client.get(f"{base}/ready")
        time.sleep(3)  # longer than a head may take
        second = client.get(f"{base}/ready")
        streams = [each.extensions["network_stream"].get_extra_info("client_addr") for each in (first, second)]
        assert first.status_code == second.status_code == 200 and streams[0] == streams[1]


def test_two_requests_in_one_piece_are_both_answered(base: str) -> None:
    with connected(base) as sock:
        sock.sendall((HEAD + JSON + WHOLE) * 2)
        found, until = b"", time.monotonic() + 10
        while found.count(b'"flagged":false') < 2 and time.monotonic() < until:
            with contextlib.suppress(TimeoutError):
                found += sock.recv(10_000)
        assert found.count(b"HTTP/1.1 200") == 2


def test_slow_ones_do_not_keep_others_out(base: str) -> None:
    slow = [connected(base) for _ in range(50)]
    for each in slow:
        each.sendall(HEAD)
    assert check(base, [said("hi")])["verdict"] == "allow"
    for each in slow:
        each.close()
