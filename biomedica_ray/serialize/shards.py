"""WebDataset shards: tar files that are the same, byte by byte, for the same samples; and what is where in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

from biomedica_ray.serialize.hashed import HashedFile
from biomedica_ray.serialize.tar import end, header, padding


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
        self._as_json = _Documents()

    def write(self, key: str, jpg: bytes, caption: str, fields: Mapping[str, Any]) -> None:
        """Add ``<key>.jpg``, ``<key>.json`` and ``<key>.txt``; the text is UTF-8."""
        files = {"jpg": jpg, "json": self._as_json(fields).encode(), "txt": caption.encode()}
        at = self.offsets[-1]
        pieces: list[bytes] = []
        extents = []
        for extension, data in files.items():
            parts = header(f"{key}.{extension}", len(data)), data, padding(len(data))
            extents.append(_Extent(at + len(parts[0]), len(data)))
            at += sum(map(len, parts))
            pieces += parts
        # One call for a sample: what each call costs is more than to copy its bytes.
        self._file.write(b"".join(pieces))
        self._index.append(_Sample(key, fields["image_concept"], *extents))
        self.offsets.append(at)
        self.samples += 1

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
        if error is None:
            self._file.write(end(self.offsets[-1]))
        self._file.close()

    @property
    def size(self) -> int:
        """Bytes written; final after the ``with`` block."""
        return self._file.size

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes written, hex; final after the ``with`` block."""
        return self._file.sha256


class _Documents:
    """Samples' fields as JSON documents, by name; a value that is that of the sample before is not encoded again.

    The samples of an article share the objects that are most of their documents: its text, its references.
    """

    def __init__(self) -> None:
        self._encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode
        self._last: dict[str, tuple[Any, str]] = {}

    def __call__(self, fields: Mapping[str, Any]) -> str:
        """The same as ``json.dumps(fields, ensure_ascii=False, sort_keys=True)``."""
        return f"{{{', '.join([self._field(name, fields[name]) for name in sorted(fields)])}}}"

    def _field(self, name: str, value: Any) -> str:
        last = self._last.get(name)
        if last is None or last[0] is not value:
            last = self._last[name] = value, f"{self._encode(name)}: {self._encode(value)}"
        return last[1]
