"""Models as the Hugging Face hub keeps them on a disk: a tiny one of open_clip, and one with a BERT as BiomedCLIP."""

from __future__ import annotations

import json
import shutil
import tempfile
from copy import deepcopy
from pathlib import Path
from typing import Any

import open_clip
import safetensors.torch
import torch
from transformers import AutoConfig, AutoModelForMaskedLM, AutoTokenizer

from tests.train.conftest import TINY

MEAN = [0.1, 0.2, 0.3]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "square", "cell", "##s"]
BERT = {
    "model_type": "bert",
    "architectures": ["BertModel"],
    "vocab_size": len(WORDS),
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 16,
    "pad_token_id": 0,
}


def write_model(folder: Path, model_cfg: dict[str, Any], *, seed: int, preprocess_cfg: dict[str, Any]) -> None:
    """A folder of open_clip: its config, and random weights."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    name = f"tiny-of-{folder.name}"
    path = folder / f"{name}.json"
    path.write_text(json.dumps(model_cfg))
    open_clip.add_model_config(path)
    model = open_clip.create_model(name, pretrained_text=False)
    path.unlink()
    document = {"model_cfg": model_cfg, "preprocess_cfg": preprocess_cfg}
    (folder / "open_clip_config.json").write_text(json.dumps(document))
    safetensors.torch.save_file(model.state_dict(), folder / "open_clip_model.safetensors")


def write_plain(folder: Path, seed: int = 0) -> Path:
    """A tiny CLIP with another activation and another mean than open_clip's own."""
    write_model(folder, {**deepcopy(TINY), "quick_gelu": True}, seed=seed, preprocess_cfg={"mean": MEAN})
    return folder


def write_bert(folder: Path, name: str) -> Path:
    """A CLIP whose text tower is a BERT of two layers, named as ``name``; the folder has its tokenizer."""
    write_tokenizer(folder)
    text = {
        "hf_model_name": name,
        "hf_tokenizer_name": name,
        "hf_proj_type": "mlp",
        "hf_pooler_type": "cls_last_hidden_state_pooler",
        "context_length": 12,
    }
    model_cfg = {"embed_dim": 16, "vision_cfg": TINY["vision_cfg"], "text_cfg": text}
    with tempfile.TemporaryDirectory() as bert:
        text["hf_model_name"] = str(write_text_tower(Path(bert)))
        write_model(folder, model_cfg, seed=1, preprocess_cfg={"mean": MEAN})
    config = folder / "open_clip_config.json"
    config.write_text(config.read_text().replace(json.dumps(bert), json.dumps(name)))
    return folder


MODERN_BERT = {
    "model_type": "modernbert",
    "architectures": ["ModernBertForMaskedLM"],
    "vocab_size": len(WORDS),
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 64,
    "local_attention": 8,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "cls_token_id": 2,
    "eos_token_id": 3,
    "sep_token_id": 3,
}
"""As BioClinical-ModernBERT, in small."""


def write_modern_bert(folder: Path, *, weights: bool = True, **changes: Any) -> Path:
    """What a ModernBERT's own repository has: config and tokenizer, and the weights of a masked language model."""
    with tempfile.TemporaryDirectory() as bert:
        tokenizer = AutoTokenizer.from_pretrained(str(write_text_tower(Path(bert))))
    tokenizer.save_pretrained(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings |= {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 8192}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "config.json").write_text(json.dumps({**MODERN_BERT, **changes}))
    if weights:
        torch.manual_seed(7)
        model = AutoModelForMaskedLM.from_config(AutoConfig.from_pretrained(folder))
        model.save_pretrained(folder)
    return folder


def write_tokenizer(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    settings = {"tokenizer_class": "BertTokenizer", "model_max_length": 12, "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def write_text_tower(folder: Path) -> Path:
    """What a BERT's own repository has: its config and tokenizer."""
    write_tokenizer(folder)
    (folder / "config.json").write_text(json.dumps(BERT))
    return folder


def put_on_hub(cache: Path, repo: str, folder: Path, revision: str = "0" * 40, ref: str = "main") -> None:
    """A repository in the cache of the hub's client, as after a download of ``ref``."""
    place = cache / f"models--{repo.replace('/', '--')}"
    shutil.copytree(folder, place / "snapshots" / revision)
    (place / "refs").mkdir(parents=True, exist_ok=True)
    (place / "refs" / ref).write_text(revision)
