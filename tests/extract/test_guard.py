"""A store is not robbed of what it holds by mistake: by a smaller selection, other filters, or another source."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from biomedica_ray.config import ConfigError
from biomedica_ray.store import Store
from tests.extract.extracting import extract_here, ids, table, write_folder

ALL = {f"PMC{n}.1" for n in range(1, 7)}


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """Six articles of a figure each; PMC6 is not for commercial use."""
    root = tmp_path / "packages"
    for article_id in sorted(ALL):
        write_folder(root, article_id, "CC BY-NC" if article_id == "PMC6.1" else "CC BY", figures=1)
    return root


def extract(store: Path, packages: Path, **keys: Any) -> set[str]:
    """Extract, and return the article versions that the store then has."""
    extract_here(store, source="packages", packages=str(packages), **keys)
    return ids(store)


def pmcids(tmp_path: Path, *names: str) -> str:
    path = tmp_path / "pmcids.txt"
    path.write_text("\n".join(names))
    return str(path)


@pytest.mark.parametrize(
    ("keys", "named", "n"),
    [
        ({"limit": 4}, "limit", 2),
        ({"pmcids": ("PMC1", "PMC2")}, "pmcids", 4),
        ({"pmcids": ("PMC1", "PMC2"), "limit": 1}, "limit, pmcids", 5),
        ({"licenses": ["commercial"]}, "licenses", 1),
        ({"licenses": ["commercial"], "pmcids": ("PMC1", "PMC6")}, "licenses, pmcids", 5),
    ],
)
def test_a_run_that_would_drop_articles_ends_before_it_starts(
    packages: Path, tmp_path: Path, keys: dict[str, Any], named: str, n: int
) -> None:
    store = tmp_path / "store"
    assert extract(store, packages) == ALL
    before = {stage: Store(str(store)).commits(stage) for stage in ("listing", "extract")}
    if "pmcids" in keys:
        keys = {**keys, "pmcids": pmcids(tmp_path, *keys["pmcids"])}
    with pytest.raises(ConfigError) as caught:
        extract(store, packages, **keys)
    assert str(caught.value) == (
        f"{named}: would drop {n} of the 6 article versions that the store holds; "
        "widen the selection, use another store, or set allow_drop: true"
    )
    assert {stage: Store(str(store)).commits(stage) for stage in before} == before
    left = extract(store, packages, allow_drop=True, **keys)
    assert (left < ALL, len(left)) == (True, 6 - n)
    assert {row["article_id"] for row in table(store, "figures")} == left
    assert extract(store, packages, **keys) == left, "once dropped, it is the same selection"


def test_a_larger_or_the_same_selection_goes_on(packages: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    first = extract(store, packages, limit=2)
    assert len(first) == 2
    assert extract(store, packages, limit=2) == first
    more = extract(store, packages, limit=4)
    assert (len(more), first < more) == (4, True)
    runs = {commit.run_id for commit in Store(str(store)).commits("extract").values()}
    assert extract(store, packages, limit=4) == more
    assert {commit.run_id for commit in Store(str(store)).commits("extract").values()} == runs
    assert extract(store, packages) == ALL


def test_a_limit_stays_with_its_articles_when_the_source_grows(packages: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    first = extract(store, packages, limit=2)
    for n in range(7, 40):
        write_folder(packages, f"PMC{n}", figures=0)
    assert extract(store, packages, limit=2) == first


def test_since_adds_to_the_store(packages: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"

    def age(article_id: str, day: int) -> None:
        time = datetime(2026, 11, day, 12, tzinfo=UTC).timestamp()
        for path in (packages / article_id).iterdir():
            os.utime(path, (time, time))

    for article_id, day in zip(sorted(ALL), range(1, 7), strict=True):
        age(article_id, day)
    assert extract(store, packages, since="2026-11-05") == {"PMC5.1", "PMC6.1"}
    assert extract(store, packages, since="2026-11-06") == {"PMC5.1", "PMC6.1"}
    age("PMC2.1", 7)
    assert extract(store, packages, since="2026-11-07") == {"PMC2.1", "PMC5.1", "PMC6.1"}
    age("PMC5.1", 6)  # it changed before that day, but the store holds it
    runs = {commit.unit: commit.run_id for commit in Store(str(store)).commits("extract").values()}
    extract(store, packages, since="2026-11-07")
    after = {commit.unit: commit.run_id for commit in Store(str(store)).commits("extract").values()}
    assert sum(after[unit] != run_id for unit, run_id in runs.items()) == 1
    assert extract(store, packages) == ALL


def test_versions(packages: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    extract(store, packages)
    write_folder(packages, "PMC1.2", figures=1)
    assert extract(store, packages) == ALL - {"PMC1.1"} | {"PMC1.2"}, "a new version replaces the one before"
    assert extract(store, packages, versions="all") == ALL | {"PMC1.2"}
    with pytest.raises(ConfigError, match="versions: would drop 1 of the 7"):
        extract(store, packages)


def test_what_the_source_has_no_more_goes_but_not_most_of_it(packages: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    extract(store, packages)
    for article_id in ("PMC1.1", "PMC2.1", "PMC3.1"):
        shutil.rmtree(packages / article_id)
    assert extract(store, packages) == ALL - {"PMC1.1", "PMC2.1", "PMC3.1"}
    other = tmp_path / "other"
    write_folder(other, "PMC6", figures=1)
    write_folder(other, "PMC7", figures=1)
    with pytest.raises(ConfigError, match="source: would drop 2 of the 3 article versions"):
        extract(store, other)
    moved = shutil.copytree(packages, tmp_path / "moved")
    assert extract(store, moved) == {"PMC4.1", "PMC5.1", "PMC6.1"}
    assert extract(store, other, allow_drop=True) == {"PMC6.1", "PMC7.1"}
