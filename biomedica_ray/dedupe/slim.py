"""The slim columns of a unit that are compared across all units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biomedica_ray.dedupe.works import Relation, is_preprint, relations, work_key
from biomedica_ray.jats.licenses import license_group
from biomedica_ray.schema import error_row
from biomedica_ray.store import Commit, Store

HASHES = ("sha256", "pixel_sha256", "phash")
_METADATA = ("title", "abstract", "journal", "volume", "pages", "published", "doi", "pmid", "license_url")
_ARTICLE_COLUMNS = ["article_id", "pmcid", "version", "doi", "pmid", "license_group"]
_WORK_COLUMNS = ["title", "authors", "article_type", "journal", "published", "related", "is_retracted"]
_PUBMED_COLUMNS = ["article_id", "is_retracted", "related"]
_FIGURE_COLUMNS = [
    "figure_id",
    "article_id",
    "position",
    "width",
    "height",
    *HASHES,
    "caption",
    "third_party",
    "license_code",
    "is_thumbnail",
]
_SHA256_HEX = "^[0-9a-f]{64}$"
_RELATIONS = pa.list_(pa.struct([(name, pa.string()) for name in Relation._fields]))


class Slim(NamedTuple):
    """What is compared of a unit.

    Attributes:
        articles: Columns as :func:`~biomedica_ray.dedupe.articles.article_duplicates` wants them, license_group and
            unit.
        figures: Columns as :func:`~biomedica_ray.dedupe.figures.find_candidates` wants them but for article and rank,
            and article_id; has_caption; third_party; is_thumbnail; license_group, null without a licence of its own;
            unit; and row, the position in the unit's file of figures.
        errors: Rows of the errors table for figures without usable hashes.
    """

    articles: pa.Table
    figures: pa.Table
    errors: list[dict[str, Any]]


def read_slim(store: Store, commit: Commit, enriched: Commit | None) -> Slim:
    """Read the slim columns of what extract made of a unit; image bytes are not touched.

    Args:
        store: The store.
        commit: The unit's commit of extract.
        enriched: The one of enrich, if there is one: PubMed knows of retractions that the XML does not mention.
    """
    articles = store.read(commit, "articles", sorted({*_ARTICLE_COLUMNS, *_METADATA, *_WORK_COLUMNS}))
    pubmed = store.read(enriched, "pubmed", _PUBMED_COLUMNS).to_pylist() if enriched else []
    figures = store.read(commit, "figures", _FIGURE_COLUMNS, row="row")
    usable = usable_hashes(figures)
    errors = [
        error_row("dedupe", row["figure_id"], "bad-hash", what_is_wrong(row))
        for row in figures.drop_columns(["caption"]).filter(pc.invert(usable)).to_pylist()
    ]
    slim = _article_columns(articles, {row["article_id"]: row for row in pubmed}, commit.unit)
    return Slim(slim, _figure_columns(figures.filter(usable), commit.unit), errors)


def usable_hashes(rows: pa.Table) -> pa.ChunkedArray:
    """Which rows have all of :data:`HASHES`, and each as it should be."""
    digests_are = (pc.match_substring_regex(rows[name], _SHA256_HEX) for name in HASHES[:2])
    return pc.fill_null(pc.and_(pc.and_(*digests_are), rows[HASHES[2]].is_valid()), False)


def what_is_wrong(row: Mapping[str, Any]) -> str:
    """The message for a row whose hashes are not usable."""
    return ", ".join(f"{name} {row[name]}" for name in HASHES) + ": expected two of 64 hex digits and a number"


def _article_columns(articles: pa.Table, pubmed: Mapping[str, dict[str, Any]], unit: int) -> pa.Table:
    filled: npt.NDArray[np.int64] = sum(
        (articles[name].is_valid().to_numpy().astype(np.int64) for name in _METADATA),
        start=np.zeros(articles.num_rows, np.int64),
    )
    works = [
        _work(row, pubmed.get(row["article_id"])) for row in articles.select(["article_id", *_WORK_COLUMNS]).to_pylist()
    ]
    columns = {
        **{name: articles[name] for name in _ARTICLE_COLUMNS},
        "n_metadata": pa.array(filled),
        "work": pa.array([work["key"] for work in works], pa.uint64()),
        "year": pa.array([work["year"] for work in works], pa.int32()),
        "is_preprint": pa.array([work["is_preprint"] for work in works], pa.bool_()),
        "is_retracted": pa.array([work["is_retracted"] for work in works], pa.bool_()),
        "relations": pa.array([work["relations"] for work in works], _RELATIONS),
        "unit": _unit_column(unit, articles.num_rows),
    }
    return pa.table(columns)


def _work(article: dict[str, Any], pubmed: dict[str, Any] | None) -> dict[str, Any]:
    related = [(each["kind"], each["id"], each["id_type"]) for each in article["related"]]
    if pubmed:
        related += [(each["kind"], each["pmid"], "pmid") for each in pubmed["related"]]
    author = article["authors"][0]["name"] if article["authors"] else None
    return {
        "key": work_key(article["title"], author, article["article_type"]),
        "year": article["published"].year if article["published"] else None,
        "is_preprint": is_preprint(article["article_type"], article["journal"]),
        "is_retracted": article["is_retracted"] or bool(pubmed and pubmed["is_retracted"]),
        "relations": [relation._asdict() for relation in relations(related)],
    }


def _figure_columns(figures: pa.Table, unit: int) -> pa.Table:
    codes = figures["license_code"].to_pylist()
    pixels = pc.multiply(figures["width"].cast(pa.int64()), figures["height"].cast(pa.int64()))
    return pa.table(
        {
            **{name: figures[name] for name in ("figure_id", "article_id", "position", "row")},
            "pixels": pixels,
            "sha256": digests(figures["sha256"]),
            "pixel_sha256": digests(figures["pixel_sha256"]),
            "phash": figures["phash"],
            "has_caption": pc.fill_null(pc.match_substring_regex(figures["caption"], r"\S"), False),
            "third_party": figures["third_party"],
            "is_thumbnail": pc.fill_null(figures["is_thumbnail"], False),
            "license_group": pa.array([code and license_group(code) for code in codes], pa.string()),
            "unit": _unit_column(unit, figures.num_rows),
        }
    )


def digests(column: pa.ChunkedArray) -> pa.Array:
    """SHA-256 in hex as 32 bytes, half the size; the column has no nulls."""
    data = bytes.fromhex("".join(column.to_pylist()))
    return pa.Array.from_buffers(pa.binary(32), len(column), [None, pa.py_buffer(data)])


def _unit_column(unit: int, n: int) -> pa.Array:
    return pa.array(np.full(n, unit, np.int32))
