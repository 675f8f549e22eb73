"""A dataset as a Ray Dataset, from a disk, an S3 server and a web server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from ray.data.expressions import col

import biomedica_ray
from biomedica_ray.config import ConfigError
from biomedica_ray.reading.place import Place
from biomedica_ray.serialize.dataset import publish
from biomedica_ray.store import Store
from tests.fakes.file_server import file_server
from tests.fakes.s3 import s3_server, upload
from tests.serialize.test_readers import SETTINGS, write

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("store") / "dataset"
    kinds = [("commercial", "train", 0, range(8)), ("commercial", "test", 0, range(8, 12))]
    shards = [write(root, *kind) for kind in [*kinds, ("noncommercial", "train", 0, range(12, 15))]]
    publish(Store(str(root.parent)), Place(None), shards, SETTINGS)
    return root


def keys(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(row["key"] for row in rows)


def truth(dataset: Path, pattern: str) -> list[dict[str, Any]]:
    return [
        row for file in sorted(dataset.glob(f"parquet/{pattern}/*.parquet")) for row in pq.read_table(file).to_pylist()
    ]


def test_all_of_it_and_parts(ray_cluster: None, dataset: Path) -> None:
    loaded = biomedica_ray.load(str(dataset)).take_all()
    expected = truth(dataset, "*/*")
    assert sorted(loaded, key=lambda row: row["key"]) == sorted(expected, key=lambda row: row["key"])
    train = biomedica_ray.load(str(dataset), split="train", license_groups=["commercial"])
    assert keys(train.take_all()) == keys(truth(dataset, "commercial/train"))
    texts = biomedica_ray.load(str(dataset), split="test", columns=["key", "txt"]).take_all()
    assert {tuple(row) for row in texts} == {("key", "txt")} and len(texts) == 8


def test_rows_that_meet_a_condition(ray_cluster: None, dataset: Path) -> None:
    wanted = truth(dataset, "*/*")[5]["article_accession_id"]
    found = biomedica_ray.load(str(dataset), where=col("article_accession_id") == wanted, columns=["key"]).take_all()
    assert keys(found) == keys([row for row in truth(dataset, "*/*") if row["article_accession_id"] == wanted])
    assert found


def test_from_s3(ray_cluster: None, dataset: Path) -> None:
    with s3_server() as url:
        upload(url, dataset, "sets", "d")
        loaded = biomedica_ray.load("s3://sets/d", split="train", endpoint_url=url).take_all()
    assert keys(loaded) == keys(truth(dataset, "*/train"))


def test_captions_from_the_web_without_the_images(ray_cluster: None, dataset: Path) -> None:
    files = {f"/d/{file.relative_to(dataset)}": file.read_bytes() for file in dataset.rglob("*") if file.is_file()}
    with file_server(files) as server:
        loaded = biomedica_ray.load(f"{server.url}/d", split="train", columns=["key", "txt"]).take_all()
    assert {(row["key"], row["txt"]) for row in loaded} == {
        (row["key"], row["txt"]) for row in truth(dataset, "*/train")
    }


def test_what_is_not_there_is_one_line(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected a folder with dataset.json"):
        biomedica_ray.load(str(tmp_path))
    with pytest.raises(ConfigError, match=r"split: .* has no trian; did you mean train\?"):
        biomedica_ray.load(str(dataset), split="trian")
    with pytest.raises(ConfigError, match=r"columns: .* has no text; did you mean txt\?"):
        biomedica_ray.load(str(dataset), columns=["text"])
    with pytest.raises(ConfigError, match="no samples of split test in noncommercial"):
        biomedica_ray.load(str(dataset), split="test", license_groups="noncommercial")
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = biomedica_ray.lode
