"""What is published: the files of a dataset or of a model, each with its size and SHA-256."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from biomedica_ray.config import ConfigError
from biomedica_ray.config.wording import suggest
from biomedica_ray.reading.place import DOCUMENT, FORMS, Place
from biomedica_ray.serialize import changes, gathered, statistics
from biomedica_ray.serialize.dataset import documents, read_statistics
from biomedica_ray.store import StoreError
from biomedica_ray.store.root import Root


@dataclass(frozen=True)
class File:
    """A file as it will be published.

    Attributes:
        path: Its path there.
        size: Bytes.
        sha256: Hexadecimal.
        source: Where it is below the root, or on this machine, or the bytes themselves.
    """

    path: str
    size: int
    sha256: str
    source: str | Path | bytes

    @classmethod
    def of(cls, path: str, data: bytes) -> File:
        """A file of these bytes."""
        return cls(path, len(data), hashlib.sha256(data).hexdigest(), data)

    @cached_property
    def git_blob(self) -> str | None:
        """The name that git gives to its content, where that is at hand."""
        if not isinstance(self.source, bytes):
            return None
        return hashlib.sha1(b"blob %d\0" % self.size + self.source, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Contents:
    """All files of what is published.

    Attributes:
        large: Files that go first, in any order.
        last: Files that go after them at once, the one last of all that says what there is.
        folders: Where there are no other files than these, with a slash at the end.
    """

    large: tuple[File, ...]
    last: tuple[File, ...]
    folders: tuple[str, ...] = ()

    def stale(self, there: Collection[str]) -> list[str]:
        """Of the paths that are there, those which a reader would take for a part of this, though they are not."""
        own = {file.path for file in (*self.large, *self.last)}
        return sorted(path for path in there if path not in own and path.startswith(self.folders))


def dataset(root: Root, place: Place, license_groups: Collection[str], scratch: Path) -> Contents:
    """The files of a dataset that ``serialize`` wrote, or of some of its licence groups, with cards and indices.

    Args:
        root: The store.
        place: Which of its datasets.
        license_groups: Which groups; none: all.
        scratch: A folder of this machine for what has to be made, which must be there until all is published.

    Raises:
        ConfigError: There is no dataset, or it has no such licence group.
    """
    folder = place.folder("dataset")
    try:
        document = root.read_json(place.document)
    except FileNotFoundError:
        raise ConfigError(f"store {root.root}: no {place.document}; run `biomedica serialize` first") from None
    known = {shard["license_group"] for shard in document["shards"]}
    if unknown := [group for group in license_groups if group not in known]:
        raise ConfigError(f"license_groups: {unknown[0]}: {suggest(unknown[0], sorted(known))}")
    shards = [shard for shard in document["shards"] if not license_groups or shard["license_group"] in license_groups]
    chosen = {**document, "shards": shards, "samples": sum(shard["samples"] for shard in shards)}
    if license_groups:
        chosen["license_groups"] = sorted(license_groups)
    large = tuple(
        File(shard[path], shard[size], shard[sha256], f"{folder}/{shard[path]}")
        for shard in shards
        for path, size, sha256 in FORMS.values()
    )
    if len(shards) == len(document["shards"]):
        there = [name for name in gathered.FILES if root.has(f"{folder}/{name}")]  # earlier versions lack some
        of_all = [_hashed(root, f"{folder}/{name}", name) for name in there]
    else:
        of_all = _gathered(root, folder, shards, scratch)
    groups = {shard["license_group"] for shard in shards}
    counts = {group: each for group, each in read_statistics(root, folder).items() if group in groups}
    beside = documents(chosen, counts)
    if counts:
        beside[statistics.FILE] = gathered.as_bytes(counts)
    if root.has(f"{folder}/{changes.FILE}"):
        beside[changes.FILE] = root.read_bytes(f"{folder}/{changes.FILE}")
    index = File.of(DOCUMENT, json.dumps(chosen, indent=1, default=str).encode())
    files = (File.of(path, data) for path, data in beside.items())
    return Contents(large, (*of_all, *files, index), tuple(f"{form}/" for form in FORMS))


def model(root: Root, name: str) -> Contents:
    """The files of a trained model.

    Raises:
        ConfigError: There is no finished model of this name.
    """
    folder = f"checkpoints/{name}/model"
    names = root.list(folder)
    if not names:
        raise ConfigError(f"model: {name}: no {root.uri(folder)}; a training run writes it when it has finished")
    weights = [file for file in names if file.endswith(".safetensors")]
    return Contents(
        tuple(_hashed(root, f"{folder}/{file}", file) for file in weights),
        tuple(File.of(file, root.read_bytes(f"{folder}/{file}")) for file in names if file not in weights),
    )


@contextmanager
def at_hand(root: Root, file: File) -> Iterator[Path]:
    """A file on this machine's disk, after its bytes have been compared with its SHA-256.

    Raises:
        StoreError: It is missing, or another one than dataset.json says.
    """
    if isinstance(file.source, Path):
        yield file.source
        return
    with tempfile.NamedTemporaryFile(prefix="biomedica-") as copy:
        if isinstance(file.source, bytes):
            Path(copy.name).write_bytes(file.source)
            yield Path(copy.name)
            return
        place = root.uri(file.source)
        try:
            sha256 = root.sha256(file.source, None if root.is_local else Path(copy.name))
        except FileNotFoundError:
            raise StoreError(f"{place}: missing; `biomedica check` mends a store") from None
        if sha256 != file.sha256:
            raise StoreError(f"{place}: SHA-256 is {sha256}, expected {file.sha256}; `biomedica check` mends a store")
        yield Path(root.path(file.source) if root.is_local else copy.name)


def _hashed(root: Root, source: str, path: str) -> File:
    """A file of the store whose hash is not recorded anywhere."""
    size = root.filesystem.get_file_info(root.path(source)).size
    return File(path, size, root.sha256(source), source)


def _gathered(root: Root, folder: str, shards: Sequence[Mapping[str, Any]], scratch: Path) -> list[File]:
    """The files that have a row for each sample, of some shards."""
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(pq.ParquetWriter(scratch / name, columns, compression="zstd"))
            for name, columns in gathered.FILES.items()
        }
        for shard, samples in gathered.samples_of(root, folder, shards):
            for name, columns in gathered.FILES.items():
                writers[name].write_table(gathered.rows_of(shard, samples, columns))
    made = Root(str(scratch))
    return [File(name, (scratch / name).stat().st_size, made.sha256(name), scratch / name) for name in gathered.FILES]
