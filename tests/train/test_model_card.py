from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard

from biomedica_ray.models.clip import build, export
from biomedica_ray.models.spec import ModelSpec, resolve_model
from biomedica_ray.reading.shards import Shard
from biomedica_ray.train.config import TrainConfig
from biomedica_ray.train.model_card import merged_card, model_card

SHARDS = [
    Shard("a.tar", "commercial", "train", 30, "0"),
    Shard("b.tar", "noncommercial", "train", 12, "1"),
    Shard("c.tar", "commercial", "train", 5, "2"),
]
METRICS = [{"step": 1}, {"step": 2, "samples": 10, "loss": 1.25, "retrieval.image_to_text.recall@1": 0.5}]


def card(spec: ModelSpec, **settings: Any) -> str:
    return model_card(TrainConfig(store="s", name="tiny", **settings), spec, SHARDS, METRICS)


def test_the_code_of_the_card_loads_the_model(tmp_path: Path, tiny_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = resolve_model(tiny_model, None)
    model, tokenizer = build(spec)
    export(model, tokenizer, spec, tmp_path)
    (tmp_path / "README.md").write_text(card(spec))
    monkeypatch.chdir(tmp_path)
    code = (tmp_path / "README.md").read_text().split("```python\n")[1].split("```")[0]
    assert len(code.splitlines()) == 5
    found: dict[str, Any] = {}
    exec(code, found)
    assert found["texts"].shape == (2, 16)
    assert torch.equal(found["model"].text_projection, model.text_projection)


def test_the_header_is_what_the_hub_reads() -> None:
    text = card(resolve_model("ViT-L-14", "commonpool_xl_clip_s13b_b90k"), data="hf://datasets/owner/figures/train")
    header = ModelCard(text).data
    assert header.library_name == "open_clip"
    assert header.pipeline_tag == "zero-shot-image-classification"
    assert header.base_model == "laion/CLIP-ViT-L-14-CommonPool.XL.clip-s13B-b90K"
    assert header.datasets == ["owner/figures"]
    assert header.license == "other"


def test_the_tables_have_the_samples_the_recipe_and_the_results(tiny_model: str) -> None:
    text = card(resolve_model(tiny_model, None), lr=1e-3, warmup_steps=0, weight_decay=0, seed=0)
    for row in (
        "| commercial | 35 |",
        "| noncommercial | 12 |",
        "| all | 47 |",
        "| samples a step | 10 |",
        "| steps | 2 |",
        "| lr | 0.001 |",
        "| warmup_steps | 0 |",
        "| weight_decay | 0.0 |",
        "| seed | 0 |",
        "| loss | 1.25 |",
        "| retrieval.image_to_text.recall@1 | 0.5 |",
    ):
        assert f"\n{row}\n" in text
    assert "lock_image" not in text
    assert "begun with random weights." in text
    assert ModelCard(text).data.base_model is None


def test_the_card_of_a_merged_model_says_of_what_and_how_well_each_mixture_did() -> None:
    spec = resolve_model("ViT-L-14", "commonpool_xl_clip_s13b_b90k")
    sweep = [{"alpha": alpha, "score": score} for alpha, score in ((0.5, 0.25), (0.75, 0.5), (1, 0.125))]
    soup = {"of": ["one", "two"], "alpha": 0.75, "metric": "retrieval.recall", "sweep": sweep}
    text = merged_card("soup", spec, soup)
    assert "`ViT-L-14`: the mean of `one`, `two`, 75% of it, and 25% of the weights `commonpool_xl_clip" in text
    for row in ("| 0.5 | 0.25 |", "| 0.75 | 0.5 |", "| 1 | 0.125 |"):
        assert f"\n{row}\n" in text
    assert ModelCard(text).data.base_model == "laion/CLIP-ViT-L-14-CommonPool.XL.clip-s13B-b90K"
    alone = merged_card("copy", spec, {**soup, "of": ["one"], "alpha": 1, "sweep": [{"alpha": 1, "score": None}]})
    assert "## Merging\n\n`ViT-L-14`: `one`.\n\n## Limits\n" in alone


def test_mixed_data_and_what_is_in_use_are_named(tiny_model: str) -> None:
    spec = resolve_model(tiny_model, None)
    mixed = [
        {"uri": "hf://datasets/owner/figures/{0..9}.tar", "weight": 3},
        {"uri": "/data/own", "weight": 1},
    ]
    text = card(spec, data=mixed, lock_image=True, unlock_last=5)
    assert ModelCard(text).data.datasets == ["owner/figures"]
    assert "from `hf://datasets/owner/figures/{0..9}.tar`, `/data/own`." in text
    assert "| unlock_last | 5 |" in text
    assert "layer_decay" not in text
    assert "unlock_last" not in card(spec)
