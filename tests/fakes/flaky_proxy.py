"""An HTTP proxy before the S3 server that spoils answers as told: 503s, truncated and altered bodies."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

Spoil = Callable[[str, int], str | None]
"""From path and how often it was asked for before, to: "503", "truncate", "alter", or None to pass the answer on."""


@contextlib.contextmanager
def flaky_proxy(upstream: str, spoil: Spoil) -> Iterator[tuple[str, Counter[str]]]:
    """Yields the proxy's URL, and a counter of requests by path."""
    host = urlsplit(upstream).netloc
    asked: Counter[str] = Counter()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            how = spoil(path, asked[path])
            asked[path] += 1
            if how == "503":
                self._answer(
                    503, {}, b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"
                )
                return
            connection = http.client.HTTPConnection(host, timeout=30)
            connection.request("GET", self.path, headers={"Host": host})
            response = connection.getresponse()
            body = response.read()
            headers = {k: v for k, v in response.getheaders() if k.lower() in {"content-type", "etag", "last-modified"}}
            if how == "alter":
                body = body[:-1] + bytes([body[-1] ^ 255])
            self._answer(response.status, headers, body, cut=how == "truncate")

        def _answer(self, status: int, headers: dict[str, str], body: bytes, *, cut: bool = False) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if cut else body)
            if cut:
                self.wfile.flush()
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Tests need no access log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
