"""PMC's bucket served from a folder of packages over plain HTTP, each answer late by a given time.

It costs next to no CPU, unlike a full S3 server, so that what is measured against it is the reader.
``python -m tests.fakes.served_bucket --packages DIR --port 5001 --latency 0.05`` serves until it is stopped.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gzip
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

from biomedica_ray.sources.base import Listed
from biomedica_ray.sources.packages import PackagesSource
from tests.fakes.pmc_bucket import BUCKET
from tests.fakes.s3 import free_port

_SNAPSHOT = f"inventory-reports/{BUCKET}/metadata/2026-11-22T01-00Z/"


@contextlib.contextmanager
def served_bucket(packages: Path, latency_s: float) -> Iterator[tuple[str, int]]:
    """Serve folders of packages (no archives) in a process of its own; yields the endpoint URL and the process's id."""
    port = free_port()
    arguments = ["--packages", str(packages), "--port", str(port), "--latency", str(latency_s)]
    server = subprocess.Popen([sys.executable, "-m", "tests.fakes.served_bucket", *arguments], stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        server.stdout.readline()  # it says when it is ready
        yield f"http://127.0.0.1:{port}", server.pid
    finally:
        server.terminate()
        server.wait(10)


def objects(packages: Path) -> dict[str, Path | bytes]:
    """Key -> content of every object: metadata documents, an inventory of them, and the files themselves."""
    found: dict[str, Path | bytes] = {}
    source, lines, sums = PackagesSource(str(packages)), [], {}
    for listed in Listed.from_table(source.list()):
        with source.open(listed) as package:
            urls = {}
            for name in [*(file.name for file in package.files), *([package.xml] if package.xml else [])]:
                path = Path(listed.source_uri) / name
                key = f"{listed.article_id}/{name}"
                inode = path.stat().st_ino  # replicas are links
                if inode not in sums:
                    sums[inode] = _md5(path.read_bytes())
                found[key] = path
                urls[name] = f"s3://{BUCKET}/{quote(key)}?md5={sums[inode]}"
            document = {
                "pmcid": listed.pmcid,
                "version": listed.version,
                "is_pmc_openaccess": True,
                "is_retracted": False,
                "license_code": "CC BY",
                "xml_url": urls.pop(package.xml) if package.xml else None,
                "media_urls": list(urls.values()),
            }
        key, body = f"metadata/{listed.article_id}.json", json.dumps(document).encode()
        found[key] = body
        lines.append(f'"{BUCKET}","{key}","2026-11-20T00:00:00.000Z","{_md5(body)}"\n')
    inventory = gzip.compress("".join(lines).encode(), mtime=0)
    found[f"{_SNAPSHOT}data.csv.gz"] = inventory
    entry = {"key": f"{_SNAPSHOT}data.csv.gz", "size": len(inventory), "MD5checksum": _md5(inventory)}
    found[f"{_SNAPSHOT}manifest.json"] = json.dumps({"files": [entry]}).encode()
    return found


def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


async def serve(content: dict[str, Path | bytes], port: int, latency_s: float) -> None:
    """Answer GETs of objects, and of listings with a delimiter, for ever."""
    listing = f"<ListBucketResult><CommonPrefixes><Prefix>{_SNAPSHOT}</Prefix></CommonPrefixes></ListBucketResult>"

    def answer(target: str) -> tuple[str, bytes]:
        parts = urlsplit(target)
        _, _, key = unquote(parts.path).lstrip("/").partition("/")
        if not key and "list-type" in parse_qs(parts.query):
            return "200 OK", listing.encode()
        body = content.get(key)
        if body is None:
            return "404 Not Found", b"<Error><Code>NoSuchKey</Code></Error>"
        return "200 OK", body if isinstance(body, bytes) else body.read_bytes()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await asyncio.sleep(latency_s)
                status, body = answer(head.split(b" ", 2)[1].decode())
                writer.writelines([f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode(), body])
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", port)
    print(f"http://127.0.0.1:{port} serves s3://{BUCKET} with {len(content):,} objects", flush=True)
    await server.serve_forever()


def main() -> None:
    """Serve until the process is stopped."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--packages", type=Path, required=True, help="directory of PMCnnn folders")
    parser.add_argument("--port", type=int, default=5001)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds before each answer")
    options = parser.parse_args()
    asyncio.run(serve(objects(options.packages), options.port, options.latency))


if __name__ == "__main__":
    main()
