"""Who reads, decodes and augments: threads of the training worker, a Ray actor for its lane, or a Ray Data pipeline.

Real images (or the sample's) are written into shards as serialize writes them. Each round takes batches from each way,
one after the other: alone, and beside a model that trains on them in this process. Each way has one CPU to decode with
and the same shuffle buffer; only the first two have an order that can be taken up. Processor time is that of this
process and all of Ray's together, so that it can be compared on a machine that does other things as well. Counting
begins with the second batch, as start-up is not what is compared.

    python -m benchmarks.train_reader --folder FOLDER --batches 12 --rounds 3
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import logging
import random
import statistics
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import ray.data
import torch
from ray.data import ExecutionResources

from biomedica_ray.ahead import prefetch
from biomedica_ray.cluster import connect
from biomedica_ray.images import ImageError, decode, read_image
from biomedica_ray.models.clip import build
from biomedica_ray.models.spec import resolve_model
from biomedica_ray.reading.actors import batches_of_actors
from biomedica_ray.reading.augment import training_pixels
from biomedica_ray.reading.order import LanePosition, Rows
from biomedica_ray.reading.shards import read_shards
from biomedica_ray.reading.stream import Preparation, Stream
from biomedica_ray.sample import PACKAGES
from biomedica_ray.serialize.jpeg import as_jpeg
from biomedica_ray.serialize.profiles import Profile
from biomedica_ray.store import Store
from biomedica_ray.train.step import backward, contrastive_loss

SMALL = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 224, "layers": 4, "width": 256, "head_width": 64, "patch_size": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 128, "heads": 2, "layers": 2},
}
"""A model whose step takes about as long as decoding its batch, so that either may have to wait for the other."""


def jpegs(folder: Path) -> list[bytes]:
    """The images of a folder as serialize would write them."""
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        try:
            found.append(as_jpeg({**asdict(read_image(data)), "image": data}, Profile(quality=90)).jpg)
        except ImageError:
            continue
    return found


def write_shards(root: Path, images: list[bytes], samples: int, per_shard: int) -> Store:
    """A dataset of ``samples`` samples, the images over and over."""
    entries = []
    for first in range(0, samples, per_shard):
        path = root / f"webdataset/commercial/train/{first // per_shard:06d}.tar"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = range(first, min(samples, first + per_shard))
        with tarfile.open(path, "w") as tar:
            for number in rows:
                caption = f"Figure {number} of an article that reports what was seen under the microscope.".encode()
                for suffix, data in (("jpg", images[number % len(images)]), ("txt", caption), ("json", b"{}")):
                    info = tarfile.TarInfo(f"PMC{number}-1_001.{suffix}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
        entry = {"path": str(path.relative_to(root)), "license_group": "commercial", "split": "train"}
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        entries.append({**entry, "samples": len(rows), "sha256": digest})
    (root / "dataset.json").write_text(json.dumps({"shards": entries}))
    return Store(str(root))


def of_ray_data(stream: Stream, how: Preparation) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The same samples by Ray Data alone, in an order of its own, pass after pass."""

    def prepare(rows: dict[str, Any]) -> dict[str, Any]:
        generator = random.Random()
        pixels = [
            training_pixels(decode(bytes(image)), how.size, how.interpolation, generator) for image in rows["jpg"]
        ]
        texts = [text if isinstance(text, str) else bytes(text).decode() for text in rows["txt"]]
        return {"images": np.stack(pixels), "tokens": how.tokenize(texts).numpy()}

    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    # Else all of the few samples here would be ready before counting begins.
    batch_bytes = stream.piece * 3 * how.size[0] * how.size[1]
    context.execution_options.resource_limits = ExecutionResources.for_limits(object_store_memory=4 * batch_bytes)
    paths = [stream.data.path(shard.path) for shard in stream.shards]
    while True:
        rows = ray.data.read_webdataset(paths, decoder=None, suffixes=["jpg", "txt"])
        dataset = rows.map_batches(prepare, batch_size=stream.piece, num_cpus=1, compute=ray.data.TaskPoolStrategy(1))
        shuffle = {"local_shuffle_buffer_size": stream.buffer, "local_shuffle_seed": 0}
        for batch in dataset.iter_batches(batch_size=stream.piece, drop_last=True, **shuffle):
            yield torch.from_numpy(np.array(batch["images"])), torch.from_numpy(np.array(batch["tokens"]))


