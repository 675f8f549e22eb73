from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from biomedica_ray.cluster import StageFailedError
from biomedica_ray.config import ConfigError
from biomedica_ray.progress import Progress
from biomedica_ray.store import Store
from biomedica_ray.train.checkpoints import Checkpoints
from biomedica_ray.train.trackers import TensorBoard, Trackers
from biomedica_ray.train.watch import Watch


def step(number: int) -> dict[str, Any]:
    shown = {"loss": 0.5, "lr": 1e-3, "samples": 32, "distinct": 30, "samples_per_s": 8.0, "workers": 2}
    return {"step": number, **shown, "wait": 0.25, "grad_norm": 1.5, "logit_scale": 20.0, "gpu_utilisation": [None]}


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    trackers = Trackers([TensorBoard(Checkpoints(Store(str(tmp_path)), "clip"))], [])
    return Watch(Progress("train", "steps", 9), trackers, step=4, steps=9, log_steps=1, restarts=2)


def test_starts_that_gain_no_checkpoint_end_the_run_in_one_line(watch: Watch) -> None:
    for n in (4, 4, 4, 7, 7, 7):
        watch({"started": n})
        watch(step(n + 1))
    assert not watch.over.is_set()
    watch({"failed": "worker 1 failed: out of memory"})
    watch({"started": 7})
    assert watch.over.is_set()
    assert isinstance(watch.failure, StageFailedError)
    assert str(watch.failure).startswith(
        "workers started 4 times from step 7 of 9 and reached no further checkpoint (worker 1 failed: out of memory); "
    )
    assert "\n" not in str(watch.failure)


def test_steps_that_are_done_again_count_once(watch: Watch) -> None:
    for n in (5, 6, 5, 6, 7):
        watch(step(n))
    assert watch.repeated == 2
    assert watch._progress.line().startswith("train: 3/9 steps, 90 rows, ")


def test_training_goes_on_from_a_start_to_a_failure(watch: Watch) -> None:
    assert not watch.training
    watch({"started": 4})
    assert watch.training
    watch({"failed": "worker 0 failed: killed"})
    assert not watch.training


def test_a_line_of_the_log_has_one_rate(watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "biomedica_ray.train.watch"):
        watch(step(5))
    assert caplog.messages == [
        "train: step 5 of 9: loss 0.500, lr 1.0e-03, 8.0 samples/s, waited 25.0%, gradient 1.5, scale 20.0"
    ]
    assert watch._progress.line().count("/s") == 0


def test_what_comes_again_before_the_first_step_ends_the_run(watch: Watch) -> None:
    watch({"started": 4})
    watch(step(5))
    watch({"failed": "worker 0 failed: torch.OutOfMemoryError: CUDA out of memory", "lasting": True})
    assert not watch.over.is_set()
    watch({"started": 4})
    watch({"failed": "worker 0 failed: torch.OutOfMemoryError: CUDA out of memory", "lasting": True})
    assert watch.over.is_set()
    assert isinstance(watch.failure, ConfigError)
    assert "raise accumulate" in str(watch.failure)
