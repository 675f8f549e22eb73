"""What streaming a dataset gives: samples a second, and how soon the first batch is there, by way and by place.

A dataset as serialize writes it for training, its images noise, lies on this machine's disk, and behind a server that
answers each request 20 ms late and gives a connection 90 MB/s; that is asked as S3 is, and as any web server. From each
place a process reads key, JPEG and caption of all samples, without decoding, in turn by

- webdataset: ``wds.WebDataset`` over the tars; it has no S3 client, and reads from a server what ``curl`` writes into a
  pipe, as it does by itself for http;
- our reader: that of training over the same tars, with ranges ahead from S3;
- load: ``biomedica_ray.load`` and ``iter_batches`` over the Parquet twins, on a local Ray;
- files: a file for each JPEG and for each caption, in random order, 16 samples at a time.

    python -m benchmarks.stream --rounds 3
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import urllib3
import webdataset

import biomedica_ray
from benchmarks.reads import write_dataset
from biomedica_ray.ahead import map_in_threads
from biomedica_ray.cluster import connect
from biomedica_ray.reading.shards import RawSample, Shard, read_samples, read_shards
from biomedica_ray.reading.tars import Tars
from biomedica_ray.store import Store
from tests.fakes.s3 import CREDENTIALS
from tests.fakes.served_folder import BUCKET, served_folder

BATCH = 64
AT_A_TIME = 16
IMAGE_BYTES, WORDS = 51e3, 700
"""Of a JPEG, and of what fills the JSON to 5 kB, as profile train has them (benchmarks/README.md, serialize)."""

Sample = tuple[str, bytes, str]
"""Key, JPEG and caption."""


@dataclass(frozen=True)
class Place:
    """Where the dataset lies.

    Attributes:
        name: What it is called in the table.
        uri: Its folder.
        shards: Its shards, by their paths below that.
        server: URL of the server; None for a disk.
    """

    name: str
    uri: str
    shards: Sequence[Shard]
    server: str | None = None

    @property
    def endpoint_url(self) -> str | None:
        """The server, where it is asked as S3."""
        return self.server if self.uri.startswith("s3://") else None

    @cached_property
    def pool(self) -> urllib3.PoolManager:
        """Connections to a web server."""
        return urllib3.PoolManager(maxsize=AT_A_TIME)

    def file(self, path: str) -> bytes:
        """The content of a file below the folder."""
        if self.server and not self.endpoint_url:
            return self.pool.request("GET", f"{self.uri}/{path}").data
        return Store(self.uri, self.endpoint_url).read_bytes(path)


def by_webdataset(place: Place) -> Iterator[Sample]:
    urls = [f"{place.uri}/{shard.path}" for shard in place.shards]
    if place.server:
        urls = [f"pipe:curl -sf {place.server}/{BUCKET}/{shard.path}" for shard in place.shards]
    wanted = {"shardshuffle": False, "select_files": lambda name: not name.endswith(".json")}
    for sample in webdataset.WebDataset(urls, **wanted):
        yield sample["__key__"], sample["jpg"], sample["txt"].decode()


def by_our_reader(place: Place) -> Iterator[Sample]:
    source = Tars(place.uri, place.endpoint_url)
    for shard in place.shards:
        at = replace(shard, path=f"{place.uri}/{shard.path}")
        for sample in read_samples(source, at, 0, shard.samples):
            assert isinstance(sample, RawSample)
            yield sample.key, sample.image, sample.caption


def by_load(place: Place) -> Iterator[Sample]:
    loaded = biomedica_ray.load(place.uri, columns=["key", "jpg", "txt"], endpoint_url=place.endpoint_url)
    for batch in loaded.iter_batches(batch_size=BATCH, batch_format="pyarrow"):
        assert isinstance(batch, pa.Table)
        for row in batch.to_pylist():
            yield row["key"], row["jpg"]["bytes"], row["txt"]


def by_files(place: Place) -> Iterator[Sample]:
    keys = place.file("files/keys.txt").decode().split()
    random.Random(0).shuffle(keys)

    def read(key: str) -> Sample:
        return key, place.file(f"files/{key}.jpg"), place.file(f"files/{key}.txt").decode()

    yield from map_in_threads(read, keys, AT_A_TIME)


WAYS: Mapping[str, Callable[[Place], Iterator[Sample]]] = {
    "webdataset": by_webdataset,
    "our reader": by_our_reader,
    "load": by_load,
    "files": by_files,
}


def write(root: Path, shards: int, samples: int, image_bytes: float = IMAGE_BYTES) -> None:
    """The dataset, and the same samples as files."""
    write_dataset(root, shards, samples, image_bytes, WORDS)
    (root / "files").mkdir()
    keys = []
    for key, jpg, caption in by_our_reader(Place("", str(root), read_shards(Store(str(root)), None, "test"))):
        (root / f"files/{key}.jpg").write_bytes(jpg)
        (root / f"files/{key}.txt").write_text(caption)
        keys.append(key)
    (root / "files/keys.txt").write_text("\n".join(keys))


def places(root: Path, server: str) -> list[Place]:
    """The folder, and how a server that serves it is asked."""
    shards = read_shards(Store(str(root)), None, "test")
    return [
        Place("disk", str(root), shards),
        Place("S3", f"s3://{BUCKET}", shards, server),
        Place("http", f"{server}/{BUCKET}", shards, server),
    ]


def timed(samples: Iterable[Sample]) -> tuple[float, float]:
    """Samples a second of all of them, and seconds until the first batch is there."""
    began, first, n = time.perf_counter(), 0.0, 0
    for n, _ in enumerate(samples, 1):
        if n == BATCH:
            first = time.perf_counter() - began
    return n / (time.perf_counter() - began), first


def table(everywhere: Sequence[Place], rounds: int) -> list[str]:
    """Medians of the rounds, and of the ratios to webdataset of the same round."""
    lines = ["| from | way | samples/s | of webdataset's | first batch, s |", "|---|---|---:|---:|---:|"]
    for place in everywhere:
        found: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
        for _ in range(rounds):
            for way, read in WAYS.items():
                found[way].append(timed(read(place)))
        for way, rows in found.items():
            ratio = statistics.median(row[0] / base[0] for row, base in zip(rows, found["webdataset"], strict=True))
            rate, first = (statistics.median(column) for column in zip(*rows, strict=True))
            lines.append(f"| {place.name} | {way} | {rate:,.0f} | {ratio:.2f} | {first:.2f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--samples", type=int, default=1000, help="of a shard")
    parser.add_argument("--latency", type=float, default=0.02, help="seconds before each answer")
    parser.add_argument("--megabytes-per-s", type=float, default=90, help="of a connection; 0: no limit")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    os.environ.update(CREDENTIALS)
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), options.shards, options.samples)
        with served_folder(Path(folder), options.latency, options.megabytes_per_s) as server, connect("local"):
            print("\n".join(table(places(Path(folder), server), options.rounds)))


if __name__ == "__main__":
    main()
