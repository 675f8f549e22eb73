"""Stores for :mod:`benchmarks.scale`: units of real size, made in a moment as all rows of one are much alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biomedica_ray import schema
from biomedica_ray.images.thumbnails import SIDE
from biomedica_ray.store import Commit, Store
from biomedica_ray.units import ARTICLES_PER_UNIT, Flow, unit_of
from tests.synthetic import article, encoded, figure, picture

FIGURES_AN_ARTICLE = 4
CLUSTERS, DIM = 2000, 64
_REPEATED, _PICTURES = 0.03, 5000
"""Share of figures that show one of so many pictures, as others do; all else is unlike."""
_CONCEPTS = [["Maps"], ["Microscopy"], ["Plots and Charts"], []]

Draw = np.random.Generator


def listing(units: int) -> pa.Table:
    """A source's listing for so many units."""
    pmcids = [f"PMC{n}" for n in range(units * ARTICLES_PER_UNIT)]
    n = len(pmcids)
    columns = {
        "article_id": [f"{pmcid}.1" for pmcid in pmcids],
        "pmcid": pmcids,
        "version": [1] * n,
        "source_uri": [f"s3://pmc-oa-opendata/{pmcid}.1/" for pmcid in pmcids],
        "etag": [f"{number:032x}" for number in range(n)],
        "last_modified": pa.nulls(n, schema.LISTING.field("last_modified").type),
    }
    nulls = {name: pa.nulls(n, schema.LISTING.field(name).type) for name in schema.LISTING.names if name not in columns}
    return pa.table({**columns, **nulls}).select(schema.LISTING.names).cast(schema.LISTING)


def write_store(store: Store, units: int) -> None:
    """A store as the stages up to label and the first part of serialize leave it, images and texts shortened."""
    store.open_or_create(units)
    draw = np.random.default_rng(0)
    pool = draw.bytes(_PICTURES * SIDE * SIDE)
    for unit, pmcids in _by_unit(units):
        _extracted(store, unit, pmcids, draw, pool)
    store.write_json("dedupe.json", {})


def write_records(store: Store, units: int) -> None:
    """The commit records of so many units as extract leaves them, without the files that they name."""
    store.open_or_create(units)
    counts = {"articles": Flow(250, 248, 2), "figures": Flow(1000, 990, 10)}
    reasons = {"article errors": {"bad-xml": 2}, "figure errors": {"missing-image": 5, "truncated-image": 5}}
    for unit in range(units):
        files = {name: f"{name}/{unit:06d}-{'a' * 16}.parquet" for name in ("articles", "catalog", "figures", "images")}
        made = Commit("extract", unit, "a" * 16, files, counts, "run", 100.0, "host:1", reasons)
        store.write_json(made.record, made.to_json())


def _by_unit(units: int) -> Iterator[tuple[int, list[str]]]:
    found: dict[int, list[str]] = defaultdict(list)
    for n in range(units * ARTICLES_PER_UNIT):
        found[unit_of(f"PMC{n}", units)].append(f"PMC{n}")
    yield from sorted(found.items())


