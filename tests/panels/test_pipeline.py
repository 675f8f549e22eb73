"""The stage panels."""

from __future__ import annotations

from pathlib import Path

import pytest

from biomedica_ray import cli
from biomedica_ray.panels.detectors import DetectorSpec
from biomedica_ray.panels.pipeline import PanelWorker
from biomedica_ray.runs import read_runs
from biomedica_ray.store import Store
from biomedica_ray.units import LostRowsError, unit_of
from tests.synthetic import N_UNITS, article, encoded, figure, lose_a_row, picture, write_extracted


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Six articles of two figures; the second of PMC3 does not decode, the first of PMC0 has two panels."""
    store = Store(str(tmp_path / "store"))
    two = picture(1, (400, 200))
    two.paste("white", (180, 0, 220, 200))
    rows = [figure(f"PMC{n}.1", position, encoded(picture(10 * n + position))) for n in range(6) for position in (1, 2)]
    rows[0] = figure(
        "PMC0.1", 1, encoded(two), panels=[{"label": name, "text": name, "start": 0, "end": 1} for name in "AB"]
    )
    rows[7]["image"] = rows[7]["image"][:60]
    write_extracted(store, [article(f"PMC{n}") for n in range(6)], rows)
    return store


@pytest.mark.cluster
def test_every_figure_has_its_panels_or_an_error(ray_cluster: None, store: Store, tmp_path: Path) -> None:
    assert cli.main(["panels", "--store", store.root]) == 0
    (run,) = read_runs(store)
    assert run["counts"] == {"figures": {"rows_in": 12, "rows_out": 11, "errors": 1, "skipped": 0}}
    (error,) = store.dataset("panels", "errors").to_table().to_pylist()
    assert (error["what"], error["stage"], error["kind"]) == ("PMC3.1_002", "panels", "truncated-image")
    rows = sorted(store.dataset("panels", "panels").to_table().to_pylist(), key=lambda row: str(row["figure_id"]))
    assert [row["panel_type"] for row in rows] == ["multiple", *["single"] * 10]
    assert [box["label"] for box in rows[0]["panel_boxes"]] == ["A", "B"]
    assert rows[1] == {
        "figure_id": "PMC0.1_002",
        "panel_type": "single",
        "n_panels": 1,
        "least_confidence": 1.0,
        "caption_panels": 0,
        "aligned_panels": 0,
        "context": "Caption 2 of PMC0.1.",
        "panel_boxes": [
            {
                **{"label": None, "left": 0, "top": 0, "right": 64, "bottom": 48, "confidence": 1.0},
                **{"model_confidence": None, "printed": None, "printed_confidence": None},
                **{"how": "none", "alignment_confidence": 0.0, "words": None},
            }
        ],
        "phashes": [],
        "thumbnails": [],
    }
    before = store.commits("panels")
    assert cli.main(["panels", "--store", store.root]) == 0
    assert store.commits("panels") == before


def test_a_figure_that_gets_lost_on_the_way_fails_the_run(store: Store) -> None:
    """The table of a unit has a figure less than extract committed: the reader would skip one."""
    unit = unit_of("PMC0", N_UNITS)
    n = lose_a_row(store, "extract", unit, "figures")
    with pytest.raises(LostRowsError, match=f"rows lost: figures: {n} in but {n - 2} out"):
        PanelWorker(store, "run", DetectorSpec(None))(unit, "f")
    assert unit not in store.commits("panels")
