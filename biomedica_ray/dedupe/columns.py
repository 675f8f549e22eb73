"""Column operations that both articles and figures are grouped by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from biomedica_ray import schema

Rows = npt.NDArray[np.int64]


def codes(column: pa.ChunkedArray) -> Rows:
    """A number for each row, the same exactly where the values are the same; nulls are like nothing else."""
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.unify_dictionaries().combine_chunks()
    unlike = np.arange(len(encoded.dictionary), len(encoded.dictionary) + len(encoded))
    missing = encoded.is_null().to_numpy(zero_copy_only=False)
    return np.where(missing, unlike, encoded.indices.fill_null(0).to_numpy()).astype(np.int64)


def first_equal(values: Rows) -> Rows:
    """For each row of codes (n,), the first row with the same code; rows stand in order of preference."""
    rows = np.arange(len(values))
    first = np.zeros(values.max(initial=-1) + 1, np.int64)
    first[values[::-1]] = rows[::-1]
    return first[values]


def distinct(values: Rows) -> Rows:
    """The distinct ones of values (n,), ascending.

    ``np.unique`` of numpy 2.3 and later fills a hash table instead: 24 million random numbers take it 35 s, a sort 2 s.
    """
    ascending = np.sort(values)
    is_first = np.ones(len(ascending), np.bool_)
    np.not_equal(ascending[1:], ascending[:-1], out=is_first[1:])
    return ascending[is_first]


def grouped(keys: npt.NDArray[np.int32], order: Rows) -> dict[int, Rows]:
    """Key -> the rows that have it, by ``order``; both are (n,)."""
    rows = np.lexsort((order, keys))
    values, starts = np.unique(keys[rows], return_index=True)
    return dict(zip(values.tolist(), np.split(rows, starts[1:]), strict=True)) if len(rows) else {}


def connected(n: int, links: tuple[Rows, Rows]) -> Rows:
    """For each of ``n`` rows the first one that it is linked to, in any number of steps; itself if there is none.

    Args:
        n: Number of rows.
        links: The rows at both ends of each link.
    """
    graph = coo_array((np.ones(len(links[0]), np.bool_), links), shape=(n, n))
    _, labels = connected_components(graph, directed=False)
    return first_equal(labels.astype(np.int64))


def duplicate_rows(
    entity: str,
    kind: str | Sequence[str],
    repeats: tuple[pa.ChunkedArray, Rows],
    of: tuple[pa.ChunkedArray, Rows],
    distance: npt.NDArray[np.float32] | None = None,
    *,
    how: Sequence[str] | None = None,
) -> pa.Table:
    """Rows of the duplicates table.

    Args:
        entity: article or figure.
        kind: One for all rows, or each row's.
        repeats: Ids, and the rows of those that repeat another.
        of: Ids, and the row of the one that each repeats.
        distance: Each row's; none: 0.
        how: Each row's; none: null.
    """
    n = len(repeats[1])
    columns = {
        "id": repeats[0].take(pa.array(repeats[1])),
        "of": of[0].take(pa.array(of[1])),
        "entity": pa.repeat(entity, n),
        "kind": pa.repeat(kind, n) if isinstance(kind, str) else pa.array(kind, pa.string()),
        "distance": pa.array(np.zeros(n, np.float32) if distance is None else distance),
        "how": pa.nulls(n, pa.string()) if how is None else pa.array(how, pa.string()),
    }
    return pa.table(columns, schema=schema.DUPLICATES)
