"""A folder served as an S3 bucket over plain HTTP, each answer late by a given time.

It answers HEAD, GET of whole objects and ranges, and listings, and costs little CPU, unlike a full S3 server, so that
what is measured against it is the reader. ``/stats`` tells what it was asked for.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from tests.fakes.s3 import free_port

BUCKET = "bucket"
_PIECE_BYTES = 2**20


@contextlib.contextmanager
def served_folder(folder: Path, latency_s: float, megabytes_per_s: float = 0) -> Iterator[str]:
    """Serve the files of a folder as ``s3://bucket/...`` in a process of its own; yields the endpoint URL.

    Args:
        folder: What to serve.
        latency_s: How late each answer begins.
        megabytes_per_s: How fast a connection gets its bytes; 0: as fast as it can.
    """
    port = free_port()
    arguments = ["--folder", str(folder), "--port", str(port)]
    arguments += ["--latency", str(latency_s), "--megabytes-per-s", str(megabytes_per_s)]
    server = subprocess.Popen([sys.executable, "-m", "tests.fakes.served_folder", *arguments], stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        server.stdout.readline()  # it says when it is ready
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


class _Bucket:
    """A folder, and what was asked for of it."""

    def __init__(self, folder: Path, latency_s: float, megabytes_per_s: float) -> None:
        self._folder, self._latency_s, self._megabytes_per_s = folder, latency_s, megabytes_per_s
        self._asked = {"requests": 0, "bytes": 0}

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of a connection."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                method, target, _ = head.split(" ", 2)
                parts = urlsplit(target)
                if parts.path == "/stats":
                    self._whole(writer, json.dumps(self._asked).encode())
                    continue
                await asyncio.sleep(self._latency_s)
                self._asked["requests"] += 1
                key = unquote(parts.path).lstrip("/").partition("/")[2]
                path = self._folder / key
                if not key:
                    self._whole(writer, self._listing(parts.query))
                elif path.is_file():
                    await self._part(writer, path, method, head)
                else:
                    writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    def _whole(self, writer: asyncio.StreamWriter, body: bytes) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    def _listing(self, query: str) -> bytes:
        prefix = parse_qs(query).get("prefix", [""])[0]
        entries = "".join(
            f"<Contents><Key>{prefix}{path.name}</Key><Size>{path.stat().st_size}</Size>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for path in sorted((self._folder / prefix).iterdir())
            if path.is_file()
        )
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>".encode()

    async def _part(self, writer: asyncio.StreamWriter, path: Path, method: str, head: str) -> None:
        total = path.stat().st_size
        found = re.search(r"(?im)^range: bytes=(\d*)-(\d*)", head)
        start, stop = 0, total
        if found and found[1]:
            start, stop = int(found[1]), min(int(found[2]) + 1 if found[2] else total, total)
        elif found:
            start = max(0, total - int(found[2]))
        status = f"206 Partial Content\r\nContent-Range: bytes {start}-{stop - 1}/{total}" if found else "200 OK"
        answer = f'HTTP/1.1 {status}\r\nContent-Length: {stop - start}\r\nETag: "{path.name}{total}"\r\n'
        writer.write(f"{answer}Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n".encode())
        if method == "HEAD":
            return
        self._asked["bytes"] += stop - start
        with path.open("rb") as file:
            file.seek(start)
            while piece := file.read(min(stop - file.tell(), _PIECE_BYTES)):
                writer.write(piece)
                await writer.drain()
                if self._megabytes_per_s:
                    await asyncio.sleep(len(piece) / self._megabytes_per_s / 1e6)


async def serve(bucket: _Bucket, port: int) -> None:
    """Answer requests for ever."""
    server = await asyncio.start_server(bucket.talk, "127.0.0.1", port)
    print(f"http://127.0.0.1:{port}", flush=True)
    await server.serve_forever()


def main() -> None:
    """Serve until the process is stopped."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--port", type=int, default=5001)
    parser.add_argument("--latency", type=float, default=0.02, help="seconds before each answer")
    parser.add_argument("--megabytes-per-s", type=float, default=0, help="of a connection; 0: no limit")
    options = parser.parse_args()
    asyncio.run(serve(_Bucket(options.folder, options.latency, options.megabytes_per_s), options.port))


if __name__ == "__main__":
    main()
