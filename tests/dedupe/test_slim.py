from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from biomedica_ray import schema
from biomedica_ray.dedupe.slim import read_slim
from biomedica_ray.store import Commit, Store
from tests.synthetic import Row, article, encoded, figure, picture, write_extracted


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def extracted(store: Store, articles: list[Row], figures: list[Row]) -> Commit:
    """The commit of a unit; all articles have to be in the same one."""
    write_extracted(store, articles, figures)
    (commit,) = store.commits("extract").values()
    return commit


def test_hashes_that_are_none_are_errors_by_id(store: Store) -> None:
    image = encoded(picture(1))
    bad = [
        {"sha256": "?"},
        {"sha256": "a" * 63},
        {"pixel_sha256": "A" * 64},
        {"pixel_sha256": "a" * 65},
    ]
    figures = [figure("PMC1.1", 1, image), *(figure("PMC1.1", n, image, **keys) for n, keys in enumerate(bad, 2))]
    slim = read_slim(store, extracted(store, [article("PMC1")], figures), None)
    assert slim.figures["figure_id"].to_pylist() == ["PMC1.1_001"]
    assert [(row["what"], row["kind"]) for row in slim.errors] == [(f"PMC1.1_{n:03d}", "bad-hash") for n in range(2, 6)]
    assert "sha256 ?, " in slim.errors[0]["message"]


def test_what_is_compared(store: Store) -> None:
    related = [{"kind": "preprint", "id": "10.1101/X", "id_type": "doi"}, {"kind": "companion", "id": "1"}]
    row = article(
        "PMC1", title="Deep learning of mouse kidneys", authors=[{"name": "J Doe", "affiliations": []}], related=related
    )
    image = encoded(picture(1))
    captions = [None, " \n", "A kidney."]
    figures = [figure("PMC1.1", n, image, caption=caption) for n, caption in enumerate(captions, 1)]
    slim = read_slim(store, extracted(store, [row], figures), None)
    (found,) = slim.articles.to_pylist()
    assert found["work"] is not None
    assert (found["year"], found["is_preprint"], found["is_retracted"]) == (2021, False, False)
    assert found["relations"] == [{"relation": "preprint", "id_type": "doi", "id": "10.1101/x"}]
    assert slim.figures["has_caption"].to_pylist() == [False, False, True]
    assert slim.figures["pixels"].to_pylist() == [64 * 48] * 3
    assert slim.figures["sha256"][0].as_py().hex() == figures[0]["sha256"]


def test_pubmed_knows_of_retractions_too(store: Store) -> None:
    commit = extracted(store, [article("PMC1", pmid="1", published=None)], [])
    record = {
        **{name: [] for name in schema.PUBMED.names if str(schema.PUBMED.field(name).type).startswith("list")},
        "article_id": "PMC1.1",
        "pmid": "1",
        "kind": "article",
        "is_retracted": True,
        "published": datetime.date(2021, 1, 1),
        "related": [{"kind": "RetractionIn", "pmid": "2"}, {"kind": "CommentIn", "pmid": "3"}],
    }
    with store.write_unit("enrich", commit.unit, "aa") as writer:
        writer.table("pubmed", schema.PUBMED).write([record])
        enriched = writer.commit({})
    (found,) = read_slim(store, commit, enriched).articles.to_pylist()
    assert found["is_retracted"]
    assert found["relations"] == [{"relation": "retracted-by", "id_type": "pmid", "id": "2"}]
    (without,) = read_slim(store, commit, None).articles.to_pylist()
    assert not without["is_retracted"]
    assert without["year"] is None
