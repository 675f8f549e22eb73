"""Vectors that earlier runs made of the same images, so that an article which changed costs no encoder again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt

from biomedica_ray.ahead import map_in_threads
from biomedica_ray.annotate.vectors import ENCODER
from biomedica_ray.store import Commit, Store
from biomedica_ray.store.parquet import read_columns
from biomedica_ray.units import pmcid_of, stable_hash, units_of

Vectors = dict[str, npt.NDArray[np.float16]]
"""Key of a picture -> its vector (dim,)."""


def picture_key(sha256: str, box: Sequence[int] | None = None) -> str:
    """What is the same of two pictures exactly where their pixels are: the file that they are decoded from, and where.

    Args:
        sha256: Of an image's bytes, hex.
        box: Edges of the part of it that the picture shows; None: all of it.
    """
    return sha256 if box is None else " ".join([sha256, *map(str, box)])


@dataclass(frozen=True)
class EarlierVectors:
    """Where vectors are that may serve again.

    An article that changes stays in its unit, which is written anew, or leaves it; then that unit is written anew as
    well, or its commit says what has left it.

    Attributes:
        encoder: What files have as :data:`ENCODER` if the vectors are of the same encoder.
        files: Unit -> path of its embeddings of figures, or of panels, as they were when the run began.
        generations: The units of the store, as in :func:`~biomedica_ray.units.units_of`.
        anew: The units that were written anew.
        left: (n,) stable hash of the pmcid of each article that has left a unit, ascending.
        left_units: (n,) the unit.
    """

    encoder: str
    files: Mapping[int, str] = field(default_factory=dict)
    generations: Sequence[int] = ()
    anew: Set[int] = frozenset()
    left: npt.NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))
    left_units: npt.NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))

    @classmethod
    def find(
        cls,
        encoder: str,
        store: Store,
        extracted: Mapping[int, Commit],
        embedded: Mapping[int, Commit],
        anew: Collection[int],
        *,
        table: str = "embeddings",
    ) -> Self:
        """Where they are in a store.

        Args:
            encoder: As above.
            store: The store.
            extracted: Unit -> commit of its figures.
            embedded: Unit -> commit of its embeddings, as far as an earlier run has made them.
            anew: The units that are to be embedded now.
            table: That of the embeddings.
        """
        files = {unit: commit.files[table] for unit, commit in embedded.items()}
        left = [
            (stable_hash(pmcid_of(article_id)), unit)
            for unit, commit in extracted.items()
            for article_id in commit.dropped
            if unit in files
        ]
        hashes, units = (np.array([each[n] for each in left], kind) for n, kind in enumerate((np.uint64, np.int32)))
        order = np.argsort(hashes, kind="stable")
        anew = frozenset(files.keys() & set(anew))
        return cls(encoder, files, store.generations(), anew, hashes[order], units[order])

    def of(self, store: Store, pmcids: Iterable[str], wanted: Iterable[str]) -> Vectors:
        """Vectors of pictures, as far as an article that has one was embedded before.

        Args:
            store: The store.
            pmcids: The articles.
            wanted: Their keys.
        """
        units = self.units(pmcids)
        found, sought = Vectors(), set(wanted)
        for vectors in map_in_threads(lambda unit: self._read(store, self.files[unit], sought), sorted(units)):
            found |= vectors
        return found

    def units(self, pmcids: Iterable[str]) -> set[int]:
        """The units in which articles may have been embedded."""
        return {unit for pmcid in pmcids for unit in self._units(pmcid)}

    def _units(self, pmcid: str) -> set[int]:
        key = np.uint64(stable_hash(pmcid))
        first, last = np.searchsorted(self.left, key, "left"), np.searchsorted(self.left, key, "right")
        may_be = self.anew and self.anew & set(units_of(pmcid, self.generations))
        return {*self.left_units[first:last].tolist(), *may_be}

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
        boxes = table["panel_box"].to_pylist() if "panel_box" in table.column_names else [None] * len(table)
        keys = (sha256 and picture_key(sha256, box) for sha256, box in zip(digests, boxes, strict=True))
        return {key: vector for key, vector in zip(keys, vectors, strict=True) if key in wanted}
