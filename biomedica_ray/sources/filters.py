"""Which article versions of a source are taken, and how they are cut into units."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biomedica_ray.jats.licenses import CODES, COMMERCIAL, NONCOMMERCIAL, OTHER
from biomedica_ray.schema import LISTING
from biomedica_ray.units import stable_hash

_GROUPS = {"commercial": COMMERCIAL, "noncommercial": NONCOMMERCIAL, "other": (OTHER,)}


@dataclass(frozen=True)
class Selection:
    """What is taken of a listing.

    Attributes:
        versions: Each article's latest version, or all of them.
        pmcids: Articles by pmcid, or article versions by article_id; None takes all.
        since: The first day (UTC) of ``last_modified`` of what is added to what the store holds; what has no such time
            is not added. None takes all.
        limit: How many articles, those that the store holds first; None takes all.
    """

    versions: Literal["latest", "all"] = "latest"
    pmcids: frozenset[str] | None = None
    since: date | None = None
    limit: int | None = None


@dataclass(frozen=True)
class Filters:
    """What is left out by what is known of an article: from the listing, its metadata, and last its XML.

    Attributes:
        open_access_only: Leave out what is said not to be in the Open Access Subset.
        keep_retracted: Take what is said to be retracted.
        licenses: Codes and groups that are taken; None takes all.
    """

    open_access_only: bool = True
    keep_retracted: bool = True
    licenses: tuple[str, ...] | None = None

    def reason(
        self, license_code: str | None, is_retracted: bool | None, is_open_access: bool | None = None
    ) -> str | None:
        """Why an article is left out; None where it is taken, as far as is known yet (None: not known)."""
        if self.open_access_only and is_open_access is False:
            return "not-open-access"
        if not self.keep_retracted and is_retracted:
            return "retracted"
        if self.licenses is not None and license_code is not None:
            taken = {code for name in self.licenses for code in _GROUPS.get(name, (name,))}
            if (license_code if license_code in CODES else OTHER) not in taken:
                return "license"
        return None


def select(listing: pa.Table, selection: Selection, held: pa.ChunkedArray) -> tuple[pa.Table, dict[str, int]]:
    """The rows that are taken, and reason -> how many others there are.

    Args:
        listing: What the source has.
        selection: What is taken of it.
        held: The pmcids that the store holds.
    """
    left_out = {}

    def keep(reason: str, rows: pa.Table) -> pa.Table:
        if rows.num_rows < listing.num_rows:
            left_out[reason] = listing.num_rows - rows.num_rows
        return rows

    if selection.pmcids is not None:
        listing = keep("not-in-pmcids", _named(listing, selection.pmcids))
    if selection.versions == "latest":
        listing = keep("older-version", latest_versions(listing))
    if selection.since is not None:
        start = pa.scalar(datetime.combine(selection.since, time(), UTC), LISTING.field("last_modified").type)
        is_new = pc.fill_null(pc.greater_equal(listing["last_modified"], start), False)
        listing = keep("before-since", listing.filter(pc.or_(is_new, pc.is_in(listing["pmcid"], value_set=held))))
    if selection.limit is not None:
        listing = keep("over-limit", take_articles(listing, selection.limit, held))
    return listing, left_out


def read_pmcids(text: str) -> frozenset[str]:
    """The ids in a text: the first word of each line, with or without PMC before the number; ``#`` starts a comment."""
    words = (line.split("#")[0].replace(",", " ").split() for line in text.removeprefix("\ufeff").splitlines())
    return frozenset(f"PMC{word[0]}" if word[0].isdecimal() else word[0] for word in words if word)


def unknown_ids(listing: pa.Table, ids: frozenset[str]) -> list[str]:
    """The pmcids and article_ids that the listing does not have, sorted."""
    wanted = pa.array(sorted(ids), pa.string())
    known = pc.or_(*(pc.is_in(wanted, value_set=listing[name].combine_chunks()) for name in ("pmcid", "article_id")))
    return list(wanted.filter(pc.invert(known)).to_pylist())


def latest_versions(listing: pa.Table) -> pa.Table:
    """The rows of each pmcid's highest version."""
    highest = listing.group_by("pmcid").aggregate([("version", "max")]).rename_columns(["pmcid", "version"])
    highest = highest.cast(pa.schema([LISTING.field("pmcid"), LISTING.field("version")]))
    return listing.join(highest, ["pmcid", "version"], join_type="inner").select(LISTING.names).cast(LISTING)


def take_articles(listing: pa.Table, limit: int, held: pa.ChunkedArray) -> pa.Table:
    """The rows of ``limit`` pmcids: those held, then others by a stable hash, so the same whatever the order."""
    first = set(held.to_pylist())
    pmcids = sorted(listing["pmcid"].unique().to_pylist(), key=lambda p: (p not in first, stable_hash(p), p))
    return listing.filter(pc.is_in(listing["pmcid"], pa.array(pmcids[:limit], pa.string())))


def split_by_unit(listing: pa.Table, units: npt.NDArray[np.int64]) -> dict[int, pa.Table]:
    """The rows of each unit that has any, sorted by pmcid and version; units in rising order.

    Args:
        listing: The listing.
        units: (n,) the unit of each row.
    """
    order = [("unit", "ascending"), ("pmcid", "ascending"), ("version", "ascending")]
    table = listing.append_column("unit", pa.array(units)).sort_by(order)
    counts = table["unit"].value_counts().to_pylist()
    result, start = {}, 0
    for entry in counts:  # in order of first appearance, which is the sorted order
        result[entry["values"]] = table.slice(start, entry["counts"]).drop_columns(["unit"])
        start += entry["counts"]
    return result


def _named(listing: pa.Table, ids: frozenset[str]) -> pa.Table:
    wanted = pa.array(sorted(ids), pa.string())
    return listing.filter(pc.or_(*(pc.is_in(listing[name], value_set=wanted) for name in ("pmcid", "article_id"))))
