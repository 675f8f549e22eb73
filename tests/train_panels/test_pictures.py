"""Figures of one panel of a store."""

from __future__ import annotations

from pathlib import Path

from biomedica_ray.panels.detectors import DetectorSpec
from biomedica_ray.panels.pipeline import PanelWorker
from biomedica_ray.store import Store
from biomedica_ray.train_panels.pictures import LONGEST, single_pictures
from tests.synthetic import Row, article, encoded, figure, picture, write_extracted


def test_figures_of_one_panel_and_of_the_licences_asked_for_are_used(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    two = picture(1, (400, 200))
    two.paste("white", (180, 0, 220, 200))
    sizes = [(960, 300), (300, 200), (60, 60)]  # too large, right, and too small to be used
    rows = [figure(f"PMC{n}.1", 1, encoded(picture(n, size))) for n, size in enumerate(sizes)]
    rows += [figure("PMC3.1", 1, encoded(two))]
    rows += [figure(f"PMC{n}.1", 1, encoded(picture(n, (200, 206 + n)))) for n in (4, 5)]
    rows[4]["image"] = rows[4]["image"][:60]
    articles = [article(f"PMC{n}") for n in range(5)]
    write_extracted(store, [*articles, article("PMC5") | {"license_group": "noncommercial"}], rows)
    assert single_pictures(store, ["commercial"], 10) == []  # panels has not run
    worker = PanelWorker(store, "run", DetectorSpec(None))
    for unit in store.extracted():
        worker(unit, "f")
    group = articles[0]["license_group"]
    found = {picture.size for picture in single_pictures(store, [group], 10)}
    assert found == {(LONGEST, 150), (300, 200)}
    assert {picture.size for picture in single_pictures(store, ["noncommercial"], 10)} >= {(200, 211)}
    assert len(single_pictures(store, [group, "noncommercial"], 2)) == 2


def test_a_figures_own_licence_counts_and_what_is_reproduced_is_not_commercial(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    own: list[Row] = [{}, {"license_code": "CC BY-NC"}, {"license_code": "other"}, {"third_party": True}]
    rows = [figure("PMC1.1", n, encoded(picture(n, (200 + n, 150))), **each) for n, each in enumerate(own, 1)]
    rows += [figure("PMC2.1", 1, encoded(picture(9, (300, 150))), third_party=True)]
    articles = [article("PMC1"), article("PMC2") | {"license_code": "CC BY-NC", "license_group": "noncommercial"}]
    write_extracted(store, articles, rows)
    worker = PanelWorker(store, "run", DetectorSpec(None))
    for unit in store.extracted():
        worker(unit, "f")
    widths = {
        group: sorted(picture.width for picture in single_pictures(store, [group], 10))
        for group in ("commercial", "noncommercial", "other")
    }
    assert widths == {"commercial": [201], "noncommercial": [202, 300], "other": [203]}
