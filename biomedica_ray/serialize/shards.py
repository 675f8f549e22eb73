"""WebDataset shards: tar files that are the same, byte by byte, for the same samples; and what is where in them."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

from biomedica_ray.serialize.hashed import HashedFile

_BLOCK = 2**20
"""Bytes that are hashed and written at a time."""


class _Extent(NamedTuple):
    """Where the content of a file is in the tar, in bytes."""

    start: int
    size: int

    def of(self, file: IO[bytes]) -> bytes:
        file.seek(self.start)
        return file.read(self.size)


class _Sample(NamedTuple):
    """Where a sample is in the tar."""

    key: str
    concept: str | None
    jpg: _Extent
    json: _Extent
    txt: _Extent


class ShardWriter:
    """Writes samples to a tar file as they come, in POSIX.1-2001 format without times, owners or anything that varies.

    Attributes:
        samples: How many have been written.
        offsets: At which byte each of them begins, and where the last one ends.
    """

    def __init__(self, path: Path) -> None:
        self.samples = 0
        self.offsets = [0]
        self._path = path
        self._index: list[_Sample] = []
        self._file = HashedFile(path)
        self._tar = tarfile.open(fileobj=self._file, mode="w|", bufsize=_BLOCK, format=tarfile.PAX_FORMAT)  # noqa: SIM115

    def write(self, key: str, jpg: bytes, caption: str, fields: Mapping[str, Any]) -> None:
        """Add ``<key>.jpg``, ``<key>.json`` and ``<key>.txt``; the text is UTF-8."""
        document = json.dumps(fields, ensure_ascii=False, sort_keys=True)
        files = {"jpg": jpg, "json": document.encode(), "txt": caption.encode()}
        extents = [self._add(f"{key}.{extension}", data) for extension, data in files.items()]
        self._index.append(_Sample(key, fields["image_concept"], *extents))
        self.offsets.append(self._tar.offset)
        self.samples += 1

    def _add(self, name: str, data: bytes) -> _Extent:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        self._tar.addfile(member, io.BytesIO(data))
        return _Extent(self._tar.offset - -(-len(data) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE, len(data))

    def by_concept(self) -> Iterator[tuple[str, bytes, str, dict[str, Any]]]:
        """Key, JPEG, text and fields of each sample, by its concept, those without one last; after the ``with`` block.

        They are read from the file one by one, as a shard's images may be more than there is memory for.
        """
        with self._path.open("rb") as file:
            for sample in sorted(self._index, key=lambda sample: (sample.concept is None, sample.concept or "")):
                fields = json.loads(sample.json.of(file))
                yield sample.key, sample.jpg.of(file), sample.txt.of(file).decode(), fields

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._tar.close()
        self._file.close()

    @property
    def size(self) -> int:
        """Bytes written; final after the ``with`` block."""
        return self._file.size

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes written, hex; final after the ``with`` block."""
        return self._file.sha256
