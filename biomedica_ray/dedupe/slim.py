"""The slim columns of a unit that are compared across all units."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biomedica_ray.store import Commit, Store
from biomedica_ray.units import Counts, Flow

_METADATA = ("title", "abstract", "journal", "volume", "pages", "published", "doi", "pmid", "license_url")
_ARTICLE_COLUMNS = ["article_id", "pmcid", "version", "doi", "pmid", "is_retracted"]
_FIGURE_COLUMNS = ["figure_id", "article_id", "position", "width", "height", "sha256", "pixel_sha256", "phash"]
_SHA256_HEX = "^[0-9a-f]{64}$"


class Slim(NamedTuple):
    """What is compared of a unit.

    Attributes:
        articles: Columns as :func:`~biomedica_ray.dedupe.articles.article_duplicates` wants them, and unit.
        figures: Columns as :func:`~biomedica_ray.dedupe.figures.find_candidates` wants them but for article, and
            article_id, unit, and row, the position in the unit's figures table.
        errors: Rows of the errors table for figures without usable hashes.
        counts: Articles and figures that came in, went out and are errors.
    """

    articles: pa.Table
    figures: pa.Table
    errors: list[dict[str, Any]]
    counts: Counts


def read_slim(store: Store, commit: Commit) -> Slim:
    """Read the slim columns of what extract made of a unit; image bytes are not touched."""
    articles = store.read(commit, "articles", sorted({*_ARTICLE_COLUMNS, *_METADATA}))
    figures = store.read(commit, "figures", _FIGURE_COLUMNS)
    usable = pc.fill_null(
        pc.and_(
            pc.and_(
                pc.match_substring_regex(figures["sha256"], _SHA256_HEX),
                pc.match_substring_regex(figures["pixel_sha256"], _SHA256_HEX),
            ),
            figures["phash"].is_valid(),
        ),
        False,
    )
    numbered = figures.append_column("row", pa.array(np.arange(figures.num_rows)))
    errors = [
        figure_error(row["figure_id"], "bad-hash", f"sha256 {row['sha256']}, phash {row['phash']}: expected both")
        for row in numbered.filter(pc.invert(usable)).to_pylist()
    ]
    counts = {
        "articles": Flow(articles.num_rows, articles.num_rows, 0),
        "figures": Flow(figures.num_rows, figures.num_rows - len(errors), len(errors)),
    }
    return Slim(
        _article_columns(articles, commit.unit), _figure_columns(numbered.filter(usable), commit.unit), errors, counts
    )


def figure_error(figure_id: str, kind: str, message: str) -> dict[str, Any]:
    """A row of the errors table for a figure that cannot be compared."""
    return {
        "what": figure_id,
        "where": None,
        "stage": "dedupe",
        "entity": "figure",
        "kind": kind,
        "message": message,
        "attempts": 1,
    }


def _article_columns(articles: pa.Table, unit: int) -> pa.Table:
    filled: npt.NDArray[np.int64] = sum(
        (articles[name].is_valid().to_numpy().astype(np.int64) for name in _METADATA),
        start=np.zeros(articles.num_rows, np.int64),
    )
    slim = articles.select(_ARTICLE_COLUMNS).append_column("n_metadata", pa.array(filled))
    return slim.append_column("unit", _unit_column(unit, articles.num_rows))


def _figure_columns(figures: pa.Table, unit: int) -> pa.Table:
    pixels = pc.multiply(figures["width"].cast(pa.int64()), figures["height"].cast(pa.int64()))
    return pa.table(
        {
            **{name: figures[name] for name in ("figure_id", "article_id", "position", "row")},
            "pixels": pixels,
            "sha256": _digests(figures["sha256"]),
            "pixel_sha256": _digests(figures["pixel_sha256"]),
            "phash": figures["phash"],
            "unit": _unit_column(unit, figures.num_rows),
        }
    )


def _digests(column: pa.ChunkedArray) -> pa.Array:
    """SHA-256 in hex as 32 bytes, half the size."""
    data = bytes.fromhex("".join(column.to_pylist()))
    return pa.Array.from_buffers(pa.binary(32), len(column), [None, pa.py_buffer(data)])


def _unit_column(unit: int, n: int) -> pa.Array:
    return pa.array(np.full(n, unit, np.int32))
