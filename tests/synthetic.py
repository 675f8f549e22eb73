"""Rows of the articles and figures tables made by hand, and stores that hold them."""

from __future__ import annotations

import datetime
import io
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from biomedica_ray import schema
from biomedica_ray.images import read_image
from biomedica_ray.store import Store
from biomedica_ray.units import Flow, unit_of

N_UNITS = 4

Row = dict[str, Any]


def picture(seed: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """A smooth random picture; other seeds give pictures that look quite unlike."""
    grid = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC)


def encoded(image: Image.Image, format_: str = "PNG", **options: Any) -> bytes:
    """The image as a file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def article(pmcid: str, version: int = 1, **columns: Any) -> Row:
    """A row of the articles table; ``columns`` replace what it holds."""
    return {
        "article_id": f"{pmcid}.{version}",
        "pmcid": pmcid,
        "version": version,
        "pmid": None,
        "doi": f"10.1/{pmcid.lower()}",
        "title": f"Title of {pmcid}",
        "abstract": "An abstract.",
        "journal": "J Tests",
        "issns": [],
        "published": datetime.date(2021, 3, 4),
        "dates": [],
        "subjects": ["Research Article"],
        "keywords": ["kidney", "mouse"],
        **{name: [] for name in ("translated_titles", "other_abstracts", "keyword_groups", "funding")},
        "mesh": ["Animals"],
        "authors": [],
        "license_code": "CC BY",
        "license_group": "commercial",
        "is_retracted": False,
        "related": [],
        "references": [{"id": "r1", "pmid": "77", "raw": "Doe J. A study. 2019"}, {"id": "r2", "raw": "A book."}],
        "sections": [{"path": ["Results"], "paragraphs": ["As Figure 1 shows.", "Further text."]}],
        "citation": f"J Tests. 2021;1:1. doi:10.1/{pmcid.lower()}",
        "n_figures_without_image": 0,
        "n_inline_graphics": 0,
        "n_formula_graphics": 0,
        **columns,
    }


def figure(article_id: str, position: int, image: bytes, **columns: Any) -> Row:
    """A row of the figures table; ``columns`` replace what it holds."""
    return {
        "figure_id": f"{article_id}_{position:03d}",
        "article_id": article_id,
        "position": position,
        "image_number": 1,
        "kind": "figure",
        "label": f"Figure {position}",
        "caption": f"Caption {position} of {article_id}.",
        "panels": [],
        "mentions": [{"section": ["Results"], "text": f"As Figure {position} shows.", "panels": []}],
        "third_party": False,
        "has_formula_images": False,
        "is_thumbnail": False,
        "href": f"fig{position}",
        "file_name": f"{article_id.split('.', maxsplit=1)[0].lower()}-g{position:03d}.png",
        "image": image,
        **asdict(read_image(image)),
        **columns,
    }


FIGURES_1 = schema.FIGURES.remove(schema.FIGURES.get_field_index("thumbnail")).append(schema.IMAGES.field("image"))
"""The figures table in stores of format 1."""


def write_extracted(
    store: Store, articles: Iterable[Row], figures: Iterable[Row], mark: str = "aa", *, format_1: bool = False
) -> None:
    """Commit rows as extract would, each in the unit of its article; or as it did in stores of format 1."""
    store.open_or_create(N_UNITS)
    rows: dict[int, tuple[list[Row], list[Row]]] = defaultdict(lambda: ([], []))
    for row in articles:
        rows[unit_of(row["pmcid"], N_UNITS)][0].append(row)
    for row in figures:
        rows[unit_of(row["article_id"].rpartition(".")[0], N_UNITS)][1].append(row)
    for unit, (its_articles, its_figures) in rows.items():
        with store.write_unit("extract", unit, mark, "run-extract") as writer:
            writer.table("articles", schema.ARTICLES).write(its_articles)
            writer.table("figures", FIGURES_1 if format_1 else schema.FIGURES).write(its_figures)
            if not format_1:
                writer.table("images", schema.IMAGES).write(its_figures)
            writer.table("errors", schema.ERRORS, directory="errors/extract").write([])
            rows_out = {"articles": len(its_articles), "figures": len(its_figures)}
            writer.commit({kind: Flow(n, n) for kind, n in rows_out.items()})


def lose_a_row(store: Store, stage: str, unit: int, table: str) -> int:
    """Take the first row out of a committed table, as a reader that skips one would; returns how many there were.

    That of figures goes with its image.
    """
    commit = store.commit(stage, unit)
    n = 0
    for name in [table, "images"] if table == "figures" else [table]:
        rows = store.read(commit, name)
        n = int(rows.num_rows)
        pq.write_table(rows[1:], store.path(commit.files[name]))
    return n
