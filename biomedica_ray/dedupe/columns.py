"""Column operations that both articles and figures are grouped by."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def codes(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """A number for each row, the same exactly where the values are the same; nulls are like nothing else."""
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.unify_dictionaries().combine_chunks()
    unlike = np.arange(len(encoded.dictionary), len(encoded.dictionary) + len(encoded))
    missing = encoded.is_null().to_numpy(zero_copy_only=False)
    return np.where(missing, unlike, encoded.indices.fill_null(0).to_numpy()).astype(np.int64)


def first_equal(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """For each row of codes (n,), the first row with the same code; rows stand in order of preference."""
    rows = np.arange(len(values))
    first = np.zeros(values.max(initial=-1) + 1, np.int64)
    first[values[::-1]] = rows[::-1]
    return first[values]
