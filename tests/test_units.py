from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from biomedica_ray.units import (
    AsJson,
    Flow,
    add_counts,
    counts_from_json,
    counts_to_json,
    fingerprint,
    pmcid_of,
    unit_count,
    unit_of,
)


def test_unit_of_never_changes() -> None:
    # written down once: another value would tear every existing store apart
    assert [unit_of(pmcid, 1000) for pmcid in ("PMC1", "PMC3003633", "PMC12855588")] == [375, 157, 340]


@given(st.text(), st.integers(1, 30_000))
def test_unit_of_is_in_range(pmcid: str, n_units: int) -> None:
    assert 0 <= unit_of(pmcid, n_units) < n_units


def test_units_are_even() -> None:
    sizes = [0] * 20
    for number in range(20_000):
        sizes[unit_of(f"PMC{number}", 20)] += 1
    assert min(sizes) > 850
    assert max(sizes) < 1150


def test_unit_count_of_all_of_pmc_and_of_a_handful() -> None:
    assert unit_count(6_042_494) == 24_170
    assert unit_count(30) == 16


def test_the_pmcid_of_articles_and_figures() -> None:
    assert [pmcid_of(id_) for id_ in ("PMC12.3", "PMC12.3_004", "a.b.1_002")] == ["PMC12", "PMC12", "a.b"]


def test_fingerprint_depends_on_content_not_on_key_order() -> None:
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
    assert fingerprint("ab", "c") != fingerprint("a", "bc")


def test_fingerprints_stay_what_they_were() -> None:
    """Those of stores of today; a part that is JSON already is the same part."""
    parts = (3, {"b": [1.5, None], "a": "\u00e9"}, "x")
    assert fingerprint(*parts) == "bda684c7f281f94d"
    assert fingerprint(3, AsJson.of(parts[1]), "x") == fingerprint(*parts)


def test_flow_balances_only_when_every_row_is_accounted_for() -> None:
    assert Flow(5, 3, 2).balanced
    assert not Flow(5, 3, 1).balanced
    assert str(Flow(5000, 4998, 2)) == "5,000 in = 4,998 out + 2 errors"


def test_counts_add_by_kind_and_survive_json() -> None:
    total = add_counts({"articles": Flow(1, 1, 0)}, {"articles": Flow(2, 1, 1), "figures": Flow(3, 3, 0)})
    assert total == {"articles": Flow(3, 2, 1), "figures": Flow(3, 3, 0)}
    assert counts_from_json(counts_to_json(total)) == total
