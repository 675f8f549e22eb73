"""The evaluate stage as tests run it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from biomedica_ray.evaluate import pipeline
from biomedica_ray.evaluate.config import EvaluateConfig
from biomedica_ray.runs import Run


def score(store: Path, **changes: Any) -> Run:
    config = EvaluateConfig(store=str(store), **{"name": "tiny", "bootstrap": 50, "recall_at": [1, 3], **changes})
    with Run("evaluate", config) as run:
        pipeline.run(config, run)
    return run
