"""Which single images annotators are asked about."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from biomedica_ray import schema
from biomedica_ray.labelling.image_sheets import choose_images, image_number
from tests.synthetic import Row


def labels(confidences: dict[str, float], panel: int = 0, how: str = "classifier") -> pa.Table:
    rows: list[Row] = [
        {
            "figure_id": figure_id,
            "panel": panel,
            "panel_box": [0, 0, 9, 9] if panel else [],
            "image_label": "Maps",
            "image_confidence": confidence,
            "image_sure": False,
            "image_local_concepts": [],
            "image_how": how,
        }
        for figure_id, confidence in confidences.items()
    ]
    return pa.Table.from_pylist(rows, schema.IMAGE_LABELS)


def test_the_least_sure_come_first_one_an_article_and_none_that_were_answered() -> None:
    pieces = [
        labels({"PMC1.1_001": 0.3, "PMC1.1_002": 0.31, "PMC2.1_001": 0.9}),
        labels({"PMC3.1_001": 0.2, "PMC4.1_001": 0.5, "PMC5.1_001": 0.1}),
        labels({"PMC6.1_001": 0.05}, panel=2),
        labels({"PMC7.1_001": 0.06}, how="expert"),
    ]
    chosen = choose_images(pieces, 4, {"PMC5.1_001"}, seed=0)["figure_id"].to_pylist()
    assert chosen[:3] == ["PMC3.1_001", "PMC1.1_001", "PMC4.1_001"]
    assert chosen[3:] == ["PMC2.1_001"]  # the random one: of another article
    assert len(choose_images([], 4, set(), seed=0)) == 0


def test_a_quarter_is_drawn_at_random_whatever_the_pieces() -> None:
    random = np.random.default_rng(0)
    confidences = {f"PMC{n}.1_001": float(each) for n, each in enumerate(random.random(1000))}
    whole = choose_images([labels(confidences)], 80, set(), seed=0)
    items = list(confidences.items())
    pieces = [labels(dict(items[start : start + 90])) for start in range(0, 1000, 90)]
    assert choose_images(pieces, 80, set(), seed=0)["figure_id"].to_pylist() == whole["figure_id"].to_pylist()
    ids = whole["figure_id"].to_pylist()
    least_sure = [id_ for id_ in sorted(confidences, key=confidences.__getitem__) if id_ not in ids[60:]]
    assert ids[:60] == least_sure[:60]
    assert whole["random"].to_pylist() == 60 * [False] + 20 * [True]
    drawn = [confidences[id_] for id_ in ids[60:]]
    assert len(set(ids)) == 80 and 0.3 < np.mean(drawn) < 0.75 and max(drawn) > 0.8
    of_all = []
    for seed in range(20):
        chosen = choose_images([labels(confidences)], 80, set(), seed)["figure_id"].to_pylist()
        of_all += [confidences[id_] for id_ in chosen[60:]]
    assert np.mean(of_all) == pytest.approx(np.mean(list(confidences.values())), abs=0.03)  # hard ones are among them
    assert choose_images(pieces, 80, set(), seed=1)["figure_id"].to_pylist()[60:] != ids[60:]


def test_numbers_of_images_are_integers_that_javascript_holds() -> None:
    numbers = {image_number(f"PMC{n}.1_00{n % 9}") for n in range(10_000)}
    assert len(numbers) == 10_000 and min(numbers) >= 0 and max(numbers) < 2**53
