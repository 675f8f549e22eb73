"""What an update costs: after some of the articles have changed, how much of a store is written anew.

A store of small articles, as many to a unit as in one of all of PMC, is made by extract, panels, dedupe, annotate (with
a small encoder whose weights are random) and serialize. Then articles change, a fifth of them being new ones and the
others having another caption, and the stages run again. A unit or shard counts as written when its commit names other
files than before; what a stage does without writing (looking at the listing, comparing everything with everything)
shows in its seconds.

    python -m benchmarks.updates --units 40
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import timm
from safetensors.torch import save_file

from biomedica_ray.annotate.config import AnnotateConfig
from biomedica_ray.annotate.pipeline import run as annotate
from biomedica_ray.annotate.vectors import embed_stage
from biomedica_ray.cluster import connect
from biomedica_ray.dedupe.config import DedupeConfig
from biomedica_ray.dedupe.pipeline import run as dedupe
from biomedica_ray.panels.config import PanelsConfig
from biomedica_ray.panels.pipeline import run as find_panels
from biomedica_ray.runs import Run
from biomedica_ray.serialize.config import SerializeConfig
from biomedica_ray.serialize.pipeline import run as serialize
from biomedica_ray.store import Store
from biomedica_ray.units import ARTICLES_PER_UNIT
from tests.extract.extracting import extract_here, write_folder

SHARES = (0.0003, 0.002, 0.01)
NEW = 0.2
"""Of the articles that change in an update, those that are new."""
SAMPLES_PER_SHARD = 500
ENCODER = "timm/test_vit"


def stages(
    store: Store, packages: Path, units: int, weights: Path, embedded_before: list[int]
) -> dict[str, Callable[[], object]]:
    """What each stage does, by the name under which it commits.

    Args:
        store: The store.
        packages: Its articles.
        units: Units of a new store.
        weights: Of the encoder.
        embedded_before: Gets the number of vectors that each run of annotate takes over.
    """

    def deduped() -> None:
        config = DedupeConfig(store=store.root, memory_gb=2)
        with Run("dedupe", config) as run:
            dedupe(config, run)

    def panelled() -> None:
        config = PanelsConfig(store=store.root)
        with Run("panels", config) as run:
            find_panels(config, run)

    def annotated() -> None:
        keys = {"pca_dims": 8, "clusters": 16, "fit_sample": 2000, "stability_seeds": 0, "memory_gb": 2}
        config = AnnotateConfig(store=store.root, model=ENCODER, weights=str(weights), image_size=64, **keys)
        with Run("annotate", config) as run:
            annotate(config, run)
            embedded_before.append(run.results.get("embedded_before", 0))

    def serialized() -> None:
        config = SerializeConfig(store=store.root, samples_per_shard=SAMPLES_PER_SHARD)
        with Run("serialize", config) as run:
            serialize(config, run)

    return {
        "extract": lambda: extract_here(store, source="packages", packages=str(packages), units=units),
        "panels": panelled,
        "dedupe": deduped,
        embed_stage(ENCODER): annotated,
        "serialize/shards": serialized,
    }


def change(packages: Path, names: list[str], draw: np.random.Generator, number: int, share: float) -> None:
    """Change articles at random, and add others."""
    n = max(1, round(share * len(names)))
    added = round(NEW * n)
    for name in draw.choice(names, n - added, replace=False).tolist():
        xml = packages / name / f"{name}.nxml"
        xml.write_bytes(xml.read_bytes().replace(b"Cells of kind 1.", b"Cells of kind 1, as corrected %d." % number))
    for each in range(added):
        write_folder(packages, f"PMC9{number}{each:06d}")


def main() -> None:
    """Build, update, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, default=40, help="units of the store")
    arguments = parser.parse_args()
    draw = np.random.default_rng(0)
    lines = [
        "| changed | stage | written | of | share | seconds | of the first run's |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    with tempfile.TemporaryDirectory() as folder, connect("local"):
        packages, store = Path(folder, "packages"), Store(f"{folder}/store")
        names = [f"PMC{n}" for n in range(arguments.units * ARTICLES_PER_UNIT)]
        for name in names:
            write_folder(packages, name)
        weights, embedded_before = Path(folder, "weights.safetensors"), list[int]()
        save_file(timm.create_model(ENCODER.removeprefix("timm/")).state_dict(), weights)
        todo = stages(store, packages, arguments.units, weights, embedded_before)
        first: dict[str, float] = {}
        for number, share in enumerate((0, *SHARES)):
            if share:
                change(packages, names, draw, number, share)
            files = {stage: {c.unit: c.files for c in store.commits(stage).values()} for stage in todo}
            for stage, work in todo.items():
                before = files[stage]
                started = time.monotonic()
                work()
                seconds = time.monotonic() - started
                after = store.commits(stage)
                written = sum(before.get(unit) != commit.files for unit, commit in after.items())
                first.setdefault(stage, seconds)
                lines.append(
                    f"| {share:.2%} | {stage} | {written:,} | {len(after):,} | {written / len(after):.1%} | "
                    f"{seconds:.1f} | {seconds / first[stage]:.2f} |"
                )
            made = sum(
                after.counts["figures"].rows_out
                for after in store.commits(embed_stage(ENCODER)).values()
                if files[embed_stage(ENCODER)].get(after.unit) != after.files
            )
            lines.append(
                f"| {share:.2%} | vectors of these units taken over | {embedded_before[-1]:,} | {made:,} | "
                f"{embedded_before[-1] / max(1, made):.1%} | | |"
            )
            document = store.read_json("dataset/dataset.json")
            lines.append(
                f"| {share:.2%} | outdated samples | {document['outdated']:,} | {document['samples']:,} | "
                f"{document['outdated'] / document['samples']:.1%} | | |"
            )
    print("\n".join(lines))


if __name__ == "__main__":
    main()
