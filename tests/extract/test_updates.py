"""What a new state of the source costs a store that is there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from biomedica_ray.extract import dropping
from biomedica_ray.extract.config import ExtractConfig
from biomedica_ray.extract.listing import make_filters, make_selection, write_listing
from biomedica_ray.extract.pipeline import rules_of
from biomedica_ray.runs import Run
from biomedica_ray.store import Store
from biomedica_ray.units import Flow, LostRowsError
from tests.extract.extracting import extract_here, ids, table, write_folder

TABLES = ("catalog", "articles", "figures", "errors")
N = 60


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    root = tmp_path / "packages"
    for n in range(N):
        write_folder(root, f"PMC{n}", figures=1 + n % 3)
    (root / "PMC7" / "f1.jpg").write_bytes(b"no picture")
    return root


def extract(store: Path, packages: Path, **keys: Any) -> Run:
    return extract_here(store, source="packages", packages=str(packages), units=2, **keys)


def rewrite(packages: Path, n: int, **keys: Any) -> None:
    shutil.rmtree(packages / f"PMC{n}")
    write_folder(packages, f"PMC{n}", **keys)


def rows(store: Path) -> dict[str, list[dict[str, Any]]]:
    return {name: table(store, name) for name in TABLES}


def test_a_few_changes_touch_no_files_of_the_other_articles(packages: Path, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    before = extract(tmp_path / "store", packages)
    old = store.commits("extract")
    rewrite(packages, 3, figures=2, license_code="CC BY-NC")
    shutil.rmtree(packages / "PMC7")
    write_folder(packages, "PMC99")
    after = extract(tmp_path / "store", packages)

    new = store.commits("extract")
    assert store.generations() == [2, 1]
    assert {unit: new[unit].files for unit in old} == {unit: commit.files for unit, commit in old.items()}
    assert sorted(id_ for commit in new.values() for id_ in commit.dropped) == ["PMC3.1", "PMC7.1"]
    assert {unit: new[unit].written for unit in old} == {unit: commit.content for unit, commit in old.items()}
    assert {row["article_id"] for row in store.read(new[2], "catalog").to_pylist()} == {"PMC3.1", "PMC99.1"}
    # PMC3 had one figure and has two; PMC7 had two, of which one was no picture, and PMC99 has as many.
    assert before.counts["figures"] == Flow(120, 119, 1)
    assert after.counts == {"articles": Flow(N, N), "figures": Flow(121, 121)}
    assert "figure errors" not in after.results["reasons"]
    assert before.results["reasons"]["figure errors"]

    clean = extract(tmp_path / "clean", packages)
    assert rows(tmp_path / "store") == rows(tmp_path / "clean")
    assert clean.counts == after.counts
    assert extract(tmp_path / "store", packages).before == after.counts


def test_a_unit_that_many_have_left_is_written_anew(packages: Path, tmp_path: Path) -> None:
    extract(tmp_path / "store", packages)
    store = Store(str(tmp_path / "store"))
    for n in range(10):
        shutil.rmtree(packages / f"PMC{n}")
        extract(tmp_path / "store", packages)
        for commit in store.commits("extract").values():
            assert len(commit.dropped) <= dropping.MOST_DROPPED * N / 2
        assert len(ids(store)) == N - 1 - n
    extract(tmp_path / "clean", packages)
    assert rows(tmp_path / "store") == rows(tmp_path / "clean")


def test_an_article_that_comes_back_is_there_once(packages: Path, tmp_path: Path) -> None:
    extract(tmp_path / "store", packages)
    shutil.move(packages / "PMC3", tmp_path / "PMC3")
    extract(tmp_path / "store", packages)
    assert "PMC3.1" not in ids(tmp_path / "store")
    shutil.move(tmp_path / "PMC3", packages / "PMC3")
    extract(tmp_path / "store", packages)
    extract(tmp_path / "clean", packages)
    assert rows(tmp_path / "store") == rows(tmp_path / "clean")


@pytest.mark.parametrize("written", ["all", "the old unit", "the new unit"])
def test_a_run_that_was_killed_after_its_listing_is_taken_up(packages: Path, tmp_path: Path, written: str) -> None:
    root = tmp_path / "store"
    store = Store(str(root))
    extract(root, packages)
    before = store.commits("listing")
    kept = {unit: (tmp_path / f"{unit}.parquet") for unit in before}
    for unit, commit in before.items():
        shutil.copy(store.path(commit.files["listing"]), kept[unit])
    rewrite(packages, 3, figures=3)
    config = ExtractConfig(store=str(root), source="packages", packages=str(packages), memory_gb=1)
    with Run("extract", config) as run:
        write_listing(config, make_selection(config), rules_of(make_filters(config)), store, run.run_id)
    after = store.commits("listing")
    (unit,) = (unit for unit in before if after[unit] != before[unit])
    if written == "the old unit":
        store.drop(after[2])
    elif written == "the new unit":
        store.drop(after[unit])
        shutil.copy(kept[unit], store.path(before[unit].files["listing"]))
        store.write_json(before[unit].record, before[unit].to_json())
    extract(root, packages)
    assert store.generations() == [2, 1]
    extract(tmp_path / "clean", packages)
    assert rows(root) == rows(tmp_path / "clean")


def test_rows_that_are_missing_fail_the_unit(packages: Path, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    extract(tmp_path / "store", packages)
    (commit, *_) = store.commits("extract").values()
    n = commit.counts["articles"].rows_in
    with pytest.raises(LostRowsError, match=rf"articles: {n:,} in but {n - 1:,} out"):
        dropping.drop_articles(
            store, commit, {store.read(commit, "articles")["article_id"][0].as_py()}, n_listed=n, mark="m", run_id="r"
        )
    assert store.commit("extract", commit.unit) == commit
