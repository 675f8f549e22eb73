"""What transformers makes of an exported model."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from biomedica_ray.config import ConfigError
from biomedica_ray.models.clip import build, export
from biomedica_ray.models.for_transformers import export_for_transformers
from biomedica_ray.models.spec import ModelSpec, resolve_model
from tests.models.hub import write_bert, write_text_tower
from tests.train.conftest import TINY

transformers = pytest.importorskip("transformers")

TEXTS = ["a bar plot", "T1-weighted MRI of the brain, 3.0 T; see Fig. 2b's arrows", "", "word " * 40]
MODEL = {
    "embed_dim": 24,
    "vision_cfg": {**TINY["vision_cfg"], "layers": 2, "mlp_ratio": 3.0},
    "text_cfg": {**TINY["text_cfg"], "layers": 3},
}


def built(**changes: Any) -> tuple[Any, Any]:
    torch.manual_seed(0)
    preprocess = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.25]}
    model, tokenizer = build(ModelSpec("some", {**MODEL, **changes}, preprocess))
    with torch.no_grad():  # what begins with zeros and ones would hide that it is not there
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval(), tokenizer


@pytest.mark.parametrize("changes", [{}, {"quick_gelu": True}, {"custom_text": True}])
def test_features_are_the_same(tmp_path: Path, changes: dict[str, Any]) -> None:
    model, tokenizer = built(**changes)
    export_for_transformers(model, tokenizer, tmp_path)
    loaded = transformers.CLIPModel.from_pretrained(tmp_path).eval()
    processor = transformers.CLIPProcessor.from_pretrained(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    picture = Image.fromarray(noise).resize((32, 32), Image.Resampling.BICUBIC)
    ours = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)(picture)[None]
    theirs = processor(text=TEXTS, images=picture, padding=True, truncation=True, return_tensors="pt")
    torch.testing.assert_close(theirs["pixel_values"], ours, atol=1e-5, rtol=0)
    with torch.inference_mode():
        found = loaded(**theirs)
        image, text = model.encode_image(ours, normalize=True), model.encode_text(tokenizer(TEXTS), normalize=True)
        logits = model.logit_scale.exp() * image @ text.T
    torch.testing.assert_close(found.image_embeds, image, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.text_embeds, text, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.logits_per_image, logits, atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize("resize_mode", ["shortest", "squash"])
def test_images_are_prepared_alike(tmp_path: Path, resize_mode: str) -> None:
    model, tokenizer = built()
    model.visual.preprocess_cfg = {**model.visual.preprocess_cfg, "resize_mode": resize_mode}
    export_for_transformers(model, tokenizer, tmp_path)
    processor = transformers.CLIPProcessor.from_pretrained(tmp_path)
    y, x = np.mgrid[0:60, 0:90]
    smooth = np.stack([x * 2, y * 4, x + y], axis=2).astype(np.uint8)
    picture = Image.fromarray(smooth)
    ours = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)(picture)
    theirs = processor(images=picture, return_tensors="pt")["pixel_values"][0]
    assert ours.shape == theirs.shape
    assert float((ours - theirs).abs().mean()) < 0.05  # torchvision resizes a little otherwise than Pillow


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"init_logit_bias": -10}, "logit_bias is in one of them only"),
        ({"vision_cfg": {**MODEL["vision_cfg"], "ls_init_value": 0.1}}, r"ls_1\.gamma|ls_2\.gamma"),
        ({"vision_cfg": {**MODEL["vision_cfg"], "pool_type": "avg"}}, "sees images otherwise, by "),
        ({"text_cfg": {**MODEL["text_cfg"], "no_causal_mask": True}, "custom_text": True}, "sees texts otherwise"),
        ({"vision_cfg": {"timm_model_name": "tf_efficientnet_lite0", "image_size": 32}}, "a tower is a TimmModel"),
    ],
)
def test_other_architectures_are_refused_in_one_line(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        export_for_transformers(*built(**changes), tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_bert_is_refused(tmp_path: Path) -> None:
    folder = str(write_bert(tmp_path / "biomed", str(write_text_tower(tmp_path / "bert"))))
    with pytest.raises(ConfigError, match="a tower is a HFTextEncoder"):
        export_for_transformers(*build(resolve_model(folder, folder)), tmp_path / "out")


def test_the_command_takes_what_train_exports(tmp_path: Path) -> None:
    (tmp_path / "tiny.json").write_text(json.dumps(MODEL))
    spec = resolve_model(str(tmp_path / "tiny.json"), None)
    model, tokenizer = build(spec)
    (tmp_path / "model").mkdir()
    export(copy.deepcopy(model), tokenizer, spec, tmp_path / "model")

    def run(name: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "biomedica_ray.models.for_transformers", name, str(tmp_path / "out")]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)

    done = run(str(tmp_path / "model"))
    assert done.returncode == 0, done.stderr
    loaded = transformers.CLIPModel.from_pretrained(tmp_path / "out")
    assert torch.equal(loaded.visual_projection.weight, model.visual.proj.T)
    failed = run(str(tmp_path / "tiny.json"))
    assert failed.returncode == 2
    assert (
        failed.stderr.strip()
        .splitlines()[-1]
        .endswith("expected a folder with weights, local-dir:PATH, s3://, gs:// or az://, or hf-hub:ID")
    )
