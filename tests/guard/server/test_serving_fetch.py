"""Images by address: only named hosts, only public addresses, and exactly the address that was checked."""

import asyncio
import http.server
import io
import threading
from collections.abc import Iterator
from typing import ClassVar

import PIL.Image
import pytest

from counterpoise.guard.server._config import Fetch
from counterpoise.guard.server._errors import ApiError
from counterpoise.guard.server.intake import _fetch

INNER = [
    "127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "::1", "::", "fe80::1", "fe80::1%eth0",
    "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::", "2001:db8::1", "::7f00:1", "fec0::1", "64:ff9b:1::7f00:1", "::5efe:7f00:1", "4000::1",
]  # fmt: skip
ADDRESSES = [
    "https://other.example/a.png", "http://img.example/a.png", "https://user@img.example/a.png",
    "https://user:pass@img.example/a.png", "https://img.example:22/a.png", "https://img.example.evil/a.png",
    "https://2130706433/", "https://0x7f000001/", "https://0177.0.0.1/", "https://127.1/", "https://[::1]/",
    "https://169.254.169.254/latest/meta-data", "file:///etc/passwd", "gopher://img.example/", "https://", "https://[",
    "https://img.example\\@evil/", "https://img.example:99999/",
]  # fmt: skip
ON = Fetch(hosts=("img.example",))


@pytest.mark.parametrize("address", INNER)
def test_inner_addresses_are_not_public(address: str) -> None:
    assert not _fetch.public(address)


@pytest.mark.parametrize("address", ["93.184.215.14", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses(address: str) -> None:
    assert _fetch.public(address)


@pytest.mark.parametrize("url", ADDRESSES)
def test_addresses_that_are_never_asked(url: str) -> None:
    async def nobody(host: str, port: int) -> list[str]:
        raise AssertionError("resolved")

    with pytest.raises(ApiError) as found:
        asyncio.run(_fetch.fetch(url, ON, 1000, nobody))
    assert found.value.code == "fetch_forbidden"


@pytest.mark.parametrize("answers", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["::ffff:169.254.169.254"], []])
def test_a_name_that_leads_inside_is_refused(answers: list[str]) -> None:
    async def resolver(host: str, port: int) -> list[str]:
        return answers

    with pytest.raises(ApiError) as found:
        asyncio.run(_fetch.fetch("https://img.example/a.png", ON, 1000, resolver))
    assert found.value.code == "fetch_forbidden"


class _Host(http.server.BaseHTTPRequestHandler):
    asked: ClassVar[list[tuple[str, str]]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers["Host"]))
        body = io.BytesIO()
        PIL.Image.new("RGB", (4, 4)).save(body, "PNG")
        data = b"x" * 5_000 if self.path == "/large" else body.getvalue()
        if self.path == "/redirect":
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/latest/meta-data")
            data = b""
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A web server of our own that counts as public here."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Host)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(_fetch, "public", lambda address: True)
    monkeypatch.setattr(_fetch, "PORTS", (None, 80, 443, server.server_port))
    _Host.asked.clear()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_resolved_once_and_then_that_address(port: int) -> None:
    calls = []

    async def resolver(host: str, number: int) -> list[str]:
        calls.append(host)
        return ["127.0.0.1"] if len(calls) == 1 else ["10.0.0.1"]  # a second look would be led astray

    settings = Fetch(hosts=("img.example",), http=True)
    data = asyncio.run(_fetch.fetch(f"http://img.example:{port}/a.png", settings, 1000, resolver))
    assert data.startswith(b"\x89PNG") and calls == ["img.example"]
    assert _Host.asked == [("/a.png", f"img.example:{port}")]


@pytest.mark.parametrize(("path", "code"), [("/redirect", "invalid_image"), ("/large", "too_large")])
def test_redirects_and_size(port: int, path: str, code: str) -> None:
    async def resolver(host: str, number: int) -> list[str]:
        return ["127.0.0.1"]

    with pytest.raises(ApiError) as found:
        settings = Fetch(hosts=("img.example",), http=True)
        asyncio.run(_fetch.fetch(f"http://img.example:{port}{path}", settings, 1000, resolver))
    assert found.value.code == code and len(_Host.asked) == 1
