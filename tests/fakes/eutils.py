"""NCBI's efetch for PubMed on this machine: counts calls, enforces the rate as NCBI does, and fails as told."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

KEY = "0123456789abcdef0123456789abcdef0123"
"""The one API key that the server knows."""

Spoil = Callable[[int, list[str]], str | None]
"""From how many calls there were before and the ids, to: an HTTP status, "truncate", "cut", "hang", "error", or None.

"truncate" sends less than Content-Length says, "cut" half of the XML as if it were all, "error" the XML that says so.
"""

_HEAD = (
    '<?xml version="1.0" ?>\n<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle, 1st January 2024//EN" '
    '"https://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_240101.dtd">\n'
)


@dataclass(frozen=True)
class Call:
    """A call as it came in."""

    at: float
    """Seconds, on a monotonic clock."""
    status: int
    fields: dict[str, str]

    @property
    def pmids(self) -> list[str]:
        return self.fields["id"].split(",")


@dataclass
class EutilsServer:
    """A running server."""

    url: str
    per_second: int
    """Calls a second without a key; with one it is 10."""
    unknown: frozenset[str]
    spoil: Spoil
    retry_after: str | None
    calls: list[Call] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def answered(self) -> list[str]:
        """The ids of all calls that were answered with records."""
        return [pmid for call in self.calls if call.status == 200 for pmid in call.pmids]

    def statuses(self) -> list[int]:
        return [call.status for call in self.calls]

    def peak(self, window_s: float = 1.0) -> int:
        """Most calls that came within so many seconds."""
        times = sorted(call.at for call in self.calls)
        return max(sum(start <= at < start + window_s for at in times) for start in times)

    def enter(self, fields: dict[str, str]) -> tuple[int, bytes, str | None]:
        """Record a call; returns status, body and how to spoil the answer."""
        with self.lock:
            now = time.monotonic()
            key = fields.get("api_key")
            limit = 10 if key == KEY else self.per_second
            before = sum(now - call.at < 1 for call in self.calls)
            how = self.spoil(len(self.calls), fields["id"].split(","))
            status, body = 200, article_set(fields["id"].split(","), self.unknown)
            if key not in {None, KEY}:
                status, body = 400, _json("API key invalid", key)
            elif before >= limit:
                status, body = 429, _json("API rate limit exceeded", key)
            elif how == "error":
                status, body = (
                    400,
                    f"<eFetchResult><ERROR>proxy_stream(): api_key={key}</ERROR></eFetchResult>".encode(),
                )
            elif how and how.isdecimal():
                status, body = int(how), b"Sorry"
            elif how == "cut":
                body = body[: len(body) // 2]
            self.calls.append(Call(now, status, fields))
        return status, body, how


@contextlib.contextmanager
def eutils_server(
    per_second: int = 3,
    unknown: frozenset[str] = frozenset(),
    spoil: Spoil = lambda _, __: None,
    retry_after: str | None = None,
) -> Iterator[EutilsServer]:
    """Start a server; it answers with a record for every id that is not ``unknown``."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            fields = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            if self.path != "/efetch.fcgi" or (fields["db"], fields["retmode"]) != ("pubmed", "xml"):
                status, answer, how = 404, b"", None
            else:
                status, answer, how = state.enter(fields)
            if how == "hang":
                stopped.wait(30)
            self.send_response(status)
            if status in {429, 503} and state.retry_after:
                self.send_header("Retry-After", state.retry_after)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            with contextlib.suppress(OSError):  # the client may be gone
                self.wfile.write(answer[: len(answer) // 2] if how == "truncate" else answer)
            self.close_connection = self.close_connection or how in {"truncate", "hang"}

        def log_message(self, format: str, *args: object) -> None:
            """Tests need no access log."""

    stopped = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state = EutilsServer(f"http://127.0.0.1:{server.server_port}", per_second, unknown, spoil, retry_after)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield state
    finally:
        stopped.set()
        server.shutdown()
        server.server_close()


def article_set(pmids: list[str], unknown: frozenset[str] = frozenset()) -> bytes:
    """A reply with a record for each id that is known, in the reverse order: nothing may depend on it."""
    records = "".join(article(pmid) for pmid in reversed(pmids) if pmid not in unknown)
    return f"{_HEAD}<PubmedArticleSet>{records}</PubmedArticleSet>".encode()


def article(pmid: str) -> str:
    """A record whose values follow from its id."""
    return (
        f'<PubmedArticle><MedlineCitation Status="MEDLINE" Owner="NLM"><PMID Version="1">{pmid}</PMID>'
        "<Article><Journal><JournalIssue><PubDate><Year>2020</Year><Month>May</Month></PubDate></JournalIssue></Journal>"
        "<PublicationTypeList><PublicationType>Journal Article</PublicationType></PublicationTypeList></Article>"
        f'<MeshHeadingList><MeshHeading><DescriptorName UI="D1" MajorTopicYN="Y">Heading {pmid}</DescriptorName>'
        "</MeshHeading></MeshHeadingList></MedlineCitation></PubmedArticle>"
    )


def _json(error: str, key: str | None) -> bytes:
    return json.dumps({"error": error, "api-key": key or "127.0.0.1", "count": "4", "limit": "3"}).encode()
