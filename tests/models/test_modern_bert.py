"""ModernBERT as a text tower, from the cache of a hub that cannot be reached."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import transformers

from biomedica_ray.models.clip import build, export, load_folder, lock_towers
from biomedica_ray.models.depth import text_tower
from biomedica_ray.models.spec import RECIPES, resolve_model
from biomedica_ray.train.dry_run import explore
from tests.models.hub import put_on_hub, write_modern_bert
from tests.reading.shards import sample, write_dataset
from tests.train.conftest import TINY
from tests.train.test_rehearsal import job_of

TEXTS = ["a red square", "cells " * 60]
TOKENS = 48


def write_longclip(folder: Path, hub: Path) -> str:
    """The config of BMC-LongCLIP with a tiny image tower and a short text; its text tower, in small, is on the hub."""
    cfg = json.loads((RECIPES / "bmc-longclip.json").read_text())
    put_on_hub(hub, cfg["text_cfg"]["hf_model_name"], write_modern_bert(folder / "modern-bert"))
    text = {**cfg["text_cfg"], "context_length": TOKENS}
    (folder / "tiny.json").write_text(json.dumps({"embed_dim": 16, "vision_cfg": TINY["vision_cfg"], "text_cfg": text}))
    return str(folder / "tiny.json")


def test_it_begins_with_its_own_weights_and_averages_over_the_tokens(tmp_path: Path, hub: Path) -> None:
    model, tokenizer = build(resolve_model(write_longclip(tmp_path, hub), None))
    theirs = transformers.ModernBertModel.from_pretrained(tmp_path / "modern-bert").eval()
    tokens = tokenizer(TEXTS)
    assert tokens.shape == (2, TOKENS)
    mask = (tokens != 0).long()
    with torch.no_grad():
        states = theirs(input_ids=tokens, attention_mask=mask).last_hidden_state * mask[..., None]
        average = states.sum(1) / mask.sum(1, keepdim=True)
        torch.testing.assert_close(model.eval().encode_text(tokens), model.text.proj(average))
    assert text_tower(model).blocks == 3
    lock_towers(model, text=True, unlock_last=1)
    learn = {name.split(".")[3] for name, p in model.text.named_parameters() if p.requires_grad and ".layers." in name}
    assert learn == {"attn", "attn_norm", "mlp", "mlp_norm"}


def test_an_export_needs_no_hub(tmp_path: Path, hub: Path) -> None:
    spec = resolve_model(write_longclip(tmp_path, hub), None)
    model, tokenizer = build(spec)
    (tmp_path / "out").mkdir()
    export(model, tokenizer, spec, tmp_path / "out")
    hub.rename(tmp_path / "gone")
    again, tokens = load_folder(tmp_path / "out")
    with torch.no_grad():
        assert torch.equal(again.eval().encode_text(tokens(TEXTS)), model.eval().encode_text(tokenizer(TEXTS)))


def test_a_dry_run(tmp_path: Path, hub: Path) -> None:
    name = write_longclip(tmp_path, hub)
    write_dataset(tmp_path / "dataset", [map(sample, range(8))])
    explored = explore(job_of(tmp_path, name, grad_checkpointing=True))
    model, _ = build(resolve_model(name, None))
    assert explored.parameters == explored.trainable == sum(parameter.numel() for parameter in model.parameters())
    assert explored.rehearsed.loss > 0 and explored.sample > 0
