from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from biomedica_ray import schema
from biomedica_ray.serialize.samples import parquet_row, sample_fields
from biomedica_ray.serialize.twins import TwinWriter
from tests.serialize.test_samples import AS_IT_WAS, FIGURES, LABEL, SHARED


def test_row_groups_are_cut_by_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biomedica_ray.serialize.twins.ROW_GROUP_BYTES", 25_000)
    fields = sample_fields(FIGURES[0], SHARED, LABEL, AS_IT_WAS)
    path = tmp_path / "twin.parquet"
    with TwinWriter(path, range(42)) as twin:
        for n in range(41):
            twin.write(parquet_row(f"k{n}", bytes([n]) * 1000, "caption", fields))
    data = path.read_bytes()
    assert (twin.samples, twin.size, twin.sha256) == (41, len(data), hashlib.sha256(data).hexdigest())
    file = pq.ParquetFile(path)
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [16, 16, 9]
    assert file.schema_arrow.equals(schema.DATASET)
    rows = file.read(["key", "jpg"]).to_pylist()
    assert rows == [{"key": f"k{n}", "jpg": {"bytes": bytes([n]) * 1000, "path": f"k{n}.jpg"}} for n in range(41)]


def test_no_samples(tmp_path: Path) -> None:
    with TwinWriter(tmp_path / "twin.parquet", [0]):
        pass
    assert pq.read_table(tmp_path / "twin.parquet").num_rows == 0
