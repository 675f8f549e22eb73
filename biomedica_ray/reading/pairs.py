"""A table of images' paths and captions, CSV or TSV, as open_clip_train takes it with ``--dataset-type csv``."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.fs as pafs

from biomedica_ray.ahead import ordered_map
from biomedica_ray.config import ConfigError
from biomedica_ray.messages import one_line
from biomedica_ray.reading.shards import RawSample, Shard, Unreadable
from biomedica_ray.store import StoreError, open_filesystem
from biomedica_ray.store.filesystem import OBJECT_STORAGE, read_again

SUFFIXES = (".csv", ".tsv")
PATHS = ("filepath", "path", "image")
CAPTIONS = ("title", "caption", "text")
"""Names of the columns, the first that is there; the first of each is open_clip_train's."""
ROWS = 2500
"""Rows that count as a shard: the order of a pass shuffles shards, and then samples within a buffer."""
_AT_A_TIME = 16


def is_pairs(data: str) -> bool:
    """Whether ``data`` names a table of paths and captions."""
    return data.endswith(SUFFIXES)


@dataclass(frozen=True)
class Pairs:
    """The samples of a table; plain data, as each process reads the table for itself.

    Attributes:
        root: Where the table is: a local path or ``s3://``.
        endpoint_url: S3 server, if it is not AWS.
    """

    root: str
    endpoint_url: str | None = None

    def shards(self) -> tuple[Shard, ...]:
        """Its rows in portions that stand for shards.

        Raises:
            ConfigError: There is no such file, or it has other columns.
        """
        table, content = _read(self)
        return tuple(
            Shard(f"{self.root}#{start}", "", "train", min(ROWS, len(table) - start), content)
            for start in range(0, len(table), ROWS)
        )

    def keys(self, shard: Shard) -> list[str]:
        """The keys of a portion's samples."""
        paths = _read(self)[0]["path"].slice(_first(shard), shard.samples)
        return [path or "" for path in paths.to_pylist()]

    def samples(self, shard: Shard, start: int, stop: int) -> Iterator[RawSample | Unreadable]:
        """Samples ``start`` to ``stop`` (exclusive) of a portion, read ahead on threads; keys are the paths."""
        rows = _read(self)[0].slice(_first(shard) + start, stop - start).to_pylist()
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            yield from ordered_map(pool, self._sample, rows, _AT_A_TIME)

    def _sample(self, row: dict[str, str | None]) -> RawSample | Unreadable:
        path, caption = row["path"] or "", (row["caption"] or "").strip()
        if not caption:
            return Unreadable(path, "incomplete-sample", f"{self.root}: the row has no caption")
        try:
            filesystem, place = _place(path, self.root, self.endpoint_url)
            return RawSample(path, read_again(lambda: _bytes(filesystem, place)), caption)
        except FileNotFoundError:
            return Unreadable(path, "missing-image", f"{self.root}: there is no such file")
        except (OSError, StoreError) as error:
            if (
                isinstance(error, OSError)
                and path.startswith(OBJECT_STORAGE)
                and not isinstance(error, PermissionError)
            ):
                raise StoreError(f"{path}: {one_line(error)}") from None
            return Unreadable(path, "missing-image", f"{self.root}: {one_line(error)}")


def _first(shard: Shard) -> int:
    """The first row of a portion."""
    return int(shard.path.rpartition("#")[2])


def _bytes(filesystem: pafs.FileSystem, place: str) -> bytes:
    if isinstance(filesystem, pafs.LocalFileSystem):
        return Path(place).read_bytes()
    with filesystem.open_input_file(place) as file:
        return bytes(file.read())


def _place(path: str, root: str, endpoint_url: str | None) -> tuple[pafs.FileSystem, str]:
    """Where an image is; a relative path starts at the table's folder."""
    if "://" not in path and not Path(path).is_absolute():
        path = f"{root.rpartition('/')[0] or '.'}/{path}"
    scheme = next((scheme for scheme in OBJECT_STORAGE if path.startswith(scheme)), None)
    if scheme is None:
        return open_filesystem(path)
    return _storage(scheme, endpoint_url), path.removeprefix(scheme)


@cache
def _storage(scheme: str, endpoint_url: str | None) -> pafs.FileSystem:
    return open_filesystem(scheme, endpoint_url)[0]


@cache
def _read(pairs: Pairs) -> tuple[pa.Table, str]:
    """Paths and captions, and the SHA-256 of the file."""
    try:
        filesystem, place = open_filesystem(pairs.root, pairs.endpoint_url)
        with filesystem.open_input_stream(place) as stream:
            data = stream.read()
        header = data.partition(b"\n")[0].decode("utf-8-sig")
        delimiter = "\t" if "\t" in header else ","
        names = next(csv.reader([header.rstrip("\r")], delimiter=delimiter), [])
        path, caption = _column(pairs, names, PATHS), _column(pairs, names, CAPTIONS)
        table = pyarrow.csv.read_csv(
            io.BytesIO(data),
            parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=[path, caption], column_types={path: pa.string(), caption: pa.string()}
            ),
        )
    except (OSError, StoreError, UnicodeDecodeError, pa.ArrowInvalid) as error:
        raise ConfigError(f"data: {pairs.root}: {one_line(error)}") from None
    return table.rename_columns(["path", "caption"]), hashlib.sha256(data).hexdigest()


def _column(pairs: Pairs, names: list[str], wanted: tuple[str, ...]) -> str:
    for name in wanted:
        if name in names:
            return name
    raise ConfigError(
        f"data: {pairs.root}: expected a column named {' or '.join(wanted)}, got {', '.join(names[:10]) or 'none'}"
    )
