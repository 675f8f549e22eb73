"""Pictures that are sought among the figures of a store: what is known of them, and which figures are the same by hash.

The opposite of :mod:`biomedica_ray.dedupe.occurrences`, which asks of each figure whether it occurs elsewhere: here the
question is of each picture, and a figure may be the copy of many. The pictures, the fewer, are known everywhere;
figures are looked up among them unit by unit, whole and panel by panel.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from biomedica_ray.dedupe.config import NEAR_BITS, NEAR_CORRELATION
from biomedica_ray.dedupe.copies import Looks, Part, Region, as_part
from biomedica_ray.dedupe.lookup import HashIndex, build_index, nearest
from biomedica_ray.dedupe.sought import Look, Sought, build_sought, looks_of
from biomedica_ray.dedupe.thumbnails import correlation
from biomedica_ray.dedupe.windows import Thumbnails
from biomedica_ray.images.hashes import perceptual_hash, pixel_hash
from biomedica_ray.images.thumbnails import SIDE, thumbnail
from biomedica_ray.reading.shards import Unreadable

_CHUNK = 32
"""Figures and panels that are looked up at a time: 9 bytes for each of them and each picture."""

MATCHES = pa.schema(
    [
        ("picture", pa.int32()),
        ("figure_id", pa.string()),
        ("number", pa.int32()),
        ("how", pa.string()),
        ("correlation", pa.float32()),
    ]
)
"""A picture in a figure: which one, the panel's number (0: all of the figure, or not known), in what way, and the
correlation of the thumbnails, or of the pixels where they were looked at."""

BY_HASH = ("exact", "same-pixels", "near")
"""Ways of being the same by hash, the surest first."""


class Readable(NamedTuple):
    """A picture as it is sought.

    Attributes:
        data: The file's bytes; None where it is no file of its own.
        image: RGB, upright.
    """

    data: bytes | None
    image: Image.Image


class PictureSet(Protocol):
    """A set of pictures that are sought; goes to every task that reads some of them."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def content(self) -> str:
        """Changes when a picture may have changed."""
        ...

    @property
    def n(self) -> int:
        """How many rows it has."""
        ...

    def pictures(self, rows: range) -> Iterator[Readable | Unreadable]:
        """Those of some rows, or why they cannot be read."""
        ...


class Seen(NamedTuple):
    """What is known of some pictures of a set, without what is needed to look for parts of them.

    Attributes:
        rows: Their rows in the set, (n,).
        sha256: Of their files, hex; empty where they are no files.
        pixel_sha256: Of their pixels, hex.
        phash: (n,) perceptual hashes.
        thumbnails: (n, 1024).
        unreadable: The other rows, and why they cannot be read.
    """

    rows: npt.NDArray[np.int64]
    sha256: list[str]
    pixel_sha256: list[str]
    phash: npt.NDArray[np.uint64]
    thumbnails: Thumbnails
    unreadable: list[tuple[int, Unreadable]]


class Known(NamedTuple):
    """All pictures that are sought, numbered from 0, as each task of the search needs them.

    Attributes:
        sha256: Of their files.
        pixel_sha256: Of their pixels.
        near: Their perceptual hashes.
        thumbnails: (n, 1024).
        sought: What they are sought by as crops and parts; None where none is.
    """

    sha256: pa.Array
    pixel_sha256: pa.Array
    near: HashIndex
    thumbnails: Thumbnails
    sought: Sought | None


class Overview(NamedTuple):
    """Where the pictures of :class:`Known` come from, for what the search found.

    Attributes:
        sets: Which set each is of, (n,).
        rows: Its row there, (n,).
        read: Of each set, how many pictures could be read.
        unreadable: Of each set, the rows that could not be read, and why.
        starts: Number of the first look of each part, and of all looks.
        trimmed: Of each look whether it is without margins.
    """

    sets: npt.NDArray[np.int32]
    rows: npt.NDArray[np.int64]
    read: list[int]
    unreadable: list[list[tuple[int, Unreadable]]]
    starts: npt.NDArray[np.int64]
    trimmed: npt.NDArray[np.bool_]


def look_at(
    pictures: PictureSet, rows: range, *, in_parts: bool
) -> tuple[tuple[Seen, Looks], list[npt.NDArray[np.uint8]]]:
    """What is known of some rows of a set, and apart from it the grey values of its looks.

    Args:
        pictures: The set.
        rows: The rows.
        in_parts: Whether they are sought as crops and parts as well; looks count pictures from 0.
    """
    kept: list[int] = []
    unreadable: list[tuple[int, Unreadable]] = []
    digests: list[str] = []
    pixels: list[str] = []
    hashes: list[int] = []
    small: list[Thumbnails] = []

    def looks() -> Iterator[tuple[int, list[Look]]]:
        for row, picture in zip(rows, pictures.pictures(rows), strict=True):
            if isinstance(picture, Unreadable):
                unreadable.append((row, picture))
                continue
            digests.append(hashlib.sha256(picture.data).hexdigest() if picture.data is not None else "")
            pixels.append(pixel_hash(picture.image))
            hashes.append(perceptual_hash(picture.image))
            small.append(thumbnail(picture.image))
            yield len(kept), looks_of(picture.image) if in_parts else []
            kept.append(row)

    part: Part = as_part(looks())
    thumbnails = np.stack(small) if small else np.empty((0, SIDE * SIDE), np.uint8)
    seen = Seen(np.array(kept, np.int64), digests, pixels, np.array(hashes, np.uint64), thumbnails, unreadable)
    return (seen, part[0]), part[1]


