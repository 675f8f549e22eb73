from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from biomedica_ray import schema
from biomedica_ray.config import DedupeConfig
from biomedica_ray.dedupe.pipeline import run as dedupe
from biomedica_ray.runs import Run
from biomedica_ray.store import Store, StoreError
from biomedica_ray.units import Flow, unit_of
from tests.synthetic import N_UNITS, Row, article, encoded, figure, picture, write_extracted

pytestmark = pytest.mark.cluster


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def run(store: Store, **keys: Any) -> Run:
    config = DedupeConfig(store=store.root, memory_gb=0.5, max_actors=2, **keys)
    with Run("dedupe", config) as stage_run:
        dedupe(config, stage_run)
    return stage_run


def rows(store: Store) -> tuple[list[Row], list[Row]]:
    original = picture(1, (400, 300))
    articles = [article("PMC1"), article("PMC2", 1), article("PMC2", 2), article("PMC3", doi="10.1/pmc1")]
    figures = [
        figure("PMC1.1", 1, encoded(original)),
        figure("PMC1.1", 2, encoded(picture(2))),
        figure("PMC2.1", 1, encoded(original)),
        figure("PMC2.2", 1, encoded(original.resize((200, 150)), "JPEG")),
        figure("PMC2.2", 2, encoded(picture(2), "TIFF")),
        figure("PMC2.2", 3, encoded(picture(3))),
        figure("PMC3.1", 1, encoded(original)),
    ]
    return articles, figures


def duplicates(store: Store) -> list[tuple[str, str, str]]:
    found = store.dataset("dedupe", "duplicates").to_table().sort_by("id").to_pylist()
    return [(row["id"], row["of"], row["kind"]) for row in found]


def test_duplicates_are_found_across_units(ray_cluster: None, store: Store) -> None:
    write_extracted(store, *rows(store))
    first = run(store)
    assert duplicates(store) == [
        ("PMC2.1", "PMC2.2", "version"),
        ("PMC2.1_001", "PMC1.1_001", "exact"),
        ("PMC2.2_001", "PMC1.1_001", "near"),
        ("PMC2.2_002", "PMC1.1_002", "same-pixels"),
        ("PMC3.1", "PMC1.1", "same-doi"),
        ("PMC3.1_001", "PMC1.1_001", "exact"),
    ]
    assert first.counts == {"articles": Flow(4, 4, 0), "figures": Flow(7, 7, 0)}
    for unit, commit in store.commits("dedupe").items():
        table = store.read(commit, "duplicates")
        assert table.schema.equals(schema.DUPLICATES)
        assert {unit_of(id_.partition(".")[0], N_UNITS) for id_ in table["id"].to_pylist()} <= {unit}

    before = {unit: commit.run_id for unit, commit in store.commits("dedupe").items()}
    second = run(store)
    assert {unit: commit.run_id for unit, commit in store.commits("dedupe").items()} == before
    assert second.counts == first.counts

    run(store, min_correlation=1)
    assert ("PMC2.2_001", "PMC1.1_001", "near") not in duplicates(store)


def test_figures_that_cannot_be_compared_are_errors(ray_cluster: None, store: Store) -> None:
    good = encoded(picture(1))
    other = figure("PMC1.1", 2, good, sha256="0" * 64, pixel_sha256="0" * 64)
    figures = [
        figure("PMC1.1", 1, good),
        {**other, "image": good[:60]},
        figure("PMC1.1", 3, encoded(picture(3)), sha256="?"),
    ]
    write_extracted(store, [article("PMC1")], figures)
    assert run(store).counts["figures"] == Flow(3, 1, 2)
    errors = store.dataset("dedupe", "errors").to_table().to_pylist()
    assert [(row["what"], row["stage"], row["kind"]) for row in errors] == [
        ("PMC1.1_003", "dedupe", "bad-hash"),
        ("PMC1.1_002", "dedupe", "truncated-image"),
    ]
    assert duplicates(store) == []


def test_nothing_extracted(ray_cluster: None, store: Store) -> None:
    with pytest.raises(StoreError, match="nothing extracted yet"):
        run(store)
