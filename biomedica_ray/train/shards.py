"""The shards that ``serialize`` wrote, and their samples read as a stream."""

from __future__ import annotations

import tarfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from webdataset.tariterators import group_by_keys, tar_file_iterator

from biomedica_ray.store import Store, StoreError

_READ_BYTES = 8 * 2**20
"""Size of one read; in object storage each is a request, so that its latency must be small beside its transfer."""


@dataclass(frozen=True)
class Shard:
    """One tar file of samples.

    Attributes:
        path: Relative to the dataset's root.
        samples: How many samples it holds.
        sha256: SHA-256 of the file, hex.
    """

    path: str
    license_group: str
    split: str
    samples: int
    sha256: str


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
        split: ``train`` or ``test``.

    Raises:
        StoreError: There is no dataset, or a shard that it names is missing.
    """
    try:
        document = data.read_json("dataset.json")
    except FileNotFoundError:
        raise StoreError(f"{data.uri('dataset.json')}: no dataset here; run `biomedica serialize` first") from None
    shards = tuple(
        Shard(entry["path"], entry["license_group"], entry["split"], entry["samples"], entry["sha256"])
        for entry in document["shards"]
        if entry["split"] == split and (license_groups is None or entry["license_group"] in license_groups)
    )
    infos = data.filesystem.get_file_info([data.path(shard.path) for shard in shards])
    for shard, info in zip(shards, infos, strict=True):
        if not info.is_file:
            raise StoreError(f"{data.uri(shard.path)}: dataset.json names this shard, but it is not there")
    return shards


def read_samples(
    data: Store, shard: Shard, start: int, stop: int, *, metadata: bool = False
) -> Iterator[RawSample | Unreadable]:
    """Samples ``start`` to ``stop`` (exclusive) of a shard, read from its beginning as one sequential stream.

    Yields exactly ``stop - start`` items: where the archive is cut short or damaged, the rest are unreadable.
    """
    number = 0
    reason = f"the archive ends before its {shard.samples} samples"
    try:
        with data.filesystem.open_input_stream(data.path(shard.path), buffer_size=_READ_BYTES) as stream:
            for fields in group_by_keys(_files(stream, shard.path, metadata=metadata)):
                if number >= stop:
                    return
                if number >= start:
                    yield _sample(fields, shard)
                number += 1
    except (tarfile.TarError, EOFError, ValueError) as error:
        reason = " ".join(str(error).split())
    for missing in range(max(number, start), stop):
        yield Unreadable(f"{shard.path}#{missing}", "truncated-shard", reason)


def _files(stream: Any, path: str, *, metadata: bool) -> Iterator[dict[str, Any]]:
    wanted = (".jpg", ".txt", ".json") if metadata else (".jpg", ".txt")
    for file in tar_file_iterator(stream, select_files=lambda name: name.endswith(wanted)):
        yield {**file, "__url__": path}


def _sample(fields: dict[str, Any], shard: Shard) -> RawSample | Unreadable:
    key = fields["__key__"]
    if missing := {"jpg", "txt"} - fields.keys():
        message = f"{shard.path}: the sample has no {', '.join(sorted(missing))}"
        return Unreadable(key, "incomplete-sample", message)
    caption = fields["txt"].decode("utf-8", errors="replace")
    return RawSample(key, fields["jpg"], caption, fields.get("json", b""))
