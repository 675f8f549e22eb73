"""How long work on images would take and what it would cost: what dry runs of models that do not learn have to tell."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from biomedica_ray.config.needs import GIB
from biomedica_ray.runs import read_runs
from biomedica_ray.store import Store

log = logging.getLogger(__name__)

TRIES = 100
"""Images that are tried until one can be read."""
_CUDA_BYTES = 2**30
"""CUDA itself and cuBLAS, about, which no tensor accounts for."""


@dataclass(frozen=True)
class Tried:
    """What came of one image.

    Attributes:
        what: Which image.
        size: Height and width of the model's input in pixels.
        parameters: Numbers of the model.
        image: Bytes that one more image takes in it, or one more text where that is more.
        constant: Bytes whatever the batch.
    """

    what: str
    size: tuple[int, int]
    parameters: int
    image: float
    constant: float


def as_it_grows(two: Sequence[float], four: Sequence[float]) -> tuple[float, float]:
    """What one input more takes, and what is taken whatever their number; of several works the most of each.

    Args:
        two: Of each work the most bytes that it takes at a time for two inputs.
        four: The same for four.
    """
    each = [(more - less) / 2 for less, more in zip(two, four, strict=True)]
    return max(each), max(0.0, *(less - 2 * one for less, one in zip(two, each, strict=True)))


class _Asked(Protocol):
    images_per_s: float | None
    dollars_per_hour: float | None


def measured_rate(store: Store, stage: str, entity: str, model: tuple[str, Any]) -> float | None:
    """Rows a second of the last run in a store that did work with the same model; None where there is none.

    Args:
        store: The store.
        stage: The stage.
        entity: What its rows are.
        model: The config's key of the model, and its value.
    """
    for run in reversed(read_runs(store)):
        if run["stage"] == stage and run["status"] == "done" and run["config"].get(model[0]) == model[1]:
            rows = [run[when].get(entity, {}).get("rows_in", 0) for when in ("counts", "before")]
            if rows[0] > rows[1]:
                return float((rows[0] - rows[1]) / max(run["seconds"], 1e-3))
    return None


def forecast(config: _Asked, stage: str, images: int, workers: int, measured: float | None) -> dict[str, Any]:
    """Hours and dollars of so many images, for a run's record; logs a line.

    Args:
        config: The run's.
        stage: The stage.
        images: How many there are to do.
        workers: Those that would work at a time.
        measured: Images a second of all of them, as an earlier run had; counts where the config names no rate.
    """
    rate = config.images_per_s * workers if config.images_per_s else measured
    if not images or rate is None:
        hours = None if images else 0.0
        log.info("%s: how long it takes %s", stage, "is unknown; images_per_s of one worker says" if images else "0 s")
    else:
        hours = images / rate / 3600
    dollars = None if hours is None or config.dollars_per_hour is None else hours * workers * config.dollars_per_hour
    if hours:
        source = "images_per_s" if config.images_per_s else "the last run in this store"
        money = "" if dollars is None else f", {dollars:,.2f} dollars"
        log.info("%s: %.2f hours with %d workers, %.1f images/s by %s%s", stage, hours, workers, rate, source, money)
    return {"images": images, "workers": workers, "images_per_s": rate, "hours": hours, "dollars": dollars}


def batch_memory(tried: Tried, batch_size: int, value_bytes: int, *, on_gpu: bool) -> dict[str, float]:
    """Bytes that a worker needs for a batch, by what they are for; a pixel's value takes ``value_bytes`` of them."""
    height, width = tried.size
    parts: dict[str, float] = {
        "weights": 4 * tried.parameters,
        "activations": batch_size * tried.image + tried.constant,
        "pixels": value_bytes * batch_size * 3 * height * width,
    }
    return parts | ({"CUDA": _CUDA_BYTES} if on_gpu else {})


def told_memory(stage: str, parts: Mapping[str, float]) -> dict[str, float]:
    """Memory of a worker, bytes by what they are for, as GiB for a run's record; logs a line."""
    each = ", ".join(f"{name} {size / GIB:.2f}" for name, size in parts.items())
    log.info("%s: memory of the model in a worker: %.2f GiB (%s)", stage, sum(parts.values()) / GIB, each)
    return {name: round(size / GIB, 3) for name, size in parts.items()}
