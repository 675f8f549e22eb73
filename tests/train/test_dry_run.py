from __future__ import annotations

import logging
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import ModernBertConfig

from biomedica_ray.config import ConfigError, StageConfig
from biomedica_ray.config.needs import GIB
from biomedica_ray.models.clip import build, image_size
from biomedica_ray.models.spec import resolve_model
from biomedica_ray.models.variants import for_training
from biomedica_ray.stages import CONFIGS, PipelineConfig, load
from biomedica_ray.train.activations import measure
from biomedica_ray.train.config import TrainConfig
from biomedica_ray.train.dry_run import Explored, check_fits, explore, memory, report
from biomedica_ray.train.gpus import found
from biomedica_ray.train.learner import DTYPES
from biomedica_ray.train.rehearsal import Rehearsed
from tests.models.hub import put_on_hub, write_bert, write_modern_bert, write_text_tower
from tests.reading.shards import sample, write_dataset
from tests.train.test_rehearsal import job_of
from tests.train.training import train

ROOT = Path(__file__).parents[2]
JOBS = sorted(path for path in (ROOT / "jobs").rglob("*.yaml") if path.parent.name != "selections")
GPU_OF = {"g6e": "L40S"}
"""Families of AWS instances, and the GPU that each has."""
CPUS = {"m7i.4xlarge": 16, "g6e.4xlarge": 16}


