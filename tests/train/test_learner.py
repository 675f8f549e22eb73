from __future__ import annotations

import copy
import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch.amp import GradScaler
from torch.utils._python_dispatch import TorchDispatchMode

from biomedica_ray.config import ConfigError
from biomedica_ray.models.clip import build, export
from biomedica_ray.models.spec import resolve_model
from biomedica_ray.models.variants import for_training
from biomedica_ray.train.config import TrainConfig
from biomedica_ray.train.learner import Learner
from biomedica_ray.train.step import backward
from tests.train.conftest import TINY

STEPS = 6


def make(path: str, **settings: Any) -> Learner:
    config = TrainConfig(
        store="nowhere", model=path, pretrained=None, **{"lr": 3e-3, "warmup_steps": 2, "batch_size": 6, **settings}
    )
    return Learner(copy.deepcopy(_built(path, config.loss, config.patch_dropout)), config, STEPS, torch.device("cpu"))


@cache
def _built(path: str, loss: Any, patch_dropout: float) -> Any:
    torch.manual_seed(0)
    config = TrainConfig(store="nowhere", loss=loss, patch_dropout=patch_dropout)
    return build(
        for_training(resolve_model(path, None), loss=config.loss, patch_dropout=config.patch_dropout),
        patch_dropout=patch_dropout,
    )[0]


