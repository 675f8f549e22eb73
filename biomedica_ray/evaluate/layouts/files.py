"""Sets whose images are files: a folder a class, or a table that names them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

import pyarrow as pa
from pydantic import Field

from biomedica_ray.evaluate.layouts.base import (
    BadDataError,
    Image,
    LayoutBase,
    Listing,
    MissingDataError,
    as_list,
    first_there,
    walk,
)
from biomedica_ray.reading.shards import Unreadable
from biomedica_ray.store.root import Root

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".dcm", ".dicom")


@dataclass(frozen=True)
class ImageFiles:
    """Rows of which each is a file."""

    root: Root
    listing: Listing
    paths: list[str]

    def images(self, numbers: Sequence[int]) -> Iterator[Image]:
        """The bytes of each file."""
        for number in numbers:
            path = self.paths[number]
            try:
                yield self.root.read_bytes(path)
            except OSError as error:
                yield Unreadable(path, "unreadable-image", " ".join(str(error).split()))


class Folders(LayoutBase):
    """A folder a class, with the images of the class in it and in its folders (torchvision's ImageFolder)."""

    kind: Literal["folders"]
    path: str = Field("{split}", description="folder of the classes' folders")

    def places(self, split: str) -> list[str]:
        """The folder."""
        return as_list(self.path, split)

    def open(self, root: Root, split: str) -> ImageFiles:
        """Rows by path; ``label`` is the class's folder."""
        (place,) = self.places(split)
        below = 0 if place in {"", "."} else len(PurePosixPath(place).parts)
        paths = [path for path in walk(root, place) if path.lower().endswith(SUFFIXES)]
        paths = [path for path in paths if len(PurePosixPath(path).parts) > below + 1]
        if not paths:
            raise MissingDataError(f"{root.uri(place)}/CLASS/*.jpg")
        labels = [PurePosixPath(path).parts[below] for path in paths]
        return ImageFiles(root, Listing.of(paths, label=labels), paths)


class Table(LayoutBase):
    """A CSV, TSV or XLSX file with a row an image, and a folder of images."""

    kind: Literal["table"]
    file: str | list[str] = Field(description="the table; of several names the first that is there")
    image: str = Field(description="the column that names the image: its path, its name, or its name without suffix")
    folder: str = Field("", description="folder of the images, which may lie in folders of it")
    label: str | None = Field(None, description="the column of the label")
    one_hot: list[str] = Field([], description="columns of which exactly one is 1; label is that one's name")

    def places(self, split: str) -> list[str]:
        """The folder of the images."""
        return as_list(self.folder, split)

    def files(self, root: Root, split: str) -> dict[str, tuple[int, int]]:
        """The table as well as the images."""
        table = first_there(root, as_list(self.file, split))
        return super().files(root, split) | walk(root, table)

    def open(self, root: Root, split: str) -> ImageFiles:
        """Rows in the table's order, all columns as text; a row that repeats an image and says the same is left out.

        Raises:
            BadDataError: A column is not there, a row of one-hot columns has not exactly one 1, or rows contradict.
        """
        name = first_there(root, as_list(self.file, split))
        rows = _read(root, name)
        for column in [self.image, *self.one_hot, *([self.label] if self.label else [])]:
            if rows and column not in rows[0][1]:
                raise BadDataError(f"{root.uri(name)}: no column {column}; there are {', '.join(rows[0][1])}")
        known = _Names(list(walk(root, as_list(self.folder, split)[0])), as_list(self.folder, split)[0])
        kept: list[dict[str, str]] = []
        paths: list[str] = []
        missing: list[Unreadable] = []
        repeated: list[str] = []
        seen: dict[str, dict[str, str]] = {}
        for number, row in rows:
            if self.one_hot:
                row = {**row, "label": _hot(row, self.one_hot, f"{root.uri(name)}: row {number}")}  # noqa: PLW2901
            elif self.label:
                row = {**row, "label": row[self.label]}  # noqa: PLW2901
            image = row[self.image]
            if image in seen:
                was, now = seen[image].get("label"), row.get("label")
                if was != now:
                    raise BadDataError(f"{root.uri(name)}: row {number}: {image} is {now}, and {was} in an earlier row")
                repeated.append(image)
                continue
            seen[image] = row
            path = known.find(image)
            if path is None:
                missing.append(Unreadable(image, "missing-image", f"{root.uri(name)}: row {number}: no such image"))
                continue
            kept.append({**row, "id": image, "row": str(number)})
            paths.append(path)
        if missing and not kept:
            below = root.uri(as_list(self.folder, split)[0])
            raise BadDataError(f"{root.uri(name)}: none of its images is below {below}, {missing[0].what} first")
        columns = {key: [row[key] for row in kept] for key in (kept[0] if kept else {"id": ""})}
        table = pa.table({key: pa.array(values, pa.string()) for key, values in columns.items()})
        return ImageFiles(root, Listing(table, missing, repeated), paths)


class _Names:
    """Files by their path below a folder and by their name, both with and without suffix.

    Of files of one folder that differ in their suffix alone the first counts; a name in several folders is nobody's.
    """

    def __init__(self, paths: list[str], folder: str) -> None:
        self._known: dict[str, str] = {}
        start = len(folder) + 1 if folder else 0
        images = [path for path in paths if path.lower().endswith(SUFFIXES)]
        for name in (
            lambda p: p[start:],
            lambda p: str(PurePosixPath(p[start:]).with_suffix("")),
            lambda p: PurePosixPath(p).name,
            lambda p: PurePosixPath(p).stem,
        ):
            found: dict[str, list[str]] = {}
            for path in images:
                found.setdefault(name(path), []).append(path)
            for key, same in found.items():
                if len({PurePosixPath(path).parent for path in same}) == 1:
                    self._known.setdefault(key, same[0])

    def find(self, name: str) -> str | None:
        pure = PurePosixPath(name)
        has_suffix = pure.suffix.lower() in SUFFIXES
        tried = (name, str(pure.with_suffix("")) if has_suffix else name, pure.name, pure.stem if has_suffix else "")
        return next((self._known[each] for each in tried if each in self._known), None)


def _hot(row: dict[str, str], columns: list[str], where: str) -> str:
    try:
        hot = [column for column in columns if float(row[column] or 0) == 1]
    except ValueError:
        hot = []
    if len(hot) != 1:
        raise BadDataError(f"{where}: expected a 1 in exactly one of {', '.join(columns)}, got {len(hot)}")
    return hot[0]


def _read(root: Root, name: str) -> list[tuple[int, dict[str, str]]]:
    """Rows of a table, by their numbers in it, as text; numbers of spreadsheets without a needless fraction."""
    data = root.read_bytes(name)
    if name.lower().endswith(".xlsx"):
        try:
            import openpyxl  # noqa: PLC0415
        except ImportError:
            needs = "needs the package openpyxl: pip install 'biomedica_ray[evaluate]'"
            raise BadDataError(f"{root.uri(name)}: {needs}") from None
        try:
            sheet = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True).worksheets[0]
            lines = [[_text(cell) for cell in line] for line in sheet.iter_rows(values_only=True)]
        except Exception as error:
            raise BadDataError(f"{root.uri(name)}: not an XLSX file: {' '.join(str(error).split())}") from error
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise BadDataError(f"{root.uri(name)}: {error}") from None
        try:
            lines = [*csv.reader(io.StringIO(text), delimiter="\t" if name.lower().endswith(".tsv") else ",")]
        except csv.Error as error:
            raise BadDataError(f"{root.uri(name)}: not a CSV file: {error}") from None
    numbered = [(number, line) for number, line in enumerate(lines, 1) if any(line)]
    if not numbered:
        raise BadDataError(f"{root.uri(name)}: no rows")
    header = [column.strip() for column in numbered[0][1]]
    rows = []
    for number, line in numbered[1:]:
        if len(line) > len(header):
            raise BadDataError(f"{root.uri(name)}: row {number}: {len(line)} values under {len(header)} columns")
        padded = [*line, *[""] * (len(header) - len(line))]
        named = {column: value.strip() for column, value in zip(header, padded, strict=True) if column}
        rows.append((number, named))
    return rows


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)
