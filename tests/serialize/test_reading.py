"""How much of the images is read to write the shards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from biomedica_ray.serialize.config import SerializeConfig
from biomedica_ray.serialize.material import MaterialWorker, paths
from biomedica_ray.serialize.pipeline import SelectionWorker, ShardWorker
from biomedica_ray.serialize.planning import UnitContents, plan_shards
from biomedica_ray.store import Store
from biomedica_ray.store.parquet import ParquetRows
from biomedica_ray.units import Flow
from tests.extract.extracting import extract_here, write_folder

LICENCES = ("CC BY", "CC BY-NC", "CC BY-ND", "CC BY-NC-SA")
ARTICLES, FIGURES = 24, 3


def test_each_image_is_read_once_though_licences_alternate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biomedica_ray.extract.pipeline.IMAGE_GROUP_BYTES", 1000)  # as large images do
    for n in range(ARTICLES):
        write_folder(tmp_path / "packages", f"PMC{n}", LICENCES[n % len(LICENCES)], FIGURES)
    store = Store(str(tmp_path / "store"))
    extract_here(store, source="packages", packages=str(tmp_path / "packages"), units=2)
    config = SerializeConfig(store=store.root, samples_per_shard=7, test_fraction=0.25)
    units = store.commits("extract")
    for unit in units:
        SelectionWorker(store, "run", config)(unit, "aa")
    planned = plan_shards(store, {unit: UnitContents(commit.written) for unit, commit in units.items()}, config, {})

    read = 0
    piece = ParquetRows._read

    def counted(self: ParquetRows, start: int, stop: int, columns: Any) -> pa.Table:
        nonlocal read
        found = piece(self, start, stop, columns)
        read += len(found) if columns == ["image"] else 0
        return found

    monkeypatch.setattr(ParquetRows, "_read", counted)
    gather = MaterialWorker(store, "run", config)
    for unit in planned.units:
        gather(unit, "aa")
    material = paths(store.commits(config.place.material_stage))
    write = ShardWorker(store, "run", config, planned.shards, material=material, disk_bytes=0)
    samples = sum((write(number, mark)["samples"] for number, mark in planned.marks.items()), Flow())
    assert len(planned.shards) > 8
    assert samples.rows_out == ARTICLES * FIGURES
    cut_through = sum(shard.size % FIGURES > 0 for shard in planned.shards.values()) * FIGURES
    assert samples.rows_out <= read <= samples.rows_out + cut_through
