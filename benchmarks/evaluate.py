"""Overhead of evaluation on published sets: images/s of the stage's actors against a bare loop of the same model.

A set of real images (or the embedded sample's) is laid out as one folder a class, replicated. Each round encodes it
three times, one after the other: in a bare loop of this process, which reads, decodes in one thread, encodes in
another, and writes nothing; by one actor of the stage; and by two. Rates of the stage are those of the steady state,
from the commit in which every actor has done its first unit to the last commit. CPU time is that of the process that
encodes: unlike rates it says nothing of what else the machine does.

    python -m benchmarks.evaluate --folder FOLDER --images 4096 --rounds 3
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import psutil
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2

from biomedica_ray.cluster import connect
from biomedica_ray.evaluate import features
from biomedica_ray.evaluate.config import EvaluateConfig
from biomedica_ray.evaluate.preparing import prepare
from biomedica_ray.evaluate.questions import PAPER
from biomedica_ray.evaluate.task_files import packaged
from biomedica_ray.images import ImageError, decode
from biomedica_ray.models.clip import build, export, load_folder
from biomedica_ray.models.names import ModelName
from biomedica_ray.models.spec import resolve_model
from biomedica_ray.runs import Run
from biomedica_ray.sample import PACKAGES
from biomedica_ray.store.root import Root

TASK = """\
title: Replicated images
domain: benchmark
kind: multiclass
set: {title: Replicated images, get: here, folders: [images], layouts: [{kind: folders, path: .}]}
classes: [{name: a}, {name: b}]
templates: ["an image of {}"]
"""


@dataclass(frozen=True)
class Rate:
    """How fast images were encoded: a second of the clock, and CPU milliseconds of the encoding process an image."""

    a_second: float
    cpu_ms: float


def lay_out(folder: Path, images: list[bytes], n: int) -> None:
    """A set of ``n`` images, each in one of two classes."""
    for number in range(n):
        path = folder / "images" / "ab"[number % 2] / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(images[number % len(images)])
    (folder / "bench.yaml").write_text(TASK)


def bare(model_folder: Path, folder: Path, batch_size: int) -> Rate:
    """The plain loop; loading the model does not count."""
    model, _ = load_folder(model_folder)
    model.eval()
    transform = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)
    paths = iter(sorted((folder / "images").rglob("*.jpg")))
    n, started, cpu = 0, time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(1) as pool, torch.inference_mode():
        ahead = None
        while True:
            window = list(islice(paths, batch_size))
            following = [pool.submit(lambda path: transform(decode(path.read_bytes())), path) for path in window]
            if ahead:
                pixels = torch.stack([future.result() for future in ahead])
                model.encode_image(pixels, normalize=True).numpy()
                n += len(ahead)
            if not window:
                break
            ahead = following
    return Rate(n / (time.perf_counter() - started), 1000 * (time.process_time() - cpu) / n)


@contextmanager
def watched(commits: Path) -> Iterator[dict[int, tuple[float, float]]]:
    """Number of commits -> the time and the CPU seconds of all actors when there first were as many."""
    seen: dict[int, tuple[float, float]] = {}
    used: dict[int, float] = {}
    over = threading.Event()

    def look() -> None:
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if "EncodeActor" in " ".join(process.cmdline()):
                    times = process.cpu_times()
                    used[process.pid] = times.user + times.system
        n = len(list(commits.glob("*.json")))
        seen.setdefault(n, (time.perf_counter(), sum(used.values())))

    def work() -> None:
        while not over.wait(0.05):
            look()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def on_ray(model_folder: Path, folder: Path, batch_size: int, actors: int) -> Rate:
    """The stage's own actors, of images alone."""
    with tempfile.TemporaryDirectory() as store:
        config = EvaluateConfig(
            store=store,
            data=str(folder),
            tasks=[str(folder / "bench.yaml")],
            models=[str(model_folder)],
            batch_size=batch_size,
            max_actors=actors,
            memory_gb=1.5,
        )
        with Run("evaluate", config) as run:
            model = ModelName(str(model_folder), run.store)
            tasks = packaged()
            prepared = prepare(Root(str(folder)), tasks, tasks.chosen(None, config.tasks), PAPER)
            images = prepared.ready["bench"].images
            with watched(Path(store) / "commits" / features.stage_of(model)) as seen:
                features.encode(config, run, model, model.mark(), [images])
    (began, used_before), (ended, used) = seen[min(n for n in seen if n >= actors)], seen[max(seen)]
    n = images.n - features.ROWS * min(n for n in seen if n >= actors)
    return Rate(n / (ended - began), 1000 * (used - used_before) / n)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=PACKAGES, help="images to encode, at any depth")
    parser.add_argument(
        "--images", type=int, default=4096, help=f"a multiple of {2 * features.ROWS}, from {4 * features.ROWS} on"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--model", default="clip-lite0", help="its weights are random")
    options = parser.parse_args()
    logging.disable(logging.INFO)
    found = []
    for path in sorted(options.folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            with suppress(ImageError):
                decode(data)
                found.append(data)
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as name, connect("local"):
        folder, model_folder = Path(name), Path(name) / "model"
        lay_out(folder, found, options.images)
        spec = resolve_model(options.model, None)
        model_folder.mkdir()
        export(*build(spec), spec, model_folder)
        for number in range(options.rounds):
            loop = bare(model_folder, folder, options.batch_size)
            one, two = (on_ray(model_folder, folder, options.batch_size, actors) for actors in (1, 2))
            rows.append(
                (
                    loop.a_second,
                    one.a_second / loop.a_second,
                    two.a_second / one.a_second,
                    loop.cpu_ms,
                    loop.cpu_ms / one.cpu_ms,
                    one.cpu_ms / two.cpu_ms,
                )
            )
            print(number, " ".join(f"{value:.3f}" for value in rows[-1]), f"load {os.getloadavg()[0]:.1f}", flush=True)
    print(f"\n{options.images} images, replicated from {len(found)}, {options.model}, batch {options.batch_size}\n")
    print("| loop /s | actor / loop | 2 actors / 1 | loop CPU ms | loop / actor, CPU | 1 actor / 2, CPU |")
    print("|---:|---:|---:|---:|---:|---:|")
    print("| " + " | ".join(f"{statistics.median(column):.2f}" for column in zip(*rows, strict=True)) + " |")


if __name__ == "__main__":
    main()
