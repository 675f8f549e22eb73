"""PMC's ``oa_file_list.csv``: what the legacy packages are, with licence, retraction and date.

Columns, as NLM published it until 2026: File, Article Citation, Accession ID, Last Updated (YYYY-MM-DD HH:MM:SS), PMID,
License, Retracted. Older lists have no Retracted.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TextIO

from biomedica_ray.sources.base import SourceError

NAME = "oa_file_list.csv"


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the list.

    Attributes:
        file: Path of the archive below the list's folder: oa_package/08/e0/PMC13900.tar.gz.
        pmcid: Accession ID.
        last_updated: When the package last changed; the list names no time zone, UTC is taken.
        license_code: As written: CC BY, CC BY-NC, NO-CC CODE.
        is_retracted: None in a list without that column.
    """

    file: str
    pmcid: str
    last_updated: datetime | None
    license_code: str | None
    is_retracted: bool | None


def read_file_list(stream: TextIO, name: str) -> Iterator[Entry]:
    """The lines of a list.

    Raises:
        SourceError: A column is missing, or a line or its date cannot be read; it names ``name`` and the line.
    """
    reader = csv.DictReader(stream)
    columns = {(title or "").split(" (")[0].strip().lower(): title for title in reader.fieldnames or ()}
    if missing := {"file", "accession id"} - columns.keys():
        raise SourceError("bad-file-list", f"{name}: expected the columns {', '.join(sorted(missing))}")
    for row in reader:
        found = {key: (row[title] or "").strip() for key, title in columns.items()}
        try:
            yield Entry(
                found["file"],
                found["accession id"],
                _date(found.get("last updated", "")),
                found.get("license") or None,
                {"yes": True, "no": False}.get(found.get("retracted", "").lower()),
            )
        except ValueError as error:
            raise SourceError("bad-file-list", f"{name}, line {reader.line_num}: {error}") from error


def _date(text: str) -> datetime | None:
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None
