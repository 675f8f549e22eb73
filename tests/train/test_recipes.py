"""The recipes that come with the project."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from biomedica_ray.models.spec import resolve_model
from biomedica_ray.models.variants import for_training
from biomedica_ray.stages import load
from biomedica_ray.train.config import TrainConfig

JOBS = Path(__file__).parents[2] / "jobs"
BATCHES = {
    "biomedica": 8192,
    "biomedica-concept-filtered": 8192,
    "biomedica-concept-balanced": 8192,
    "bmc-clip-1.1-8192": 8192,
    "bmc-clip-1.1-32768": 32768,
    "one-gpu": 8192,
    "bmc-longclip": 4096,
    "open-pmc": 1024,
    "open-pmc-18m": 1024,
    "medpmc": 8192,
    "cpu-sample": 32,
}


@pytest.mark.parametrize("name", BATCHES)
def test_a_recipe_is_a_config_whose_model_and_weights_are_known(name: str) -> None:
    config = load("train", ["--config", str(JOBS / "recipes" / f"{name}.yaml"), "--store", "s"])
    assert isinstance(config, TrainConfig)
    assert config.num_workers * config.batch_size == BATCHES[name]
    spec = resolve_model(config.model, config.pretrained)
    longer = for_training(spec, loss=config.loss, patch_dropout=0, context_length=config.context_length)
    assert longer.context_length == {"bmc-longclip": 512, "open-pmc": 256, "open-pmc-18m": 256}.get(
        name, spec.context_length
    )
    if name != "cpu-sample":
        lr = 5e-4 if name in {"bmc-longclip", "open-pmc", "open-pmc-18m"} else 1e-6
        assert (config.lr, config.beta1, config.beta2, config.grad_clip) == (lr, 0.9, 0.95, 1.0)
        assert config.batch_size // config.accumulate <= 1024


def test_every_recipe_is_tested() -> None:
    assert {path.stem for path in (JOBS / "recipes").glob("*.yaml")} == BATCHES.keys()


def test_the_recipe_for_a_cpu_is_what_the_demo_trains() -> None:
    recipe = yaml.safe_load((JOBS / "recipes" / "cpu-sample.yaml").read_text())
    demo = yaml.safe_load((JOBS / "demo.yaml").read_text())
    assert {key: value for key, value in recipe.items() if key not in {"store", "name"}} == demo["train"]
