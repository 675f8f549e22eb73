"""Parquet files read row group by row group."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from biomedica_ray.store.filesystem import read_again


class ParquetRows:
    """A Parquet file of which no more than a row group is in memory.

    Args:
        filesystem: Where it is.
        path: Its path there.
    """

    def __init__(self, filesystem: pafs.FileSystem, path: str) -> None:
        self._source = read_again(lambda: filesystem.open_input_file(path))
        self._metadata = read_again(lambda: pq.read_metadata(self._source))

    @property
    def sizes(self) -> list[int]:
        """Rows of each row group."""
        return [self._metadata.row_group(group).num_rows for group in range(self._metadata.num_row_groups)]

    def group(self, group: int, columns: Sequence[str] | None = None) -> pa.Table:
        """A row group."""
        # A reader keeps what it has read ahead for as long as it lives, which would be the whole file.
        return read_again(lambda: pq.ParquetFile(self._source, metadata=self._metadata).read_row_group(group, columns))
