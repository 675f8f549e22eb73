"""A server that speaks as much of the Hugging Face Hub's API as huggingface_hub needs to upload files and read them.

Git and LFS as the Hub has them: large files are uploaded by their SHA-256 and exist before a commit names them.
"""

from __future__ import annotations

import base64
import contextlib
import fnmatch
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

TOKEN = "hf_writes"
"""The one token with which anything may be done."""

_LFS = ("*.tar", "*.parquet", "*.safetensors")
"""What the Hub's own .gitattributes give to LFS, of what is published here."""


@dataclass
class Hub:
    """A running server.

    Attributes:
        url: Where it is.
        repositories: ``datasets/OWNER/NAME`` -> path -> content.
        objects: SHA-256 -> content, of what was uploaded to LFS.
        uploads: SHA-256 of every upload, in order.
        private: Repositories that only their owner sees.
        commits: Paths that each commit added or removed.
        spoil: From method and path to an HTTP status that is answered instead, or None.
    """

    url: str = ""
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    uploads: list[str] = field(default_factory=list)
    private: set[str] = field(default_factory=set)
    commits: list[list[str]] = field(default_factory=list)
    spoil: Callable[[str, str], int | None] = lambda _, __: None


def is_lfs(path: str) -> bool:
    return any(fnmatch.fnmatch(path.rpartition("/")[2], pattern) for pattern in _LFS)


def _blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _entry(path: str, data: bytes) -> dict[str, Any]:
    entry = {"type": "file", "path": path, "size": len(data), "oid": _blob(data)}
    if is_lfs(path):
        entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
    return entry


@contextlib.contextmanager
def hub_server() -> Iterator[Hub]:
    """Serve an empty Hub until the end of the block."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            path = unquote(self.path.partition("?")[0])
            status = hub.spoil(self.command, path)
            if status is None and self.headers["Authorization"] != f"Bearer {TOKEN}" and "/lfs/" not in path:
                status = 401
            if status is not None:
                self._answer({"error": "told to"}, status)
                return
            for pattern, answer in routes:
                if found := re.fullmatch(pattern, f"{self.command} {path}"):
                    answer(self, body, **found.groupdict())
                    return
            self._answer({"error": f"no {path}"}, 404)

        do_GET = do_POST = do_PUT = do_HEAD = _handle  # noqa: N815 - http.server's names

        def _answer(self, document: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
            data = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Tests need no access log."""

        def create(self, body: bytes) -> None:
            asked = json.loads(body)
            name = f"{asked.get('type', 'model')}s/{asked['organization']}/{asked['name']}"
            there = name in hub.repositories
            hub.repositories.setdefault(name, {})
            if asked.get("visibility") == "private" and not there:
                hub.private.add(name)
            self._answer({"url": f"{hub.url}/{name}", "id": name}, 409 if there else 200)

        def info(self, body: bytes, repo: str) -> None:
            self._answer({"id": repo.partition("/")[2], "private": repo in hub.private, "tags": [], "downloads": 0})

        def tree(self, body: bytes, repo: str) -> None:
            if repo not in hub.repositories:
                self._answer({"error": "no such repository"}, 404, {"X-Error-Code": "RepoNotFound"})
                return
            self._answer([_entry(path, data) for path, data in sorted(hub.repositories[repo].items())])

        def preupload(self, body: bytes, repo: str) -> None:
            there = hub.repositories[repo]
            files = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if is_lfs(file["path"]) else "regular",
                    "shouldIgnore": False,
                    "oid": _blob(there[file["path"]]) if file["path"] in there else None,
                }
                for file in json.loads(body)["files"]
            ]
            self._answer({"files": files})

        def batch(self, body: bytes, repo: str) -> None:
            objects = json.loads(body)["objects"]
            for each in objects:
                if each["oid"] not in hub.objects:
                    each["actions"] = {"upload": {"href": f"{hub.url}/lfs/{each['oid']}"}}
            self._answer({"transfer": "basic", "objects": objects})

        def upload(self, body: bytes, oid: str) -> None:
            hub.uploads.append(oid)
            if hashlib.sha256(body).hexdigest() != oid:
                self._answer({"error": "another content"}, 400)
                return
            hub.objects[oid] = body
            self._answer(b"")

        def commit(self, body: bytes, repo: str) -> None:
            files, paths = hub.repositories[repo], []
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    files[value["path"]] = hub.objects[value["oid"]]
                elif line["key"] == "deletedFile":
                    del files[value["path"]]
                if "path" in value:
                    paths.append(value["path"])
            hub.commits.append(paths)
            number = f"{len(hub.commits):040d}"
            self._answer({"commitUrl": f"{hub.url}/{repo}/commit/{number}", "commitOid": number})

        def resolve(self, body: bytes, repo: str, path: str) -> None:
            data = hub.repositories.get(repo, {}).get(path)
            if data is None:
                self._answer({"error": "no such file"}, 404, {"X-Error-Code": "EntryNotFound"})
                return
            revision = f"{len(hub.commits):040d}"
            headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": revision}
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"] or "")
            if not wanted:
                self._answer(data, 200, headers)
                return
            start, last = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
            self._answer(data[start : last + 1], 206, {**headers, "Content-Range": f"bytes {start}-{last}/{len(data)}"})

        def validate(self, body: bytes) -> None:
            self._answer({"errors": [], "warnings": []})

    repo = r"(?P<repo>(?:datasets|models)/[^/]+/[^/]+)"
    routes: list[tuple[str, Callable[..., None]]] = [
        ("POST /api/repos/create", Handler.create),
        ("POST /api/validate-yaml", Handler.validate),
        (rf"GET /api/{repo}", Handler.info),
        (rf"GET /api/{repo}/tree/main", Handler.tree),
        (rf"POST /api/{repo}/preupload/main", Handler.preupload),
        (rf"POST /api/{repo}/commit/main", Handler.commit),
        (r"POST /(?P<repo>.+)\.git/info/lfs/objects/batch", Handler.batch),
        (r"PUT /lfs/(?P<oid>[0-9a-f]{64})", Handler.upload),
        (rf"(?:GET|HEAD) /{repo}/resolve/[^/]+/(?P<path>.+)", Handler.resolve),
    ]
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
