"""A real S3 API server on this machine (moto's), in a process of its own."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import boto3
from mypy_boto3_s3 import S3Client

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""What clients of the server need in their environment, Ray workers too: so it must be there before Ray starts."""


@contextlib.contextmanager
def s3_server(port: int = 0) -> Iterator[str]:
    """Start the server; yields its endpoint URL. Clients want :data:`CREDENTIALS` in the environment."""
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(url, server)
        yield url
    finally:
        server.terminate()
        server.wait(10)


def client(endpoint_url: str) -> S3Client:
    """A boto3 client of the server."""
    return boto3.client("s3", endpoint_url=endpoint_url, region_name="us-east-1")


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(url: str, server: subprocess.Popen[bytes], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"the S3 server ended with {server.returncode}")
        try:
            urllib.request.urlopen(f"{url}/moto-api/data.json", timeout=2).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"the S3 server at {url} did not answer within {seconds} s")


def upload(url: str, folder: Path, bucket: str, prefix: str) -> None:
    """Copy the files of a folder into a new bucket."""
    s3 = client(url)
    s3.create_bucket(Bucket=bucket)
    for file in folder.rglob("*"):
        if file.is_file():
            s3.upload_file(str(file), bucket, f"{prefix}/{file.relative_to(folder)}")
