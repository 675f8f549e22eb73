"""How the files of a unit are laid out."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from biomedica_ray.store import Store
from tests.extract.extracting import extract_here, write_folder


@pytest.mark.parametrize(("least", "groups"), [(1000, [3] * 6), (2**20, [18])])
def test_images_of_an_article_are_a_row_group_of_their_own_where_they_are_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, least: int, groups: list[int]
) -> None:
    for n in range(6):
        write_folder(tmp_path / "packages", f"PMC{n}", figures=3)
    monkeypatch.setattr("biomedica_ray.extract.pipeline.IMAGE_GROUP_BYTES", least)
    store = Store(str(tmp_path / "store"))
    extract_here(store, source="packages", packages=str(tmp_path / "packages"), units=1)
    commit = store.commit("extract", 0)
    articles = store.read(commit, "figures", ["article_id"])["article_id"].to_pylist()
    assert articles == [f"PMC{n}.1" for n in range(6) for _ in range(3)]
    metadata = pq.read_metadata(store.path(commit.files["images"]))
    assert [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)] == groups
