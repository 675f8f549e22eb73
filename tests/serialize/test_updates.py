"""What an update of the articles costs a dataset: how many of its shards are written anew."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from biomedica_ray.runs import Run
from biomedica_ray.serialize.config import SerializeConfig
from biomedica_ray.serialize.pipeline import run as serialize
from biomedica_ray.store import Store
from tests.extract.extracting import extract_here, write_folder

pytestmark = pytest.mark.cluster

N = 100
"""Articles, of two figures each."""


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    for n in range(N):
        write_folder(tmp_path / "packages", f"PMC{n}")
    return tmp_path / "packages"


def rewrite(packages: Path, n: int, **keys: Any) -> None:
    shutil.rmtree(packages / f"PMC{n}")
    write_folder(packages, f"PMC{n}", **keys)


def extract(store: Store, packages: Path) -> None:
    extract_here(store, source="packages", packages=str(packages), units=3)


def run(store: Store, **keys: Any) -> Run:
    settings = {"samples_per_shard": 50, "validation_fraction": 0, "test_fraction": 0, "memory_gb": 0.3, **keys}
    with Run("serialize", SerializeConfig(store=store.root, **settings)) as stage_run:
        serialize(SerializeConfig(store=store.root, **settings), stage_run)
    return stage_run


def shards(store: Store) -> dict[str, list[str]]:
    """Path of each shard -> keys of its samples."""
    document = store.read_json("dataset/dataset.json")
    return {
        shard["path"]: pq.read_table(store.path(f"dataset/{shard['parquet']}"), columns=["key"])["key"].to_pylist()
        for shard in document["shards"]
    }


def changes(store: Store) -> str:
    return Path(store.path("dataset/CHANGES.md")).read_text()


def newest_change(store: Store) -> str:
    return changes(store).split("\n## ")[1]


def keys(store: Store) -> list[str]:
    return sorted(key for members in shards(store).values() for key in members)


def test_an_update_writes_few_shards_and_a_withdrawn_licence_is_out_at_once(
    ray_cluster: None, packages: Path, tmp_path: Path
) -> None:
    store = Store(str(tmp_path / "store"))
    extract(store, packages)
    first = run(store)
    before = shards(store)
    assert [len(members) for members in before.values()] == [50] * 4

    assert "There was none before.\n\n- first edition" in changes(store)
    document = Path(store.path("dataset/dataset.json")).read_bytes()

    # A later state of one article, and a new one.
    rewrite(packages, 17, figures=3)
    write_folder(packages, "PMC777")
    extract(store, packages)
    second = run(store)
    after = shards(store)
    assert {path: after[path] for path in before} == before
    assert list(after.values())[4:] == [["PMC777-1_001", "PMC777-1_002"]]
    assert (second.results["outdated"], second.results["waiting"]) == (2, 3)
    assert (
        first.counts["samples"].rows_out + 2
        == second.counts["samples"].rows_out
        == second.counts["figures"].rows_out - 1
    )
    assert run(store).counts == second.counts
    assert shards(store) == after

    sha256 = hashlib.sha256(document).hexdigest()
    assert store.read_json("dataset/dataset.json")["previous"] == sha256
    entry = newest_change(store)
    assert f"SHA-256 `{sha256}`" in entry
    assert "- 2 samples are new, 2 of them of new articles; 0 are no longer where they were\n" in entry
    assert "- 1 shards added:\n  - `webdataset/commercial/train/commercial-train-000004.tar`: 2 samples" in entry
    assert "rewritten" not in entry and "removed" not in entry

    # Another article is no longer for commercial use.
    rewrite(packages, 42, license_code="CC BY-NC")
    extract(store, packages)
    run(store)
    third = shards(store)
    assert {path for path, members in before.items() if path not in third} == {
        path for path, members in before.items() if "PMC42-1_001" in members or "PMC42-1_002" in members
    }
    assert {path for path, members in third.items() if "PMC42-1_001" in members} == {
        "webdataset/noncommercial/train/noncommercial-train-000000.tar"
    }

    entry = newest_change(store)
    assert "2 are no longer where they were (licence group noncommercial now 2)" in entry
    assert "shards rewritten:\n  - `webdataset/commercial/train/" in entry
    assert "noncommercial-train-000000.tar`: 2 samples" in entry
    assert changes(store).count("\n## ") == 3

    # All as of now.
    run(store, max_outdated=0)
    clean = Store(str(tmp_path / "clean"))
    extract(clean, packages)
    run(clean)
    assert keys(store) == keys(clean)
    assert store.read_json("dataset/dataset.json")["outdated"] == 0


def test_a_dataset_that_was_deleted_is_made_again_as_of_now(ray_cluster: None, packages: Path, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    extract(store, packages)
    run(store)
    rewrite(packages, 17, figures=3)
    extract(store, packages)
    run(store)
    assert "PMC17-1_003" not in keys(store)
    shutil.rmtree(tmp_path / "store" / "dataset")
    again = run(store)
    assert "PMC17-1_003" in keys(store)
    assert (again.results["outdated"], again.results["waiting"]) == (0, 0)


def test_a_killed_update_goes_on_to_the_same_shards(ray_cluster: None, packages: Path, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    extract(store, packages)
    run(store)
    for n in (3, 33, 63):
        rewrite(packages, n, license_code="CC BY-NC")
    extract(store, packages)
    shutil.copytree(tmp_path / "store", tmp_path / "clean")
    clean = Store(str(tmp_path / "clean"))
    run(clean)
    run(store)
    for commit in list(store.commits("serialize/shards").values())[::2]:
        store.drop(commit)
    store.delete("dataset/dataset.json")
    run(store)
    assert store.read_json("dataset/dataset.json") == clean.read_json("dataset/dataset.json")
