"""A client of Azure Blob Storage for what Arrow has no words for: conditional and atomic writes, pinned ranges.

Arrow writes a blob by making an empty one and filling it in two further requests; a reader would find it empty, and so
would everyone after a writer that was killed. Requests carry a shared access signature: the user's, or one for an hour
that the account's key signs
(https://learn.microsoft.com/rest/api/storageservices/create-account-sas).
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hmac
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count, groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode
from xml.etree import ElementTree

from urllib3 import BaseHTTPResponse, PoolManager, Timeout
from urllib3.exceptions import HTTPError, NameResolutionError

from biomedica_ray.ahead import map_in_threads
from biomedica_ray.backoff import wait_after

ACCOUNT, KEY, SIGNATURE = "AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN"
"""Variables of the environment that say who asks, named as for Azure's own command line, ``az``."""
PIECE_BYTES = 8 * 2**20
"""A file of at most as many bytes is one request; a larger one is sent in blocks, of which Azure takes 50,000."""
MISMATCH = {409, 412}
"""Answers to a request with a condition that is not met: there is a blob already, or another version of it."""
BUSY = {408, 429, 500, 502, 503, 504}
"""Answers to what may succeed later."""

_VERSION = "2020-12-06"
"""Of the protocol, and of the signature."""
_AT_A_TIME = 4
"""Blocks of a file that are under way."""
_SENT_AGAIN = 5
"""How often the blocks of a file are sent, where others write the same blob meanwhile."""
_TIMEOUT_S = 60.0
_CONNECTIONS = 64
_SILENT = "the server does not answer"


class AzureError(OSError):
    """A request that was not answered as it should be.

    Attributes:
        status: HTTP status; 0 where there was no answer.
        code: Azure's word for it.
    """

    def __init__(self, path: str, status: int, code: str) -> None:
        super().__init__(f"az://{path}: {code}")
        self.status, self.code = status, code


@dataclass(frozen=True)
class Account:
    """Who asks, by the environment.

    Attributes:
        name: Of the storage account.
        key: Base64; None where there is a signature.
        signature: A shared access signature, as in a URL's query; None where there is a key.
    """

    name: str
    key: str | None = field(repr=False)
    signature: str | None = field(repr=False)

    @classmethod
    def of_environment(cls) -> Account:
        """Read it.

        Raises:
            ValueError: Something is missing or no key; says which variable to set.
        """
        name, key, signature = (os.environ.get(each) or None for each in (ACCOUNT, KEY, SIGNATURE))
        if name is None:
            raise ValueError(f"{ACCOUNT} is not set; az:// needs the name of the storage account there, on every node")
        if key is None and signature is None:
            raise ValueError(f"no Azure credentials found; set {KEY} or {SIGNATURE}, on every node")
        try:
            base64.b64decode(key or "", validate=True)
        except binascii.Error:
            raise ValueError(f"{KEY}: expected an account key, which is base64") from None
        return cls(name, None if signature else key, signature and signature.removeprefix("?"))

    def query(self) -> str:
        """What makes a URL a signed one."""
        if self.signature:
            return self.signature
        expiry = datetime.now(UTC) + timedelta(hours=1)
        fields = {
            "sp": "rwdlc",
            "ss": "b",
            "srt": "co",
            "st": "",
            "se": expiry.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "sip": "",
            "spr": "https,http",
            "sv": _VERSION,
        }
        signed = "\n".join([self.name, *fields.values(), "", ""])
        assert self.key is not None
        signature = hmac.digest(base64.b64decode(self.key), signed.encode(), "sha256")
        return urlencode({**{k: v for k, v in fields.items() if v}, "sig": base64.b64encode(signature).decode()})


