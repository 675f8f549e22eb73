"""What every source offers: a listing of article versions, and the package of each."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, Self

import pyarrow as pa

from biomedica_ray.schema import LISTING
from biomedica_ray.units import stable_hash, unit_of

MAX_FILE_BYTES = 2**29
"""Larger images and XML are refused: 0.5 GiB is far above anything that PMC publishes as a figure."""


class SourceError(Exception):
    """A package or one of its files cannot be read.

    Attributes:
        kind: Reason in one word, as in the errors table.
        attempts: How often it was tried.
        passing: Whether a later run may succeed (a server that did not answer), so that it should try again.
    """

    def __init__(self, kind: str, message: str, attempts: int = 1, passing: bool = False) -> None:
        super().__init__(kind, message, attempts, passing)  # all of them, so that it survives pickling
        self.kind, self.message, self.attempts, self.passing = kind, message, attempts, passing

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


def latest_versions(listing: pa.Table) -> pa.Table:
    """The rows of each pmcid's highest version."""
    highest = listing.group_by("pmcid").aggregate([("version", "max")]).rename_columns(["pmcid", "version"])
    highest = highest.cast(pa.schema([LISTING.field("pmcid"), LISTING.field("version")]))
    return listing.join(highest, ["pmcid", "version"], join_type="inner").select(LISTING.names).cast(LISTING)


def take_articles(listing: pa.Table, limit: int) -> pa.Table:
    """The rows of ``limit`` pmcids: those with the smallest stable hash, so the same ones whatever the order."""
    pmcids = sorted(listing["pmcid"].unique().to_pylist(), key=lambda pmcid: (stable_hash(pmcid), pmcid))
    return listing.filter(pa.compute.is_in(listing["pmcid"], pa.array(pmcids[:limit], pa.string())))


def split_by_unit(listing: pa.Table, n_units: int) -> dict[int, pa.Table]:
    """The rows of each unit that has any, sorted by pmcid and version; units in rising order."""
    units = pa.array([unit_of(pmcid, n_units) for pmcid in listing["pmcid"].to_pylist()], pa.int32())
    order = [("unit", "ascending"), ("pmcid", "ascending"), ("version", "ascending")]
    table = listing.append_column("unit", units).sort_by(order)
    counts = table["unit"].value_counts().to_pylist()
    result, start = {}, 0
    for entry in counts:  # in order of first appearance, which is the sorted order
        result[entry["values"]] = table.slice(start, entry["counts"]).drop_columns(["unit"])
        start += entry["counts"]
    return result
