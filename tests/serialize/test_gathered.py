"""What is gathered of all shards, by the worker alone, with runs that are cut short."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biomedica_ray import schema
from biomedica_ray.reading.place import Place
from biomedica_ray.serialize import changes
from biomedica_ray.serialize.gathered import METADATA, GatheringWorker
from biomedica_ray.store import Store
from biomedica_ray.store.atomic import AtomicFile
from biomedica_ray.units import Flow
from tests.publish.test_publish import nothing

PLACE = Place(None)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store in which one figure has been left out."""
    store = Store(str(tmp_path))
    with store.write_unit(PLACE.stage, 0, "aa") as writer:
        row = schema.error_row("serialize", "P0_2", "retracted", "the article is retracted", entity="figure")
        writer.table("errors", schema.ERRORS, directory="errors/serialize").write([row])
        writer.commit({"figures": Flow(1, 0, 1)})
    return store


def shard(store: Store, index: int, *keys: str) -> dict[str, Any]:
    """A shard with these samples, written as Parquet."""
    name = f"commercial-train-{index:06d}"
    paths = {"path": f"webdataset/{name}.tar", "parquet": f"parquet/{name}.parquet"}
    empty = {field.name: nothing(field.type) for field in schema.DATASET if field.name != "jpg"}
    of_each = [
        {**empty, "key": key, "figure_id": key, "panel_number": None, "article_accession_id": key.partition("_")[0]}
        for key in keys
    ]
    columns = pa.schema([field for field in schema.DATASET if field.name != "jpg"])
    Path(store.path("dataset/parquet")).mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(of_each, columns), store.path(f"dataset/{paths['parquet']}"))
    return {**paths, "license_group": "commercial", "split": "train", "samples": len(keys)}


def gather(store: Store, previous: str | None, *shards: dict[str, Any]) -> list[str]:
    """The entries of CHANGES.md after that, newest first."""
    day = {"run": f"of {len(shards)} shards"}
    mark = hashlib.sha256(repr(shards).encode()).hexdigest()[:8]
    GatheringWorker(store, "run", PLACE, shards, previous=previous, dates=day)(0, mark)
    return Path(store.path(f"dataset/{changes.FILE}")).read_text().split("\n## ")[1:]


def test_changes_are_those_since_the_last_dataset_that_was_published(store: Store) -> None:
    """Also where a run was cut short in between, whose gathered files are of a dataset that nobody ever saw."""
    a, b, c = (shard(store, index, f"P{index}_1", f"P{index}_2") for index in range(3))
    (first,) = gather(store, None, a, b)
    assert "first edition" in first
    assert "- 2 samples are new" in gather(store, "d0", a, b, c)[0]
    d = shard(store, 3, "P0_1", "P3_1")
    found = gather(store, "d0", b, c, d)  # and no dataset.json came in between
    assert len(found) == 2
    assert "Before: the dataset.json with the SHA-256 `d0`" in found[0]
    assert "- 3 samples are new, 3 of them of new articles; 1 are no longer where they were (retracted 1)" in found[0]
    assert f"- 1 shards added:\n  - `{c['path']}`: 2 samples" in found[0]
    assert f"- 1 shards rewritten:\n  - `{a['path']}`, now in `{d['path']}`: 1 samples gone (retracted 1)" in found[0]
    # That one was published, as d1.
    (newest, *_) = gather(store, "d1", c, d)
    assert "- 0 samples are new" in newest
    assert f"- 1 shards removed:\n  - `{b['path']}`: 2 samples" in newest


def test_a_run_that_ends_while_it_puts_the_files_in_their_places(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = (shard(store, index, f"P{index}_1", f"P{index}_2") for index in range(2))
    gather(store, None, a)
    published = AtomicFile.publish

    def until_metadata(file: AtomicFile) -> None:
        published(file)
        if file._target.endswith(METADATA):
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(AtomicFile, "publish", until_metadata)
        gather(store, "d0", a, b)
    assert pq.read_table(store.path(f"dataset/{METADATA}")).num_rows == 4
    (newest, first) = gather(store, "d0", a, b)
    assert "- 2 samples are new, 2 of them of new articles" in newest
    assert "first edition" in first


def test_where_nothing_says_what_was_there_all_is_new_however_often_it_is_tried(store: Store) -> None:
    a, b = (shard(store, index, f"P{index}_1") for index in range(2))
    assert "all shards are new" in gather(store, "d0", a)[0]
    assert ["all shards are new" in entry for entry in gather(store, "d0", a, b)] == [True]
