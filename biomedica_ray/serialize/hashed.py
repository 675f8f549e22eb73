"""A file that is hashed as it is written."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class HashedFile(io.BufferedWriter):
    """A file to write to from beginning to end.

    Attributes:
        size: Bytes written so far.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path, "w"))
        self.size = 0
        self._digest = hashlib.sha256()

    def write(self, data: ReadableBuffer, /) -> int:
        """Append bytes."""
        self._digest.update(data)
        self.size += memoryview(data).nbytes
        return super().write(data)

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes written so far, hex."""
        return self._digest.hexdigest()
