"""Reading embeddings back: those of a unit, of figures or of their panels, or a sample of all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from biomedica_ray.ahead import map_in_threads
from biomedica_ray.store import Commit, Store

Kind = Literal["figures", "panels"]
"""What is embedded."""

TABLES: Mapping[Kind, str] = {"figures": "embeddings", "panels": "panel_embeddings"}
"""The table with the vectors of each kind."""

ENCODER = b"encoder"
"""Entry of the metadata of a file of embeddings that changes when another encoder made its vectors."""


def model_slug(model: str) -> str:
    """A model's name as part of a path: timm/vit_base becomes timm-vit_base."""
    return re.sub(r"[^\w.-]+", "-", model)


def embed_stage(model: str, kind: Kind = "figures") -> str:
    """The stage under which a model's embeddings of figures, or of panels, are committed."""
    stage = f"embed/{model_slug(model)}"
    return stage if kind == "figures" else f"{stage}/{kind}"


class PictureId(NamedTuple):
    """What has a vector.

    Attributes:
        figure_id: The figure.
        panel: Number of its panel, from 1; 0 for the whole figure.
        box: Edges of the panel when it was embedded; empty for the whole figure.
    """

    figure_id: str
    panel: int = 0
    box: tuple[int, ...] = ()


class Embedded(NamedTuple):
    """The embeddings of a unit.

    Attributes:
        ids: Of what (n).
        vectors: (n, dim).
        encoder: Changes with the encoder that made them; None where an earlier version did.
    """

    ids: list[PictureId]
    vectors: npt.NDArray[np.float16]
    encoder: bytes | None


def read_embedded(store: Store, commit: Commit, kind: Kind = "figures") -> Embedded:
    """One unit's embeddings of figures or of panels, by its commit."""
    of_panels = ["panel", "panel_box"] if kind == "panels" else []
    table = store.read(commit, TABLES[kind], ["figure_id", *of_panels, "vector"])
    rows = zip(*(table[name].to_pylist() for name in ("figure_id", *of_panels)), strict=True)
    ids = [PictureId(row[0], row[1], tuple(row[2])) if of_panels else PictureId(row[0]) for row in rows]
    dim = table.schema.field("vector").type.list_size
    flat = table["vector"].combine_chunks().flatten()
    return Embedded(ids, flat.to_numpy().reshape(-1, dim), (table.schema.metadata or {}).get(ENCODER))


def encoder_of(store: Store, commit: Commit, kind: Kind = "figures") -> bytes | None:
    """:attr:`Embedded.encoder` of a unit, without its vectors."""
    metadata = store.read(commit, TABLES[kind], ["figure_id"]).schema.metadata or {}
    encoder: bytes | None = metadata.get(ENCODER)
    return encoder


def read_vectors(store: Store, commit: Commit) -> tuple[list[str], npt.NDArray[np.float16]]:
    """figure_ids (n) and vectors (n, dim) of one unit's embeddings of figures."""
    found = read_embedded(store, commit)
    return [each.figure_id for each in found.ids], found.vectors


def sample_vectors(
    store: Store, embedded: Mapping[int, Commit], dim: int, size: int, seed: int
) -> npt.NDArray[np.float32]:
    """At most ``size`` embeddings (n, dim), each as likely as any other; the same ones for the same seed and units."""
    total = count_vectors(embedded)
    chosen = np.arange(total)
    if size < total:
        chosen = np.sort(np.random.default_rng(seed).choice(total, size, replace=False))
    result: npt.NDArray[np.float32] = np.empty((len(chosen), dim), np.float32)
    ends = np.cumsum([embedded[unit].counts["figures"].rows_out for unit in sorted(embedded)])

    def read(unit: int, end: int) -> None:
        start = end - embedded[unit].counts["figures"].rows_out
        first, last = np.searchsorted(chosen, (start, end))
        if first < last:
            result[first:last] = read_vectors(store, embedded[unit])[1][chosen[first:last] - start]

    ranges = zip(sorted(embedded), ends.tolist(), strict=True)
    list(map_in_threads(lambda unit_and_end: read(*unit_and_end), ranges))
    return result


def count_vectors(embedded: Mapping[int, Commit]) -> int:
    """How many embeddings the units have together."""
    return sum(commit.counts["figures"].rows_out for commit in embedded.values())
