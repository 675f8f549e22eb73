"""Vectors that earlier runs made of the same images, so that an article which changed costs no encoder again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from biomedica_ray.ahead import map_in_threads
from biomedica_ray.store import Store
from biomedica_ray.store.parquet import read_columns
from biomedica_ray.units import units_of

ENCODER = b"encoder"
"""Entry of the metadata of an embeddings file that changes when another encoder made its vectors."""

Vectors = dict[str, npt.NDArray[np.float16]]
"""SHA-256 of an image's bytes, hex -> its vector (dim,)."""


@dataclass(frozen=True)
class EarlierVectors:
    """Where vectors are that may serve again.

    Attributes:
        encoder: What files have as :data:`ENCODER` if the vectors are of the same encoder.
        generations: The units of the store, as in :func:`~biomedica_ray.units.units_of`.
        files: Unit -> path of its embeddings, as they were when the run began.
    """

    encoder: str
    generations: Sequence[int] = ()
    files: Mapping[int, str] = field(default_factory=dict)

    def of(self, store: Store, pmcids: Iterable[str], wanted: Iterable[str]) -> Vectors:
        """Vectors of images, as far as an article that has one was embedded before.

        Args:
            store: The store.
            pmcids: Articles. An article that changes may leave its unit; vectors are looked for in all where it may
                have been.
            wanted: SHA-256 of the images' bytes.
        """
        units = {unit for pmcid in pmcids for unit in units_of(pmcid, self.generations)} & self.files.keys()
        found, sought = Vectors(), set(wanted)
        for vectors in map_in_threads(lambda unit: self._read(store, self.files[unit], sought), sorted(units)):
            found |= vectors
        return found

    def _read(self, store: Store, path: str, wanted: set[str]) -> Vectors:
        try:
            table = read_columns(store, path, None, None)
        except FileNotFoundError:  # this run has replaced it meanwhile
            return {}
        if (table.schema.metadata or {}).get(ENCODER) != self.encoder.encode():
            return {}
        flat = table["vector"].combine_chunks().flatten().to_numpy()
        vectors = flat.reshape(len(table), -1) if len(table) else flat
        digests = table["sha256"].to_pylist()
        return {sha256: vector for sha256, vector in zip(digests, vectors, strict=True) if sha256 in wanted}
