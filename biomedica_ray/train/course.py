"""What a training run amounts to in numbers, and where they make little sense."""

from __future__ import annotations

from dataclasses import dataclass

from biomedica_ray.reading.mixture import Mixture
from biomedica_ray.reading.stream import Stream
from biomedica_ray.train.config import TrainConfig
from biomedica_ray.train.schedule import learning_rate


@dataclass(frozen=True)
class Course:
    """The course of a run.

    Attributes:
        samples: Samples of the data.
        epochs: Passes over them.
        steps: Steps of the run.
        step_samples: Samples of a step, which are each other's negatives.
        lr: Learning rates at the first step, at the end of the warm-up, half-way and at the last step.
    """

    samples: int
    epochs: int
    steps: int
    step_samples: int
    lr: tuple[float, float, float, float]

    @classmethod
    def of(cls, config: TrainConfig, stream: Stream | Mixture) -> Course:
        """The course of a run through its data."""
        steps = stream.steps(config.epochs)
        at = (0, min(max(config.warmup_steps - 1, 0), steps - 1), steps // 2, steps - 1)
        rates = [learning_rate(step, steps, config.warmup_steps, config.lr, config.schedule) for step in at]
        first, peak, half, last = rates
        return cls(stream.n_samples, config.epochs, steps, stream.step_samples, (first, peak, half, last))

    def __str__(self) -> str:
        first, peak, half, last = self.lr
        return (
            f"{self.samples:,} samples x {self.epochs} passes = {self.steps:,} steps of {self.step_samples:,} samples; "
            f"lr {first:.1e} at first, {peak:.1e} after the warm-up, {half:.1e} half-way, {last:.1e} at last"
        )


def doubts(config: TrainConfig, stream: Stream | Mixture) -> list[str]:
    """What a run with these numbers would not do as its config sounds; a line each, naming the key."""
    course = Course.of(config, stream)
    found = []
    wanted = config.num_workers * config.batch_size
    if stream.step_samples < wanted:
        found.append(
            f"batch_size: {wanted:,} samples a step are more than the {stream.n_samples:,} of the data; each step is a "
            f"whole pass of {stream.step_samples:,}"
        )
    if config.warmup_steps >= course.steps:
        found.append(
            f"warmup_steps: {config.warmup_steps:,} of {course.steps:,} steps: lr reaches {max(course.lr):.1e} of "
            f"{config.lr:.1e} in the last step"
        )
    return found
