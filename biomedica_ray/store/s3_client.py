"""A client of S3 for what Arrow's file system has no words for: conditional writes, and ranges pinned to a version."""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING

from biomedica_ray import usage

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_CONNECT_TIMEOUT_S = 10.0
_READ_TIMEOUT_S = 60.0
"""Longest wait for an answer and for each piece of it."""
_CONNECTIONS = 64
"""Connections that a process keeps."""
_MAKING_CLIENT = threading.Lock()
"""boto3 must not make two clients at a time."""


def s3_client(endpoint_url: str | None, attempts: int = 1) -> S3Client:
    """A client that finds its credentials as Arrow's does, and addresses buckets of other servers as that does.

    Args:
        endpoint_url: A server other than AWS.
        attempts: How often the client sends a request; 1 where the caller tries again.
    """
    usage.watch_s3()
    with _MAKING_CLIENT:
        return _made(endpoint_url, attempts)


@cache
def _made(endpoint_url: str | None, attempts: int) -> S3Client:
    import boto3  # noqa: PLC0415 - half a second, in every process that opens a store
    from botocore.config import Config  # noqa: PLC0415

    if endpoint_url and "://" not in endpoint_url:
        endpoint_url = f"https://{endpoint_url}"
    config = Config(
        connect_timeout=_CONNECT_TIMEOUT_S,
        read_timeout=_READ_TIMEOUT_S,
        max_pool_connections=_CONNECTIONS,
        retries={"total_max_attempts": attempts, "mode": "standard"},
        s3={"addressing_style": "path" if endpoint_url else "auto"},
    )
    return boto3.client("s3", endpoint_url=endpoint_url, config=config)
