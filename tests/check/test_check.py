from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from biomedica_ray.check.config import CheckConfig
from biomedica_ray.check.faults import Faults, find_faults
from biomedica_ray.check.pipeline import run
from biomedica_ray.cluster import StageFailedError
from biomedica_ray.runs import Run, read_runs
from biomedica_ray.store import Commit, Store, StoreError
from biomedica_ray.store.lease import Lease
from biomedica_ray.units import Flow

SCHEMA = pa.schema([("id", pa.string())])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three units, and files that are no unit's, some of them beside those of one."""
    store = Store(str(tmp_path))
    store.open_or_create(3)
    for unit in range(3):
        with store.write_unit("extract", unit, "aa") as writer:
            writer.table("figures", SCHEMA).write([{"id": str(unit)}])
            writer.table("extras", SCHEMA, directory="extras/extract").write([])
            writer.commit({"figures": Flow(1, 1)})
    with store.write_unit("serialize", 0, "dd") as writer:
        writer.table("attribution", SCHEMA, path="dataset/attribution.parquet").write([{"id": "0"}])
        writer.commit({"attributions": Flow(1, 1)})
    for path in ("labels.yaml", "dataset/dataset.json", "dataset/README.md", "dataset/statistics.json"):
        store.write_bytes(path, b"no unit's")
        os.utime(store.path(path), (0, 0))
    return store


def spoil(store: Store) -> None:
    """A file too few, one too many, a younger one that may still be committed, and a record of another version."""
    store.delete("figures/000001-aa.parquet")
    store.write_bytes("figures/000002-bb.parquet", b"of a killed run")
    os.utime(store.path("figures/000002-bb.parquet"), (0, 0))
    store.write_bytes("extras/extract/000000-cc.parquet", b"of a run that goes on")
    store.write_json("commits/later/000000.json", {"stage": "later", "unit": 0})


def check(store: Store, *, mend: bool = False) -> list[str]:
    config = CheckConfig(store=store.root, mend=mend)
    with Run("check", config) as record:
        run(config, record)
    faults: list[str] = record.results["faults"]
    return faults


def files(store: Store) -> set[str]:
    root = Path(store.root)
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and "runs" not in path.parts}


def test_a_whole_store_has_no_faults(store: Store) -> None:
    before = files(store)
    assert check(store, mend=True) == []
    assert files(store) == before


def test_faults_are_listed_and_the_exit_is_a_failure(store: Store) -> None:
    spoil(store)
    before = files(store)
    with pytest.raises(StageFailedError, match=r"1 units with missing files, 1 files left over, 1 unreadable records"):
        check(store)
    assert files(store) == before
    assert read_runs(store)[-1]["results"]["faults"] == [
        "missing: figures/000001-aa.parquet of extract, unit 1",
        "left over: figures/000002-bb.parquet",
        "not readable by this version: commits/later/000000.json",
    ]


@pytest.mark.parametrize("first", ["records", "files"])
def test_what_a_run_withdraws_meanwhile_is_no_fault(store: Store, monkeypatch: pytest.MonkeyPatch, first: str) -> None:
    """The records go before they are read, or the files after that."""
    read = Store.commits

    def withdrawing(self: Store, stage: str) -> dict[int, Commit]:
        if stage != "extract":
            return read(self, stage)
        found = read(self, stage)
        shutil.rmtree(self.path("commits/extract"))
        shutil.rmtree(self.path("figures"))
        if first == "records":
            raise FileNotFoundError("commits/extract/000000.json")
        return found

    monkeypatch.setattr(Store, "commits", withdrawing)
    assert find_faults(store, settled_ns=0).total == 0


def test_what_is_mended_is_whole_and_nothing_else_is_touched(store: Store) -> None:
    spoil(store)
    before = files(store)
    assert len(check(store, mend=True)) == 3
    assert before - files(store) == {
        "commits/extract/000001.json",
        "extras/extract/000001-aa.parquet",
        "figures/000002-bb.parquet",
        "commits/later/000000.json",
    }
    assert check(store) == []
    assert store.dataset("extract", "figures").to_table()["id"].to_pylist() == ["0", "2"]


def test_nothing_is_mended_under_a_run(store: Store) -> None:
    spoil(store)
    before = files(store)
    with (
        Lease(store, "extract", "run-1"),
        pytest.raises(StoreError, match=r"extract is held by run-1 .*; mend when it has ended"),
    ):
        check(store, mend=True)
    assert files(store) == before


def test_no_run_begins_while_the_store_is_mended(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(store)
    begun = []

    def find_and_begin(*found: Any) -> Faults:
        faults = find_faults(*found)
        with pytest.raises(StoreError, match=r"check/mend is held by .*-check-.*; let it end"):
            Lease(store, "extract", "run-1").__enter__()
        begun.append("refused")
        return faults

    monkeypatch.setattr("biomedica_ray.check.pipeline.find_faults", find_and_begin)
    assert len(check(store, mend=True)) == 3
    assert begun == ["refused"]
    with Lease(store, "extract", "run-1"):
        pass
    assert not Path(store.path("leases")).exists()


def test_there_must_be_a_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store here"):
        check(Store(str(tmp_path / "none")))
