"""A dataset as a Ray Dataset, from a disk, an S3 server and a web server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from ray.data.expressions import col

import biomedica_ray
from benchmarks import stream
from biomedica_ray.config import ConfigError
from biomedica_ray.reading.place import Place
from biomedica_ray.reading.shards import RawSample, read_samples, read_shards
from biomedica_ray.reading.stretches import read_numbers
from biomedica_ray.serialize.dataset import publish
from biomedica_ray.serialize.profiles import Profile
from biomedica_ray.serialize.samples import parquet_row
from biomedica_ray.serialize.shard_plan import Shard
from biomedica_ray.serialize.shards import ShardWriter
from biomedica_ray.serialize.twins import TwinWriter
from biomedica_ray.store import Store
from tests.fakes.file_server import file_server
from tests.fakes.flaky_proxy import flaky_proxy
from tests.fakes.hub import TOKEN, hub_server
from tests.fakes.s3 import s3_server, upload
from tests.fakes.served_folder import served_folder
from tests.publish.test_publish import nothing
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


def test_from_the_hub_with_a_token(ray_cluster: None, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with hub_server() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        files = {str(file.relative_to(dataset)): file.read_bytes() for file in dataset.rglob("*") if file.is_file()}
        hub.repositories["datasets/us/figures"] = files
        train = biomedica_ray.load("hf://datasets/us/figures", split="train")
        assert {row["key"]: row["jpg"] for row in train.take_all()} == {
            row["key"]: row["jpg"] for row in truth(dataset, "*/train")
        }
        with pytest.raises(ConfigError, match=r"hf://datasets/us/none: expected a folder with dataset.json"):
            biomedica_ray.load("hf://datasets/us/none")


CONCEPTS, SAMPLES, PER_SHARD = 20, 5_000, 2_500


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shards of samples of 6 kB, each of a concept."""
    root, profile = tmp_path_factory.mktemp("large") / "dataset", Profile("train", 512, 90)
    empty = {field.name: nothing(field.type) for field in profile.schema if field.name not in ("key", "jpg", "txt")}
    shards = []
    generator = np.random.default_rng(0)
    for index in range(SAMPLES // PER_SHARD):
        shard = Shard("commercial", "train", index, PER_SHARD)
        tar, parquet = shard.path("webdataset", "tar"), shard.path("parquet", "parquet")
        for path in (tar, parquet):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
        with ShardWriter(root / tar) as writer:
            for number in range(index * PER_SHARD, (index + 1) * PER_SHARD):
                fields = {**empty, "image_concept": f"concept {generator.integers(CONCEPTS):02d}"}
                writer.write(f"PMC{number}-1_001", generator.bytes(6_000), "A caption.", fields)
        with TwinWriter(root / parquet, writer.offsets, profile.schema) as twin:
            for sample in writer.by_concept():
                twin.write(parquet_row(*sample))
        paths = {"path": tar, "parquet": parquet, "license_group": "commercial", "split": "train"}
        sizes = {"bytes": writer.size, "parquet_bytes": twin.size}
        shards.append({**paths, **sizes, "samples": PER_SHARD, "sha256": writer.sha256})
    publish(Store(str(root.parent)), Place(None), shards, {**SETTINGS, "profile": "train"})
    return root


def test_the_tar_of_a_sorted_file_has_its_own_order_and_stretches_of_it_are_read_alone(large: Path) -> None:
    """By the offsets in the file's footer: the bytes of a stretch and of footers, and no more."""
    shards = read_shards(Store(str(large)), None, "train")
    every = [each for shard in shards for each in read_samples(Store(str(large)), shard, 0, PER_SHARD, metadata=True)]
    assert [each.key for each in every if isinstance(each, RawSample)] == [f"PMC{n}-1_001" for n in range(SAMPLES)]
    numbers = [0, 3, 63, *range(2_400, 2_600), SAMPLES - 1]
    with s3_server() as server, flaky_proxy(server) as (url, seen):
        upload(server, large, "sets", "d")
        found = list(read_numbers(Store("s3://sets/d", url), shards, numbers))
        tars = [request for request in seen.requests if ".tar" in request and request.startswith("GET")]
    assert found == [every[number] for number in numbers]
    assert bytes_of(tars) < 300 * 15_000 < 0.1 * sum(file.stat().st_size for file in large.rglob("*.tar"))


def bytes_of(requests: list[str]) -> int:
    """What ranged requests asked for."""
    return sum(int(last) - int(first) + 1 for first, last in (each.rsplit(" ", 1)[1].split("-") for each in requests))


def test_of_one_concept_little_more_than_its_own_rows_is_read(ray_cluster: None, large: Path) -> None:
    files = sorted(large.glob("parquet/*/*/*.parquet"))
    own = [row for file in files for row in pq.read_table(file).to_pylist() if row["image_concept"] == "concept 07"]
    for file in files:
        footer = pq.ParquetFile(file)
        assert footer.read(["image_concept"])["image_concept"].to_pylist() == sorted(
            footer.read(["image_concept"])["image_concept"].to_pylist()
        )
        group = footer.metadata.row_group(0)
        columns = {each.path_in_schema: each for each in map(group.column, range(group.num_columns))}
        # Of pictures it has no smallest and largest one: values of more than 4 kB are in no statistics.
        assert columns["image_concept"].has_column_index and columns["jpg.bytes"].has_offset_index
        assert footer.metadata.num_row_groups == 20
    with s3_server() as server, flaky_proxy(server) as (url, seen):
        upload(server, large, "sets", "d")
        found = biomedica_ray.load("s3://sets/d", where=col("image_concept") == "concept 07", endpoint_url=url)
        rows = {row["key"]: row["jpg"]["bytes"] for row in found.take_all()}
        gets = [each for each in seen.requests if each.startswith("GET") and ".parquet" in each]
    assert rows == {row["key"]: row["jpg"]["bytes"] for row in own}
    assert 200 < len(rows) < 300
    whole = sum(file.stat().st_size for file in files)
    assert bytes_of(gets) < 0.18 * whole


def test_what_the_benchmark_compares_is_the_same_by_each_way_from_each_place(
    ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream.write(tmp_path, 2, 5, image_bytes=2000)
    with served_folder(tmp_path, 0) as server:
        there = stream.places(tmp_path, server)
        expected = sorted(stream.by_our_reader(there[0]))
        assert len(expected) == 10 and len(set(expected)) == 10
        assert sorted(stream.by_load(there[0])) == expected  # the other places are those of the tests above
        monkeypatch.delitem(stream.WAYS, "load")
        read = {(place.name, way): sorted(read(place)) for place in there for way, read in stream.WAYS.items()}
        assert [at for at, samples in read.items() if samples != expected] == []
        assert len(stream.table(there[:1], rounds=1)) == 2 + len(stream.WAYS)


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
