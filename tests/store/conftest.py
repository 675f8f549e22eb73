"""A store on a disk, one on S3, one on Google Cloud Storage and one on Azure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from biomedica_ray.store import Store
from tests.fakes.azure import azure_server
from tests.fakes.gcs import gcs_server
from tests.fakes.s3 import client, s3_server


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as url:
        client(url).create_bucket(Bucket="stores")
        yield url


@pytest.fixture(scope="module")
def google() -> Iterator[str]:
    with gcs_server("stores") as url:
        yield url


@pytest.fixture(scope="module")
def azure() -> Iterator[str]:
    with azure_server("stores") as url:
        yield url


@pytest.fixture(params=["local", "s3", "gs", "az"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return Store(str(tmp_path / "store"))
    if request.param == "gs":
        return Store(f"gs://stores/{tmp_path.name}", request.getfixturevalue("google"))
    if request.param == "az":
        return Store(f"az://stores/{tmp_path.name}", request.getfixturevalue("azure"))
    return Store(f"s3://stores/{tmp_path.name}", request.getfixturevalue("endpoint"))
