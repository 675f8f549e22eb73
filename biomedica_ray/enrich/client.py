"""A client of efetch, the E-utility that gives PubMed's records by their ids.

How NCBI wants it to be used: https://www.ncbi.nlm.nih.gov/books/NBK25497/ (200 ids a call, by POST; tool and email with
every call; 3 calls a second, 10 with an API key, or they are answered 429).
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import urllib3
from pydantic import SecretStr

from biomedica_ray.backoff import wait_after
from biomedica_ray.enrich.parse import parse_records
from biomedica_ray.enrich.record import PubmedError, PubmedRecord

IDS_PER_CALL = 200
TOOL = "biomedica_ray"
ATTEMPTS = 6
"""How often a call is made before it is given up: with the waits between them, about 15 seconds."""

_PAUSE_S = 1.0
"""How long everyone holds back after a 429 that does not say."""
_LONGEST_PAUSE_S = 600.0
"""A Retry-After above this is an outage: better to fail, and to be run again, than to hold a cluster."""
_LONGEST_REASON = 300
"""Characters; efetch at times relays the page of a server behind it."""
_KEY_REFUSED = "API key"
"""How the error begins that comes with a key that NCBI does not know."""


class EutilsError(Exception):
    """Records could not be had.

    Attributes:
        kind: Reason in one word, as in the errors table: unavailable or refused.
        attempts: How often it was tried.
    """

    def __init__(self, kind: str, message: str, attempts: int) -> None:
        super().__init__(kind, message, attempts)  # all of them, so that it survives pickling
        self.kind, self.message, self.attempts = kind, message, attempts

    def __str__(self) -> str:
        return self.message


class Limiter(Protocol):
    """Who says when a call may be made."""

    def acquire(self) -> None:
        """Return when it may."""
        ...

    def pause(self, seconds: float) -> None:
        """Let nobody make one for so long."""
        ...


@dataclass(frozen=True)
class Eutils:
    """The service.

    Attributes:
        url: Where the E-utilities are.
        email: Whom NCBI may write to before it blocks anyone.
        api_key: NCBI API key; goes into the body of calls and nowhere else.
        timeout_s: How long to wait for a connection, and for each piece of a reply.
        attempts: How often to try.
    """

    url: str
    email: str
    api_key: SecretStr | None = None
    timeout_s: float = 60.0
    attempts: int = ATTEMPTS

    @cached_property
    def _pool(self) -> urllib3.PoolManager:
        return urllib3.PoolManager(maxsize=1, timeout=self.timeout_s, retries=False)

    def fetch(self, pmids: Sequence[str], limiter: Limiter) -> dict[str, PubmedRecord]:
        """Records by pmid; an id that PubMed does not know is not among them.

        Every attempt waits for ``limiter``; a reply that says when to come back holds back all who share it.

        Args:
            pmids: At most :data:`IDS_PER_CALL` ids of one to eight digits.
            limiter: Gives leave for each call.

        Raises:
            EutilsError: The service did not give what it should, ``attempts`` times, or refuses the API key.
        """
        reason = ""
        for attempt in range(1, self.attempts + 1):
            if attempt > 1:
                wait_after(attempt - 1)
            limiter.acquire()
            try:
                response = self._post(pmids)
                self._hold_back(response, limiter)
                return self._read(response, attempt)
            except (urllib3.exceptions.HTTPError, PubmedError) as error:
                reason = self._told(str(error))
        raise EutilsError("unavailable", f"{self.url}: {reason}", self.attempts)

    def _post(self, pmids: Sequence[str]) -> urllib3.BaseHTTPResponse:
        fields = {"db": "pubmed", "retmode": "xml", "id": ",".join(pmids), "tool": TOOL, "email": self.email}
        if self.api_key:
            fields["api_key"] = self.api_key.get_secret_value()
        return self._pool.request("POST", f"{self.url.rstrip('/')}/efetch.fcgi", fields=fields, encode_multipart=False)

    def _hold_back(self, response: urllib3.BaseHTTPResponse, limiter: Limiter) -> None:
        if response.status in {429, 503}:
            asked = urllib3.Retry().get_retry_after(response)
            limiter.pause(min(_PAUSE_S if asked is None else asked, _LONGEST_PAUSE_S))

    def _read(self, response: urllib3.BaseHTTPResponse, attempts: int) -> dict[str, PubmedRecord]:
        """The records of a reply; raises PubmedError for what may go well another time."""
        if response.data.startswith(b"{"):
            error = _stated_error(response.data)
            if response.status == 400 and _KEY_REFUSED in error:
                raise EutilsError("refused", f"{self.url}: {self._told(error)}", attempts)
            raise PubmedError(f"HTTP {response.status}: {error}")
        try:
            if response.status not in {200, 400}:  # 400 comes with XML that says what is wrong
                raise PubmedError(response.reason or "")
            return {record.pmid: record for record in parse_records(response.data)}
        except PubmedError as error:
            raise PubmedError(f"HTTP {response.status}: {error}") from error

    def _told(self, reason: str) -> str:
        """A reason in one short line without the API key, which replies quote."""
        key = self.api_key.get_secret_value() if self.api_key else ""
        return textwrap.shorten(reason.replace(key, "***") if key else reason, _LONGEST_REASON, placeholder="...")


def _stated_error(body: bytes) -> str:
    """What a JSON reply calls its error: ``{"error": "API rate limit exceeded", "api-key": ..., "count": ...}``."""
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return "no reason given"
