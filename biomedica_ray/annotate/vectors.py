"""Reading embeddings back: those of a unit, or a sample of all."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from biomedica_ray.ahead import map_in_threads
from biomedica_ray.store import Commit, Store


def model_slug(model: str) -> str:
    """A model's name as part of a path: timm/vit_base becomes timm-vit_base."""
    return re.sub(r"[^\w.-]+", "-", model)


def embed_stage(model: str) -> str:
    """The stage under which a model's embeddings are committed."""
    return f"embed/{model_slug(model)}"


def read_vectors(store: Store, commit: Commit) -> tuple[list[str], npt.NDArray[np.float16]]:
    """figure_ids (n) and vectors (n, dim) of one unit's embeddings."""
    table = store.read(commit, "embeddings", ["figure_id", "vector"])
    dim = table.schema.field("vector").type.list_size
    flat = table["vector"].combine_chunks().flatten()
    return table["figure_id"].to_pylist(), flat.to_numpy().reshape(-1, dim)


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
