"""Cutting the selected figures into shards of equal size, each a contiguous range of the global order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from biomedica_ray.serialize.left_out import SPLITS

LICENSE_GROUPS = ("commercial", "noncommercial", "other")


@dataclass(frozen=True, slots=True)
class Piece:
    """Samples ``start`` to ``stop`` of those that a unit has in one licence group and split."""

    unit: int
    start: int
    stop: int

    @property
    def size(self) -> int:
        """How many samples these are."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard of the dataset: the ``index``-th of its licence group and split."""

    license_group: str
    split: str
    index: int
    pieces: tuple[Piece, ...]

    @property
    def size(self) -> int:
        """How many samples it is to hold."""
        return sum(piece.size for piece in self.pieces)

    @property
    def number(self) -> int:
        """Its number among all shards, which does not change when another group or split grows."""
        kinds = len(LICENSE_GROUPS) * len(SPLITS)
        return self.index * kinds + LICENSE_GROUPS.index(self.license_group) * len(SPLITS) + SPLITS.index(self.split)

    def path(self, form: str, extension: str) -> str:
        """Where it lies below dataset/: ``webdataset/commercial/train/000000.tar``."""
        return f"{form}/{self.license_group}/{self.split}/{self.index:06d}.{extension}"


def cut(counts: Mapping[tuple[str, str], Sequence[tuple[int, int]]], samples_per_shard: int) -> list[Shard]:
    """Cut into shards that have exactly ``samples_per_shard`` samples, but for the last of a group and split.

    Args:
        counts: (licence group, split) -> units with the number of samples that each has there, in the order wanted.
        samples_per_shard: N; shard ``s`` is the range [s N, (s+1) N).
    """
    shards = []
    for group, split in ((group, split) for group in LICENSE_GROUPS for split in SPLITS):
        pieces = _pieces(counts.get((group, split), ()), samples_per_shard)
        shards += [Shard(group, split, index, tuple(each)) for index, each in enumerate(pieces)]
    return shards


def _pieces(units: Iterable[tuple[int, int]], samples_per_shard: int) -> list[list[Piece]]:
    shards: list[list[Piece]] = []
    room = 0
    for unit, n in units:
        start = 0
        while start < n:
            if not room:
                shards.append([])
                room = samples_per_shard
            stop = min(n, start + room)
            shards[-1].append(Piece(unit, start, stop))
            room -= stop - start
            start = stop
    return shards