@pytest.fixture(scope="module")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of the config of a tiny CLIP that knows few words."""
    path = tmp_path_factory.mktemp("small") / "small.json"
    path.write_text(json.dumps({**TINY, "text_cfg": {**TINY["text_cfg"], "vocab_size": 400}}))
    return str(path)


def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    pixels = torch.randint(0, 256, (6, 3, 32, 32), generator=generator, dtype=torch.uint8)
    return pixels, torch.randint(1, 400, (6, 16), generator=generator)


def learn(learner: Learner, steps: range, chunks: int = 1) -> list[float]:
    losses = []
    for step in steps:
        pixels, tokens = batch(step)
        losses.append(float(learner.backward(step, learner.images(pixels), tokens, chunks)))
        update = learner.update(step)
        assert learner.scaler.is_enabled() or not update.skipped
    return losses


@pytest.mark.parametrize(
    ("settings", "chunks"),
    [
        ({}, 1),
        ({"ema": 0.5, "patch_dropout": 0.5}, 2),
        ({"loss": "siglip", "channels_last": True, "lock_text": True, "schedule": "const"}, 1),
        ({"precision": "fp16", "use_gpu": True, "ema": 0.9}, 2),
        ({"layer_decay": 0.5, "lock_text": True, "unlock_last": 1}, 1),
        ({"precision": "bf16", "lock_image": True, "grad_checkpointing": True, "patch_dropout": 0.5}, 3),
    ],
)
def test_training_goes_on_bit_for_bit(small_model: str, settings: dict[str, Any], chunks: int) -> None:
    whole, first = make(small_model, **settings), make(small_model, **settings)
    losses = learn(whole, range(STEPS), chunks)
    assert learn(first, range(3), chunks) == losses[:3]
    stored = {name: save(_packed(tensors)) for name, tensors in first.files().items()}
    torch.manual_seed(99)
    again = make(small_model, **settings)
    again.restore({name: load(data) for name, data in stored.items()})
    assert learn(again, range(3, STEPS), chunks) == losses[3:]
    assert again.files().keys() == whole.files().keys()
    for name, tensors in whole.files().items():
        found = again.files()[name]
        assert found.keys() == tensors.keys()
        assert all(torch.equal(tensor, found[key]) for key, tensor in tensors.items())


def _packed(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


class _Reads(TorchDispatchMode):
    """Counts how often a number is read from the device, for which the host waits until it has been computed."""

    def __init__(self) -> None:
        super().__init__()
        self.times = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        self.times += function is torch.ops.aten._local_scalar_dense.default
        return function(*arguments, **(keywords or {}))


@pytest.mark.parametrize(("settings", "chunks"), [({"ema": 0.5, "layer_decay": 0.5}, 1), ({"loss": "siglip"}, 2)])
def test_a_step_waits_for_the_device_only_where_one_asks(
    small_model: str, settings: dict[str, Any], chunks: int
) -> None:
    learner = make(small_model, **settings)
    learn(learner, range(1))
    pixels, tokens = batch(1)
    with _Reads() as reads:
        learner.backward(1, learner.images(pixels), tokens, chunks)
        update = learner.update(1)
    assert reads.times == 0
    with reads:
        assert update.grad_norm > 0
    assert reads.times == 1


def test_scaler_goes_on_where_it_was(small_model: str) -> None:
    def scaled() -> Learner:
        learner = make(small_model)
        learner.scaler = GradScaler("cpu", init_scale=2.0**10, growth_interval=2)
        return learner

    whole, first, again = scaled(), scaled(), scaled()
    losses = learn(whole, range(STEPS))
    learn(first, range(3))
    again.restore(first.files())
    assert again.scaler.state_dict() == first.scaler.state_dict()
    assert (again.scaler.get_scale(), again.scaler.state_dict()["_growth_tracker"]) == (2.0**11, 1)
    assert learn(again, range(3, STEPS)) == losses[3:]
    assert whole.scaler.get_scale() == 2.0**13
    assert losses == pytest.approx(learn(make(small_model), range(STEPS)), rel=1e-5)


def test_step_that_overflows_is_passed_over(small_model: str) -> None:
    learner = make(small_model)
    learner.scaler = GradScaler("cpu", init_scale=2.0**127)
    before = {name: tensor.clone() for name, tensor in learner.model.state_dict().items()}
    pixels, tokens = batch(0)
    learner.backward(0, learner.images(pixels), tokens, 2)
    update = learner.update(0)
    assert update.skipped
    assert not math.isfinite(update.grad_norm)
    assert all(torch.equal(tensor, before[name]) for name, tensor in learner.model.state_dict().items())
    assert learner.scaler.get_scale() == 2.0**126


def test_compiled_model_keeps_the_names_of_its_weights(small_model: str) -> None:
    compiled, plain = make(small_model, compile=True, ema=0.5), make(small_model)
    # Nothing is compiled before the first step, which would take long.
    assert compiled.model._compiled_call_impl is not None
    assert compiled.model.state_dict().keys() == plain.model.state_dict().keys()
    assert compiled.result.state_dict().keys() == plain.model.state_dict().keys()


def test_average_begins_with_the_start_and_is_what_comes_out(small_model: str) -> None:
    learner = make(small_model, ema=0.75)
    weights = [learner.model.visual.proj.detach().clone()]
    for step in range(2):
        learn(learner, range(step, step + 1))
        weights.append(learner.model.visual.proj.detach().clone())
    expected = 0.75 * (0.75 * weights[0] + 0.25 * weights[1]) + 0.25 * weights[2]
    torch.testing.assert_close(learner.result.visual.proj.detach(), expected)
    assert not learner.result.training
    assert make(small_model).result.visual.proj.shape == expected.shape


@pytest.mark.parametrize("custom_text", [False, True])
def test_locked_text_tower_stays(tmp_path: Path, custom_text: bool) -> None:
    path = tmp_path / "model.json"
    path.write_text(json.dumps({**TINY, "custom_text": custom_text}))
    learner = make(str(path), lock_text=True)
    tokens, before = batch(0)[1], learner.model.visual.proj.clone()
    text = learner.model.encode_text(tokens)
    learn(learner, range(2))
    assert torch.equal(learner.model.encode_text(tokens), text)
    assert not torch.equal(learner.model.visual.proj, before)
    assert learner.model.logit_scale.requires_grad
    assert not custom_text or not learner.model.text.training


def test_patches_are_dropped_in_training_alone(small_model: str) -> None:
    plain, dropping = make(small_model), make(small_model, patch_dropout=0.5)
    assert learn(plain, range(1)) != learn(dropping, range(1))
    image = torch.randn(2, 3, 32, 32)
    dropping.model.load_state_dict(plain.model.state_dict())
    dropping.model.eval()
    assert torch.equal(dropping.model.encode_image(image), plain.model.encode_image(image))


def test_chunks_with_dropped_patches_give_the_gradient_of_the_whole_batch(small_model: str) -> None:
    chunks, images = 3, torch.randn(6, 3, 32, 32)
    tokens = batch(0)[1]
    one, parts = make(small_model, patch_dropout=0.5), make(small_model, patch_dropout=0.5)
    made = []
    for number, part in enumerate(zip(images.chunk(chunks), tokens.chunk(chunks), strict=True)):
        torch.manual_seed(7 + number)
        made.append(one.model(*part))
    features = {key: torch.cat([part[key] for part in made]) for key in ("image_features", "text_features")}
    expected = one.loss(**features, logit_scale=made[0]["logit_scale"])
    expected.backward()
    found = backward(parts.model, parts.loss, images, tokens, chunks, seed=7)
    assert float(found) == pytest.approx(float(expected.detach()))
    for (name, a), b in zip(parts.model.named_parameters(), one.model.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=1e-7, msg=name)


def test_siglip_starts_as_in_open_clip_and_is_exported_with_its_bias(small_model: str, tmp_path: Path) -> None:
    learner = make(small_model, loss="siglip")
    assert float(learner.model.logit_scale.detach().exp()) == pytest.approx(10)
    assert float(learner.model.logit_bias.detach()) == -10
    losses = learn(learner, range(STEPS))
    assert losses[-1] < losses[0]
    spec = for_training(resolve_model(small_model, None), loss="siglip", patch_dropout=0)
    export(learner.result, None, spec, tmp_path)
    again, _ = build(resolve_model(str(tmp_path), str(tmp_path)))
    assert torch.equal(again.logit_bias, learner.model.logit_bias)


def test_siglip_goes_on_from_a_clip_with_its_scale_and_a_bias_of_nothing(small_model: str, tmp_path: Path) -> None:
    spec = resolve_model(small_model, None)
    clip, _ = build(spec)
    export(clip, None, spec, tmp_path)
    config = TrainConfig(store="nowhere", loss="siglip")
    model, _ = build(
        for_training(resolve_model(small_model, str(tmp_path)), loss=config.loss, patch_dropout=config.patch_dropout)
    )
    assert torch.equal(model.logit_scale, clip.logit_scale)
    assert float(model.logit_bias.detach()) == 0


def test_patches_of_a_tower_that_has_none() -> None:
    config = TrainConfig(store="nowhere", patch_dropout=0.5)
    for name in ("clip-lite0", "RN50"):
        with pytest.raises(ConfigError, match=f"^patch_dropout: the image tower of {name} drops no patches"):
            for_training(resolve_model(name, None), loss=config.loss, patch_dropout=config.patch_dropout)
    for name in ("ViT-B-32", "ViT-B-16-SigLIP"):
        spec = resolve_model(name, None)
        assert for_training(spec, loss=config.loss, patch_dropout=config.patch_dropout) == spec


def test_settings_that_do_not_go_together() -> None:
    with pytest.raises(ValueError, match="precision: fp16 needs a GPU"):
        TrainConfig(store="nowhere", precision="fp16")
    with pytest.raises(ValueError, match="compile: cannot be combined with patch_dropout"):
        TrainConfig(store="nowhere", compile=True, patch_dropout=0.5)


def test_only_the_last_blocks_of_a_locked_tower_learn(tmp_path: Path) -> None:
    path = tmp_path / "deep.json"
    towers = {key: {**TINY[key], "layers": 3} for key in ("vision_cfg", "text_cfg")}
    path.write_text(json.dumps({**TINY, **towers}))
    learner = make(str(path), lock_image=True, lock_text=True, unlock_last=1, weight_decay=0)
    before = {name: parameter.detach().clone() for name, parameter in learner.model.named_parameters()}
    learn(learner, range(2))
    moved = {name for name, parameter in learner.model.named_parameters() if not torch.equal(parameter, before[name])}
    blocks = {name for name in before if "resblocks.2." in name}
    ends = {"visual.proj", "text_projection", "ln_final.weight", "ln_final.bias", "logit_scale"}
    assert moved == blocks | ends | {"visual.ln_post.weight", "visual.ln_post.bias"}


def test_layers_learn_at_their_own_rates(small_model: str) -> None:
    learner, plain = make(small_model, layer_decay=0.5, warmup_steps=0), make(small_model, warmup_steps=0)
    before = {name: parameter.detach().clone() for name, parameter in plain.model.named_parameters()}
    learn(learner, range(1))
    learn(plain, range(1))
    # The first step of Adam is as long as the rate, whatever the gradient; norms and biases do not decay.
    steps = {
        name: float((parameter.detach() - before[name]).abs().max())
        for name, parameter in learner.model.named_parameters()
    }
    whole = {name: float((p.detach() - before[name]).abs().max()) for name, p in plain.model.named_parameters()}
    rates = {"visual.ln_pre.weight": 0.25, "visual.ln_post.weight": 0.5, "ln_final.bias": 0.5, "visual.proj": 1}
    for name, share in rates.items():
        assert steps[name] / whole[name] == pytest.approx(share, rel=1e-3), name
    assert steps["logit_scale"] == pytest.approx(whole["logit_scale"])


def test_unlocking_needs_a_lock() -> None:
    with pytest.raises(ValueError, match="unlock_last: needs lock_image or lock_text"):
        TrainConfig(store="nowhere", unlock_last=1)
