"""What the driver sees of a training run: progress, failures, and whether it gets anywhere at all."""

from __future__ import annotations

import logging
import threading
from typing import Any

from biomedica_ray.cluster import StageFailedError
from biomedica_ray.config import ConfigError
from biomedica_ray.progress import Progress
from biomedica_ray.train.eval_tasks import SCORES
from biomedica_ray.train.trackers import Trackers

log = logging.getLogger(__name__)

RESTARTS = 10
"""How often, beyond ``max_failures``, workers may start from the same step before the run ends. Drained nodes, signals
and a cluster that grows are no failures, and could otherwise start them for ever."""


_ADVICE = (
    "; it did not finish one step, and would not the next time: for lack of memory, raise accumulate, set "
    "grad_checkpointing, or lower batch_size (`--dry_run true` says what is needed)"
)


class Watch:
    """Shows what workers post; steps that are done again after a failure count once.

    Args:
        progress: Gets the steps.
        trackers: Get the metrics.
        step: Steps that were done before.
        steps: Steps of the whole run.
        log_steps: Steps between lines in the log.
        restarts: How often workers may start again from the same step.

    Attributes:
        failure: What ends the run, as no restart would mend it.
        over: Set when there is nothing to wait for.
        repeated: How many steps were done again.
        training: Whether workers are at work now, and will hear that they are to stop.
    """

    def __init__(
        self, progress: Progress, trackers: Trackers, *, step: int, steps: int, log_steps: int, restarts: int = RESTARTS
    ) -> None:
        self._progress, self._trackers = progress, trackers
        self._step, self._steps, self._log_steps = step, steps, log_steps
        self._limit, self._started_from, self._starts = restarts, step, 0
        self._workers: int | None = None
        self._moved = False  # whether workers have done a step since they started
        self._reason = "no worker failed"
        self.failure: Exception | None = None
        self.over = threading.Event()
        self.repeated = 0
        self.training = False

    def __call__(self, item: dict[str, Any]) -> None:
        """Take a message."""
        if "failure" in item:
            self.failure = item["failure"]
        elif "started" in item:
            self._start(item["started"])
        elif item.get("lasting") and not self._moved:
            self.failure = ConfigError(f"{item['failed']}{_ADVICE}")
            self.over.set()
        elif "failed" in item:
            self.training, self._reason = False, item["failed"]
            log.warning("train: %s; going on from the last checkpoint", item["failed"])
        elif "unreadable" in item:
            log.warning("train: %s", item["unreadable"])
            self._progress.update(0, errors=1)
        else:
            self._moved = True
            if item["step"] > self._step:
                self._done(item)
            else:
                self.repeated += 1

    def _start(self, step: int) -> None:
        self.training, self._moved = True, False
        self._starts = self._starts + 1 if step == self._started_from else 1
        self._started_from = step
        if self._starts > 1 + self._limit:
            self.failure = StageFailedError(
                f"workers started {self._starts} times from step {step} of {self._steps} and reached no further "
                f"checkpoint ({self._reason}); lower checkpoint_steps, or see to the cluster, and run the same command"
            )
            self.over.set()

    def _done(self, item: dict[str, Any]) -> None:
        self._step = item["step"]
        if self._workers not in (None, item["workers"]):
            log.info("train: number of workers: %d, was %d", item["workers"], self._workers)
        self._workers = item["workers"]
        note = f"loss {item['loss']:.3f}, lr {item['lr']:.1e}"
        self._progress.update(rows=samples_of(item), note=note)
        self._trackers.log(item)
        if self._step % self._log_steps == 0 or _scores(item):
            rate = f"{item['samples_per_s']:,.1f} samples/s"
            log.info("train: step %d of %d: %s, %s, %s", self._step, self._steps, note, rate, _details(item))


def samples_of(record: dict[str, Any]) -> int:
    """Samples of a step that count in the run's sum: each one once a pass, and none that fill up the last step.

    Records of older versions have only the size of the step.
    """
    return int(record.get("distinct", record["samples"]))


def _details(record: dict[str, Any]) -> str:
    parts = [
        f"waited {record['wait']:.1%}",
        f"gradient {record['grad_norm']:.3g}" if record["grad_norm"] is not None else "gradient too great for fp16",
        f"scale {record['logit_scale']:.1f}",
    ]
    if used := [value for value in record["gpu_utilisation"] if value is not None]:
        parts.append(f"GPUs {min(used):.0f}-{max(used):.0f} %")
    parts += [f"{key} {value:.1%}" for key, value in _scores(record).items()]
    return ", ".join(parts)


def _scores(record: dict[str, Any]) -> dict[str, float]:
    """The scores in a record; most steps have none."""
    return {key: value for key, value in record.items() if key.startswith(SCORES)}
