"""What shards cost to write, and each profile to store and to train on.

    python -m benchmarks.serialize --store STORE [--rounds N]

STORE holds extracted articles. All its figures are cut into shards in this process, without Ray, once a profile. Then

- writing: processor seconds for the same samples, already made, by a bare loop over ``tarfile``, by
  ``webdataset.ShardWriter``, by our writer, which hashes and remembers where samples are, by that and the Parquet twin,
  and by the whole worker, which reads units and makes the samples too; in turns, and the median of the ratios to the
  bare loop of the same round;
- training: bytes of a sample in the tar, and processor milliseconds to decode, crop and resize it to 224 pixels;
- crops: of how many figures a crop of training has a shorter side of 224 or 336 pixels, at several longest sides.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import webdataset

from biomedica_ray.images import decode
from biomedica_ray.reading.augment import random_box, training_pixels
from biomedica_ray.serialize.choosing import SelectionWorker
from biomedica_ray.serialize.config import SerializeConfig
from biomedica_ray.serialize.material import MaterialWorker, paths
from biomedica_ray.serialize.members import made_samples, read_members
from biomedica_ray.serialize.pipeline import ShardWorker
from biomedica_ray.serialize.planning import Planned, UnitContents, plan_shards
from biomedica_ray.serialize.profiles import Kind, Profile
from biomedica_ray.serialize.samples import parquet_row, sample_key
from biomedica_ray.serialize.shards import ShardWriter
from biomedica_ray.serialize.twins import TwinWriter
from biomedica_ray.store import Store

Sample = tuple[str, bytes, str, dict[str, Any]]


def planned(store: Store, profile: Kind) -> tuple[SerializeConfig, Planned]:
    """The shards of all figures."""
    config = SerializeConfig(store=store.root, profile=profile, samples_per_shard=10_000, keep_duplicates=True)
    units = store.commits("extract")
    for unit in units:
        SelectionWorker(store, "run", config)(unit, "aa")
    return config, plan_shards(store, {unit: UnitContents(each.written) for unit, each in units.items()}, config, {})


def material(store: Store, config: SerializeConfig, plan: Planned) -> dict[int, str]:
    """What the samples of each unit are made of."""
    gather = MaterialWorker(store, "run", config)
    for unit in plan.units:
        gather(unit, "aa")
    return paths(store.commits(config.place.material_stage))


def samples(store: Store, config: SerializeConfig, plan: Planned) -> list[Sample]:
    """Those of all shards."""
    gathered = material(store, config, plan)
    return [
        (sample_key(member.figure["figure_id"], panel), made.jpg, made.caption, dict(made.fields))
        for shard in plan.shards.values()
        for member in read_members(store, config.place, shard, gathered)
        for panel, made in made_samples(member, config.made)
        if not isinstance(made, Exception)
    ]


def bare(path: Path, found: list[Sample]) -> None:
    with tarfile.open(path, "w") as tar:
        for key, jpg, caption, fields in found:
            document = json.dumps(fields, ensure_ascii=False).encode()
            for name, data in (("jpg", jpg), ("json", document), ("txt", caption.encode())):
                member = tarfile.TarInfo(f"{key}.{name}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def by_webdataset(path: Path, found: list[Sample]) -> None:
    with webdataset.ShardWriter(f"{path}-%06d", maxcount=10**9, maxsize=1e12, verbose=0) as writer:
        for key, jpg, caption, fields in found:
            writer.write({"__key__": key, "jpg": jpg, "json": fields, "txt": caption})


def ours(path: Path, found: list[Sample]) -> ShardWriter:
    with ShardWriter(path) as writer:
        for sample in found:
            writer.write(*sample)
    return writer


def ours_and_twin(path: Path, found: list[Sample], profile: Profile) -> None:
    writer = ours(path, found)
    with TwinWriter(path.with_suffix(".parquet"), writer.offsets, profile.schema) as twin:
        for sample in writer.by_concept():
            twin.write(parquet_row(*sample))


def seconds(work: Callable[[], Any]) -> float:
    """Processor seconds."""
    start = time.process_time()
    work()
    return time.process_time() - start


def writing(store: Store, scratch: Path, rounds: int, kind: Kind) -> tuple[list[str], list[Sample]]:
    config, plan = planned(store, kind)
    found = samples(store, config, plan)
    path = scratch / "shard.tar"

    def whole() -> None:
        gathered = material(store, config, plan)
        work = ShardWorker(store, "run", config, plan.shards, material=gathered, disk_bytes=0)
        for number, mark in plan.marks.items():
            work(number, mark)

    ways: dict[str, Callable[[], Any]] = {
        "tarfile, a bare loop": lambda: bare(path, found),
        "webdataset.ShardWriter": lambda: by_webdataset(path, found),
        "our tar, hashed": lambda: ours(path, found),
        "our tar and Parquet": lambda: ours_and_twin(path, found, config.made),
        "the whole worker": whole,
    }
    took: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, work in ways.items():
            took[way].append(seconds(work))
    first = took["tarfile, a bare loop"]
    bare(path, found)
    megabytes = path.stat().st_size / 1e6
    lines = [
        f"| {kind} | {way} | {megabytes / statistics.median(times):,.1f} | "
        f"{statistics.median(times) / len(found) * 1e3:,.2f} | "
        f"{statistics.median(b / t for b, t in zip(first, times, strict=True)):.2f} |"
        for way, times in took.items()
    ]
    return lines, found


def training(kind: Kind, found: list[Sample], rounds: int) -> str:
    jpg = sum(len(sample[1]) for sample in found) / len(found)
    document = sum(len(json.dumps(sample[3], ensure_ascii=False).encode()) for sample in found) / len(found)

    def decoded() -> None:
        generator = random.Random(0)
        for _, data, _, _ in found:
            training_pixels(decode(data), (224, 224), "bicubic", generator)

    took = statistics.median(seconds(decoded) for _ in range(rounds)) / len(found) * 1e3
    return f"| {kind} | {len(found):,} | {jpg / 1e3:,.1f} | {document / 1e3:,.1f} | {took:.2f} |"


def crops(found: list[Sample]) -> list[str]:
    """Shares of crops, four a figure, of figures of 100 pixels or more."""
    sizes = [sample[3]["image_size"] for sample in found if min(sample[3]["image_size"]) >= 100]
    lines = []
    for longest in (384, 512, 640, 768, None):
        generator, sides = random.Random(0), []
        for width, height in sizes * 4:
            factor = min(1, longest / max(width, height)) if longest else 1
            left, upper, right, lower = random_box(round(width * factor), round(height * factor), generator)
            sides.append(min(right - left, lower - upper))
        shares = " | ".join(f"{sum(side >= wanted for side in sides) / len(sides):.0%}" for wanted in (224, 336))
        lines.append(f"| {longest or 'as published'} | {shares} |")
    return [f"| longest side ({len(sizes)} figures) | 224 | 336 |", "|---|---:|---:|", *lines]


def main() -> None:
    parser = argparse.ArgumentParser(description="What shards cost to write, to store and to train on.")
    parser.add_argument("--store", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    store = Store(options.store)
    with tempfile.TemporaryDirectory() as scratch:
        written: list[str] = []
        trained: list[str] = []
        sides: list[str] = []
        kinds: tuple[Kind, ...] = ("archive", "train")
        for kind in kinds:
            lines, found = writing(store, Path(scratch), options.rounds, kind)
            written += lines
            trained.append(training(kind, found, options.rounds))
            sides = sides or crops(found)
    print(
        "\n".join(
            ["| profile | way | MB/s of CPU | CPU ms a sample | ratio |", "|---|---|---:|---:|---:|", *written, ""]
        )
    )
    print("| profile | samples | JPEG, kB | JSON, kB | decode and crop, CPU ms |\n|---|---:|---:|---:|---:|")
    print("\n".join([*trained, "", *sides]))


if __name__ == "__main__":
    main()
