"""WebDataset shards: tar files that are the same, byte by byte, for the same samples."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from biomedica_ray.serialize.hashed import HashedFile

_BLOCK = 2**20
"""Bytes that are hashed and written at a time."""


class ShardWriter:
    """Writes samples to a tar file as they come, in POSIX.1-2001 format without times, owners or anything that varies.

    Attributes:
        samples: How many have been written.
    """

    def __init__(self, path: Path) -> None:
        self.samples = 0
        self._file = HashedFile(path)
        self._tar = tarfile.open(fileobj=self._file, mode="w|", bufsize=_BLOCK, format=tarfile.PAX_FORMAT)  # noqa: SIM115

    def write(self, key: str, jpg: bytes, caption: str, fields: Mapping[str, Any]) -> None:
        """Add ``<key>.jpg``, ``<key>.json`` and ``<key>.txt``; the text is UTF-8."""
        document = json.dumps(fields, ensure_ascii=False, sort_keys=True)
        self._add(f"{key}.jpg", jpg)
        self._add(f"{key}.json", document.encode())
        self._add(f"{key}.txt", caption.encode())
        self.samples += 1

    def _add(self, name: str, data: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        self._tar.addfile(member, io.BytesIO(data))

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
