"""Which sample is in which shard: cut anew for a new dataset, and for an update changed as little as can be.

A sample that is no longer wanted makes its shard be written anew at once. One that only would be written otherwise now,
as its article has a later version or somebody else's caption was found, is outdated, and stays until more than a small
share of its shard is; otherwise one changed article in a hundred would have every shard written anew.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from biomedica_ray.serialize.left_out import SPLITS

LICENSE_GROUPS = ("commercial", "noncommercial", "other")
KINDS = tuple((group, split) for group in LICENSE_GROUPS for split in SPLITS)
"""Licence groups and splits; a shard is of one kind."""

PLACES = 256
"""Places of a figure among the samples of its unit: the whole of it, and its panels 1 to 255."""

Flags = npt.NDArray[np.bool_]
Hashes = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int32]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard of the dataset: the ``index``-th of its licence group and split."""

    license_group: str
    split: str
    index: int
    size: int
    """How many samples it is to hold."""

    @property
    def number(self) -> int:
        """Its number among all shards."""
        return self.index * len(KINDS) + KINDS.index((self.license_group, self.split))

    def path(self, form: str, extension: str) -> str:
        """Where it lies below dataset/: ``webdataset/commercial/train/commercial-train-000000.tar``.

        The file's name alone tells it from all others of the dataset, as caches and flat downloads go by it.
        """
        group, split = self.license_group, self.split
        return f"{form}/{group}/{split}/{group}-{split}-{self.index:06d}.{extension}"


@dataclass(frozen=True)
class Samples:
    """n samples of one kind, by unit and row.

    Attributes:
        unit: (n,) the unit of each.
        row: (n,) its place in the unit: :data:`PLACES` times the row of its figure in the unit's file of figures, and
            the number of the panel that it shows, 0 for the whole figure.
        state: (n,) changes when the sample would be written otherwise.
        article: (n,) hash of its pmcid.
    """

    unit: Integers
    row: Integers
    state: Hashes
    article: Hashes

    def __len__(self) -> int:
        return len(self.unit)

    def take(self, rows: npt.NDArray[np.integer] | Flags) -> Samples:
        """Some of them."""
        return Samples(*(getattr(self, field.name)[rows] for field in fields(Samples)))

    @property
    def keys(self) -> Hashes:
        """(n,) unit and row in one number."""
        return self.unit.astype(np.uint64) << np.uint64(32) | self.row.astype(np.uint64)


@dataclass(frozen=True)
class Cut:
    """Samples of one kind in shards, by shard, unit and row.

    Attributes:
        samples: The samples.
        shard: (n,) the index of each one's shard.
        next_index: The first index that no shard has had.
    """

    samples: Samples
    shard: Integers
    next_index: int = 0


@dataclass(frozen=True)
class Recut:
    """What became of a cut.

    Attributes:
        cut: The new one.
        outdated: Samples of earlier versions of their articles that stay.
        waiting: Samples of the later versions that wait until those go.
    """

    cut: Cut
    outdated: int
    waiting: int


def concatenated(pieces: Collection[Samples]) -> Samples:
    """The samples of several units, in order."""
    if not pieces:
        return Samples(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.uint64), np.empty(0, np.uint64))
    return Samples(*(np.concatenate([getattr(each, field.name) for each in pieces]) for field in fields(Samples)))