def tensors(batches: Iterator[Any]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for batch in batches:
        yield batch.images, batch.tokens


def processor_seconds() -> dict[int, float]:
    """Of this process and its children, Ray's included, by process: those that end take their seconds with them."""
    this = psutil.Process()
    found = {}
    for process in (this, *this.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        found[process.pid] = times.user + times.system
    return found


def measure(source: Iterator[Any], batches: int, model: Any) -> tuple[float, float, float]:
    """Samples a second, processor milliseconds a sample, and the share of time spent waiting for a batch."""
    waited, samples = 0.0, 0
    loss = contrastive_loss(0, 1)
    with closing(prefetch(islice(source, batches + 1))) as ready:
        next(ready)
        began, cpu = time.perf_counter(), processor_seconds()
        asked = began
        for images, tokens in ready:
            waited += time.perf_counter() - asked
            samples += len(images)
            if model is not None:
                backward(model, loss, images.float() / 255, tokens)
                model.zero_grad(set_to_none=True)
            asked = time.perf_counter()
        seconds = time.perf_counter() - began
        spent = sum(after - cpu.get(process, 0) for process, after in processor_seconds().items())
        return samples / seconds, 1000 * spent / samples, waited / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=PACKAGES, help="images, at any depth")
    parser.add_argument("--samples", type=int, default=1200)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--batches", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--buffer", type=int, default=64)
    options = parser.parse_args()
    logging.disable(logging.INFO)
    torch.set_num_threads(1)
    images = jpegs(options.folder)
    with tempfile.TemporaryDirectory() as folder, connect("local"):
        data = write_shards(Path(folder), images, options.samples, 100)
        config = Path(folder) / "small.json"
        config.write_text(json.dumps(SMALL))
        model, tokenizer = build(resolve_model(str(config), None))
        model.output_dict = True
        how = Preparation((224, 224), "bicubic", tokenizer)
        stream = Stream(data, read_shards(data, None, "train"), 1, options.batch_size, 0, options.buffer)
        rows, start = [Rows(0, 0, stream.piece)], {0: LanePosition()}
        ways = {
            "threads of the worker": lambda: tensors(stream.batches(rows, start, how, 1)),
            "Ray actor": lambda: tensors(batches_of_actors(stream, rows, start, how, 1)),
            "Ray Data": lambda: of_ray_data(stream, how),
        }
        found: dict[tuple[str, bool], list[tuple[float, float, float]]] = {}
        for number in range(options.rounds):
            for trains in (False, True):
                for way, make in ways.items():
                    with closing(make()) as source:
                        row = measure(source, options.batches, model if trains else None)
                    found.setdefault((way, trains), []).append(row)
                    print(number, way, trains, " ".join(f"{value:.2f}" for value in row), flush=True)
    print(f"\n{len(images)} images, {sum(map(len, images)) / len(images) / 1e3:.0f} kB on average\n")
    print("| reader | alone /s | CPU ms | beside a model /s | CPU ms, model included | waiting |")
    print("|---|---:|---:|---:|---:|---:|")
    for way in ways:
        alone, beside = (
            [statistics.median(column) for column in zip(*found[way, trains], strict=True)] for trains in (False, True)
        )
        print(f"| {way} | {alone[0]:.1f} | {alone[1]:.1f} | {beside[0]:.1f} | {beside[1]:.1f} | {beside[2]:.2f} |")


if __name__ == "__main__":
    main()
