"""What reading from S3 costs: ranges ahead against one request at a time, stretches against whole tars.

A dataset as serialize writes it, its images 1.1 MB of noise on average, lies behind a server that answers each request
20 ms late. Four things are done in the way that Arrow offers, one request after the other, and in ours, in turn:

- a lane: samples of a shard from its first on, as training reads them, without decoding;
- start: whether the shards that dataset.json names are there, thousands of small files here;
- checkpoint: a file of many megabytes, whole;
- evaluation: a few of the held-out samples; at equal distances from the tars, or in stretches of neighbours, by
  the offsets in the footers of the Parquet twins, from the tars too.

    python -m benchmarks.reads --rounds 3
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from biomedica_ray import schema
from biomedica_ray.ahead import map_in_threads
from biomedica_ray.reading.shards import RawSample, Shard, read_samples, read_shards
from biomedica_ray.reading.stretches import draw, read_numbers
from biomedica_ray.serialize.samples import parquet_row
from biomedica_ray.serialize.shards import ShardWriter
from biomedica_ray.serialize.twins import TwinWriter
from biomedica_ray.store import Store
from biomedica_ray.store.objects import RANGE_BYTES
from biomedica_ray.store.ranges import open_ahead
from tests.fakes.s3 import CREDENTIALS
from tests.fakes.served_folder import served_folder

MEAN_BYTES = 1.1e6
"""Of an image: 27 TB / 24 M."""
VIT_L_BYTES = 5.1e9
"""Of a checkpoint of ViT-L/14: 428 M parameters with AdamW's two moments, in float32."""


@dataclass(frozen=True)
class Single:
    """A source that has one request under way: Arrow's stream, whose reads are as large as our ranges."""

    store: Store

    @property
    def root(self) -> str:
        """The place in words."""
        return self.store.root

    def open(self, path: str, buffer_size: int | None = None) -> IO[bytes]:
        """A stream that sends a request when what it read is used up."""
        stream: IO[bytes] = self.store.filesystem.open_input_stream(self.store.path(path), buffer_size=RANGE_BYTES)
        return stream


def write_dataset(root: Path, shards: int, samples: int, image_bytes: float = MEAN_BYTES, words: int = 6000) -> None:
    """Shards with their twins, all in the split test: of images of so many bytes on average, texts of so many words."""
    random = np.random.default_rng(0)
    filled = {field.name: _value(field.type) for field in schema.DATASET if field.name not in ("key", "jpg", "txt")}
    text = " ".join(f"word{number % 997}" for number in range(words))
    entries: list[dict[str, Any]] = []
    for number in range(shards):
        path, parquet = f"webdataset/commercial/test/{number:06d}.tar", f"parquet/commercial/test/{number:06d}.parquet"
        for folder in ((root / path).parent, (root / parquet).parent):
            folder.mkdir(parents=True, exist_ok=True)
        with ShardWriter(root / path) as tar:
            for row in range(samples):
                jpg = random.bytes(int(random.gamma(2, image_bytes / 2)) + 1000)
                key, caption = f"PMC{number * samples + row}-1_001", f"Figure {row}: what was seen."
                fields = {**filled, "article_text": text, "image_primary_label": ["Plots and Charts"]}
                tar.write(key, jpg, caption, fields)
        with TwinWriter(root / parquet, tar.offsets) as twin:
            for sample in tar.by_concept():
                twin.write(parquet_row(*sample))
        entry = {"path": path, "parquet": parquet, "license_group": "commercial", "split": "test"}
        entries.append({**entry, "samples": samples, "sha256": hashlib.sha256(path.encode()).hexdigest()})
    (root / "dataset.json").write_text(json.dumps({"shards": entries}))


def write_small_shards(root: Path, shards: int) -> None:
    """A dataset of empty shards."""
    entries = []
    for number in range(shards):
        path = f"webdataset/commercial/train/{number:06d}.tar"
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")
        entry = {"path": path, "license_group": "commercial", "split": "train", "samples": 0, "sha256": str(number)}
        entries.append(entry)
    (root / "dataset.json").write_text(json.dumps({"shards": entries}))


def _value(type_: pa.DataType) -> Any:
    if pa.types.is_list(type_):
        return []
    if pa.types.is_boolean(type_):
        return False
    return 0 if pa.types.is_integer(type_) else "" if pa.types.is_string(type_) else None


def lane(shards: Sequence[Shard], data: Any) -> int:
    """All samples of the first shard, one after the other."""
    return sum(isinstance(each, RawSample) for each in read_samples(data, shards[0], 0, shards[0].samples))


def heads(store: Store, document: str) -> int:
    """How shards were found before: a request for each."""
    entries = store.read_json(document)["shards"]
    infos = map_in_threads(lambda entry: store.filesystem.get_file_info(store.path("small", entry["path"])), entries)
    return sum(info.is_file for info in infos)