@dataclass(frozen=True)
class AzureBlobs:
    """Blobs of one account, by their path ``container/blob``.

    All methods raise FileNotFoundError for a blob or container that is not there, PermissionError where the server
    refuses access, and :class:`AzureError` for the rest.

    Args:
        account: Who asks.
        endpoint_url: A server other than Azure, which has the account as the first part of its paths.
        attempts: How often a request is sent that may succeed later; 1 where the caller tries again.
        timeout_s: Longest wait for a connection, and for each piece of an answer.
    """

    account: Account
    endpoint_url: str | None
    attempts: int = 1
    timeout_s: float = _TIMEOUT_S

    def get(self, path: str, start: int | None = None, stop: int | None = None, etag: str | None = None) -> Any:
        """The answer with a blob, or its bytes from ``start`` to ``stop`` (exclusive), of a version if one is given."""
        headers = {"If-Match": etag} if etag else {}
        if start is not None and stop is not None:
            headers["x-ms-range"] = f"bytes={start}-{stop - 1}"
        return self._ask("GET", path, headers)

    def head(self, path: str) -> Any:
        """The answer that describes a blob."""
        return self._ask("HEAD", path, {})

    def put(self, path: str, data: bytes, condition: Mapping[str, str] | None = None) -> str:
        """Write a small blob in one step, under a condition (a header of RFC 9110); returns its ETag."""
        headers = {"x-ms-blob-type": "BlockBlob", **(condition or {})}
        return str(self._ask("PUT", path, headers, body=data).headers["ETag"])

    def put_file(self, path: str, local: Path) -> None:
        """Write a file in one step, whatever its size. Of several that write a blob, the last to finish has it."""
        size = local.stat().st_size
        if size <= PIECE_BYTES:
            self.put(path, local.read_bytes())
            return
        for attempt in count(1):
            try:
                self._put_blocks(path, local, size)
            except AzureError as error:
                # Whoever finishes a blob has Azure drop all blocks that lie there for it, those of others too.
                if error.code != "InvalidBlockList" or attempt == _SENT_AGAIN:
                    raise
            else:
                return
            wait_after(attempt)

    def _put_blocks(self, path: str, local: Path, size: int) -> None:
        own = secrets.token_hex(8)  # a blob's blocks have one name space for all who write it, and names of one length
        starts = range(0, size, PIECE_BYTES)
        names = [base64.b64encode(f"{own}{number:05}".encode()).decode() for number in range(len(starts))]

        def send(block: tuple[int, str]) -> None:
            with local.open("rb") as file:
                file.seek(block[0])
                data = file.read(PIECE_BYTES)
            self._ask("PUT", path, {}, {"comp": "block", "blockid": block[1]}, data)

        for _ in map_in_threads(send, zip(starts, names, strict=True), _AT_A_TIME):
            pass
        listed = "".join(f"<Latest>{name}</Latest>" for name in names)
        document = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{listed}</BlockList>'
        self._ask("PUT", path, {}, {"comp": "blocklist"}, document.encode())

    def delete(self, path: str, etag: str | None = None) -> None:
        """Remove a blob, or a version of it."""
        self._ask("DELETE", path, {"If-Match": etag} if etag else {})

    def delete_folder(self, folder: str) -> None:
        """Remove the blobs below a folder, each by a request: Arrow sends batches, which not all servers take.

        A folder that is not there is as good as one that is empty.
        """
        # The deepest first, as folders are entries of their own where an account has hierarchical namespaces.
        paths = sorted([folder, *self._list(folder)], key=_depth, reverse=True)
        for _, level in groupby(paths, _depth):
            for _ in map_in_threads(self._delete_if_there, list(level)):
                pass

    def _delete_if_there(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.delete(path)

    def _list(self, folder: str) -> Iterator[str]:
        """Paths of all blobs below a folder, however deep; none of a container that is not there."""
        container, _, prefix = folder.partition("/")
        query = {"restype": "container", "comp": "list", "prefix": f"{prefix}/"}
        while True:
            try:
                page = ElementTree.fromstring(self._ask("GET", container, {}, query).data)
            except FileNotFoundError:
                return
            yield from (f"{container}/{name.text}" for name in page.iterfind("Blobs/Blob/Name"))
            if not (following := page.findtext("NextMarker")):
                return
            query["marker"] = following

    def _ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        query: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> BaseHTTPResponse:
        attempt = 1
        while True:
            try:
                return self._once(method, path, headers, query or {}, body)
            except AzureError as error:
                if attempt >= self.attempts or (error.status and error.status not in BUSY):
                    raise
            wait_after(attempt)
            attempt += 1

    def _once(
        self, method: str, path: str, headers: Mapping[str, str], query: Mapping[str, str], body: bytes
    ) -> BaseHTTPResponse:
        url = (
            f"{blob_url(self.account.name, self.endpoint_url)}/{quote(path)}?{self.account.query()}&{urlencode(query)}"
        )
        sent = {"x-ms-version": _VERSION, **headers}
        if method == "PUT":
            sent["Content-Length"] = str(len(body))
        try:
            answer = _pool().request(
                method, url.rstrip("&"), headers=sent, body=body, timeout=Timeout(self.timeout_s), retries=False
            )
        except NameResolutionError:
            what = f"there is no storage account {self.account.name}" if self.endpoint_url is None else _SILENT
            raise AzureError(path, 0, f"{what}: {_host(url)} is unknown") from None
        except HTTPError as error:
            raise AzureError(path, 0, f"{_SILENT} ({type(error).__name__})") from None
        if answer.status < 300:
            return answer
        code = answer.headers.get("x-ms-error-code", f"HTTP status {answer.status}")
        if answer.status == 404:
            raise FileNotFoundError(f"az://{path}: {code}")
        if answer.status in {401, 403}:
            raise PermissionError(f"az://{path}: {code}")
        raise AzureError(path, answer.status, code)


def blob_url(account: str, endpoint_url: str | None) -> str:
    """Where the containers of an account are."""
    if endpoint_url is None:
        return f"https://{account}.blob.core.windows.net"
    scheme, _, host = endpoint_url.rpartition("://")
    return f"{scheme or 'https'}://{host.rstrip('/')}/{account}"


def _depth(path: str) -> int:
    return path.count("/")


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0]


@cache
def _pool() -> PoolManager:
    return PoolManager(num_pools=4, maxsize=_CONNECTIONS)
