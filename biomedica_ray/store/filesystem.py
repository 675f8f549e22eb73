"""Local disks and object storage as pyarrow's filesystems, and requests that are sent again."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pyarrow.fs as pafs

from biomedica_ray import usage
from biomedica_ray.backoff import wait_after
from biomedica_ray.config.wording import A_PLACE
from biomedica_ray.store.azure_client import Account, AzureBlobs
from biomedica_ray.store.writable import TRIAL_S, is_final, try_again, why_no_answer

ATTEMPTS = 10
"""How often Arrow sends a request that a server refuses to answer for now: waits of 90 s in all, for a bucket that is
asked by thousands of workers at once and slows them down."""
READ_AGAIN_S = 60.0
"""How long a failed read is tried again beyond that: Arrow does not repeat a GET whose error has a longer text than the
range that was asked for, nor a body that was cut."""

OBJECT_STORAGE = ("s3://", "gs://", "az://")
"""How the URIs of object storage begin: S3 and what speaks its protocol, Google Cloud Storage, Azure Blob Storage."""
_RETRY_GCS_S = 90.0
"""How long Arrow sends requests again to Google Cloud Storage, as long as to S3; its own limit is 15 minutes."""

T = TypeVar("T")


class StoreError(Exception):
    """A store that cannot be opened, or whose content is not what this version of the project writes."""


def open_filesystem(
    uri: str, endpoint_url: str | None = None, *, anonymous: bool = False, timeout_s: float | None = None
) -> tuple[pafs.FileSystem, str]:
    """The pyarrow filesystem of a local path or of a URI of object storage, and the path within it, without a slash.

    Args:
        uri: A local path, ``file://`` URI, ``s3://bucket/prefix``, ``gs://bucket/prefix`` or
            ``az://container/prefix``, whose account :mod:`~biomedica_ray.store.azure_client` finds in the environment.
        endpoint_url: For object storage, another server than AWS, Google or Azure; requests to one for ``gs://`` are
            unsigned.
        anonymous: For S3, send unsigned requests.
        timeout_s: For object storage, give up a request that is not answered within about this time, at the second try;
            Arrow has no word for it of Azure.

    Returns:
        The filesystem; of Azure and S3, one whose reads are sent again, but for S3 where they are unsigned or have a
        ``timeout_s``. And the path.

    Raises:
        StoreError: Another scheme, or no account and credentials of Azure.
    """
    if uri.startswith("az://"):
        azure_account(uri)
        return _persistent("az", endpoint_url), uri.removeprefix("az://").rstrip("/")
    if uri.startswith("gs://"):
        return _google(endpoint_url, timeout_s), uri.removeprefix("gs://").rstrip("/")
    if uri.startswith("s3://"):
        once = anonymous or timeout_s is not None
        filesystem = s3_of_arrow(endpoint_url, anonymous, timeout_s) if once else _persistent("s3", endpoint_url)
        return filesystem, uri.removeprefix("s3://").rstrip("/")
    if "://" in uri and not uri.startswith("file://"):
        raise StoreError(f"{uri}: expected {A_PLACE}")
    return pafs.LocalFileSystem(), str(Path(uri.removeprefix("file://")).expanduser().absolute())


def _persistent(scheme: str, endpoint_url: str | None) -> pafs.FileSystem:
    from biomedica_ray.store.persistent import persistent  # noqa: PLC0415 - botocore, for those who use storage

    return persistent(scheme, endpoint_url)


def s3_of_arrow(endpoint_url: str | None, anonymous: bool = False, timeout_s: float | None = None) -> pafs.FileSystem:
    """Arrow's filesystem of S3, which finds its credentials itself; arguments as of :func:`open_filesystem`."""
    usage.watch_s3()
    attempts = pafs.AwsStandardS3RetryStrategy(max_attempts=2 if timeout_s else ATTEMPTS)
    # a small file is one PUT, not the three requests of an upload in parts
    options: dict[str, Any] = {"anonymous": anonymous, "allow_delayed_open": True, "retry_strategy": attempts}
    if timeout_s:
        options |= {"connect_timeout": timeout_s, "request_timeout": timeout_s}
    if endpoint_url:
        scheme, _, host = endpoint_url.rpartition("://")
        options |= {"endpoint_override": host, "scheme": scheme or "https"}
    return pafs.S3FileSystem(**options)


def azure_of_arrow(endpoint_url: str | None) -> pafs.FileSystem:
    """Arrow's filesystem of Azure, for whom the environment names; it has no timeout.

    Raises:
        StoreError: The environment names nobody.
    """
    account = azure_account("az://")
    options: dict[str, Any] = {}
    if endpoint_url:
        scheme, _, host = endpoint_url.rpartition("://")
        for service in ("blob", "dfs"):
            options[f"{service}_storage_scheme"] = scheme or "https"
            options[f"{service}_storage_authority"] = host.rstrip("/")
    signature = account.signature and f"?{account.signature}"
    return pafs.AzureFileSystem(account.name, account_key=account.key, sas_token=signature, **options)


def _google(endpoint_url: str | None, timeout_s: float | None) -> pafs.FileSystem:
    limit = timedelta(seconds=2 * timeout_s if timeout_s else _RETRY_GCS_S)
    if endpoint_url is None:
        return pafs.GcsFileSystem(retry_time_limit=limit)
    scheme, _, host = endpoint_url.rpartition("://")
    where = {"endpoint_override": host.rstrip("/"), "scheme": scheme or "https"}
    return pafs.GcsFileSystem(anonymous=True, retry_time_limit=limit, **where)


def check_answers(uri: str, endpoint_url: str | None = None, *, anonymous: bool = False) -> None:
    """Ask the server of a place in object storage for it, whether or not it exists.

    A wrong address is told after about ten seconds, where Arrow keeps asking for minutes. A request that fails at once
    is tried again, as a busy server cuts some.

    Args:
        uri: As of :func:`open_filesystem`; a local one is not looked at.
        endpoint_url: As there.
        anonymous: As there.

    Raises:
        StoreError: Nobody answers, or there are no credentials to ask with; one line.
    """
    if not uri.startswith(OBJECT_STORAGE):
        return
    try:
        if uri.startswith("az://"):
            blobs = AzureBlobs(azure_account(uri), endpoint_url, attempts=2, timeout_s=TRIAL_S)
            try_again(lambda: blobs.head(uri.removeprefix("az://")), TRIAL_S)
        else:
            filesystem, path = open_filesystem(uri, endpoint_url, anonymous=anonymous, timeout_s=TRIAL_S)
            try_again(lambda: filesystem.get_file_info(path), TRIAL_S)
    except OSError as error:
        if reason := why_no_answer(error):
            at = f" at {endpoint_url}" if endpoint_url else ""
            raise StoreError(f"{uri}{at}: {reason}") from error


def azure_account(uri: str) -> Account:
    """Who asks for what is in Azure; raises StoreError, which names the URI, where the environment does not say it."""
    try:
        return Account.of_environment()
    except ValueError as error:
        raise StoreError(f"{uri}: {error}") from None


def read_again(read: Callable[[], T]) -> T:
    """``read()``, and again where object storage failed it, with growing waits, until :data:`READ_AGAIN_S` have passed.

    Raises:
        OSError: What the last attempt met; at once where no further one could help (no such file, no permission).
    """
    started, attempt = time.monotonic(), 0
    while True:
        try:
            return read()
        except OSError as error:
            attempt += 1
            if is_final(error) or time.monotonic() - started > READ_AGAIN_S:
                raise
            wait_after(attempt)
