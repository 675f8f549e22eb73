"""Files on web servers and on the Hugging Face Hub, read as one stream that outlives broken connections."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar
from urllib.parse import unquote

import urllib3
from huggingface_hub import constants, get_token, hf_hub_url
from urllib3.exceptions import HTTPError

from biomedica_ray.backoff import wait_after
from biomedica_ray.config import ConfigError
from biomedica_ray.store import StoreError

ATTEMPTS = 8
"""How many requests without a byte of progress, over about 35 s on average, before the reader gives up."""
TIMEOUT_S = 60.0
"""Longest wait for a connection and for each piece of an answer."""

_BUSY = {408, 429, 500, 502, 503, 504}
_LONGEST_PAUSE_S = 300.0
"""A Retry-After is honoured up to here; the Hub counts requests over five minutes."""
_PIECE_BYTES = 2**20
"""Most bytes that are read at a time: what a broken connection costs."""
_HF = re.compile(r"hf://(?:(?P<kind>datasets|spaces)/)?(?P<repo>[^/@]+/[^/@]+)(?:@(?P<revision>[^/]+))?/(?P<path>.+)")

T = TypeVar("T")


class WebFile(io.RawIOBase):
    """A file behind an http, https or hf URL, read from its beginning to its end.

    After a broken connection, a truncated body or a busy server, reading is retried from the current position with a
    range request.

    Attributes:
        url: As it was given.
        size: Bytes of the whole file, if the server says; known after :meth:`describe` or the first read.
        version: ETag or date, which change with the content, if the server says; known from then on too.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.size: int | None = None
        self.version: str | None = None
        self._address, self._headers = locate(url)
        self._position = 0
        self._response: urllib3.BaseHTTPResponse | None = None

    def describe(self) -> None:
        """Learn size and version, by asking for the first byte.

        Raises:
            FileNotFoundError: There is no such file.
            PermissionError: The server refuses access.
            StoreError: The server answers something else, or does not answer.
        """
        self._persist(lambda response: response.read(1), last="0")
        self._disconnect()

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read the next bytes into ``buffer``, none at the end of the file; raises as :meth:`describe`."""
        data = self._persist(lambda response: response.read(min(len(buffer), _PIECE_BYTES)))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        """Close the connection."""
        self._disconnect()
        super().close()

    def _persist(self, use: Callable[[urllib3.BaseHTTPResponse], T], last: str = "") -> T:
        attempt = 1
        while True:
            try:
                self._response = self._response or self._ask(last)
                return use(self._response)
            except HTTPError as error:
                self._disconnect()
                if attempt == ATTEMPTS:
                    raise StoreError(f"{self.url}: {error}, after {attempt} attempts") from None
                asked = error.pause_s if isinstance(error, _BusyError) else None
            if asked is None:
                wait_after(attempt)
            else:
                time.sleep(min(asked, _LONGEST_PAUSE_S))
            attempt += 1

    def _ask(self, last: str) -> urllib3.BaseHTTPResponse:
        headers = {**self._headers, "Accept-Encoding": "identity"}
        if self._position or last:
            headers["Range"] = f"bytes={self._position}-{last}"
        response = _pool().request("GET", self._address, headers=headers, preload_content=False)
        try:
            self._check(response)
        except BaseException:
            response.close()
            raise
        return response

    def _check(self, response: urllib3.BaseHTTPResponse) -> None:
        """Check that an answer continues at the current position."""
        status = f"HTTP {response.status}"
        if response.status in _BUSY:
            raise _BusyError(status, urllib3.Retry().get_retry_after(response))
        if response.status in {404, 410}:
            raise FileNotFoundError(f"{self.url}: {status}")
        if response.status in {401, 403}:
            hint = "; is HF_TOKEN set, and may it read this repository?" if _on_hub(self._address) else ""
            raise PermissionError(f"{self.url}: {status}{hint}")
        start, size = _extent(response)
        if response.status not in {200, 206} or start > self._position:
            raise StoreError(f"{self.url}: {status}, from byte {start}; expected byte {self._position}")
        version = response.headers.get("ETag") or response.headers.get("Last-Modified")
        if self._position and (size, version) != (self.size, self.version):
            raise StoreError(f"{self.url}: the file changed while it was read")
        self.size, self.version = size, version
        while start < self._position:  # a server that knows no ranges
            start += len(response.read(min(_PIECE_BYTES, self._position - start))) or self._position

    def _disconnect(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None


def _extent(response: urllib3.BaseHTTPResponse) -> tuple[int, int | None]:
    """From which byte on an answer has the file, and the bytes of the whole file, where it says."""
    if response.status == 206:
        found = re.match(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        start, size = (found[1], found[2]) if found else ("0", "*")
    else:
        start, size = "0", response.headers.get("Content-Length", "*")
    return int(start), int(size) if size.isdecimal() else None


class _BusyError(HTTPError):
    def __init__(self, message: str, pause_s: float | None) -> None:
        super().__init__(message)
        self.pause_s = pause_s


def locate(url: str) -> tuple[str, dict[str, str]]:
    """Where a URL lies, and the headers to ask for it with: for the Hub, those with the user's token, if there is one.

    Args:
        url: http, https, or ``hf://datasets/OWNER/NAME[@REVISION]/PATH`` as huggingface_hub writes it.

    Raises:
        ConfigError: Not such a URL.
    """
    if url.startswith("hf://"):
        found = _HF.fullmatch(url)
        if found is None:
            raise ConfigError(f"data: {url}: expected hf://datasets/OWNER/NAME/PATH")
        kind, revision = found["kind"], found["revision"]
        url = hf_hub_url(
            found["repo"],
            found["path"],
            repo_type=kind.removesuffix("s") if kind else None,
            revision=unquote(revision) if revision else None,
        )
    token = get_token() if _on_hub(url) else None
    return url, {"Authorization": f"Bearer {token}"} if token else {}


def _on_hub(url: str) -> bool:
    return url.startswith(f"{constants.ENDPOINT}/")


@cache
def _pool() -> urllib3.PoolManager:
    # Only redirects are followed here: what else is tried again, and how often, is for the stream to decide.
    retries = urllib3.Retry(total=None, connect=0, read=0, status=0, other=0, redirect=5)
    return urllib3.PoolManager(timeout=TIMEOUT_S, retries=retries)
