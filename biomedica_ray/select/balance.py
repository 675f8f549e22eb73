"""At most a given number of figures of each group; which ones does not depend on their order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from biomedica_ray.units import stable_hash

Ranks = npt.NDArray[np.uint64]
Groups = npt.NDArray[np.int32]


def ranks(figure_ids: Iterable[str], seed: int) -> Ranks:
    """A pseudo-random number for each figure, the same for the same seed."""
    return np.array([stable_hash(f"{seed}:{figure_id}") for figure_id in figure_ids], np.uint64)


def highest_ranks(groups: Groups, ranks: Ranks, cap: int) -> dict[int, int]:
    """The ``cap``-th lowest rank of each group that has more than ``cap`` figures.

    Args:
        groups: (n,) the group of each figure, from 0; a figure that is in several is there as often.
        ranks: (n,) its rank.
        cap: At least 1.
    """
    sizes = np.bincount(groups)
    ends = np.cumsum(sizes)
    by_group = ranks[np.argsort(groups, kind="stable")]
    return {
        group: int(np.partition(by_group[ends[group] - sizes[group] : ends[group]], cap - 1)[cap - 1])
        for group in np.flatnonzero(sizes > cap).tolist()
    }


def taken(rank: int, groups: Iterable[str], highest: Mapping[str, int]) -> bool:
    """Whether a figure is among the lowest ranks of all its groups.

    So no group has more than the cap. One whose figures are in one group each has the cap exactly; where figures are in
    several, it may have fewer.
    """
    return all(group not in highest or rank <= highest[group] for group in groups)
