"""Sets in CLIP_benchmark's layout: tars of a split, with the names of classes and templates beside them."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

import pyarrow as pa

from biomedica_ray.evaluate.layouts.base import BadDataError, Image, LayoutBase, Listing, MissingDataError
from biomedica_ray.evaluate.layouts.files import SUFFIXES
from biomedica_ray.reading.shards import Unreadable
from biomedica_ray.store.root import Root


@dataclass(frozen=True)
class TarImages:
    """Members of tars.

    Attributes:
        places: (tar, member) of each row.
    """

    root: Root
    listing: Listing
    places: list[tuple[str, str]] = field(repr=False)

    def images(self, numbers: Sequence[int]) -> Iterator[Image]:
        """The bytes of each member; each tar is opened once."""
        at = 0
        while at < len(numbers):
            tar = self.places[numbers[at]][0]
            with self.root.filesystem.open_input_file(self.root.path(tar)) as source, tarfile.open(fileobj=source) as t:
                while at < len(numbers) and self.places[numbers[at]][0] == tar:
                    member = self.places[numbers[at]][1]
                    stream = t.extractfile(member)
                    empty = Unreadable(member, "empty-image", f"{self.root.uri(tar)}: {member} is no file")
                    yield stream.read() if stream else empty
                    at += 1


class WebDataset(LayoutBase):
    """``<split>/nshards.txt`` and ``<split>/<number>.tar``; an image and a ``.cls`` or a ``.txt`` a sample."""

    kind: Literal["webdataset"]

    def places(self, split: str) -> list[str]:
        """The split's folder."""
        return [split]

    def open(self, root: Root, split: str) -> TarImages:
        """``label`` is the number in ``.cls``, ``texts`` are the lines of ``.txt``."""
        count = f"{split}/nshards.txt"
        try:
            shards = [f"{split}/{number}.tar" for number in range(int(root.read_bytes(count)))]
        except FileNotFoundError:
            raise MissingDataError(root.uri(count)) from None
        except ValueError as error:
            raise BadDataError(f"{root.uri(count)}: {error}") from None
        found: dict[str, dict[str, bytes]] = {}
        places: dict[str, tuple[str, str]] = {}
        missing: list[Unreadable] = []
        for shard in shards:
            if not root.has(shard):
                raise MissingDataError(root.uri(shard))
            try:
                with root.filesystem.open_input_file(root.path(shard)) as source, tarfile.open(fileobj=source) as tar:
                    for member in tar:
                        key, suffix = str(PurePosixPath(member.name).with_suffix("")), PurePosixPath(member.name).suffix
                        stream = tar.extractfile(member)
                        if suffix.lower() in SUFFIXES:
                            if key in places:
                                raise BadDataError(f"{root.uri(shard)}: {key}: a sample of this name came before")
                            places[key] = (shard, member.name)
                        elif stream and suffix in {".cls", ".txt"}:
                            found.setdefault(key, {})[suffix] = stream.read()
            except tarfile.TarError as error:
                raise BadDataError(f"{root.uri(shard)}: {error}") from None
        missing = [Unreadable(key, "missing-image", f"{root.uri(split)}: no image") for key in found.keys() - places]
        missing += [Unreadable(key, "no-label", f"{root.uri(split)}: no .cls") for key in places.keys() - found.keys()]
        keys = [key for key in places if key in found]
        try:
            columns: dict[str, pa.Array] = {"id": pa.array(keys, pa.string())}
            if all(".cls" in found[key] for key in keys):
                columns["label"] = pa.array([int(found[key][".cls"]) for key in keys], pa.int64())
            if all(".txt" in found[key] for key in keys):
                texts = [found[key][".txt"].decode().splitlines() for key in keys]
                columns["texts"] = pa.array(
                    [[line for line in t if line.strip()] for t in texts], pa.list_(pa.string())
                )
        except ValueError as error:
            raise BadDataError(f"{root.uri(split)}: {error}") from None
        return TarImages(
            root, Listing(pa.table(columns), sorted(missing, key=lambda m: m.what)), [places[key] for key in keys]
        )


def lines(root: Root, name: str) -> list[str]:
    """The lines of a text file of a set; raises MissingDataError."""
    try:
        return [line for line in root.read_bytes(name).decode().splitlines() if line.strip()]
    except FileNotFoundError:
        raise MissingDataError(root.uri(name)) from None
