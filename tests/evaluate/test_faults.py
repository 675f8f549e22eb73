"""The evaluate stage on published sets, on Ray, where processes are killed and images are bad."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from biomedica_ray.evaluate import pipeline
from biomedica_ray.evaluate.config import EvaluateConfig
from biomedica_ray.evaluate.features import ROWS
from biomedica_ray.evaluate.preparing import prepare
from biomedica_ray.evaluate.questions import PAPER
from biomedica_ray.evaluate.scores import score
from biomedica_ray.evaluate.set_vectors import encode_images, encode_texts
from biomedica_ray.evaluate.task_files import packaged
from biomedica_ray.models.names import ModelName
from biomedica_ray.models.scorable import load
from biomedica_ray.runs import Run
from biomedica_ray.store import Store
from biomedica_ray.store.root import Root
from tests.fakes.head import kill_driver
from tests.models.finished import leave_model

pytestmark = pytest.mark.cluster

N = 5 * ROWS - 100
STAGE = "features/tiny"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of several units, of which some images are equal."""
    root = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (N, 28, 28), np.uint8)
    images[-3:] = images[0]
    (root / "breastmnist").mkdir()
    np.savez(root / "breastmnist/breastmnist_224.npz", test_images=images, test_labels=np.arange(N)[:, None] % 2)
    return root


def settings(store: Path, data: Path) -> dict[str, Any]:
    keys = {"tasks": "breastmnist", "models": "tiny", "bootstrap": 20, "max_actors": 1, "memory_gb": 0.5}
    return {"store": str(store), "data": str(data), **keys}


def evaluate(store: Path, data: Path) -> dict[str, Any]:
    with Run("evaluate", EvaluateConfig(**settings(store, data))) as run:
        pipeline.run(EvaluateConfig(**settings(store, data)), run)
    assert run.counts["images"].rows_out == N
    found: dict[str, Any] = json.loads((store / "evaluations/tasks/results.json").read_text())["tasks"]["breastmnist"]
    return found


def undisturbed(store: Path, data: Path) -> dict[str, float]:
    """Scores of the model in this process, without Ray and without units."""
    tasks = packaged()
    ready = prepare(Root(str(data)), tasks, tasks.chosen(None, ["breastmnist"]), PAPER).ready["breastmnist"]
    model = load(ModelName("tiny", Store(str(store))), "cpu")
    images = encode_images(model, ready.images, range(N), 64, 1).vectors
    return score(ready.questions, images, encode_texts(model, ready.texts.texts, 64), 0, 0).scores


def units(store: Path) -> set[str]:
    """Of vectors that have been committed."""
    return {path.name for path in (store / "commits" / STAGE).glob("*.json")}


@contextmanager
def killed_after_a_commit(store: Path) -> Iterator[list[int]]:
    """Kills the actor that encodes once a unit is committed; the list has its process id then."""
    killed: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            if not units(store):
                continue
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    if "EncodeActor" in " ".join(process.cmdline()):
                        process.kill()
                        killed.append(process.pid)
                        return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield killed
    finally:
        over.set()
        watcher.join()


def test_no_score_changes_where_an_actor_or_the_driver_is_killed(
    tmp_path: Path, tiny_model: str, data: Path, ray_cluster: None
) -> None:
    patched, resumed = tmp_path / "patched", tmp_path / "resumed"
    for store in (patched, resumed):
        leave_model(store, "tiny", tiny_model, seed=0)
    with killed_after_a_commit(patched) as killed:
        found = evaluate(patched, data)
    assert len(killed) == 1
    assert (found["images"], found["duplicate_images"]) == (N, 3)
    assert found["models"]["tiny"]["scores"] == pytest.approx(undisturbed(patched, data))

    arguments = [part for key, value in settings(resumed, data).items() for part in (f"--{key}", str(value))]
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    command = [sys.executable, "-m", "biomedica_ray.cli", "evaluate", *arguments]
    driver = subprocess.Popen(command, env=environment, start_new_session=True)
    deadline = time.monotonic() + 120
    while not units(resumed) and time.monotonic() < deadline and driver.poll() is None:
        time.sleep(0.01)
    kill_driver(driver)
    done = units(resumed)
    assert 0 < len(done) < len(units(patched))
    assert not (resumed / "evaluations").exists()
    before = {unit: commit.run_id for unit, commit in Store(str(resumed)).commits(STAGE).items()}
    assert evaluate(resumed, data) == found
    after = Store(str(resumed)).commits(STAGE)
    assert {unit: after[unit].run_id for unit in before} == before
    assert len(after) == len(units(patched))
