"""Another set of pictures in which figures are looked for: images, tars, Parquet files or a store, local or in S3."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from biomedica_ray.config import ConfigError
from biomedica_ray.dedupe.columns import grouped
from biomedica_ray.dedupe.copies import Part, as_part
from biomedica_ray.dedupe.slim import HASHES, digests, usable_hashes, what_is_wrong
from biomedica_ray.dedupe.sought import Look, looks_of
from biomedica_ray.images import ImageError, decode, read_image
from biomedica_ray.images.thumbnails import SIDE, thumbnail
from biomedica_ray.schema import error_row
from biomedica_ray.store import Commit, Store, StoreError, check_answers, open_filesystem

IMAGES = (".jpg", ".jpeg", ".png", ".gif", ".tif", ".tiff", ".bmp", ".webp")
_THUMBNAIL = "thumbnail"
"""Column of a store's figures that need not be decoded."""
IMAGE_COLUMNS = ("image", "jpg", "jpeg", "png", "webp", "img", "bytes")
"""Names of the column that holds a Parquet file's images, the first that there is: bytes, or a struct that has them."""
_NAME_COLUMNS = ("figure_id", "key", "__key__", "id")
_FILES_PER_PIECE = 500
_BATCH_ROWS = 16
_TAR_BYTES = 8 * 2**20
"""Bytes of a tar that are asked for at a time."""
_UNREADABLE = (OSError, pa.ArrowException, tarfile.TarError)

PICTURES = pa.schema(
    [
        ("name", pa.string()),
        ("piece", pa.int32()),
        ("row", pa.int64()),
        ("at", pa.int64()),
        *((name, pa.binary(32)) for name in HASHES[:2]),
        (HASHES[2], pa.uint64()),
    ]
)
"""What is compared: a picture's name, where it is (its piece, its row, and in a tar its first byte), and its hashes."""


@dataclass(frozen=True)
class Piece:
    """A part of another set that one task reads.

    Attributes:
        base: What the names of its pictures begin with: the path or URI of the set, or of the file.
        paths: One tar, one Parquet file, or images; paths in the file system that ``base`` is in.
        endpoint_url: S3 server, when it is not AWS.
        images: The Parquet file that has the bytes of its pictures, row by row, where it is another one.
        first: Of a tar, the row of the first picture that is read.
        at: Of a tar, the byte where that begins.
    """

    base: str
    paths: tuple[str, ...]
    endpoint_url: str | None = None
    images: str | None = None
    first: int = 0
    at: int = 0

    @property
    def filesystem(self) -> pafs.FileSystem:
        """The file system that it is in."""
        return open_filesystem(self.base, self.endpoint_url)[0]


class Picture(NamedTuple):
    """A picture: its row in the piece, its name, its file's bytes or why there are none, and where a tar has it."""

    row: int
    name: str
    data: bytes
    problem: str = ""
    at: int = 0


class Hashed(NamedTuple):
    """What was read of a piece.

    Attributes:
        pictures: Rows of :data:`PICTURES`.
        errors: Rows of the errors table.
        met: Pictures that the piece has; where it is broken, those before, and one for the rest.
    """

    pictures: pa.Table
    errors: list[dict[str, Any]]
    met: int


def find_pieces(uri: str, endpoint_url: str | None) -> tuple[list[Piece], list[Any]]:
    """The parts of a set, and what changes when the set changes.

    Raises:
        ConfigError: Nothing there can hold pictures.
    """
    expected = f"against: {uri}: expected a folder of images, tar or Parquet files, one such file, or a store"
    try:
        check_answers(uri, endpoint_url)
        filesystem, root = open_filesystem(uri, endpoint_url)
        if (store := Store(uri, endpoint_url)).list("commits/extract"):
            commits = store.commits("extract").values()
            pieces = [_piece_of(store, commit, uri, endpoint_url) for commit in commits]
            return pieces, [uri, *(commit.content for commit in commits)]
        info = filesystem.get_file_info(root)
        found = [info] if info.is_file else filesystem.get_file_info(pafs.FileSelector(root, recursive=True))
    except (OSError, StoreError) as error:
        raise ConfigError(f"{expected}; {error}") from None
    files = sorted((file for file in found if file.is_file), key=lambda file: file.path)
    pieces = []
    for file in files:
        if file.extension in {"tar", "parquet"}:
            name = uri if info.is_file else f"{uri.rstrip('/')}/{file.path.removeprefix(root).lstrip('/')}"
            pieces.append(Piece(name, (file.path,), endpoint_url))
    images = [file.path for file in files if _is_image(file.path)]
    for start in range(0, len(images), _FILES_PER_PIECE):
        pieces.append(Piece(uri.rstrip("/"), tuple(images[start : start + _FILES_PER_PIECE]), endpoint_url))
    if not pieces:
        raise ConfigError(f"{expected}; found none")
    return pieces, [uri, *((file.path, file.size, file.mtime_ns) for file in files)]