def at_equal_distances(single: Single, shards: Sequence[Shard], most: int) -> int:
    """How held-out samples were chosen before: each shard is read up to the last of them."""
    total, first, found = sum(shard.samples for shard in shards), 0, 0
    wanted = {number * total // most for number in range(most)}
    for shard in shards:
        here = {number - first for number in range(first, first + shard.samples) if number in wanted}
        read = read_samples(single, shard, 0, max(here) + 1, metadata=True) if here else iter(())
        found += sum(number in here for number, _ in enumerate(read))
        first += shard.samples
    return found


def stats(url: str) -> dict[str, int]:
    with urllib.request.urlopen(f"{url}/stats") as answer:
        found: dict[str, int] = json.load(answer)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--samples", type=int, default=400, help="of a shard")
    parser.add_argument(
        "--small-shards", type=int, default=2400, help="whose names are looked up; 24 M figures make so many"
    )
    parser.add_argument("--checkpoint-mb", type=int, default=256)
    parser.add_argument("--drawn", type=int, default=128, help="samples that are evaluated on")
    parser.add_argument("--latency", type=float, default=0.02, help="seconds before each answer")
    parser.add_argument("--megabytes-per-s", type=float, default=0, help="of a connection; 0: no limit")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    os.environ.update(CREDENTIALS)
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(Path(folder), options.shards, options.samples)
        write_small_shards(Path(folder) / "small", options.small_shards)
        (Path(folder) / "checkpoint").write_bytes(os.urandom(2**20) * options.checkpoint_mb)
        with served_folder(Path(folder), options.latency, options.megabytes_per_s) as url:
            compare(Store("s3://bucket", url), options)


def compare(store: Store, options: argparse.Namespace) -> None:
    """Do everything in both ways, in turn, and print a table of medians."""
    single, small = Single(store), Store("s3://bucket/small", store.endpoint_url)
    shards = read_shards(store, None, "test")
    sizes = [shard.samples for shard in shards]

    def whole(stream: IO[bytes]) -> int:
        with stream:
            return len(stream.read())

    def drawn(seeds: Iterator[int]) -> int:
        return sum(1 for _ in read_numbers(store, shards, draw(sizes, options.drawn, next(seeds))))

    seeds = iter(range(10**6))
    cases: dict[str, tuple[Callable[[], int], Callable[[], int]]] = {
        "lane": (lambda: lane(shards, single), lambda: lane(shards, store)),
        "start": (
            lambda: heads(store, "small/dataset.json"),
            lambda: len(read_shards(small, None, "train")),
        ),
        "checkpoint": (
            lambda: whole(store.filesystem.open_input_stream(store.path("checkpoint"))),
            lambda: whole(open_ahead(store, "checkpoint")),
        ),
        "evaluation": (lambda: at_equal_distances(single, shards, options.drawn), lambda: drawn(seeds)),
    }
    found: dict[tuple[str, int], list[tuple[float, int, int, float]]] = {}
    for number in range(options.rounds):
        for case, ways in cases.items():
            for way, work in enumerate(ways):
                before, began, cpu = stats(str(store.endpoint_url)), time.perf_counter(), time.process_time()
                items = work()
                seconds, used = time.perf_counter() - began, time.process_time() - cpu
                after = stats(str(store.endpoint_url))
                row = (seconds, *(after[key] - before[key] for key in ("requests", "bytes")), used)
                found.setdefault((case, way), []).append(row)  # type: ignore[arg-type]
                print(number, case, way, items, row, flush=True)
    print("\n| what | one at a time, s | ours, s | times as fast | requests | MB read | CPU s |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for case in cases:
        ours, theirs = ([statistics.median(column) for column in zip(*found[case, way], strict=True)] for way in (1, 0))
        print(
            f"| {case} | {theirs[0]:.2f} | {ours[0]:.2f} | {theirs[0] / ours[0]:.1f} | "
            f"{theirs[1]:,.0f} / {ours[1]:,.0f} | "
            f"{theirs[2] / 1e6:,.0f} / {ours[2] / 1e6:,.0f} | {theirs[3]:.2f} / {ours[3]:.2f} |"
        )
    rates = [statistics.median(options.samples / row[0] for row in found["lane", way]) for way in (0, 1)]
    print(f"\nlane: {rates[0]:.0f} and {rates[1]:.0f} samples/s")
    times = [statistics.median(row[0] for row in found["checkpoint", way]) for way in (0, 1)]
    whole_s = [seconds * VIT_L_BYTES / options.checkpoint_mb / 2**20 for seconds in times]
    print(f"checkpoint of ViT-L with its optimizer: {whole_s[0]:.0f} and {whole_s[1]:.0f} s a worker")


if __name__ == "__main__":
    main()
