"""Why a place cannot be used, in words: tried with a few bytes before a run starts."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import time
import uuid
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import TypeVar

import pyarrow.fs as pafs

from biomedica_ray.backoff import wait_after
from biomedica_ray.store.azure_client import BUSY, AzureBlobs, AzureError

TRIAL_S = 5.0
"""How long the server of a bucket may take to connect or to answer; it is asked twice."""

_TRIALS = 3
"""How often what fails at once is tried."""

_BYTES = 2**16
"""As many as a full disk refuses even where a few would still fit into a block."""

_SILENT = "the server does not answer"
_NO_GOOGLE_CREDENTIALS = "no Google credentials found"

_S3_REASONS = {
    "NETWORK_CONNECTION": _SILENT,
    "NO_SUCH_BUCKET": "there is no such bucket",
    "ACCESS_DENIED": "permission denied; check the AWS credentials and the bucket's policy",
    "INVALID_ACCESS_KEY_ID": "the server does not know the AWS access key",
    "SIGNATURE_DOES_NOT_MATCH": "the server refuses the AWS secret key",
    "INVALID_CLIENT_TOKEN_ID": "the server refuses the AWS credentials",
    "MISSING_AUTHENTICATION_TOKEN": "no AWS credentials found",
}
"""AWS error -> what it means here; others are told as the server puts them."""
_GOOGLE_REASONS = {
    "NOT_FOUND": "there is no such bucket",
    "PERMISSION_DENIED": "permission denied; check the Google credentials and the bucket's policy",
    "UNAUTHENTICATED": _NO_GOOGLE_CREDENTIALS,
    "UNAVAILABLE": _SILENT,
    "DEADLINE_EXCEEDED": _SILENT,
}
"""The same of Google's."""
_AZURE_REASONS = {
    "ContainerNotFound": "there is no such container",
    "ResourceNotFound": "there is no such storage account",
    "AuthenticationFailed": "the server refuses the key or signature of the storage account",
    "AuthorizationFailure": "the server refuses the key or signature of the storage account",
    "AuthorizationPermissionMismatch": "permission denied; the signature does not allow to write and delete",
    "KeyBasedAuthenticationNotPermitted": "the storage account does not allow keys; it takes a signature of a user",
}
"""The same of Azure's."""

T = TypeVar("T")


def why_not_local(folder: Path) -> str | None:
    """Why no file can be written below ``folder``, which need not exist yet; None where one can. Leaves nothing behind.

    What is tried is a file without a name, in the folder or in the nearest one above it that exists.
    """
    try:
        there = next(each for each in [folder, *folder.parents] if each.exists())
        if not there.is_dir():
            return "is a file; expected a folder" if there == folder else f"{there} is a file; expected a folder"
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(bytes(_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return f"cannot be written: {error.strerror}"
    return None


def why_not_in_a_bucket(filesystem: pafs.FileSystem, prefix: str, timeout_s: float) -> str | None:
    """Why no object can be written below ``prefix`` ("bucket/path"), or None where one can.

    A request that fails at once is tried again, as a busy server cuts and refuses some.

    Args:
        filesystem: With a short timeout, so that a server that does not answer costs two times as much.
        prefix: Where a small object is written and removed.
        timeout_s: That timeout; a request that took longer is not sent again.
    """
    path = f"{prefix}/.trial-{uuid.uuid4().hex}"

    def write() -> None:
        filesystem.get_file_info(path)
        filesystem.open_output_stream(path).close()
        with contextlib.suppress(FileNotFoundError):  # removed by a request whose answer was lost
            filesystem.delete_file(path)

    try:
        try_again(write, timeout_s)
    except OSError as error:
        return _s3_reason(str(error))
    return None


def why_not_in_a_container(blobs: AzureBlobs, prefix: str) -> str | None:
    """The same of Azure, with few attempts and short timeouts."""
    path = f"{prefix}/.trial-{uuid.uuid4().hex}"

    def write() -> None:
        blobs.put(path, b"")
        with contextlib.suppress(FileNotFoundError):
            blobs.delete(path)

    try:
        try_again(write, blobs.timeout_s)
    except OSError as error:
        said = str(error).removeprefix(f"az://{path}: ")
        return _AZURE_REASONS.get(
            said, said if "storage account" in said or "answer" in said else f"cannot be written: {said}"
        )
    return None


def try_again(request: Callable[[], T], timeout_s: float) -> T:
    """``request()``, and again where it fails at once, three times in all.

    Args:
        request: Gives up by itself after about two times ``timeout_s``.
        timeout_s: What took longer is not sent again.

    Raises:
        OSError: What the last attempt met.
    """
    started = time.monotonic()
    for attempt in count(1):
        try:
            return request()
        except OSError as error:
            if is_final(error) or attempt == _TRIALS or time.monotonic() - started > timeout_s:
                raise
            wait_after(attempt)
    raise AssertionError


def is_final(error: OSError) -> bool:
    """Whether the same request would fail again: a missing file, no permission, wrong credentials."""
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError):
        return True
    if isinstance(error, AzureError):
        return error.status not in {0, *BUSY}
    if azure := re.search(r"Azure Error: \[(\w+)\]", str(error)):
        return azure[1] in _AZURE_REASONS
    name = re.search(r"AWS Error (\w+)", str(error))
    return name is not None and name[1] in _S3_REASONS.keys() - {"NETWORK_CONNECTION"}


def why_no_answer(error: OSError) -> str | None:
    """Why a request did not get as far as a server that answers, and None where one answered, whatever it said."""
    if isinstance(error, AzureError):
        return None if error.status else error.code
    reason = _s3_reason(str(error))
    return reason if reason.startswith((_SILENT, _NO_GOOGLE_CREDENTIALS)) else None


def _s3_reason(message: str) -> str:
    """What pyarrow's message about a failed request says, as far as it helps."""
    if google := re.search(r"google::cloud::Status\((\w+): (.*?)(?: error_info=|\Z)", message):
        if "access token" in google[2]:  # Arrow asks the machine for one, and tells of it as of a server that is down
            return _NO_GOOGLE_CREDENTIALS
        return _GOOGLE_REASONS.get(google[1], f"cannot be written: {google[2]}")
    name = re.search(r"AWS Error (\w+)", message)
    said = message.rpartition("operation: ")[2]
    if name is None or name[1] not in _S3_REASONS:
        return f"cannot be written: {said}"
    detail = message.rpartition("Details: ")[2] if name[1] == "NETWORK_CONNECTION" else ""
    return _S3_REASONS[name[1]] + (f" ({detail})" if detail else "")
