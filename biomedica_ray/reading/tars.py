"""Shards that no ``dataset.json`` names: lists and patterns of tar files, on disks, in S3, on the web or on the Hub."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import pyarrow.fs as pafs

from biomedica_ray.ahead import map_in_threads
from biomedica_ray.cluster import run_units
from biomedica_ray.config import ConfigError
from biomedica_ray.reading.shards import Shard, count_samples
from biomedica_ray.reading.web import WebFile
from biomedica_ray.runs import Run
from biomedica_ray.store import Store, open_filesystem
from biomedica_ray.store.filesystem import OBJECT_STORAGE
from biomedica_ray.store.objects import stored_object
from biomedica_ray.store.ranges import as_stream
from biomedica_ray.units import Counts, Flow, fingerprint

_WEB = ("http://", "https://", "hf://")
_SUFFIXES = (".tar", ".tar.gz", ".tgz")
_PARALLEL_REQUESTS = 16
_MEMORY_GB = 0.5
"""Memory that a task reserves to count samples; it holds one read of the storage at a time."""
_VERSION = 1
"""Raise it when samples are counted in another way."""


def is_tars(data: str) -> bool:
    """Whether ``data`` names shards rather than the root of a dataset."""
    return data.endswith(_SUFFIXES) or "::" in data


@dataclass(frozen=True)
class Tars:
    """The source of shards that are named by local paths and s3, gs, http, https and hf URLs."""

    root: str
    endpoint_url: str | None = None

    def open(self, path: str, buffer_size: int | None = None) -> IO[bytes]:
        """As :class:`~biomedica_ray.reading.shards.Source`.

        Raises:
            FileNotFoundError: There is no such file; for one in object storage or on the web, when it is read.
        """
        if path.startswith(_WEB):
            return io.BufferedReader(WebFile(path), buffer_size or io.DEFAULT_BUFFER_SIZE)
        if path.startswith(OBJECT_STORAGE):
            return as_stream(stored_object(path, self.endpoint_url))
        return Path(open_filesystem(path)[1]).open("rb")

    def content(self, path: str) -> str:
        """What changes with the file: its size, and its ETag or date; raises FileNotFoundError, PermissionError."""
        if path.startswith(_WEB):
            with WebFile(path) as file:
                file.describe()
                return f"{file.size} {file.version}"
        filesystem, location = open_filesystem(path, self.endpoint_url)
        info = filesystem.get_file_info(location)
        if not info.is_file:
            raise FileNotFoundError(f"{path}: no such file")
        return f"{info.size} {info.mtime_ns}"

    def listed(self, folder: str) -> dict[str, str]:
        """:meth:`content` of every file of a folder in object storage, by path, from a listing."""
        filesystem, location = open_filesystem(folder, self.endpoint_url)
        infos = filesystem.get_file_info(pafs.FileSelector(location, allow_not_found=True))
        # Some servers list fractions of a second, which no request for a single object gives.
        return {
            f"{folder}/{info.base_name}": f"{info.size} {info.mtime_ns // 10**9 * 10**9}"
            for info in infos
            if info.is_file
        }

    def sizes(self, folder: str) -> dict[str, int]:
        """Samples by file name, as ``sizes.json`` beside the shards says (img2dataset's, open_clip's); empty without.

        Raises:
            ConfigError: It is something else.
        """
        path = f"{folder}/sizes.json"
        try:
            with self.open(path) as stream:
                document = json.loads(stream.read())
            return {name: int(samples) for name, samples in document.items()}
        except (FileNotFoundError, PermissionError):
            return {}
        except (ValueError, TypeError, AttributeError) as error:
            raise ConfigError(f"data: {path}: expected file names and their samples: {error}") from None


def find_tars(patterns: Sequence[str], record: Run, endpoint_url: str | None) -> tuple[Tars, tuple[Shard, ...]]:
    """The shards that patterns mean, in the order of their URLs.

    Their numbers of samples are those in ``sizes.json`` beside them. Otherwise the shards are read once, on the
    cluster, and the store keeps the counts for as long as the files are the same.

    Args:
        patterns: Paths or URLs, with braces as in ``{000000..000009}``; one text may hold several, between ``::``.
        record: The run that wants them.
        endpoint_url: For S3, a server other than AWS.

    Raises:
        ConfigError: One of them does not exist or cannot be read, or is named twice.
        UnitsFailedError: One of them is not a shard.
    """
    paths = expand(patterns)
    source = Tars(paths[0] if len(paths) == 1 else f"{paths[0]} ... {paths[-1]}", endpoint_url)
    folders = sorted({path.rpartition("/")[0] for path in paths})
    try:
        contents = _contents(source, paths)
    except (FileNotFoundError, PermissionError) as error:
        raise ConfigError(f"data: {error}") from None
    sizes = dict(zip(folders, map_in_threads(source.sizes, folders, _PARALLEL_REQUESTS), strict=True))
    known = {path: sizes[folder].get(name) for path in paths for folder, _, name in [path.rpartition("/")]}
    counted = _count(source, {path: contents[path] for path in paths if known[path] is None}, record)
    samples = counted | {path: size for path, size in known.items() if size is not None}
    return source, tuple(Shard(path, "", "train", samples[path], f"{samples[path]} {contents[path]}") for path in paths)


def _contents(source: Tars, paths: Sequence[str]) -> dict[str, str]:
    """:meth:`Tars.content` of each; raises as that.

    A folder in object storage is listed where that is no more requests than to ask for each of its shards.
    """
    wanted = Counter(path.rpartition("/")[0] for path in paths if path.startswith(OBJECT_STORAGE))
    folders = [folder for folder, shards in wanted.items() if shards > _PARALLEL_REQUESTS]
    known = {path: content for found in map_in_threads(source.listed, folders) for path, content in found.items()}
    rest = [path for path in paths if path not in known]
    return known | dict(zip(rest, map_in_threads(source.content, rest, _PARALLEL_REQUESTS), strict=True))


def expand(patterns: Sequence[str]) -> list[str]:
    """The paths and URLs that patterns mean, sorted; raises ConfigError for one that is not a tar or appears twice."""
    from webdataset.shardlists import expand_urls  # noqa: PLC0415 - imports torch, which takes seconds

    try:
        paths = sorted(_absolute(path) for pattern in patterns for path in expand_urls(pattern))
    except ValueError as error:  # a brace too many
        raise ConfigError(f"data: {', '.join(patterns)}: {error}") from None
    for path, times in Counter(paths).items():
        if not path.endswith(_SUFFIXES):
            raise ConfigError(f"data: {path}: expected the path or URL of a {' or '.join(_SUFFIXES)}")
        if times > 1:
            raise ConfigError(f"data: {path}: named {times} times; expected once")
    return paths


def _absolute(path: str) -> str:
    return path if "://" in path else str(Path(path).expanduser().absolute())


def _count(source: Tars, contents: dict[str, str], record: Run) -> dict[str, int]:
    """Samples of the given shards, counted on the cluster where that has not been done before, by whatever run."""
    if not contents:
        return {}
    store = record.store
    marks = {path: fingerprint(_VERSION, path, content) for path, content in contents.items()}
    counts = _counted(store, (f"count/{each}" for each in store.folders("commits/count")))
    for path in contents:
        if marks[path] in counts:
            record.add(counts[marks[path]], before=True)
    todo = [path for path in contents if marks[path] not in counts]
    if todo:
        stage = f"count/{fingerprint(todo)}"
        count = partial(CountWorker, store, record.run_id, stage, source, todo)
        run_units(record, stage, {n: marks[path] for n, path in enumerate(todo)}, count, memory_gb=_MEMORY_GB)
        counts |= _counted(store, [stage])
    return {path: counts[marks[path]]["counted"].rows_out for path in contents}


def _counted(store: Store, stages: Iterable[str]) -> dict[str, Counts]:
    """Fingerprint of a shard's path and content -> its counts."""
    return {each.fingerprint: each.counts for stage in stages for each in store.commits(stage).values()}


class CountWorker:
    """Counts the samples of shards."""

    def __init__(self, store: Store, run_id: str, stage: str, source: Tars, paths: Sequence[str]) -> None:
        self._store, self._run_id, self._stage = store, run_id, stage
        self._source, self._paths = source, paths

    def __call__(self, number: int, mark: str) -> Counts:
        """Count the samples of one shard and commit the number."""
        samples = count_samples(self._source, self._paths[number])
        counts = {"counted": Flow(samples, samples)}
        with self._store.write_unit(self._stage, number, mark, self._run_id) as writer:
            writer.commit(counts)
        return counts
