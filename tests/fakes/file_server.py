"""A web server of files that answers range requests, and fails as told; and the Hub's way to a file of a dataset."""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "hf_right"
"""The one token with which the Hub's files may be read."""

Spoil = Callable[[str, int], str | None]
"""From path and how often it was asked for before, to: an HTTP status, "cut" (half of the body comes), "whole" (the
range is not heeded), "change" (the file is another one from now on), or None to answer as it should."""


@dataclass
class FileServer:
    """A running server.

    Attributes:
        url: Where it is.
        files: Path -> content. A path below /datasets/OWNER/NAME/resolve/REVISION/ wants :data:`TOKEN` and redirects to
            another host, as the Hub does.
        asked: Path and range of every request.
        leaked: Paths that were asked for on that other host with the token.
    """

    url: str
    files: dict[str, bytes]
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    leaked: list[str] = field(default_factory=list)


@contextlib.contextmanager
def file_server(files: dict[str, bytes], spoil: Spoil = lambda _, __: None) -> Iterator[FileServer]:
    """Serve files until the end of the block."""
    times: Counter[str] = Counter()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path, authorization = self.path, self.headers["Authorization"]
            if re.match(r"/datasets/[^/]+/[^/]+/resolve/", path):
                if authorization != f"Bearer {TOKEN}":
                    self._answer(401, {})
                else:
                    self._answer(302, {"Location": f"http://localhost:{self.server.server_port}/cdn{path}"})
                return
            with lock:
                how = spoil(path, times[path])
                times[path] += 1
                state.asked.append((path, self.headers["Range"]))
                if authorization:
                    state.leaked.append(path)
            self._serve(path.removeprefix("/cdn"), how)

        def _serve(self, path: str, how: str | None) -> None:
            if how == "change":
                state.files[path] = state.files[path][::-1]
            body = state.files.get(path)
            if body is None or (how and how.isdecimal()):
                self._answer(404 if body is None else int(how or 0), {"Retry-After": "0"})
                return
            headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()}"'}
            found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"] or "")
            status, total = 200, len(body)
            if found and how != "whole":
                start, last = int(found[1]), int(found[2] or total - 1)
                status, body = 206, body[start : last + 1]
                headers["Content-Range"] = f"bytes {start}-{last}/{total}"
            self._answer(status, headers, body, cut=how == "cut")

        def _answer(self, status: int, headers: dict[str, str], body: bytes = b"", *, cut: bool = False) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):  # the client may be gone
                self.wfile.write(body[: len(body) // 2] if cut else body)
            self.close_connection = self.close_connection or cut

        def log_message(self, format: str, *args: object) -> None:
            """Tests need no access log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state = FileServer(f"http://127.0.0.1:{server.server_port}", files)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
