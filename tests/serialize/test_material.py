"""What a shard's worker finds of a unit in the file of its material."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biomedica_ray.reading.place import Place
from biomedica_ray.serialize.choosing import SelectionWorker
from biomedica_ray.serialize.config import SerializeConfig
from biomedica_ray.serialize.material import MaterialWorker, paths
from biomedica_ray.serialize.members import read_members
from biomedica_ray.serialize.planning import UnitContents, plan_shards
from biomedica_ray.store import Store
from biomedica_ray.store.parquet import ParquetRows
from tests.synthetic import article, encoded, figure, picture, write_extracted

LICENCES = ("CC BY", "CC BY-NC")
GROUPS = ("commercial", "noncommercial")


@pytest.mark.parametrize("group_bytes", [0, 2**20])
def test_figures_of_articles_that_alternate_find_their_own_article_and_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group_bytes: int
) -> None:
    monkeypatch.setattr("biomedica_ray.serialize.material._GROUP_BYTES", group_bytes)
    store = Store(str(tmp_path))
    ids = [f"PMC{n}" for n in range(12)]
    articles = [article(id_, license_code=LICENCES[n % 2], license_group=GROUPS[n % 2]) for n, id_ in enumerate(ids)]
    images = {(id_, at): encoded(picture(31 * n + at)) for n, id_ in enumerate(ids) for at in (1, 2, 3)}
    write_extracted(store, articles, [figure(f"{id_}.1", at, images[id_, at]) for at in (1, 2, 3) for id_ in ids])
    config = SerializeConfig(store=store.root, samples_per_shard=5, validation_fraction=0, test_fraction=0)
    units = store.commits("extract")
    for unit in units:
        SelectionWorker(store, "run", config)(unit, "aa")
    planned = plan_shards(store, dict.fromkeys(units, UnitContents("aa")), config, {})
    for unit in units:
        MaterialWorker(store, "run", config)(unit, "aa")
    material = paths(store.commits("serialize/material"))
    found = {}
    for shard in planned.shards.values():
        for member in read_members(store, Place(None), shard, material):
            assert member.shared.article["license_code"] == LICENCES[GROUPS.index(shard.license_group)]
            assert member.shared.article["article_id"] == member.figure["article_id"]
            assert [each["figure_id"] for each in member.shared.figures] == [
                f"{member.figure['article_id']}_{at:03d}" for at in (1, 2, 3)
            ]
            found[member.figure["figure_id"]] = member.figure["image"]
    assert found == {f"{id_}.1_{at:03d}": image for (id_, at), image in images.items()}


def test_row_groups_without_what_is_looked_for_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {"row": [0, 3, 8, 1, 9], "split": ["train"] * 3 + ["test"] * 2, "text": list("abcde")}
    with pq.ParquetWriter(tmp_path / "a.parquet", (table := pa.table(rows)).schema) as writer:
        for start, stop in ((0, 2), (2, 3), (3, 5)):
            writer.write_table(table[start:stop])
    file = ParquetRows(Store(str(tmp_path)), "a.parquet")

    def texts(**bounds: tuple[int | str, int | str]) -> str:
        return "".join(text for piece in file.within(bounds) for text in piece["text"].to_pylist())

    assert texts(row=(3, 7)) == "abde"  # as 1 to 9 may have 4
    assert texts(row=(4, 8), split=("train", "train")) == "c"
    assert texts(row=(4, 7), split=("train", "train")) == ""
