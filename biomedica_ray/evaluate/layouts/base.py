"""What all layouts have in common: rows with what is known of them, and images that are read when they are needed."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.fs as pafs
from pydantic import BaseModel, ConfigDict

from biomedica_ray.messages import one_line
from biomedica_ray.reading.shards import Unreadable
from biomedica_ray.store.root import Root

Pixels = npt.NDArray[np.uint8]
Image = bytes | Pixels | Unreadable
"""A file's bytes, pixels of shape (H, W) or (H, W, 3), or why there is neither."""


class MissingDataError(Exception):
    """A set, or the split of it, is not there; the message names the file that was looked for."""


class BadDataError(Exception):
    """A set does not look as its layout says; the message names the file, and the row where one is to blame."""


@dataclass(frozen=True)
class Listing:
    """The rows of a set.

    Attributes:
        table: ``id`` and whatever else is known of each row, without images.
        missing: Rows that name an image which is not there.
        repeated: Rows that repeat an earlier one, and are left out.
    """

    table: pa.Table
    missing: list[Unreadable] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, ids: Sequence[str], **columns: Sequence[Any]) -> Listing:
        """A listing from columns."""
        return cls(pa.table({"id": pa.array(ids, pa.string()), **{name: pa.array(c) for name, c in columns.items()}}))


class Opened(Protocol):
    """A split of a set."""

    @property
    def listing(self) -> Listing:
        """Its rows."""
        ...

    def images(self, numbers: Sequence[int]) -> Iterator[Image]:
        """The images of rows, in ascending order of their numbers."""
        ...


def readable(opened: Opened, wanted: Sequence[int]) -> Iterator[Image]:
    """The images of some rows, ascending; where a file is damaged, those to come after it cannot be read."""
    done = 0
    try:
        for image in opened.images(wanted):
            done += 1
            yield image
    except (BadDataError, EOFError, tarfile.TarError, zlib.error) as error:
        yield from [Unreadable("", "unreadable-image", one_line(error))] * (len(wanted) - done)


class LayoutBase(BaseModel):
    """What is given of any layout; ``{split}`` in a path stands for the split's name on disk."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def files(self, root: Root, split: str) -> dict[str, tuple[int, int]]:
        """The files that make up a split -> their bytes and time; the features of a set are those of these files.

        Raises:
            MissingDataError: There are none.
        """
        found: dict[str, tuple[int, int]] = {}
        for place in self.places(split):
            infos = walk(root, place)
            if not infos:
                raise MissingDataError(root.uri(place))
            found.update(infos)
        return found

    def places(self, split: str) -> list[str]:
        """Files and folders, below the set's root, that must be there."""
        raise NotImplementedError

    def open(self, root: Root, split: str) -> Opened:
        """The rows of a split; raises MissingDataError and BadDataError."""
        raise NotImplementedError


def walk(root: Root, place: str) -> dict[str, tuple[int, int]]:
    """A file, or all files below a folder, by path relative to the root -> bytes and time; hidden ones are left out."""
    path = root.path(place) if place not in {"", "."} else root.path()
    info = root.filesystem.get_file_info(path)
    infos = [info]
    if info.type == pafs.FileType.Directory or not root.is_local:
        below = root.filesystem.get_file_info(pafs.FileSelector(path, recursive=True, allow_not_found=True))
        infos = [info, *below]
    start = len(root.path()) + 1
    files = {each.path[start:]: (each.size, each.mtime_ns) for each in infos if each.type == pafs.FileType.File}
    return {name: files[name] for name in sorted(files) if not any(p.startswith(".") for p in name.split("/"))}


def first_there(root: Root, places: Iterable[str]) -> str:
    """The first of several files that is there.

    Raises:
        MissingDataError: None is.
    """
    places = list(places)
    for place in places:
        if root.has(place):
            return place
    raise MissingDataError(" or ".join(root.uri(place) for place in places))


def as_list(names: str | list[str], split: str) -> list[str]:
    """One or several names with the split in them."""
    return [name.replace("{split}", split) for name in ([names] if isinstance(names, str) else names)]