def recut(
    wanted: Samples,
    before: Cut,
    *,
    valid: Flags,
    whole: Flags,
    written: Collection[int],
    samples_per_shard: int,
    max_outdated: float,
) -> Recut:
    """Cut what is wanted into shards, of which those of before are kept that may be.

    A shard that is written anew keeps those of its samples that are still wanted, is filled up with new ones, and gets
    an index that no shard has had, so that its name says that it is another one. Without shards of before each is
    ``samples_per_shard`` samples in order, but for the last.

    A sample is of an earlier version of its article where its unit no longer has the article but another one has, in
    the same licence group and split. It may stay unless figures of the later version are withheld; the later version's
    samples wait as long as it does.

    Args:
        wanted: What is wanted, by unit and row.
        before: How it was cut before.
        valid: (m,) whether the unit of each sample of before has still the file that it had.
        whole: (n,) whether of the article of each sample that is wanted no figure is withheld, for its rights or as it
            occurs in a set that models are tested on.
        written: Indices of shards that are there.
        samples_per_shard: Most samples of a shard.
        max_outdated: Most outdated samples of a shard that is kept, as a share of its samples.
    """
    indices, shard_of = np.unique(before.shard, return_inverse=True)
    keys = wanted.keys
    at = np.searchsorted(keys, before.samples.keys)
    at[at == len(keys)] = 0
    found = valid & (keys[at] == before.samples.keys) if len(keys) else np.zeros(len(at), np.bool_)
    superseded = ~found & valid
    superseded[superseded] = _superseded(before.samples.take(superseded), wanted, whole)
    changed = np.zeros(len(at), np.bool_)
    changed[found] = before.samples.state[found] != wanted.state[at[found]]
    covered = np.zeros(len(wanted), np.bool_)
    covered[at[found]] = True

    def count(samples: Flags) -> npt.NDArray[np.intp]:
        return np.bincount(shard_of[samples], minlength=len(indices))

    sizes, outdated = count(np.ones(len(at), np.bool_)), count(changed | superseded)
    anew = (count(~found & ~superseded) > 0) | (outdated > max_outdated * sizes)
    anew |= ~np.isin(indices, list(written)) & (outdated > 0)
    may_wait = np.isin(wanted.article, before.samples.article[superseded])
    if len(indices) and not (covered | may_wait).all():
        anew[-1] |= sizes[-1] < samples_per_shard
    anew = _with_those_of_the_same_articles(anew, shard_of, superseded, before.samples.article)

    kept = ~anew[shard_of] if len(indices) else np.zeros(0, np.bool_)
    staying = superseded & kept
    waits = ~covered & np.isin(wanted.article, before.samples.article[staying])
    new = np.flatnonzero(~covered & ~waits)
    groups = []
    for shard in np.flatnonzero(anew):
        own = at[found & (shard_of == shard)]
        room = max(0, samples_per_shard - len(own))
        groups.append(np.sort(np.concatenate([own, new[:room]])))
        new = new[room:]
    groups += [new[start : start + samples_per_shard] for start in range(0, len(new), samples_per_shard)]
    groups = [group for group in groups if len(group)]
    next_index = before.next_index + len(groups)
    index = np.repeat(np.arange(before.next_index, next_index, dtype=np.int32), [len(group) for group in groups])
    chosen = wanted.take(np.concatenate([np.empty(0, np.int64), *groups]))
    cut = Cut(
        concatenated([before.samples.take(kept), chosen]), np.concatenate([before.shard[kept], index]), next_index
    )
    return Recut(cut, int(staying.sum()), int(waits.sum()))


def _superseded(gone: Samples, wanted: Samples, whole: Flags) -> Flags:
    """Which samples that are no longer wanted are of articles that are wanted as another unit has them."""
    of_them = np.isin(wanted.article, gone.article)
    units: dict[int, set[int]] = {}
    withheld = set(wanted.article[of_them & ~whole].tolist())
    for article, unit in zip(wanted.article[of_them].tolist(), wanted.unit[of_them].tolist(), strict=True):
        units.setdefault(article, set()).add(unit)
    return np.array(
        [
            article in units and unit not in units[article] and article not in withheld
            for article, unit in zip(gone.article.tolist(), gone.unit.tolist(), strict=True)
        ],
        np.bool_,
    )


def _with_those_of_the_same_articles(anew: Flags, shard_of: Rows, superseded: Flags, article: Hashes) -> Flags:
    """The shards to be written anew, and others that hold a part of the same outdated articles: these go together."""
    while True:
        leaving = article[superseded & anew[shard_of]] if len(anew) else article[:0]
        more = anew.copy()
        more[shard_of[superseded & np.isin(article, leaving)]] = True
        if (more == anew).all():
            return anew
        anew = more
