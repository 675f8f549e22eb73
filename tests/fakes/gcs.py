"""A server that speaks Google Cloud Storage's API, on this machine, in a process of its own.

The emulator that PyPI has answers one request at a time; here only those that write wait for one another.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from typing import Any

from tests.fakes.s3 import free_port


@contextlib.contextmanager
def gcs_server(bucket: str) -> Iterator[str]:
    """Start the server with an empty bucket; yields its endpoint URL."""
    port = free_port()
    command = [sys.executable, "-m", __name__, str(port), bucket]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(f"http://127.0.0.1:{port}/storage/v1/b/{bucket}", server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait(10)


def _wait(url: str, server: subprocess.Popen[bytes], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except OSError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server at {url} did not answer: {error}") from None
            time.sleep(0.2)
        else:
            return


def _serve(port: int, bucket: str) -> None:
    from gcp_storage_emulator import server

    handle, writing = server.Router.handle, threading.Lock()

    def handle_in_turn(router: Any, method: str) -> None:
        with contextlib.nullcontext() if method == "GET" else writing:  # its uploads do not bear company
            handle(router, method)

    server.Router.handle = handle_in_turn
    server.server.HTTPServer = ThreadingHTTPServer
    server.create_server("127.0.0.1", port, in_memory=True, default_bucket=bucket).run()


if __name__ == "__main__":
    _serve(int(sys.argv[1]), sys.argv[2])