def _extracted(store: Store, unit: int, pmcids: list[str], draw: Draw, pool: bytes) -> None:
    articles = [f"{pmcid}.1" for pmcid in pmcids]
    ids = [f"{article_id}_{position:03d}" for article_id in articles for position in range(1, FIGURES_AN_ARTICLE + 1)]
    of = [figure_id.rpartition("_")[0] for figure_id in ids]
    n = len(ids)
    image = encoded(picture(1, (24, 24)), "JPEG")
    rows = {
        "articles": _like(
            article("PMC0"),
            schema.ARTICLES,
            {"article_id": articles, "pmcid": pmcids, "doi": [f"10.1/{each}" for each in pmcids], "title": pmcids},
        ),
        "figures": _like(
            figure("PMC0.1", 1, image, caption="A caption of usual length. " * 20),
            schema.FIGURES,
            {"figure_id": ids, "article_id": of, **_pictures(n, draw, pool)},
        ),
        "images": _like({"image": image}, schema.IMAGES, {"figure_id": ids, "article_id": of}),
        "errors": schema.ERRORS.empty_table(),
    }
    counts = {"articles": Flow(len(articles), len(articles)), "figures": Flow(n, n)}
    _commit(store, "extract", unit, rows, counts)
    clusters = draw.integers(0, CLUSTERS, n)
    label = {
        "distance": 1.0,
        "panel_type": None,
        "panel_subtype": None,
        "secondary_label": [],
        "how": "none",
        "confidence": 0.5,
        "uncertain": False,
    }
    values = {
        "figure_id": ids,
        "cluster_id": clusters,
        "primary_label": [_CONCEPTS[cluster % len(_CONCEPTS)] for cluster in clusters.tolist()],
    }
    _commit(store, "label", unit, {"labels": _like(label, schema.LABELS, values)}, {"labels": Flow(n, n)})
    vectors = draw.standard_normal((n, DIM)).astype(np.float16)
    embedded = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIM)
    table = _like({"model": "synthetic"}, schema.embeddings(DIM), {"figure_id": ids, "vector": embedded})
    _commit(store, "embed/synthetic", unit, {"embeddings": table}, {"figures": Flow(n, n)})
    groups = [[str(cluster)] for cluster in clusters.tolist()]
    ranks = draw.integers(0, 2**64, n, np.uint64)
    table = pa.table({"figure_id": ids, "rank": ranks, "groups": groups}).cast(schema.SELECTIONS)
    _commit(store, "select/all/matching", unit, {"selections": table}, {"figures": Flow(n, n)})
    kinds = draw.choice(["commercial", "noncommercial", "other"], n, p=[0.6, 0.25, 0.15])
    sample = {"article_whole": True, "also_captioned": []}
    values = {
        "row": np.arange(n, dtype=np.int32),
        "figure_id": ids,
        "article_id": of,
        "license_group": kinds,
        "split": draw.choice(["train", "test"], n, p=[0.9, 0.1]),
    }
    table = _like(sample, schema.SAMPLES, values)
    _commit(store, "serialize", unit, {"samples": table}, {"figures": Flow(n, n)})


def _like(row: dict[str, object], columns: pa.Schema, values: dict[str, object]) -> pa.Table:
    """A table of which all rows are like one, but for the columns that are given."""
    n = len(next(iter(values.values())))  # type: ignore[arg-type]
    one = pa.Table.from_pylist([row], columns.remove_metadata())
    made = []
    for field in columns:
        given = values.get(field.name)
        column = one[field.name].take(pa.array(np.zeros(n, np.int64))) if given is None else given
        made.append(column if isinstance(column, pa.ChunkedArray | pa.Array) else pa.array(column))
    return pa.table(made, names=columns.names).cast(columns)


def _pictures(n: int, draw: Draw, pool: bytes) -> dict[str, object]:
    """Hashes and thumbnails, of which a few repeat."""
    size = SIDE * SIDE
    hashes = draw.integers(0, 2**64, n, np.uint64)
    thumbnails: npt.NDArray[np.uint8] = draw.integers(0, 256, (n, size), np.uint8)
    for row in np.flatnonzero(draw.random(n) < _REPEATED).tolist():
        which = int(draw.integers(_PICTURES))
        hashes[row] = which * 0x9E3779B97F4A7C15 % 2**64
        thumbnails[row] = np.frombuffer(pool, np.uint8, size, which * size)
    digests = [f"{value:064x}" for value in hashes.tolist()]
    return {
        "phash": hashes,
        "sha256": digests,
        "pixel_sha256": digests,
        "thumbnail": [row.tobytes() for row in thumbnails],
    }


def _commit(store: Store, stage: str, unit: int, rows: dict[str, pa.Table], counts: dict[str, Flow]) -> None:
    with store.write_unit(stage, unit, "aa", "run") as writer:
        for name, table in rows.items():
            folder = f"{name}/{stage}" if stage != "extract" or name == "errors" else name
            writer.table(name, table.schema, directory=folder).write(table)
        writer.commit(counts)
