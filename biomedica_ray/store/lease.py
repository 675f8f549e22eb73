"""One run at a time: a run that writes a part of a store holds a lease on it, a small file that it renews.

``leases/<part>.json`` says who holds it. Its date says when the holder was last alive; no clock but that of the disk or
the server is asked. A lease that was not renewed for :data:`EXPIRES_S` is free, and so is one whose process on this
machine has ended.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import random
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import count
from pathlib import Path
from typing import Any, Protocol, Self

import pyarrow.fs as pafs

from biomedica_ray.backoff import wait_after
from biomedica_ray.store.atomic import is_running, unfinished_name
from biomedica_ray.store.azure_client import MISMATCH, AzureBlobs, AzureError
from biomedica_ray.store.filesystem import ATTEMPTS, StoreError
from biomedica_ray.store.root import Root
from biomedica_ray.store.s3_client import s3_client

log = logging.getLogger(__name__)

RENEW_S = 30.0
EXPIRES_S = 120.0
ASK_AGAIN_S = 5.0
"""How often a run that waits asks whether the lease is free."""

MENDING = "check/mend"
"""The lease of the run that mends a store: no other run begins under it, and it begins under no other."""

_MEANT = {"NoSuchKey", "404", "PreconditionFailed", "412", "ConditionalRequestConflict", "409", "NotImplemented"}
"""Codes of answers that tell how things are: no lease, another one than was thought, or a server without conditions."""


@dataclass(frozen=True)
class Held:
    """A lease as it is stored.

    Attributes:
        holder: run_id, host, process and since.
        age_s: Seconds since it was renewed.
        version: Changes when it is written.
    """

    holder: dict[str, Any]
    age_s: float
    version: str

    @property
    def is_free(self) -> bool:
        """Whether its holder has ended, as far as one can know."""
        ended = self.holder.get("host") == socket.gethostname() and not is_running(int(self.holder["process"]))
        return ended or self.age_s > EXPIRES_S

    def __str__(self) -> str:
        holder = {"run_id": "a run that is starting", "host": "?", "since": "now", **self.holder}
        return (
            f"held by {holder['run_id']} on {holder['host']} since {holder['since']}, renewed {self.age_s:.0f} s ago "
            f"(free {EXPIRES_S:.0f} s after the last time)"
        )


class _Place(Protocol):
    """Where a lease is stored."""

    def read(self) -> Held | None: ...

    def write(self, holder: dict[str, Any], version: str | None) -> str | None:
        """Write it if it has still this version (None: if there is none); returns the new version, or None."""

    def delete(self, version: str) -> None: ...


def lease_path(part: str) -> str:
    """Where the lease on a part of a store is, relative to the root."""
    return f"leases/{part}.json"


def others(root: Root, run_id: str) -> str:
    """A lease that another run holds, in words; empty where none does."""
    selector = pafs.FileSelector(root.path("leases"), allow_not_found=True, recursive=True)
    for info in root.filesystem.get_file_info(selector):
        if info.type == pafs.FileType.File and not info.base_name.startswith("."):
            path = info.path.removeprefix(root.path() + "/")
            held = _place(root, path).read()
            if held is not None and held.holder.get("run_id") != run_id and not held.is_free:
                return f"{path.removeprefix('leases/').removesuffix('.json')} is {held}"
    return ""


class Lease:
    """Held within a ``with`` block. If it is lost there all the same, the main thread gets KeyboardInterrupt.

    Args:
        root: The store.
        part: What of it is held.
        run_id: Who holds it.
        wait: Wait until it is free, instead of raising.

    Raises:
        StoreError: Another run holds it, or mends the store; says which, where and since when.
    """

    def __init__(self, root: Root, part: str, run_id: str, *, wait: bool = False) -> None:
        self._place = _place(root, lease_path(part))
        self._mending = None if part == MENDING else _place(root, lease_path(MENDING))
        self._root, self._what, self._wait = root.root, f"{root.root}: {part}", wait
        since = datetime.now(UTC).isoformat(timespec="seconds")
        own = uuid.uuid4().hex  # by which a write is known whose answer was lost
        who = {"run_id": run_id, "host": socket.gethostname(), "process": os.getpid()}
        self._holder = {**who, "since": since, "lease": own}
        self._version = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> Self:
        told = False
        while held := self._in_the_way():
            if not self._wait:
                raise StoreError(f"{held}; let it end, or pass --wait true")
            if not told:
                log.warning("%s; waiting for it to end", held)
                told = True
            time.sleep(ASK_AGAIN_S)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        try:
            self._place.delete(self._version)
        except OSError as error:
            log.warning("%s stays held for %.0f s: %s", self._what, EXPIRES_S, error)

    def _in_the_way(self) -> str:
        """Take the lease; what keeps it from that in words, and the lease is not taken then."""
        while not (version := self._take()):
            held = self._place.read()
            if held is not None and not held.is_free:
                return f"{self._what} is {held}"
            time.sleep(random.uniform(0, 0.1))  # it is free, and others ask for it as well
        # After its own is there, so that of two that begin at a time one sees the other.
        if self._mending is not None and (held := self._mending.read()) is not None and not held.is_free:
            self._place.delete(version)
            return f"{self._root}: {MENDING} is {held}"
        self._version = version
        return ""

    def _take(self) -> str | None:
        held = self._place.read()
        if held is not None and not held.is_free:
            return None
        return self._place.write(self._holder, held.version if held else None)

    def _renew(self) -> None:
        while not self._ended.wait(RENEW_S):
            try:
                version = self._place.write(self._holder, self._version)
            except OSError as error:
                log.warning("%s cannot be renewed now: %s", self._what, " ".join(str(error).split()))
                continue
            if version is None:
                log.error("%s was taken by another run, as it could not be renewed in time; stopping", self._what)
                _stop_main()
                return
            self._version = version


def _place(root: Root, path: str) -> _Place:
    if root.is_local:
        return _LocalPlace(Path(root.path(path)))
    if root.blobs:
        return _AzurePlace(root.blobs, root.path(path))
    return _S3Place(root, path) if root.is_s3 else _ArrowPlace(root, path)


def _stop_main() -> None:
    """Wake the main thread, whatever it waits for: as SIGTERM where somebody listens to it, else as Ctrl-C."""
    listened = callable(signal.getsignal(signal.SIGTERM))
    ident = threading.main_thread().ident
    assert ident is not None
    signal.pthread_kill(ident, signal.SIGTERM if listened else signal.SIGINT)


class _LocalPlace:
    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Held | None:
        try:
            text, written = self._path.read_text(), self._path.stat().st_mtime
        except FileNotFoundError:
            return None
        try:
            holder = json.loads(text)
        except json.JSONDecodeError:  # it is being written
            holder = {}
        return Held(holder, time.time() - written, text)

    def write(self, holder: dict[str, Any], version: str | None) -> str | None:
        text = json.dumps(holder)
        if version == text:  # renewed: the date alone changes, so that there is no moment without a lease
            return text if self._touch(text) else None
        if version is not None:
            return text if self._replace(version, text) else None
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._path.open("x") as file:
                file.write(text)
        except FileExistsError:
            return None
        return text

    def _touch(self, text: str) -> bool:
        try:
            if self._path.read_text() != text:
                return False
            os.utime(self._path)
        except FileNotFoundError:
            return False
        return True

    def delete(self, version: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            if self._path.read_text() == version:
                self._path.unlink()
        for folder in self._path.parents:  # a run that failed before its first work leaves nothing behind
            try:
                folder.rmdir()
            except OSError:
                return

    def _replace(self, version: str, text: str) -> bool:
        """Put another lease where a free one is. Of several that try, one makes the file named for that version.

        Who makes it later, as its maker has removed it, finds the other lease there.
        """
        claim = self._path.with_name(f".claim-{hashlib.sha256(version.encode()).hexdigest()[:32]}")
        try:
            claim.touch(exist_ok=False)
        except FileExistsError:
            _remove_if_old(claim)
            return False
        except FileNotFoundError:  # the folder went with the lease
            return False
        aside = self._path.with_name(f".{unfinished_name()}")
        try:
            if self._path.read_text() != version:
                return False
            aside.write_text(text)
            aside.replace(self._path)
        except FileNotFoundError:
            return False
        finally:
            claim.unlink(missing_ok=True)
        return True


def _remove_if_old(claim: Path) -> None:
    """Remove it where its maker seems to have died."""
    with contextlib.suppress(FileNotFoundError):
        if time.time() - claim.stat().st_mtime > EXPIRES_S:
            claim.unlink()


class _S3Place:
    """By conditional writes (RFC 9110's If-Match and If-None-Match), where the server has them.

    One that does not know them says so, or lets the last writer win; so what was written is read again.
    """

    def __init__(self, root: Root, path: str) -> None:
        self._bucket, _, self._key = root.path(path).partition("/")
        self._client = s3_client(root.endpoint_url, ATTEMPTS)

    def read(self) -> Held | None:
        code, found = self._ask(self._get)
        if code in {"NoSuchKey", "404"}:
            return None
        answer, body = found
        now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        return Held(json.loads(body), (now - answer["LastModified"]).total_seconds(), answer["ETag"])

    def _get(self, **where: Any) -> tuple[Any, bytes]:
        """The answer and its body; botocore sends no request again of which the body was cut."""
        from botocore.exceptions import IncompleteReadError, ResponseStreamingError  # noqa: PLC0415

        for attempt in count(1):
            answer = self._client.get_object(**where)
            try:
                return answer, answer["Body"].read()
            except (IncompleteReadError, ResponseStreamingError):
                if attempt == ATTEMPTS:
                    raise
                wait_after(attempt)
        raise AssertionError

    def write(self, holder: dict[str, Any], version: str | None) -> str | None:
        # different each time, as the version is a hash of the content
        body = json.dumps({**holder, "renewed": datetime.now(UTC).isoformat()}).encode()
        condition = {"IfMatch": version} if version else {"IfNoneMatch": "*"}
        code, written = self._ask(self._client.put_object, Body=body, **condition)
        if code == "NotImplemented":
            code, written = self._ask(self._client.put_object, Body=body)
        there = self.read()
        if code:  # another version is there; ours, where an earlier write came about, though nobody heard of it
            return there.version if there is not None and _is_same(there, holder) else None
        return there.version if there is not None and there.version == written["ETag"] else None

    def delete(self, version: str) -> None:
        there = self.read()
        if there is not None and there.version == version:
            self._ask(self._client.delete_object)

    def _ask(self, request: Callable[..., Any], **arguments: Any) -> tuple[str, Any]:
        """The code of an error that has a meaning here, or "" and the answer; other errors are raised as OSError."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        try:
            return "", request(Bucket=self._bucket, Key=self._key, **arguments)
        except ClientError as error:
            if (code := error.response["Error"]["Code"]) in _MEANT:
                return code, None
            raise OSError(f"s3://{self._bucket}/{self._key}: {error}") from error
        except BotoCoreError as error:
            raise OSError(f"s3://{self._bucket}/{self._key}: {error}") from error


def _is_same(held: Held | None, holder: dict[str, Any]) -> bool:
    """Whether a lease as it is stored is this holder's."""
    return held is not None and {key: held.holder.get(key) for key in holder} == holder


class _AzurePlace:
    """By conditional writes, as in S3."""

    def __init__(self, blobs: AzureBlobs, path: str) -> None:
        self._blobs, self._path = blobs, path

    def read(self) -> Held | None:
        try:
            found = self._blobs.get(self._path)
        except FileNotFoundError:
            return None
        now, written = (parsedate_to_datetime(found.headers[name]) for name in ("Date", "Last-Modified"))
        return Held(json.loads(found.data), (now - written).total_seconds(), found.headers["ETag"])

    def write(self, holder: dict[str, Any], version: str | None) -> str | None:
        condition = {"If-Match": version} if version else {"If-None-Match": "*"}
        try:
            return self._blobs.put(self._path, json.dumps(holder).encode(), condition)
        except AzureError as error:
            if error.status not in MISMATCH:
                raise
        there = self.read()  # ours, where an earlier write came about, though nobody heard of it
        return there.version if there is not None and _is_same(there, holder) else None

    def delete(self, version: str) -> None:
        try:
            self._blobs.delete(self._path, version)
        except FileNotFoundError:
            log.debug("%s was already gone", self._path)
        except AzureError as error:
            if error.status not in MISMATCH:
                raise


class _ArrowPlace:
    """In storage to which Arrow writes without conditions: what was written is read again, and the last writer wins.

    Of two runs that begin in the same moment both may take themselves for the holder, until one of them renews its
    lease and finds the other's. The date is the server's, and compared with this machine's clock.
    """

    def __init__(self, root: Root, path: str) -> None:
        self._root, self._path = root, path

    def read(self) -> Held | None:
        info = self._root.filesystem.get_file_info(self._root.path(self._path))
        try:
            holder = json.loads(self._root.read_bytes(self._path)) if info.is_file else None
        except FileNotFoundError:
            return None
        return holder and Held(holder, time.time() - info.mtime_ns / 1e9, str(holder.get("version", info.mtime_ns)))

    def write(self, holder: dict[str, Any], version: str | None) -> str | None:
        there = self.read()
        # Ours after all where an earlier write came about, though nobody heard of it.
        if not _is_same(there, holder) and (there.version if there else None) != version:
            return None
        ours = uuid.uuid4().hex
        self._root.write_bytes(self._path, json.dumps({**holder, "version": ours}).encode())
        there = self.read()
        return ours if there is not None and there.version == ours else None

    def delete(self, version: str) -> None:
        there = self.read()
        if there is not None and there.version == version:
            self._root.delete(self._path)
