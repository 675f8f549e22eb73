"""What every source offers: a listing of article versions, and the package of each."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, Self

import pyarrow as pa

from biomedica_ray.schema import LISTING

MAX_FILE_BYTES = 2**29
"""Larger images and XML are refused: 0.5 GiB is far above anything that PMC publishes as a figure."""


class SourceError(Exception):
    """A package or one of its files cannot be read.

    Attributes:
        kind: Reason in one word, as in the errors table.
        attempts: How often it was tried.
        retryable: Whether it may succeed when it is tried again (a server that did not answer).
    """

    def __init__(self, kind: str, message: str, attempts: int = 1, retryable: bool = False) -> None:
        super().__init__(kind, message, attempts, retryable)  # all of them, so that it survives pickling
        self.kind, self.message, self.attempts, self.retryable = kind, message, attempts, retryable

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class Listed:
    """One row of the listing: an article version that the source has."""

    article_id: str
    pmcid: str
    version: int
    source_uri: str
    etag: str
    last_modified: datetime | None
    license_code: str | None = None
    is_retracted: bool | None = None
    is_open_access: bool | None = None

    @classmethod
    def from_table(cls, table: pa.Table) -> list[Self]:
        """The rows of a listing table."""
        return [cls(**row) for row in table.select(LISTING.names).to_pylist()]


@dataclass(frozen=True, slots=True)
class File:
    """A file of a package; ``md5`` where the source gives one."""

    name: str
    md5: str | None = None


class Package(Protocol):
    """One article version: its XML, the files beside it, and what the source's metadata says of it."""

    license_code: str | None
    """As the source names it; None where it does not say."""
    is_retracted: bool | None
    is_open_access: bool | None
    xml: str | None
    """Name of the JATS XML; None when there is none."""
    files: list[File]
    """The other files."""

    def read(self, name: str) -> bytes:
        """The bytes of a file, verified where the source gives a checksum.

        Raises:
            SourceError: The file is missing, too large, damaged or out of reach.
        """
        ...


class Source(Protocol):
    """Somewhere that articles come from."""

    def list(self) -> pa.Table:
        """Every article version there is, with the schema LISTING, in no particular order.

        Where the source dates its listings, the day is in the schema's metadata: ``date``, ISO 8601.

        Raises:
            SourceError: The source cannot be listed.
        """
        ...

    def open(self, listed: Listed) -> AbstractContextManager[Package]:
        """The package of one article version.

        Raises:
            SourceError: It cannot be opened.
        """
        ...
