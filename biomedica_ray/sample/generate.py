"""Makes the sample: ``python -m biomedica_ray.sample.generate TARGET``.

Needs the ``dev`` extra (scikit-image, matplotlib). The result is the same, byte for byte, on every run in one
environment: all chance comes from generators seeded with the numbers of article and figure.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from biomedica_ray.sample.articles import Printed, article_xml
from biomedica_ray.sample.captions import caption
from biomedica_ray.sample.concepts import CONCEPTS
from biomedica_ray.sample.outline import ENTRIES, Entry, Plate
from biomedica_ray.sample.packing import encode, pack, thumbnail
from biomedica_ray.sample.photographs import montage
from biomedica_ray.sample.publishers import PUBLISHERS
from biomedica_ray.sample.studies import STUDIES

COLUMNS = ("article_id", "file_name", "primary_label", "secondary_label")


def _picture(entry: Entry, index: int, plate: Plate) -> tuple[Image.Image, tuple[str, ...]]:
    """The plate's picture and a sentence a panel; a plate that repeats another is drawn from that one's seed."""
    seed = plate.like or (entry.number, index)
    drawn = [CONCEPTS[plate.concept].draw(np.random.default_rng([*seed, panel])) for panel in range(plate.panels)]
    pictures, says = [picture for picture, _ in drawn], tuple(sentence for _, sentence in drawn)
    return (montage(pictures, 2) if plate.panels > 1 else pictures[0]), says


def _label(plate: Plate, style: str, counts: Counter[str]) -> str:
    """The label printed, counted by kind of element."""
    kinds = {
        "table": "Table {i}",
        "chem": "Compound {i}",
        "back": "Figure A{i}",
        "sub-article": "Author response image {i}.",
    }
    if plate.where in ("abstract", "formula", "inline", "same") or plate.concept == "logo":
        return ""
    if plate.where == "group":
        counts["letter"] += 1
        counts["figure"] += counts["letter"] == 1
        return f"{style.format(i=counts['figure']).rstrip('.:')} {'AB'[counts['letter'] - 1]}"
    kind = plate.where if plate.where in kinds else "figure"
    counts[kind] += 1
    return kinds.get(kind, style).format(i=counts[kind])


def _turn(entry: Entry, index: int) -> int:
    """How many plates of the same concept come before this one; equal for all versions of an article."""
    earlier = [other for other in ENTRIES if other.number < entry.number and other.version == 1]
    before = [plate.concept for other in earlier for plate in other.plates] + [p.concept for p in entry.plates[:index]]
    return before.count(entry.plates[index].concept)


def _article(entry: Entry, folder: Path) -> list[tuple[str, ...]]:
    """Write one package; returns its rows of the truth, one a file."""
    publisher, study = PUBLISHERS[entry.publisher], STUDIES[entry.number]
    n = str(9900000 + entry.number)
    items, rows, counts = list[Printed](), list[tuple[str, ...]](), Counter[str]()
    files: dict[str, bytes] = {}
    for index, plate in enumerate(entry.plates):
        place = {"n": n, "i": index + 1}
        picture, says = _picture(entry, index, plate)
        name = publisher.file.format(**place)
        hrefs: tuple[str, ...] = (publisher.href.format(**place),)
        if plate.oddity in ("palette", "16-bit"):
            name = str(PurePosixPath(name).with_suffix(".gif" if plate.oddity == "palette" else ".tif"))
        made = {name: encode(picture, name, plate.oddity)} if plate.oddity != "missing" else {}
        if plate.oddity == "alternatives":
            other = str(PurePosixPath(name).with_suffix(".tif"))
            made[other] = encode(picture.convert("L"), other)
            hrefs = (*hrefs, other)
        if publisher.thumbnails:
            made[str(PurePosixPath(name).with_suffix(".gif"))] = thumbnail(picture)
        files |= made
        shown = CONCEPTS["logo" if plate.oddity in ("html", "spacer") else plate.concept]
        rows += [(entry.article_id, file, shown.primary, shown.secondary) for file in sorted(made)]
        text = caption(study, plate, says, _turn(entry, index), entry.language)
        label = _label(plate, publisher.label, counts)
        items.append(Printed(plate, publisher.xml_id.format(**place), label, text, says[0], hrefs))
    files[publisher.xml.format(n=n)] = article_xml(entry, items)
    pack(entry.package, files, folder, entry.archive)
    return rows


def generate(target: Path) -> None:
    """Write ``packages/`` and ``truth.tsv`` into the folder ``target``.

    Raises:
        FileExistsError: If ``target`` already holds packages.
    """
    folder = target / "packages"
    folder.mkdir(parents=True)
    rows = [row for entry in ENTRIES for row in _article(entry, folder)]
    lines = ["\t".join(row) for row in [COLUMNS, *rows]]
    (target / "truth.tsv").write_bytes(("\n".join(lines) + "\n").encode())


if __name__ == "__main__":
    generate(Path(sys.argv[1]))
