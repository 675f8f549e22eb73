"""Shards, those that ``serialize`` wrote and others, and their samples read as a stream."""

from __future__ import annotations

import tarfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import IO, Any, Protocol

from biomedica_ray.ahead import map_in_threads
from biomedica_ray.messages import one_line
from biomedica_ray.store import Store, StoreError
from biomedica_ray.store.objects import RANGE_BYTES
from biomedica_ray.store.ranges import open_ahead

_TAR_BYTES = 2**16
"""What tarfile asks a stream for at a time; its own 10 KiB cost half as much processor time again."""

IMAGES = ("jpg", "png", "jpeg", "webp")
"""Extensions of a sample's image, the first that is there: those that open_clip_train takes."""


class Source(Protocol):
    """Where shards lie: a store, or wherever their URLs say."""

    @property
    def root(self) -> str:
        """The place in words, for messages."""
        ...

    def open(self, path: str, buffer_size: int | None = None) -> IO[bytes]:
        """The shard at ``path`` as a stream; ``buffer_size`` bytes are read from a disk or a web server at a time."""
        ...


@dataclass(frozen=True)
class Shard:
    """One tar file of samples.

    Attributes:
        path: Relative to the root of the dataset, or the URL of a shard that belongs to none.
        samples: How many samples it holds.
        content: Distinguishes it from other shards of that path: SHA-256 of the file, or size and date or ETag.
        parquet: The same samples as Parquet, relative to the root of the dataset; None where there is no such file.
    """

    path: str
    license_group: str
    split: str
    samples: int
    content: str
    parquet: str | None = None


@dataclass(frozen=True)
class RawSample:
    """A sample as it lies in the shard; ``metadata`` is the JSON text, empty when it was not asked for."""

    key: str
    image: bytes
    caption: str
    metadata: bytes = b""


@dataclass(frozen=True)
class Unreadable:
    """A sample that the dataset promises and that cannot be had; ``kind`` and ``message`` as in the errors table."""

    what: str
    kind: str
    message: str


def read_shards(data: Store, license_groups: Collection[str] | None, split: str) -> tuple[Shard, ...]:
    """The shards of one split of a dataset, in the order of ``dataset.json``.

    Args:
        data: Root of the dataset (the folder of ``dataset.json``).
        license_groups: Which groups to take; None for all.
        split: ``train``, ``validation`` or ``test``.

    Raises:
        StoreError: There is no dataset, or a shard that it names is missing.
    """
    try:
        document = data.read_json("dataset.json")
    except FileNotFoundError:
        raise StoreError(f"{data.uri('dataset.json')}: no dataset here; run `biomedica serialize` first") from None
    shards = tuple(
        Shard(
            entry["path"],
            entry["license_group"],
            entry["split"],
            entry["samples"],
            entry["sha256"],
            entry.get("parquet"),
        )
        for entry in document["shards"]
        if entry["split"] == split and (license_groups is None or entry["license_group"] in license_groups)
    )
    folders = sorted({shard.path.rpartition("/")[0] for shard in shards})
    # One listing of each folder, as there may be thousands of shards to ask for otherwise.
    names = map_in_threads(data.list, folders)
    there = {f"{folder}/{name}" for folder, found in zip(folders, names, strict=True) for name in found}
    for shard in shards:
        if shard.path not in there:
            raise StoreError(f"{data.uri(shard.path)}: dataset.json names this shard, but it is not there")
    return shards


def read_samples(
    data: Source, shard: Shard, start: int, stop: int, *, metadata: bool = False
) -> Iterator[RawSample | Unreadable]:
    """Samples ``start`` to ``stop`` (exclusive) of a shard, read from its beginning as one sequential stream.

    Yields exactly ``stop - start`` items: where the archive is cut short or damaged, the rest are unreadable.
    """
    number = 0
    reason = f"the archive ends before its {shard.samples} samples"
    try:
        with _open(data, shard.path) as stream:
            for fields in _groups(stream, shard.path, ("json",) if metadata else ()):
                if number >= stop:
                    return
                if number >= start:
                    yield _sample(fields, shard)
                number += 1
    except (tarfile.TarError, EOFError, ValueError) as error:
        reason = one_line(error)
    for missing in range(max(number, start), stop):
        yield Unreadable(f"{shard.path}#{missing}", "truncated-shard", reason)


def sample_keys(data: Source, shard: Shard) -> Iterator[str]:
    """The keys of a shard's samples, in order, as far as it can be read."""
    try:
        with _open(data, shard.path) as stream:
            for number, fields in enumerate(_groups(stream, shard.path, content=False)):
                if number == shard.samples:
                    return
                yield fields["__key__"]
    except (tarfile.TarError, EOFError, ValueError):
        return  # what is missing is an error of whoever reads the samples


def count_samples(data: Source, path: str) -> int:
    """How many samples the shard at ``path`` holds, as far as it can be read.

    Raises:
        StoreError: Not one: it is no archive, or it holds something else.
    """
    count, reason = 0, "no images and texts in it"
    try:
        with _open(data, path) as stream:
            for _ in _groups(stream, path, content=False):
                count += 1
    except (tarfile.TarError, EOFError, ValueError) as error:
        reason = one_line(error)
    if not count:
        raise StoreError(f"{path}: not a shard of samples: {reason}")
    return count


def _open(data: Source, path: str) -> IO[bytes]:
    return open_ahead(data, path) if isinstance(data, Store) else data.open(path, RANGE_BYTES)


def _groups(
    stream: IO[bytes], path: str, also: tuple[str, ...] = (), *, content: bool = True
) -> Iterator[dict[str, Any]]:
    """The files of each sample by extension: its image and text, one of which it has at least, and ``also``."""
    from webdataset.tariterators import group_by_keys  # noqa: PLC0415 - imports torch, which takes seconds

    for fields in group_by_keys(_files(stream, path, (*IMAGES, "txt", *also), content=content)):
        if not fields.keys().isdisjoint((*IMAGES, "txt")):
            yield fields


def _files(stream: IO[bytes], path: str, extensions: tuple[str, ...], *, content: bool) -> Iterator[dict[str, Any]]:
    """The files of an archive that have one of the extensions, for webdataset to group; without content, empty."""
    wanted = tuple(f".{extension}" for extension in extensions)
    seekable = stream.seekable() and not content
    with tarfile.open(fileobj=stream, mode="r:*" if seekable else "r|*", bufsize=_TAR_BYTES) as archive:
        for member in archive:
            if member.isreg() and member.name.lower().endswith(wanted):
                file = archive.extractfile(member) if content else None
                yield {"fname": member.name, "data": file.read() if file else b"", "__url__": path}
            archive.members = []  # type: ignore[attr-defined]  # otherwise it remembers all of them


def _sample(fields: dict[str, Any], shard: Shard) -> RawSample | Unreadable:
    key = fields["__key__"]
    image = next((fields[extension] for extension in IMAGES if extension in fields), None)
    if image is None or "txt" not in fields:
        missing = [name for name, data in ((" or ".join(IMAGES), image), ("txt", fields.get("txt"))) if data is None]
        return Unreadable(key, "incomplete-sample", f"{shard.path}: the sample has no {', '.join(missing)}")
    caption = fields["txt"].decode("utf-8", errors="replace")
    return RawSample(key, image, caption, fields.get("json", b""))
