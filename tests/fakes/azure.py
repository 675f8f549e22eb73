"""A server that speaks Azure Blob Storage's protocol, as far as Arrow and the store use it, in a process of its own.

It is Microsoft's own emulator where ``azurite-blob`` is on the PATH (npm install azurite), and the one below elsewhere.
That one keeps blobs in memory, and checks the signatures of URLs, but not those that Arrow puts into headers.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import itertools
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from biomedica_ray.store.filesystem import open_filesystem
from tests.fakes.s3 import free_port

NAME = "devstoreaccount1"
SECRET = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The account and key of emulators, which are public (https://learn.microsoft.com/azure/storage/common/storage-use-azurite)."""
CREDENTIALS = {"AZURE_STORAGE_ACCOUNT": NAME, "AZURE_STORAGE_KEY": SECRET}
"""What a store needs in its environment, Ray workers too: so it must be there before Ray starts."""


@contextlib.contextmanager
def azure_server(container: str) -> Iterator[str]:
    """Start the server with an empty container; yields its endpoint URL. A store wants :data:`CREDENTIALS`."""
    port = free_port()
    command = [sys.executable, "-m", __name__, str(port)]
    if azurite := shutil.which("azurite-blob"):
        at = ["--blobHost", "127.0.0.1", "--blobPort", str(port)]
        command = [azurite, *at, "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(port, server)
        open_filesystem(f"az://{container}", url)[0].create_dir(container)
        yield url
    finally:
        server.kill()
        server.wait(10)


def _wait(port: int, server: subprocess.Popen[bytes], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server at port {port} did not answer: {error}") from None
            time.sleep(0.1)
        else:
            return


class _Refused(Exception):  # noqa: N818
    """An answer that is an error: status and Azure's word for it."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.lock, self.versions = threading.Lock(), itertools.count(1)
        self.containers: dict[str, dict[str, tuple[bytes, dict[str, str]]]] = {}
        self.blocks: dict[tuple[str, str], dict[str, bytes]] = {}
        self.committed: dict[tuple[str, str], dict[str, bytes]] = {}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def _answer(self) -> None:
        """One request: ``/ACCOUNT/CONTAINER[/BLOB]?QUERY``."""
        url = urlsplit(self.path)
        self.asked = {key: values[0] for key, values in parse_qs(url.query).items()}
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        account, _, place = url.path[1:].partition("/")
        container, _, blob = unquote(place).partition("/")
        try:
            with self.server.lock:
                if account != NAME:
                    raise _Refused(404 if account else 400, "ResourceNotFound")
                if "sig" in self.asked and self.asked["sig"] != self._signature():
                    raise _Refused(403, "AuthenticationFailed")
                if "action" in self.asked:  # Data Lake's, by which Arrow asks whether there are real folders
                    raise _Refused(400, "InvalidQueryParameterValue")
                if self.asked.get("restype") == "container":
                    self._of_container(container)
                elif container not in self.server.containers:
                    raise _Refused(404, "ContainerNotFound")
                else:
                    self._of_blob(self.server.containers[container], container, blob)
        except _Refused as error:
            status, code = error.args
            text = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'
            if self.command == "HEAD":
                self._send(status, b"", {"x-ms-error-code": code})
            else:
                self._send(status, text.encode(), {"x-ms-error-code": code, "Content-Type": "application/xml"})

    do_GET = do_HEAD = do_PUT = do_DELETE = _answer  # noqa: N815

    def _signature(self) -> str:
        fields = [self.asked.get(key, "") for key in ("sp", "ss", "srt", "st", "se", "sip", "spr", "sv")]
        signed = "\n".join([NAME, *fields, "", ""]).encode()
        return base64.b64encode(hmac.digest(base64.b64decode(SECRET), signed, "sha256")).decode()

    def _of_container(self, name: str) -> None:
        if self.command == "PUT":
            self.server.containers.setdefault(name, {})
            self._send(201, b"", {"ETag": '"0x1"', "Last-Modified": formatdate(usegmt=True)})
        elif name not in self.server.containers:
            raise _Refused(404, "ContainerNotFound")
        elif "comp" not in self.asked:
            about = {"lease-status": "unlocked", "lease-state": "available", "default-encryption-scope": "none"}
            about |= dict.fromkeys(
                ("has-immutability-policy", "has-legal-hold", "deny-encryption-scope-override"), "false"
            )
            dated = {"ETag": '"0x1"', "Last-Modified": formatdate(usegmt=True)}
            self._send(200, b"", dated | {f"x-ms-{key}": value for key, value in about.items()})
        else:
            self._list(self.server.containers[name])

    def _list(self, blobs: dict[str, tuple[bytes, dict[str, str]]]) -> None:
        """A page: names in order, and those that go on after a delimiter as one prefix of them all."""
        prefix, delimiter = self.asked.get("prefix", ""), self.asked.get("delimiter")
        most, after = int(self.asked.get("maxresults", 1000)), self.asked.get("marker", "")
        entries: dict[str, str] = {}
        for name in sorted(name for name in blobs if name.startswith(prefix)):
            head, found, _ = name[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            if found:
                folder = f"{prefix}{head}{found}"
                entries[folder] = f"<BlobPrefix><Name>{escape(folder)}</Name></BlobPrefix>"
            else:
                data, headers = blobs[name]
                of_it = {
                    "Etag": headers["ETag"],
                    "Last-Modified": headers["Last-Modified"],
                    "Content-Length": len(data),
                }
                of_it |= {"Content-Type": "application/octet-stream", "BlobType": "BlockBlob"}
                properties = "".join(f"<{key}>{value}</{key}>" for key, value in of_it.items())
                entries[name] = f"<Blob><Name>{escape(name)}</Name><Properties>{properties}</Properties></Blob>"
        rest = [name for name in entries if name > after]
        following = escape(rest[most - 1]) if len(rest) > most else ""
        text = (
            f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="http://x" ContainerName="c">'
            f"<Prefix>{escape(prefix)}</Prefix><Blobs>{''.join(entries[name] for name in rest[:most])}</Blobs>"
            f"<NextMarker>{following}</NextMarker></EnumerationResults>"
        )
        self._send(200, text.encode(), {"Content-Type": "application/xml"})

    def _of_blob(self, blobs: dict[str, tuple[bytes, dict[str, str]]], container: str, name: str) -> None:
        there = blobs.get(name)
        if "If-Match" in self.headers and (there is None or there[1]["ETag"] != self.headers["If-Match"]):
            raise _Refused(412, "ConditionNotMet")
        if self.headers.get("If-None-Match") == "*" and there is not None:
            raise _Refused(409, "BlobAlreadyExists")
        if self.command == "PUT":
            self._put(blobs, container, name)
        elif there is None:
            raise _Refused(404, "BlobNotFound")
        elif self.command == "DELETE":
            del blobs[name]
            self.server.committed.pop((container, name), None)
            self._send(202)
        else:
            self._get(*there)

    def _put(self, blobs: dict[str, tuple[bytes, dict[str, str]]], container: str, name: str) -> None:
        blocks = self.server.blocks.setdefault((container, name), {})
        committed = self.server.committed.get((container, name), {})
        new: dict[str, bytes] = {}
        if self.asked.get("comp") == "block":
            if blocks and len(self.asked["blockid"]) != len(next(iter(blocks))):
                raise _Refused(400, "InvalidBlobOrBlock")
            blocks[self.asked["blockid"]] = self.body
            self._send(201, b"", {"x-ms-request-server-encrypted": "true"})
            return
        if self.asked.get("comp") == "blocklist":
            names = [item.text or "" for item in ElementTree.fromstring(self.body)]
            if not blocks.keys() | committed.keys() >= set(names):
                raise _Refused(400, "InvalidBlockList")
            new = {each: blocks.get(each, committed.get(each, b"")) for each in names}  # <Latest>
            self.body = b"".join(new[each] for each in names)
        blocks.clear()  # those of others as well
        self.server.committed[container, name] = new
        about = {"ETag": f'"0x{next(self.server.versions):X}"', "Last-Modified": formatdate(usegmt=True)}
        about["x-ms-request-server-encrypted"] = "true"
        blobs[name] = self.body, about
        self._send(201, b"", about)

    def _get(self, data: bytes, about: dict[str, str]) -> None:
        about = about | {"x-ms-blob-type": "BlockBlob", "Content-Type": "application/octet-stream"}
        about |= {"x-ms-creation-time": about["Last-Modified"], "x-ms-server-encrypted": "true"}
        if range_ := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("x-ms-range", "")):
            start, stop = int(range_[1]), min(int(range_[2] or len(data)) + 1, len(data))
            if start >= len(data):
                raise _Refused(416, "InvalidRange")
            about["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
            self._send(206, data[start:stop], about)
        else:
            self._send(200, data, about)

    def _send(self, status: int, data: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"x-ms-request-id": "0", "x-ms-version": "2020-12-06", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Quiet."""


if __name__ == "__main__":
    _Server(int(sys.argv[1])).serve_forever()
