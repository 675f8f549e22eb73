"""What the invented articles are about: the facts that titles, abstracts, captions and text are made from."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Study:
    """Facts of one invented study; every text is plain, without markup.

    Attributes:
        title: Title of the article.
        disease: Disease or process, as it reads within a sentence.
        tissue: Tissue or organ looked at.
        marker: Gene or protein, official symbol.
        compound: Substance or intervention tested.
        subjects: Who or what was studied, in the plural.
        region: Where the study took place.
        subject: Subject heading of the article.
    """

    title: str
    disease: str
    tissue: str
    marker: str
    compound: str
    subjects: str
    region: str
    subject: str


def _read() -> dict[int, Study]:
    with (Path(__file__).parent / "studies.tsv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return {int(row.pop("number")): Study(**row) for row in rows}


STUDIES: dict[int, Study] = _read()
"""The studies by article number: article ``n`` has the accession id ``PMC9900000 + n``."""
