"""Pictures that many unrelated articles have: logos of publishers, icons, spacers."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biomedica_ray.dedupe.columns import Rows, distinct, duplicate_rows


def boilerplate(figures: pa.Table, same: Rows, repeats: pa.Table, max_articles: int) -> pa.Table:
    """Find pictures that more than a number of unrelated articles have pixel by pixel, and what is near to them.

    Args:
        figures: figure_id and family, which is the same for articles that are related; best first.
        same: (n,) for each figure the best one with its pixels.
        repeats: Rows of the duplicates table for figures.
        max_articles: Most articles that a picture may be in.

    Returns:
        A row of the duplicates table for each such figure, the kept one as well, which is said to be of itself.
    """
    families = figures["family"].to_numpy()
    n_families = families.max(initial=0) + 1
    pictures = distinct(same * n_families + families) // n_families
    busy = np.flatnonzero(np.bincount(pictures, minlength=len(same)) > max_articles)
    kept = np.arange(len(same))
    ids = figures["figure_id"].combine_chunks()
    kept[pc.index_in(repeats["id"], ids).to_numpy()] = pc.index_in(repeats["of"], ids).to_numpy()
    rows = np.flatnonzero(np.isin(kept, kept[busy]))
    return duplicate_rows("figure", "boilerplate", (figures["figure_id"], rows), (figures["figure_id"], kept[rows]))
