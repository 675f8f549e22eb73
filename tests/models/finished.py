"""What a finished training run leaves: its model, as train exports it, and the settings that it was started with."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from biomedica_ray.models.clip import build, export
from biomedica_ray.models.spec import resolve_model
from biomedica_ray.models.trained import TrainedModel
from biomedica_ray.store import Store


def leave_model(store: Path, name: str, config: str, *, seed: int, base: str | None = None) -> None:
    """A model of random weights; with ``base``, the folder of a model, one that is a little off from that one."""
    torch.manual_seed(seed)
    spec = resolve_model(config, base)
    model, tokenizer = build(spec)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
    trained = TrainedModel(Store(str(store)), name)
    with tempfile.TemporaryDirectory() as folder:
        export(model, tokenizer, spec, Path(folder))
        trained.put_folder(Path(folder), "model")
    trained.write_json("training.json", {"model": spec.to_json()})
    trained.write_json("latest.json", {"step": 1})
