"""Models of other kinds than CLIP, as small as they can be: zero-shot as open_clip's own functions have it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from biomedica_ray.evaluate.set_vectors import encode_texts
from biomedica_ray.evaluate.zero_shot import class_vectors, normalised, predict
from biomedica_ray.models.names import ModelName
from biomedica_ray.models.scorable import load
from biomedica_ray.store import Store
from tests.models.finished import leave_model
from tests.synthetic import picture

NAMES = ["benign tissue", "a tumor", "an X-ray"]
TEMPLATES = ["a photo of {}", "{}.", "an image that shows {}"]
SMALL = {"width": 32, "heads": 2, "layers": 1}


def shrunk(name: str) -> dict[str, Any]:
    """open_clip's config of a model, with the smallest towers that are of its kind."""
    config = open_clip.get_model_config(name)
    assert config is not None
    text = config["text_cfg"] | SMALL
    for key in ("hf_tokenizer_name", "tokenizer_kwargs"):  # those of the hub are not here
        text.pop(key, None)
    text["vocab_size"] = 49408
    if "timm_model_name" in config["vision_cfg"]:
        vision = config["vision_cfg"] | {"timm_model_name": "test_vit", "image_size": 160}
        return config | {"embed_dim": 64, "vision_cfg": vision, "text_cfg": text | {"width": 64}}
    vision = config["vision_cfg"] | {"image_size": 32, "patch_size": 16, "layers": 1, "width": 32, "head_width": 16}
    vision |= {"attn_pooler_heads": 2}
    decoder = config["multimodal_cfg"] | SMALL | {"attn_pooler_heads": 2}
    return config | {"embed_dim": 32, "vision_cfg": vision, "text_cfg": text, "multimodal_cfg": decoder}


@pytest.mark.parametrize(("name", "kind"), [("ViT-B-16-SigLIP", "CustomTextCLIP"), ("coca_ViT-B-32", "CoCa")])
def test_zero_shot_is_that_of_open_clip(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / "small.json"
    path.write_text(json.dumps(shrunk(name)))
    leave_model(tmp_path / "store", "small", str(path), seed=0)
    ours = load(ModelName("small", Store(str(tmp_path / "store"))), "cpu")
    folder = f"local-dir:{tmp_path}/store/checkpoints/small/model"
    model, preprocess = open_clip.create_model_from_pretrained(folder)
    assert type(model).__name__ == kind
    tokenize = open_clip.get_tokenizer(folder)
    templates = [template.format for template in TEMPLATES]
    classifier = open_clip.build_zero_shot_classifier(model.eval(), tokenize, NAMES, templates, use_tqdm=False)
    images = [picture(seed, (64, 48)).resize((200, 160), Image.Resampling.NEAREST) for seed in range(6)]
    with torch.inference_mode():
        expected = model.encode_image(torch.stack([preprocess(image) for image in images]), normalize=True) @ classifier
    vectors = normalised(ours.images(torch.stack([ours.pixels(image) for image in images])).numpy())
    prompts = [[template.format(each) for template in TEMPLATES] for each in NAMES]
    classes = class_vectors([encode_texts(ours, each, 2) for each in prompts])
    assert vectors @ classes.T == pytest.approx(expected.numpy(), abs=1e-5)
    assert np.array_equal(predict(vectors, classes), expected.argmax(dim=1).numpy())
