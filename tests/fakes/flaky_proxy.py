"""An HTTP proxy before the server of a bucket that counts requests and spoils answers as told."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

_OF_A_CONNECTION = {"host", "connection", "expect", "transfer-encoding"}
"""Headers that are not passed on."""

_REFUSALS = {
    "500": b"<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>",
    "503": b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>",
}

Spoil = Callable[[str, int], str | None]
"""From path and how often it was asked for before, to: "500" (InternalError) or "503" (SlowDown) instead of an
answer, "truncate" (less comes than Content-Length says), "short" (half of the body comes, and Content-Length
says so), "alter" (a wrong byte), "hang" (no answer comes), "cut" (the connection ends, and the server does not hear of
the request), "lose" (the server does what it is asked, and the connection ends before the answer), or None to
pass the answer on."""


@dataclass
class Seen:
    """What came to the proxy."""

    asked: Counter[str] = field(default_factory=Counter)
    """Requests by path."""
    requests: list[str] = field(default_factory=list)
    """Method, path and, where there is one, the range of every request, as in ``GET /bucket/key 0-99``; of a listing,
    its prefix."""
    connections: int = 0
    peak: int = 0
    """Most requests that were being answered at a time."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    now: int = 0

    def below(self, prefix: str) -> Counter[str]:
        """Requests by path, of the paths that begin with ``prefix`` and without it."""
        return Counter({path.removeprefix(prefix): n for path, n in self.asked.items() if path.startswith(prefix)})


@contextlib.contextmanager
def flaky_proxy(
    upstream: str, spoil: Spoil = lambda _, __: None, *, by_range: bool = False
) -> Iterator[tuple[str, Seen]]:
    """Yields the proxy's URL, and what it has seen so far.

    With ``by_range``, ``spoil`` gets a range too, as in ``/bucket/key 0-99``, and how often that was asked for.
    """
    host = urlsplit(upstream).netloc
    seen, stopped = Seen(), threading.Event()
    told = Counter[str]()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            with seen.lock:
                seen.connections += 1
            super().setup()

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            prefix = parse_qs(urlsplit(self.path).query).get("prefix", [])
            ranges = (self.headers.get("Range") or self.headers.get("x-ms-range") or "").removeprefix("bytes=")
            with seen.lock:
                seen.requests.append(" ".join([self.command, path, *prefix, ranges]).strip())
                seen.asked[path] += 1
                what = f"{path} {ranges}" if by_range else path
                times = told[what]
                told[what] += 1
                seen.now += 1
                seen.peak = max(seen.peak, seen.now)
            self._body = self._read_body()
            self._pass_on(spoil(what, times))

        do_PUT = do_POST = do_DELETE = do_HEAD = do_GET  # noqa: N815 - named by http.server

        def _read_body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _pass_on(self, how: str | None) -> None:
            if how == "hang":
                stopped.wait(30)
                self.close_connection = True
                self._count_answered()
                return
            if how in _REFUSALS:
                self._answer(int(how), {}, _REFUSALS[how])
                return
            if how == "cut":
                self._hang_up()
                return
            connection = http.client.HTTPConnection(host, timeout=30)
            given = {k: v for k, v in self.headers.items() if k.lower() not in _OF_A_CONNECTION}
            connection.request(self.command, self.path, self._body, {**given, "Host": host})
            response = connection.getresponse()
            body = response.read()
            connection.close()
            if how == "lose":
                self._hang_up()
                return
            passed = {"content-type", "content-range", "etag", "last-modified"}
            headers = {k: v for k, v in response.getheaders() if k.lower() in passed or k.lower().startswith("x-ms-")}
            if self.command == "HEAD":
                headers["Content-Length"] = response.getheader("Content-Length") or "0"
            if how == "alter":
                body = body[:-1] + bytes([body[-1] ^ 255])
            if how == "short":
                body = body[: len(body) // 2]
            self._answer(response.status, headers, body, cut=how == "truncate")

        def _hang_up(self) -> None:
            self._count_answered()
            self.close_connection = True

        def _count_answered(self) -> None:
            with seen.lock:
                seen.now -= 1

        def _answer(self, status: int, headers: dict[str, str], body: bytes, *, cut: bool = False) -> None:
            self._count_answered()  # before the client has the answer, as it may ask again at once
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body[: len(body) // 2] if cut else body)
            if cut:
                self.wfile.flush()
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Tests need no access log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        stopped.set()
        server.shutdown()
        server.server_close()
