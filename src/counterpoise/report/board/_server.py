"""The board over HTTP, for this machine only. A request names a page of the mapping or gets 404; no file is served."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from counterpoise.base import InputError

from ._compare import compare_page, subjects
from ._pages import pages
from ._shell import policy
from ._store import Board

HOST = "127.0.0.1"


def make_server(file: Path, port: int = 0) -> ThreadingHTTPServer:
    """A server bound to 127.0.0.1, not yet serving; `port` 0 takes a free one. The board is opened here once, so that a
    wrong file is an InputError now; a port in use is one too."""
    Board(file).__exit__(None, None, None)

    class Handler(_Handler):
        board = file

    try:
        return ThreadingHTTPServer((HOST, port), Handler)
    except OSError as error:
        raise InputError(f"port {port}: {error.strerror or error}; choose another --port") from error


class _Handler(BaseHTTPRequestHandler):
    board: Path
    server_version = "counterpoise"
    sys_version = ""
    timeout = 30

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        host = (self.headers.get("Host") or "").rsplit(":", 1)[0]
        if host not in (HOST, "localhost"):  # another site's name that was made to point here reads nothing
            self._send(403, "this board answers to 127.0.0.1 and localhost only", "text/plain", body)
            return
        address = urlsplit(self.path)
        name = address.path.removeprefix("/") or "index.html"
        try:
            with Board(self.board) as board:
                entries, calibrations = board.entries(), board.calibrations()
            if name == "compare.html" and address.query:
                asked = parse_qs(address.query, max_num_fields=4)
                known = subjects(entries)
                a, b = ((asked.get(side) or [""])[0] for side in ("a", "b"))
                a, b = (each if each in known else "" for each in (a, b))
                self._send(200, compare_page(entries, a, b, served=True), "text/html", body)
                return
            make = pages(entries, calibrations, served=True).get(name)
        except (InputError, ValueError) as error:
            self._send(500, " ".join(str(error).split()), "text/plain", body)
            return
        if make is None:
            self._send(404, "no such page", "text/plain", body)
        else:
            self._send(200, make(), "text/html", body)

    def _send(self, status: int, text: str, kind: str, body: bool) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Security-Policy", policy(served=True) + "; frame-ancestors 'none'")
        for name, value in _SAFE.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: requests say what somebody looked at."""


_SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
