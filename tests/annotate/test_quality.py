from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_ray.annotate import quality
from biomedica_ray.annotate.kmeans import fit
from biomedica_ray.annotate.truth import load_truth
from biomedica_ray.config import ConfigError
from biomedica_ray.store import Store
from tests.annotate.test_kmeans import blobs


def test_inertia_is_the_squared_distance_to_the_centres() -> None:
    vectors, truth = blobs((20, 10))
    model = fit(vectors, 8, 2, seed=0)
    centres = np.array([vectors[np.array(truth) == blob].mean(axis=0) for blob in truth])
    assert quality.inertia(model) == pytest.approx(float(np.square(vectors - centres).sum()), rel=1e-4)


def test_silhouette_of_four_points() -> None:
    # By hand: each point is 1 from its like and, on average, 10 or 11 from the others.
    points = np.array([[0.0], [1.0], [10.0], [11.0]])
    expected = np.mean([(10.5 - 1) / 10.5, (9.5 - 1) / 9.5] * 2)
    assert quality.silhouette(points, np.array([0, 0, 1, 1])) == pytest.approx(expected)
    assert quality.silhouette(points, np.zeros(4, int)) is None
    assert quality.silhouette(points, np.arange(4)) is None


def test_stability_does_not_depend_on_the_numbers_of_clusters() -> None:
    one, other = np.array([0, 0, 1, 1, 2, 2]), np.array([2, 2, 0, 0, 1, 1])
    assert quality.stability([one, other, one]) == 1
    assert quality.stability([one]) is None
    # scikit-learn's documented example of a partial agreement.
    assert quality.stability([np.array([0, 0, 1, 2]), np.array([0, 0, 1, 1])]) == pytest.approx(0.5714, abs=1e-4)


def test_purity_and_mutual_information_of_the_textbook() -> None:
    # Manning et al., Introduction to Information Retrieval, figure 16.4: purity 0.71, NMI 0.36.
    clusters = [0] * 6 + [1] * 6 + [2] * 5
    concepts = list("xxxxxo" + "xoooo#" + "xx###")
    assert quality.purity(clusters, concepts) == pytest.approx(12 / 17)
    assert quality.mutual_information(clusters, concepts) == pytest.approx(0.36, abs=0.005)


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from("abc")), min_size=1, max_size=40))
def test_every_cluster_of_its_own_is_pure(pairs: list[tuple[int, str]]) -> None:
    clusters, concepts = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    assert quality.purity(range(len(pairs)), concepts) == 1
    assert max(map(concepts.count, concepts)) / len(pairs) <= quality.purity(clusters, concepts) + 1e-12 <= 1 + 1e-9


def test_a_truth_file(tmp_path: Path) -> None:
    path = tmp_path / "truth.tsv"
    path.write_text("figure_id\tprimary_label\tnote\nPMC1.1_001\tMaps\tx\nPMC1.1_002\tTables\t\n")
    store = Store(str(tmp_path / "store"))
    assert load_truth(store, None) == {}
    assert load_truth(store, str(path)) == {"PMC1.1_001": "Maps", "PMC1.1_002": "Tables"}
    for text, message in (
        ("figure_id,primary_label\na,Maps\na,Maps\n", "line 3: a appears more than once"),
        ("figure_id,label\n", "expected columns figure_id and primary_label, there is no primary_label"),
    ):
        other = tmp_path / "truth.csv"
        other.write_text(text)
        with pytest.raises(ConfigError, match=message):
            load_truth(store, str(other))
    with pytest.raises(ConfigError, match=r"truth: .*none\.tsv: no such file"):
        load_truth(store, str(tmp_path / "none.tsv"))
    store.write_bytes("truth.tsv", path.read_bytes())
    assert load_truth(store, None) == {"PMC1.1_001": "Maps", "PMC1.1_002": "Tables"}
