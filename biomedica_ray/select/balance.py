"""At most a given number of figures of each group; which ones does not depend on their order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from biomedica_ray.units import stable_hash

Ranks = npt.NDArray[np.uint64]


def ranks(figure_ids: Iterable[str], seed: int) -> Ranks:
    """A pseudo-random number for each figure, the same for the same seed."""
    return np.array([stable_hash(f"{seed}:{figure_id}") for figure_id in figure_ids], np.uint64)


def highest_ranks(groups: Mapping[str, Sequence[Ranks]], cap: int) -> dict[str, int]:
    """The ``cap``-th lowest rank of each group that has more than ``cap`` figures."""
    found = {}
    for group, pieces in groups.items():
        if sum(map(len, pieces)) > cap:
            found[group] = int(np.partition(np.concatenate(pieces), cap - 1)[cap - 1])
    return found


def taken(rank: int, groups: Iterable[str], highest: Mapping[str, int]) -> bool:
    """Whether a figure is among the lowest ranks of all its groups.

    So no group has more than the cap. One whose figures are in one group each has the cap exactly; where figures are in
    several, it may have fewer.
    """
    return all(group not in highest or rank <= highest[group] for group in groups)
