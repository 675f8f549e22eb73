from __future__ import annotations

from pathlib import Path

from biomedica_ray.dedupe.slim import read_slim
from biomedica_ray.store import Store
from biomedica_ray.units import Flow
from tests.synthetic import article, encoded, figure, picture, write_extracted


def test_figures_with_digests_that_are_none_are_errors_by_id(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    image = encoded(picture(1))
    bad = [
        {"sha256": "0" * 63},
        {"sha256": "0" * 65},
        {"pixel_sha256": "g" * 64},
        {"sha256": ""},
    ]
    figures = [figure("PMC1.1", position, image, **keys) for position, keys in enumerate([{}, *bad], 1)]
    write_extracted(store, [article("PMC1")], figures)
    (commit,) = store.commits("extract").values()
    slim = read_slim(store, commit)
    assert slim.figures["figure_id"].to_pylist() == ["PMC1.1_001"]
    assert [(row["what"], row["kind"]) for row in slim.errors] == [
        (f"PMC1.1_{position:03d}", "bad-hash") for position in range(2, 6)
    ]
    assert slim.counts["figures"] == Flow(5, 1, 4)
