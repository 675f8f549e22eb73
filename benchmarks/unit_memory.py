"""What a unit takes: the memory of each stage's task on a unit of real size, beside what the task reserves.

A unit of 250 articles with 1,000 figures is made, whose images are JPEGs of 1.1 MB, the average of all of PMC,
and with texts of an article of usual length. Each task runs in a process of its own, whose greatest resident memory
is measured; half a GB are the interpreter and the libraries.

    python -m benchmarks.unit_memory
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import resource
import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from biomedica_ray import schema
from biomedica_ray.annotate.earlier_vectors import EarlierVectors
from biomedica_ray.annotate.embed import DECODE_GB, preprocess_unit
from biomedica_ray.dedupe.slim import read_slim
from biomedica_ray.dedupe.tasks import WORKER_GB
from biomedica_ray.models.encoder_info import Preprocessing
from biomedica_ray.panels.config import PanelsConfig
from biomedica_ray.panels.detectors import DetectorSpec
from biomedica_ray.panels.pipeline import PanelWorker
from biomedica_ray.select.config import SelectConfig
from biomedica_ray.select.pipeline import MatchWorker
from biomedica_ray.serialize.config import SerializeConfig
from biomedica_ray.serialize.material import MaterialWorker, paths
from biomedica_ray.serialize.pipeline import SelectionWorker, ShardWorker
from biomedica_ray.serialize.planning import UnitContents, plan_shards
from biomedica_ray.store import Store
from biomedica_ray.units import ARTICLES_PER_UNIT, Flow
from tests.synthetic import article, figure

FIGURES_AN_ARTICLE = 4
SIDE = 1300
"""Pixels of a noisy JPEG of 1.1 MB at quality 90."""
WORDS = 5000
_SETTINGS = {
    "input_size": (3, 224, 224),
    "interpolation": "bicubic",
    "crop_pct": 0.9,
    "crop_mode": "center",
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
}


def write_unit(store: Store) -> None:
    """The unit."""
    draw, text = np.random.default_rng(0), " ".join(f"word{n % 997}" for n in range(WORDS))
    store.open_or_create(1)
    with store.write_unit("extract", 0, "aa") as writer:
        tables = {name: writer.table(name, schema.TABLES[name]) for name in ("articles", "figures", "images")}
        for n in range(ARTICLES_PER_UNIT):
            sections = [{"path": ["Results"], "paragraphs": [text]}]
            tables["articles"].write([article(f"PMC{n}", sections=sections)])
            for position in range(1, FIGURES_AN_ARTICLE + 1):
                row = figure(f"PMC{n}.1", position, noise(draw), caption=text[:900])
                for name in ("figures", "images"):
                    tables[name].write([row])
        writer.table("errors", schema.ERRORS, directory="errors/extract").write([])
        n_figures = tables["images"].rows
        writer.commit({"articles": Flow(ARTICLES_PER_UNIT, ARTICLES_PER_UNIT), "figures": Flow(n_figures, n_figures)})


def noise(draw: np.random.Generator) -> bytes:
    """A JPEG."""
    grey = draw.integers(0, 256, (SIDE // 2, SIDE // 2, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(grey).resize((SIDE, SIDE)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def tasks(store: Store) -> dict[str, tuple[float, Callable[[], Any]]]:
    """Name -> GB that the task reserves, and the task."""
    select = SelectConfig(store=store.root, name="all")
    serialize = SerializeConfig(store=store.root, test_fraction=0)
    preprocessing = Preprocessing("timm", _SETTINGS)
    row = {"unit": 0, "fingerprint": "aa", "records": "[]"}
    panels = PanelWorker(store, "run", DetectorSpec("shipped"))
    return {
        "dedupe: slim columns of a unit": (WORKER_GB, partial(_slim, store)),
        "panels": (PanelsConfig(store=store.root).memory_gb, partial(panels, 0, "aa")),
        "annotate: decoding": (DECODE_GB, partial(preprocess_unit, row, store, preprocessing, EarlierVectors(""))),
        "select": (select.memory_gb, partial(MatchWorker(store, "run", select), 0, "aa")),
        "serialize: choosing": (serialize.memory_gb, partial(SelectionWorker(store, "run", serialize), 0, "aa")),
        "serialize: gathering": (serialize.memory_gb, partial(MaterialWorker(store, "run", serialize), 0, "aa")),
        "serialize: a shard of 1,000": (serialize.memory_gb, partial(_shard, store, serialize)),
    }


def _slim(store: Store) -> None:
    read_slim(store, store.commit("extract", 0), None)


def _shard(store: Store, config: SerializeConfig) -> None:
    planned = plan_shards(store, {0: UnitContents("aa")}, config, {})
    ((number, mark),) = planned.marks.items()
    material = paths(store.commits(config.place.material_stage))
    ShardWorker(store, "run", config, planned.shards, material=material, disk_bytes=0)(number, mark)


def measured(task: Callable[[], Any]) -> float:
    """GB that a process takes at most to do the task."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_peak, (task,))


def _peak(task: Callable[[], Any]) -> float:
    task()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        write_unit(store)
        print("| task | reserves, GB | takes, GB |\n|---|---:|---:|")
        for name, (reserved, task) in tasks(store).items():
            print(f"| {name} | {reserved:g} | {measured(task):.2f} |", flush=True)


if __name__ == "__main__":
    main()