def _piece_of(store: Store, commit: Commit, uri: str, endpoint_url: str | None) -> Piece:
    images = commit.files.get("images")
    figures = store.path(commit.files["figures"])
    return Piece(uri, (figures,), endpoint_url, images and store.path(images))


def read_hashes(number: int, piece: Piece) -> Hashed:
    """The hashes of a piece's pictures, and error rows for those that have none.

    Args:
        number: The piece's, which its rows get.
        piece: The piece.
    """
    rows: list[dict[str, Any]] = []
    errors = []
    met = 0
    try:
        if _is_parquet(piece):
            file = pq.read_metadata(piece.paths[0], filesystem=piece.filesystem)
            if set(HASHES) <= set(file.schema.to_arrow_schema().names):
                return _known_hashes(number, piece, file.num_rows)
        for picture in read_pictures(piece):
            met += 1
            try:
                if picture.problem:
                    raise ImageError("unreadable", picture.problem)
                info = read_image(picture.data)
            except ImageError as error:
                errors.append(_error(picture.name, error.kind, str(error)))
                continue
            hashes = {"sha256": bytes.fromhex(info.sha256), "pixel_sha256": bytes.fromhex(info.pixel_sha256)}
            where = {"name": picture.name, "piece": number, "row": picture.row, "at": picture.at}
            rows.append({**where, **hashes, "phash": info.phash})
    except _UNREADABLE as error:
        errors.append(_error(piece.base, "unreadable", f"{error}; {len(rows)} pictures before"))
        met += 1
    return Hashed(pa.Table.from_pylist(rows, schema=PICTURES), errors, met)


def _error(name: str, kind: str, message: str) -> dict[str, Any]:
    return error_row("dedupe", name, kind, message, entity="picture")


def in_parts(
    pieces: Sequence[Piece], pictures: pa.Table, most: int
) -> Iterator[tuple[Piece, npt.NDArray[np.int64], npt.NDArray[np.int32]]]:
    """The pictures of all pieces, ``most`` at a time, as :func:`read_looks` takes them.

    A part of a tar begins with its own first picture, so that all of them are read in one pass together.

    Args:
        pieces: The pieces.
        pictures: Rows of :data:`PICTURES`.
        most: Pictures of a part.
    """
    rows, at = (pictures[name].to_numpy() for name in ("row", "at"))
    for number, numbers in grouped(pictures["piece"].to_numpy(), rows).items():
        for part in np.split(numbers, range(most, len(numbers), most)):
            piece = replace(pieces[number], first=int(rows[part[0]]), at=int(at[part[0]]))
            yield piece, rows[part], part.astype(np.int32)


def read_looks(piece: Piece, rows: npt.NDArray[np.int64], numbers: npt.NDArray[np.int32]) -> Part:
    """How the pictures at ``rows`` of a piece, ascending, are sought in figures; ``numbers`` are theirs among all.

    Raises:
        OSError: The piece cannot be read now; when its hashes were read, that was possible.
    """
    with_bytes = replace(piece, paths=(piece.images,)) if piece.images else piece

    def looks() -> Iterator[tuple[int, list[Look]]]:
        # No further than the last one that is wanted: a file may be broken behind it.
        for number, picture in zip(numbers.tolist(), read_pictures(with_bytes, rows.tolist()), strict=False):
            with suppress(ImageError):  # of another store, whose hashes were known; others have been decoded once
                yield number, looks_of(decode(picture.data))

    try:
        return as_part(looks())
    except _UNREADABLE as error:
        raise OSError(f"against: {piece.base}: its pictures cannot be read: {error}") from error


