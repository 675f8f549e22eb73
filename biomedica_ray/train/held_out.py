"""How well a model in training finds held-out captions by their images, and images by their captions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from biomedica_ray.evaluate.encode import Model, encode
from biomedica_ray.evaluate.retrieval import recall
from biomedica_ray.evaluate.validation import Validation

CUTOFFS = (1, 5, 10)

Gather = Callable[[Any], list[Any]]


def retrieval(
    model: Model, held_out: Validation, gather: Gather, *, rank: int, workers: int, batch_size: int, threads: int
) -> Mapping[str, float]:
    """Recall@k in both directions, by the names that ``evaluate`` has for them, for each k below the samples.

    Each worker encodes its part of the samples, and all get the result. Samples that cannot be read do not count;
    with fewer than 2 that can, there is no result.

    Args:
        model: The model as it is now, in evaluation mode.
        held_out: The samples.
        gather: Gives the values of all workers, by rank; called by all of them.
        rank: Which worker this is.
        workers: How many there are.
        batch_size: Samples a forward pass.
        threads: That decode.
    """
    mine = encode(model, held_out.samples(rank, workers), batch_size, threads, lambda _: None)
    parts = [part for part in gather((mine.images, mine.texts)) if len(part[0])]
    if sum(len(images) for images, _ in parts) < 2:
        return {}
    images, texts = (np.concatenate(vectors) for vectors in zip(*parts, strict=True))
    no_interval = np.zeros(0, np.int64)
    directions = {"image_to_text": (images, texts), "text_to_image": (texts, images)}
    return {
        f"retrieval.{direction}.recall@{k}": estimate.value
        for direction, (queries, candidates) in directions.items()
        for k, estimate in recall(queries, candidates, CUTOFFS, articles=no_interval, resamples=0, seed=0).items()
    }
