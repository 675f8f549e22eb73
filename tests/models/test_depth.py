"""How deep parameters lie, by the real models of open_clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch

from biomedica_ray.config import ConfigError
from biomedica_ray.models.clip import build, lock_towers, train_mode
from biomedica_ray.models.depth import blocks, image_tower, learning_rate_scales, text_tower
from biomedica_ray.models.spec import resolve_model
from tests.models.hub import write_bert, write_text_tower


def meta(name: str) -> Any:
    """A model of open_clip without numbers."""
    return open_clip.create_model(name, device="meta")


def learning(model: Any) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize(
    ("name", "image", "text", "units"),
    [("ViT-B-32", 12, 12, 24), ("ViT-B-16-SigLIP", 12, 12, 24), ("RN50", 4, 12, 28), ("coca_ViT-B-32", 12, 12, 36)],
)
def test_every_parameter_of_a_tower_has_a_depth(name: str, image: int, text: int, units: int) -> None:
    model = meta(name)
    assert len(blocks(model)) == units
    towers = image_tower(model), text_tower(model)
    assert [tower.blocks for tower in towers] == [image, text]
    names = [name for name, _ in model.named_parameters() if not name.startswith(("logit_", "text_decoder."))]
    assert sorted([*towers[0].depth, *towers[1].depth]) == sorted(names)
    for tower in towers:
        assert {0, tower.blocks} <= set(tower.depth.values()) <= set(range(tower.blocks + 2))


def test_depths_of_a_vision_transformer_and_its_text_tower() -> None:
    model = meta("ViT-B-32")
    image, text = image_tower(model).depth, text_tower(model).depth
    assert (image["visual.conv1.weight"], image["visual.ln_pre.bias"]) == (0, 0)
    assert image["visual.transformer.resblocks.0.ln_1.weight"] == 1
    assert (image["visual.transformer.resblocks.11.mlp.c_fc.weight"], image["visual.ln_post.weight"]) == (12, 12)
    assert (image["visual.proj"], text["text_projection"]) == (13, 13)
    assert (text["token_embedding.weight"], text["transformer.resblocks.3.ln_1.bias"]) == (0, 4)
    assert (text["positional_embedding"], text["ln_final.weight"]) == (0, 12)


@pytest.mark.parametrize(
    ("name", "groups"),
    # Of timm's towers the projection is no group, but the pooling of SigLIP's is.
    [("ViT-B-32", 3), ("vit_medium_patch16_gap_256", 2), ("ViT-B-16-SigLIP", 3)],
)
def test_what_learns_in_an_image_tower_is_what_learns_in_open_clip(name: str, groups: int) -> None:
    ours, theirs = meta(name), meta(name)
    lock_towers(ours, image=True, unlock_last=2)
    theirs.lock_image_tower(unlocked_groups=groups)
    assert learning(ours) == learning(theirs)


def test_what_learns_in_a_text_tower_is_what_learns_in_open_clip() -> None:
    ours, theirs = meta("ViT-B-32"), meta("ViT-B-32")
    lock_towers(ours, text=True, unlock_last=2)
    theirs.lock_text_tower(unlocked_layers=3)
    assert learning(ours) == learning(theirs)
    assert "visual.conv1.weight" in learning(ours)


def test_a_text_tower_of_transformers(tmp_path: Path) -> None:
    folder = str(write_bert(tmp_path / "biomed", str(write_text_tower(tmp_path / "bert"))))
    model, _ = build(resolve_model(folder, folder))
    tower = text_tower(model)
    assert set(tower.depth) == {name for name, _ in model.named_parameters() if name.startswith("text.")}
    lock_towers(model, text=True, unlock_last=1)
    train_mode(model, lock_text=True, unlock_last=1)
    learns = {name for name in learning(model) if name.startswith("text.")}
    assert {name for name in tower.depth if f".layer.{tower.blocks - 1}." in name or ".proj" in name} <= learns
    assert not any(".embeddings." in name or ".layer.0." in name for name in learns)
    layers = model.text.transformer.encoder.layer
    assert set(layers) < set(blocks(model))
    assert [layer.training for layer in layers] == [False] * (len(layers) - 1) + [True]
    assert not model.text.transformer.embeddings.training
    assert layers[-1].output.dropout.training


def test_a_part_of_a_locked_tower_keeps_its_statistics() -> None:
    model, _ = build(resolve_model("clip-lite0", None))
    lock_towers(model, image=True, unlock_last=1)
    train_mode(model, lock_image=True, unlock_last=1)
    assert not model.visual.trunk.bn1.training
    assert model.visual.trunk.bn2.training
    assert model.visual.trunk.conv_head.weight.requires_grad


def test_more_blocks_than_there_are() -> None:
    with pytest.raises(ConfigError, match=r"^unlock_last: expected at most the 12 blocks of the text tower$"):
        lock_towers(meta("ViT-B-32"), text=True, unlock_last=13)


def test_learning_rates_decay_from_the_projection_down() -> None:
    scales = learning_rate_scales(meta("ViT-B-32"), 0.5)
    assert (scales["visual.proj"], scales["text_projection"], scales["logit_scale"]) == (1, 1, 1)
    assert scales["visual.ln_post.weight"] == scales["visual.transformer.resblocks.11.ln_1.weight"] == 0.5
    assert scales["transformer.resblocks.0.ln_1.weight"] == 0.5**12
    assert scales["visual.conv1.weight"] == scales["token_embedding.weight"] == 0.5**13
    assert torch.tensor(list(scales.values())).max() == 1