def join(of_set: Sequence[int], *parts: tuple[Seen, Looks]) -> tuple[Known | None, Overview]:
    """Everything that is known of the pictures of all parts, in their order; None where no picture can be read.

    Args:
        of_set: Which set each part is of.
        parts: What :func:`look_at` gave of each.
    """
    seen, looks = zip(*parts, strict=True)
    sizes = [len(each.rows) for each in seen]
    first = np.cumsum([0, *sizes])
    numbered = [each._replace(pictures=each.pictures + start) for each, start in zip(looks, first, strict=False)]
    joined = Looks(*(np.concatenate([getattr(each, name) for each in numbered]) for name in Looks._fields))
    n_sets = max(of_set) + 1
    unreadable: list[list[tuple[int, Unreadable]]] = [[] for _ in range(n_sets)]
    for number, each in zip(of_set, seen, strict=True):
        unreadable[number] += each.unreadable
    overview = Overview(
        np.repeat(np.array(of_set, np.int32), sizes),
        np.concatenate([each.rows for each in seen]),
        np.bincount(of_set, sizes, n_sets).astype(int).tolist(),
        unreadable,
        np.cumsum([0, *(len(each.pictures) for each in looks)]),
        joined.trimmed,
    )
    if not first[-1]:
        return None, overview
    known = Known(
        pa.array([digest for each in seen for digest in each.sha256], pa.string()),
        pa.array([digest for each in seen for digest in each.pixel_sha256], pa.string()),
        build_index(np.concatenate([each.phash for each in seen]), NEAR_BITS),
        np.concatenate([each.thumbnails for each in seen]),
        build_sought(joined.pictures.astype(np.int32), *joined[1:]) if len(joined.pictures) else None,
    )
    return known, overview


def same_by_hash(
    known: Known,
    figures: pa.Table,
    regions: Sequence[Region],
    thumbnails: Thumbnails,
    *,
    panel_hashes: Mapping[tuple[str, int], int],
) -> pa.Table:
    """Rows of :data:`MATCHES` for the pictures that are figures of a unit, or panels of them, by their hashes.

    Args:
        known: The pictures.
        figures: figure_id, row, sha256, pixel_sha256 and phash of figures.
        regions: These figures, by their rows, and panels of them.
        thumbnails: (n, 1024) of the regions.
        panel_hashes: Figure and panel -> perceptual hash.
    """
    found: dict[tuple[int, str], tuple[int, str, float]] = {}
    names = figures["figure_id"].to_pylist()
    for how, column in (("exact", "sha256"), ("same-pixels", "pixel_sha256")):
        theirs = getattr(known, column)
        for place in np.flatnonzero(pc.is_in(figures[column], value_set=theirs).to_numpy()).tolist():
            for picture in np.flatnonzero(pc.equal(theirs, figures[column][place]).to_numpy(False)).tolist():
                found.setdefault((picture, names[place]), (0, how, 1.0))
    name_of = dict(zip(figures["row"].to_pylist(), names, strict=True))
    hash_of = {**{(name, 0): value for name, value in zip(names, figures["phash"].to_pylist(), strict=True)}}
    hash_of |= panel_hashes
    where = [(index, (name_of[row], number)) for index, (row, number, _) in enumerate(regions) if row in name_of]
    where = [(index, key) for index, key in where if key in hash_of]
    for index, picture, near in _near(known, where, hash_of, thumbnails):
        name, number = where[index][1]
        before = found.get((picture, name))
        if before is None or (before[1] == "near" and near > before[2]):
            found[picture, name] = number, "near", near
    rows = [
        {"picture": picture, "figure_id": name, "number": number, "how": how, "correlation": near}
        for (picture, name), (number, how, near) in found.items()
    ]
    return pa.Table.from_pylist(rows, schema=MATCHES)


def _near(
    known: Known,
    where: Sequence[tuple[int, tuple[str, int]]],
    hash_of: Mapping[tuple[str, int], int],
    thumbnails: Thumbnails,
) -> Iterator[tuple[int, int, float]]:
    """Which of the regions, which picture, and how alike their thumbnails are."""
    hashes = np.array([hash_of[key] for _, key in where], np.uint64)
    n = len(known.sha256)
    owners = np.arange(n, dtype=np.int32)
    for start in range(0, len(hashes), _CHUNK):
        queries = hashes[start : start + _CHUNK, None]
        for row, _, picture, _ in nearest(known.near, queries, owners, n).tolist():
            alike = correlation(thumbnails[where[start + row][0]], known.thumbnails[picture])
            if alike >= NEAR_CORRELATION:
                yield start + row, picture, alike


def best_matches(matches: pa.Table, most: int) -> pa.Table:
    """The ``most`` figures of each picture, trained ones first, of these the ones that are most surely it.

    In one order whatever the one they came in.

    Args:
        matches: Rows of :data:`MATCHES`, with ``trained``: whether a model was trained on the figure.
        most: How many.
    """
    rank = pc.fill_null(pc.index_in(matches["how"], pa.array(BY_HASH)), len(BY_HASH))
    order = [("picture", "ascending"), ("trained", "descending"), ("rank", "ascending"), ("correlation", "descending")]
    matches = matches.append_column("rank", rank).sort_by([*order, ("figure_id", "ascending")]).drop_columns(["rank"])
    pictures = matches["picture"].to_numpy()
    place = np.arange(len(pictures)) - np.searchsorted(pictures, pictures)
    return matches.filter(pa.array(place < most))


def not_found(candidates: pa.Table, matches: pa.Table, n: int) -> pa.Table:
    """The candidates of pictures that have not been found yet; there are ``n`` pictures."""
    found = np.zeros(n, np.bool_)
    found[matches["picture"].to_numpy()] = True
    return candidates.filter(pa.array(~found[candidates["picture"].to_numpy()], pa.bool_()))