def read_thumbnails(piece: Piece, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Thumbnails (k, 1024) of the pictures at ``rows`` of a piece, ascending; blank for those that do not decode."""
    result = np.zeros((len(rows), SIDE * SIDE), np.uint8)
    if _is_parquet(piece) and (stored := _stored_thumbnails(piece)) is not None:
        for index, data in enumerate(stored.take(pa.array(rows)).to_pylist()):
            result[index] = np.frombuffer(data, np.uint8)
        return result
    # No further than the last one that is wanted: a file may be broken behind it.
    for index, picture in zip(range(len(rows)), read_pictures(piece, rows.tolist()), strict=False):
        with suppress(ImageError):  # of a store of format 1, whose hashes were known; others have been decoded once
            result[index] = thumbnail(decode(picture.data))
    return result


def _stored_thumbnails(piece: Piece) -> pa.ChunkedArray | None:
    """The thumbnails of a Parquet file of a store; None where the file has none, or is broken."""
    with suppress(*_UNREADABLE):
        if _THUMBNAIL in pq.read_schema(piece.paths[0], filesystem=piece.filesystem).names:
            return pq.read_table(piece.paths[0], columns=[_THUMBNAIL], filesystem=piece.filesystem)[_THUMBNAIL]
    return None


def read_pictures(piece: Piece, rows: Sequence[int] | None = None) -> Iterator[Picture]:
    """The pictures of a piece, or those at ``rows``, which have been read before, in order.

    Raises:
        OSError, pyarrow.ArrowException, tarfile.TarError: The tar or the Parquet file is broken, or one of ``rows`` is
            a file that has gone; pictures before that have been given.
    """
    wanted = None if rows is None else frozenset(rows)
    if _is_parquet(piece):
        return _in_parquet(piece, wanted)
    if not piece.paths[0].endswith(".tar"):
        return _files(piece, wanted)
    return (picture for picture in _in_tar(piece) if wanted is None or picture.row in wanted)


def _files(piece: Piece, wanted: frozenset[int] | None) -> Iterator[Picture]:
    filesystem, root = open_filesystem(piece.base, piece.endpoint_url)
    for row, path in enumerate(piece.paths):
        if wanted is None or row in wanted:
            name = f"{piece.base}/{path.removeprefix(root).lstrip('/')}".rstrip("/")
            try:
                with filesystem.open_input_stream(path) as stream:
                    yield Picture(row, name, stream.read())
            except OSError as error:
                if wanted is not None:
                    raise
                yield Picture(row, name, b"", str(error))


def _in_tar(piece: Piece) -> Iterator[Picture]:
    row = piece.first
    with piece.filesystem.open_input_file(piece.paths[0]) as file:
        file.seek(piece.at)
        stream = pa.BufferedInputStream(file, _TAR_BYTES)
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                data = tar.extractfile(member)
                if data is not None and _is_image(member.name):
                    yield Picture(row, f"{piece.base}/{member.name}", data.read(), at=piece.at + member.offset)
                    row += 1


def _in_parquet(piece: Piece, wanted: frozenset[int] | None) -> Iterator[Picture]:
    with piece.filesystem.open_input_file(piece.paths[0]) as source:
        file = pq.ParquetFile(source)
        names = file.schema_arrow.names
        image = next((name for name in IMAGE_COLUMNS if name in names), None)
        if image is None:
            raise OSError(f"no column {', '.join(IMAGE_COLUMNS)} among {', '.join(names)}")
        key = _name_column(names)
        start = 0
        for group in range(file.num_row_groups):
            stop = start + file.metadata.row_group(group).num_rows
            if wanted is None or not wanted.isdisjoint(range(start, stop)):
                batches = file.iter_batches(_BATCH_ROWS, [group], [image, *([key] if key else [])])
                each = (values for batch in batches for values in batch.to_pylist())
                for row, values in enumerate(each, start):
                    if wanted is None or row in wanted:
                        yield Picture(row, f"{piece.base}/{values[key] if key else row}", *_bytes(values[image]))
            start = stop


def _bytes(value: Any) -> tuple[bytes, str]:
    """The bytes that a cell holds, or why it holds none."""
    data = value.get("bytes") if isinstance(value, dict) else value
    return (data, "") if isinstance(data, bytes) else (b"", f"expected bytes, got {type(data).__name__}")


def _known_hashes(number: int, piece: Piece, n_rows: int) -> Hashed:
    """The hashes that a Parquet file of ``n_rows`` has as columns, as a store's figures do."""
    path, filesystem = piece.paths[0], piece.filesystem
    key = _name_column(pq.read_schema(path, filesystem=filesystem).names)
    found = pq.read_table(path, columns=[*HASHES, *([key] if key else [])], filesystem=filesystem)
    keys = found[key].to_pylist() if key else range(found.num_rows)
    found = found.append_column("name", pa.array([f"{piece.base}/{each}" for each in keys], pa.string()))
    found = found.append_column("row", pa.array(np.arange(found.num_rows)))
    usable = usable_hashes(found)
    errors = [
        _error(row["name"], "bad-hash", what_is_wrong(row)) for row in found.filter(pc.invert(usable)).to_pylist()
    ]
    found = found.filter(usable)
    columns = {
        "name": found["name"],
        "piece": pa.array(np.full(found.num_rows, number, np.int32)),
        "row": found["row"],
        "at": pa.array(np.zeros(found.num_rows, np.int64)),
        **{name: digests(found[name]) for name in HASHES[:2]},
        HASHES[2]: found[HASHES[2]],
    }
    return Hashed(pa.table(columns, schema=PICTURES), errors, n_rows)


def _name_column(names: list[str]) -> str | None:
    return next((name for name in _NAME_COLUMNS if name in names), None)


def _is_parquet(piece: Piece) -> bool:
    return piece.paths[0].endswith(".parquet")


def _is_image(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in IMAGES
