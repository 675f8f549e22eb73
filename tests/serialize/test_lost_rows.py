"""A row that gets lost on the way fails the unit, and with it the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from biomedica_ray.serialize.config import SerializeConfig
from biomedica_ray.serialize.material import MaterialWorker, paths
from biomedica_ray.serialize.pipeline import SelectionWorker, ShardWorker
from biomedica_ray.serialize.planning import UnitContents, plan_shards
from biomedica_ray.serialize.shards import ShardWriter
from biomedica_ray.serialize.twins import TwinWriter
from biomedica_ray.store import Store
from biomedica_ray.units import Flow, LostRowsError
from tests.synthetic import article, encoded, figure, lose_a_row, picture, write_extracted

ARTICLES = [f"PMC{n}" for n in range(10)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "store"))
    figures = [figure(f"{pmcid}.1", 1, encoded(picture(n), "JPEG")) for n, pmcid in enumerate(ARTICLES)]
    write_extracted(store, map(article, ARTICLES), figures)
    return store


@pytest.fixture
def config(store: Store) -> SerializeConfig:
    return SerializeConfig(store=store.root, samples_per_shard=5, validation_fraction=0, test_fraction=0)


def test_a_figure_that_is_not_read(store: Store, config: SerializeConfig) -> None:
    unit = min(store.commits("extract"))
    n = lose_a_row(store, "extract", unit, "figures")
    message = f"serialize, unit {unit}: rows lost: figures: {n} in but {n - 1} out"
    with pytest.raises(LostRowsError, match=message):
        SelectionWorker(store, "run", config)(unit, "aa")
    assert store.commits("serialize") == {}


def _without_first(write: Callable[..., None]) -> Callable[..., None]:
    """A writer that drops the first sample that it is given."""
    dropped: list[Any] = []

    def lossy(self: Any, *sample: Any) -> None:
        if dropped:
            write(self, *sample)
        dropped.append(sample)

    return lossy


@pytest.mark.parametrize("writer", [ShardWriter, TwinWriter])
def test_a_sample_that_is_not_written_in_either_form(
    store: Store, config: SerializeConfig, writer: type[ShardWriter | TwinWriter], monkeypatch: pytest.MonkeyPatch
) -> None:
    select = SelectionWorker(store, "run", config)
    assert sum((select(unit, "aa")["figures"] for unit in store.commits("extract")), Flow()) == Flow(10, 10)
    planned = plan_shards(store, dict.fromkeys(store.commits("extract"), UnitContents("aa")), config, {})
    shards, marks = planned.shards, planned.marks
    assert [shard.size for shard in shards.values()] == [5, 5]
    first, second = shards
    gather = MaterialWorker(store, "run", config)
    for unit in planned.units:
        gather(unit, "aa")
    material = paths(store.commits(config.place.material_stage))
    write = ShardWorker(store, "run", config, shards, material=material, disk_bytes=0)
    with monkeypatch.context() as patch:
        patch.setattr(writer, "write", _without_first(writer.write))
        message = f"serialize/shards, unit {first}: rows lost: samples: 5 in but 4 out"
        with pytest.raises(LostRowsError, match=message):
            write(first, marks[first])
    assert store.commits("serialize/shards") == {}
    assert store.list("dataset/webdataset/commercial/train") == []
    assert write(second, marks[second]) == {"samples": Flow(5, 5)}


def test_a_figure_that_is_missing_among_what_was_gathered(store: Store, config: SerializeConfig) -> None:
    for unit in store.commits("extract"):
        SelectionWorker(store, "run", config)(unit, "aa")
    units = store.commits("extract")
    planned = plan_shards(store, dict.fromkeys(units, UnitContents("aa")), config, {})
    assert planned.units == units.keys()
    for unit in units:
        MaterialWorker(store, "run", config)(unit, "aa")
    n = lose_a_row(store, "serialize/material", min(units), "material")
    assert n == store.commits("serialize")[min(units)].counts["figures"].rows_out
    material = paths(store.commits("serialize/material"))
    write = ShardWorker(store, "run", config, planned.shards, material=material, disk_bytes=0)
    with pytest.raises(LostRowsError, match=f"rows lost: row 0 of the unit's figures is not in .*{min(units):06d}-aa"):
        write(*next(iter(planned.marks.items())))
