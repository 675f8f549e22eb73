"""Trains, evaluates and merges a model of the hub in a process of its own: ``python -m tests.models.hub_run STORE``."""

from __future__ import annotations

import sys
from pathlib import Path

from biomedica_ray.cluster import connect
from biomedica_ray.evaluate import pipeline as evaluate
from biomedica_ray.evaluate.config import EvaluateConfig
from biomedica_ray.merge import pipeline as merge
from biomedica_ray.merge.config import MergeConfig
from biomedica_ray.runs import Run
from tests.train.training import train

if __name__ == "__main__":
    store = sys.argv[1]
    with connect("local"):
        name = "hf-hub:some/biomed"
        train(Path(store), name, pretrained=name, num_workers=1, epochs=1, warmup_steps=0, lr=1e-5)
        scoring = EvaluateConfig(store=store, name="tiny", bootstrap=0, recall_at=[1])
        with Run("evaluate", scoring) as run:
            evaluate.run(scoring, run)
        merging = MergeConfig(
            store=store,
            name="mixed",
            of=["tiny"],
            base=f"{name}@{'0' * 40}",
            alphas=[0, 1],
            bootstrap=0,
            recall_at=[1],
            metric="retrieval.image_to_text.recall@1",
        )
        with Run("merge", merging) as run:
            merge.run(merging, run)