def test_what_is_explored_and_reported(tmp_path: Path, tiny_model: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    write_dataset(tmp_path / "dataset", [map(sample, range(21))])
    job = job_of(tmp_path, tiny_model, num_workers=2, samples_per_s=10.0, dollars_per_hour=3.0)
    explored = explore(job)
    model, _ = build(job.spec)
    assert explored.parameters == explored.trainable == sum(parameter.numel() for parameter in model.parameters())
    # Of a block in each tower that of the image tower is larger; nothing but the other one is not there at a time.
    block, other = model.visual.transformer.resblocks[0], model.transformer.resblocks[0]
    size, rest = (sum(parameter.numel() for parameter in each.parameters()) for each in (block, other))
    assert explored.gathered == explored.parameters + size - rest
    said = report(job, explored, "T4")["dry_run"]
    assert said["steps"] == 7
    assert said["hours"] == pytest.approx(70 / 20 / 3600)
    assert said["dollars"] == pytest.approx(70 / 20 / 3600 * 6)
    assert "T4 has 15.0 GiB: it fits" in caplog.text
    assert not (tmp_path / "checkpoints").exists()


def test_locked_towers_keep_and_learn_less(tmp_path: Path, tiny_model: str) -> None:
    write_dataset(tmp_path / "dataset", [map(sample, range(8))])
    whole = explore(job_of(tmp_path, tiny_model))
    locked = explore(job_of(tmp_path, tiny_model, lock_text=True, lock_image=True))
    assert locked.parameters == whole.parameters
    assert locked.trainable < whole.trainable
    assert locked.sample < whole.sample


def test_a_text_tower_of_transformers_is_measured_too(tmp_path: Path) -> None:
    write_dataset(tmp_path / "dataset", [map(sample, range(8))])
    folder = str(write_bert(tmp_path / "biomed", str(write_text_tower(tmp_path / "bert"))))
    whole = explore(job_of(tmp_path, folder, pretrained=folder))
    again = explore(job_of(tmp_path, folder, pretrained=folder, grad_checkpointing=True))
    assert 0 < again.sample < whole.sample
    assert again.block > 0


def test_memory_by_part() -> None:
    config = TrainConfig(store="s", num_workers=2, batch_size=64, accumulate=4, ema=0.5, use_gpu=True)
    explored = Explored(Rehearsed("k", 1.0), 1000, 400, 250, sample=10.0, block=2.0, constant=7.0, pixels=300, dim=8)
    assert memory(config, explored, 128) == {
        "weights": 4000,
        "gradients": 1600,
        "optimizer": 3200,
        "average": 4000,
        "activations": 16 * 12 + 7,
        "pixels": 64 * 300 * 5,
        "loss": 4 * (6 * 64 * 128 + 4 * 8 * 128),
        "CUDA": GIB,
    }
    divided = memory(config.model_copy(update={"shard": "fsdp"}), explored, 128)
    assert {name: divided[name] for name in ("weights", "gradients", "optimizer", "average", "gathered")} == {
        "weights": 2000,
        "gradients": 800,
        "optimizer": 1600,
        "average": 2000,
        "gathered": 2000,
    }
    assert "result" not in divided
    large = memory(config.model_copy(update={"shard": "fsdp"}), replace(explored, parameters=10**6), 128)
    passing = sum(large[name] for name in ("gradients", "gathered", "activations", "pixels", "loss"))
    assert large["result"] == 4 * 10**6 - passing


def test_a_gpu_that_is_too_small_is_one_line_that_names_what_to_change() -> None:
    config = TrainConfig(store="s", accumulate=2)
    check_fits(config, {"activations": 14 * GIB}, "T4")
    with pytest.raises(ConfigError, match=r"^batch_size: a worker needs 17\.0 GiB \(activations 14\.0\).*accumulate"):
        check_fits(config, {"activations": 14 * GIB, "weights": 3 * GIB}, "T4")


def test_the_smallest_gpu_of_a_cluster_counts() -> None:
    assert found([{"CPU": 4}]) is None
    assert found([{"accelerator_type:H100": 1, "GPU": 8}, {"accelerator_type:L40S": 1}]) == "L40S"


@cache
def _measured(model: str, loss: Any, precision: str, grad_checkpointing: bool, context_length: int | None) -> Explored:
    spec = for_training(resolve_model(model, None), loss=loss, patch_dropout=0, context_length=context_length)
    built, tokenizer = build(spec, weights=False)
    built.output_dict = True
    kept = measure(
        built.train(),
        tokenizer(["a figure"]),
        loss=loss,
        dtype=DTYPES[precision],
        grad_checkpointing=grad_checkpointing,
    )
    numbers = sum(parameter.numel() for parameter in built.parameters())
    height, width = image_size(built)
    dim = spec.model_cfg["embed_dim"]
    return Explored(
        Rehearsed("", 0), numbers, numbers, 0, kept.sample, kept.block, kept.constant, 3 * height * width, dim
    )


def _stages(path: Path) -> list[StageConfig]:
    stage = "train" if path.parent.name == "recipes" else path.stem.replace("demo", "pipeline")
    own = ["--email", "a@b.org"] if stage == "enrich" else []
    config = load(stage, ["--config", str(path), "--store", "s", *own])
    return [config.stage(each) for each in config.stages] if isinstance(config, PipelineConfig) else [config]


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_a_shipped_config_fits_the_shipped_cluster(path: Path, tmp_path: Path, hub: Path) -> None:
    if path.stem == "bmc-longclip":
        text_tower = write_modern_bert(tmp_path / "text", weights=False, **ModernBertConfig().to_dict())  # base's sizes
        put_on_hub(hub, "thomas-sounack/BioClinical-ModernBERT-base", text_tower)
    if path.stem != "demo" and path.parent.name != "recipes" and path.stem not in CONFIGS:
        pytest.fail(f"{path} belongs to no stage")
    types = yaml.safe_load((ROOT / "cluster.yaml").read_text())["available_node_types"]
    nodes: list[dict[str, float]] = []
    for name in ("cpu", "gpu"):
        instance = types[name]["node_config"]["InstanceType"]
        node: dict[str, float] = {"CPU": CPUS[instance], "memory": 50 * GIB, **({"GPU": 1} if name == "gpu" else {})}
        nodes += [node] * types[name]["max_workers"]
    gpu: Any = GPU_OF[types["gpu"]["node_config"]["InstanceType"].partition(".")[0]]
    for config in _stages(path):
        for need in config.needs():
            assert not need.unmet(nodes)
        if isinstance(config, TrainConfig):
            what = (config.model, config.loss, config.precision, config.grad_checkpointing, config.context_length)
            explored = _measured(*what)
            needed = memory(config, explored, config.num_workers * config.batch_size)
            print(path.stem, {name: round(size / GIB, 2) for name, size in needed.items()}, sum(needed.values()) / GIB)
            if config.use_gpu:
                check_fits(config, needed, gpu)
                too_much = replace(explored, sample=explored.sample * 100)
                with pytest.raises(ConfigError, match=r"^batch_size"):
                    check_fits(config, memory(config, too_much, config.num_workers * config.batch_size), gpu)


@pytest.mark.cluster
def test_a_dry_run_trains_nothing_and_fails_where_the_run_would(
    tmp_path: Path, tiny_model: str, ray_cluster: None
) -> None:
    write_dataset(tmp_path / "dataset", [map(sample, range(8))])
    found_out = train(tmp_path, tiny_model, dry_run=True, use_gpu=True, num_workers=4, gpu="H100").results["dry_run"]
    assert found_out["gpu"] == "H100"
    assert found_out["memory_gib"]["CUDA"] == 1
    assert not (tmp_path / "checkpoints").exists()
    torch.save({"a": torch.zeros(1)}, tmp_path / "weights.pt")
    with pytest.raises(ConfigError, match=r"^pretrained: "):
        train(tmp_path, tiny_model, dry_run=True, pretrained=str(tmp_path / "weights.pt"))
