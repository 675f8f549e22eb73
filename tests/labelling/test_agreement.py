from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_ray.labelling.agreement import (
    agreement,
    concept_agreements,
    count_answers,
    fleiss_kappa,
    krippendorff_alpha,
)

FLEISS_1971 = """
0 0 0 6 0;0 3 0 0 3;0 1 4 0 1;0 0 0 0 6;0 3 0 3 0;2 0 4 0 0;0 0 4 0 2;2 0 3 1 0;2 0 0 4 0;0 0 0 0 6
1 0 0 5 0;1 1 0 4 0;0 3 3 0 0;1 0 0 5 0;0 2 0 3 1;0 0 5 0 1;3 0 0 1 2;5 1 0 0 0;0 2 0 4 0;1 0 2 0 3
0 0 0 0 6;0 1 0 5 0;0 2 0 1 3;2 0 0 4 0;1 0 0 4 1;0 5 0 1 0;4 0 0 0 2;0 2 0 4 0;1 0 5 0 0;0 0 0 0 6
"""
"""Fleiss 1971, table 1: 30 patients, 6 psychiatrists, 5 diagnoses."""

WIKIPEDIA = "0 0 0 0 14;0 2 6 4 2;0 0 3 5 6;0 3 9 2 0;2 2 8 1 1;7 7 0 0 0;3 2 6 3 0;2 5 3 2 2;6 5 2 1 0;0 2 2 3 7"
"""The worked example of Wikipedia's article on Fleiss' kappa: 10 subjects, 14 raters, kappa 0.210."""

KRIPPENDORFF_2011 = [
    "1 2 3 3 2 1 4 1 2 . . .",
    "1 2 3 3 2 2 4 1 2 5 . 3",
    ". 3 3 3 2 3 4 2 2 5 1 .",
    "1 2 3 3 2 4 4 1 2 5 1 .",
]
"""Krippendorff 2011, Computing Krippendorff's Alpha-Reliability, example C: four observers, missing data."""


def table(text: str) -> np.ndarray:
    return np.array([[int(n) for n in row.split()] for row in text.strip().replace("\n", ";").split(";")])


def test_kappa_of_fleiss_own_example() -> None:
    counts = table(FLEISS_1971)
    assert counts.sum(axis=1).tolist() == [6] * 30
    assert counts.sum(axis=0).tolist() == [26, 26, 30, 55, 43]
    assert fleiss_kappa(counts) == pytest.approx(0.430, abs=5e-4)


def test_kappa_of_a_worked_example() -> None:
    assert fleiss_kappa(table(WIKIPEDIA)) == pytest.approx(0.210, abs=5e-4)


def test_alpha_of_krippendorffs_own_example() -> None:
    observers = [row.split() for row in KRIPPENDORFF_2011]
    units = [[value for value in unit if value != "."] for unit in zip(*observers, strict=True)]
    assert krippendorff_alpha(count_answers(units)) == pytest.approx(0.743, abs=5e-4)
    found = agreement("primary", None, units)
    assert found.alpha == pytest.approx(0.743, abs=5e-4)
    assert (found.clusters, found.votes) == (11, 40)
    assert found.kappa_clusters == 8  # those that all four observers have seen


def test_what_is_not_defined_is_none() -> None:
    alone = agreement("primary", None, [["a"], ["b"]])
    assert (alone.clusters, alone.observed, alone.alpha, alone.kappa) == (0, None, None, None)
    same = agreement("primary", None, [["a", "a"], ["a", "a"]])
    assert (same.observed, same.alpha, same.kappa) == (1, None, None)


def test_each_concept_is_a_question_of_its_own() -> None:
    maps, both = frozenset({"Maps"}), frozenset({"Maps", "Tables"})
    found = concept_agreements("primary", ["Maps", "Microscopy", "Tables"], [[maps, both], [maps, maps], [both, both]])
    assert [(each.concept, each.observed) for each in found] == [("Maps", 1), ("Tables", pytest.approx(2 / 3))]


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=3, max_size=3), min_size=2, max_size=12))
def test_with_full_data_alpha_is_kappa_but_for_a_correction_of_small_samples(votes: list[list[str]]) -> None:
    # Alpha draws the pairs that it expects to agree without replacement: 1 - alpha = (1 - kappa) (n - 1) / n.
    found = agreement("primary", None, votes)
    if found.kappa is None or found.alpha is None:
        assert found.kappa is found.alpha
        return
    n = found.votes
    assert 1 - found.alpha == pytest.approx((1 - found.kappa) * (n - 1) / n)
