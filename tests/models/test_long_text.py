"""Text towers that read longer texts than they were trained for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from biomedica_ray.config import ConfigError
from biomedica_ray.models.clip import build, export
from biomedica_ray.models.long_text import stretched
from biomedica_ray.models.spec import ModelSpec, resolve_model, with_weights
from biomedica_ray.models.variants import for_training
from tests.models.hub import write_bert, write_text_tower
from tests.train.conftest import TINY

SHORT = ["a red square", "cells"]
TEN = "one two three four five six seven eight nine ten "
LONG = TEN * 4


def of_longclip(pre: torch.Tensor) -> torch.Tensor:
    """As ``load_from_clip`` of LongCLIP's code, for 4 times as many positions but for the first 20."""
    length, keep = len(pre), 20
    new = torch.zeros(4 * length - 3 * keep, pre.shape[1])
    new[:keep] = pre[:keep]
    for i in range(length - 1 - keep):
        for part in range(4):
            new[4 * i + keep + part] = (4 - part) * pre[i + keep] / 4 + part * pre[i + 1 + keep] / 4
    for part in range(4):
        new[4 * length - 3 * keep - 4 + part] = pre[-1] + part * (pre[-1] - pre[-2]) / 4
    return new


def test_positions_are_stretched_as_by_longclip() -> None:
    positions = torch.randn(77, 8)
    torch.testing.assert_close(stretched(positions, 248), of_longclip(positions), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(stretched(positions, 77), positions)
    assert stretched(positions, 512).shape == (512, 8)


@pytest.fixture(params=[False, True], ids=["CLIP", "custom text"])
def weights(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder with a CLIP of 24 tokens."""
    text = {**TINY["text_cfg"], "context_length": 24}
    (tmp_path / "tiny.json").write_text(json.dumps({**TINY, "text_cfg": text, "custom_text": request.param}))
    spec = resolve_model(str(tmp_path / "tiny.json"), None)
    folder = tmp_path / "base"
    folder.mkdir()
    export(*build(spec), spec, folder)
    return str(folder)


def longer(spec: ModelSpec, length: int = 40) -> ModelSpec:
    return for_training(spec, loss="clip", patch_dropout=0, context_length=length)


def features(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return model.eval().encode_text(tokens)


def test_short_texts_are_seen_as_before_and_long_ones_to_their_end(weights: str) -> None:
    base, tokenizer = build(resolve_model(weights, weights))
    model, long_tokenizer = build(longer(resolve_model(weights, weights)))
    assert (tokenizer(SHORT).shape, long_tokenizer(SHORT).shape) == ((2, 24), (2, 40))
    torch.testing.assert_close(features(model, long_tokenizer(SHORT)), features(base, tokenizer(SHORT)))
    texts = [TEN * 3 + end for end in ("liver", "kidney")]
    seen = features(model, long_tokenizer(texts))
    assert torch.equal(*features(base, tokenizer(texts)))
    assert not torch.equal(*seen)


def test_what_is_exported_is_stretched_once(weights: str, tmp_path: Path) -> None:
    spec = longer(resolve_model(weights, weights))
    model, tokenizer = build(spec)
    out = tmp_path / "long"
    out.mkdir()
    export(model, tokenizer, spec, out)
    again = resolve_model(str(out), str(out))
    assert (again.context_length, again.stretched_from) == (40, None)
    loaded, own = build(again)
    tokens = own([LONG])
    assert tokens.shape == (1, 40)
    assert torch.equal(features(loaded, tokens), features(model, tokens))
    # As merge does: the weights that a run began with are stretched, and those of a stretched model are not.
    start, _ = build(with_weights(spec, weights))
    assert torch.equal(features(start, tokens), features(model, tokens))
    merged, _ = build(with_weights(spec, str(out)))
    assert torch.equal(features(merged, tokens), features(model, tokens))
    assert longer(again) == again


def test_lengths_that_cannot_be(weights: str, tmp_path: Path) -> None:
    spec = resolve_model(weights, weights)
    with pytest.raises(ConfigError, match=r"^context_length: expected at least the 24 tokens of .*, got 16$"):
        longer(spec, 16)
    (tmp_path / "tiny16.json").write_text(json.dumps(TINY))
    with pytest.raises(ConfigError, match=r"^context_length: the position embeddings of .* cannot be stretched$"):
        longer(resolve_model(str(tmp_path / "tiny16.json"), None))


def test_a_bert_reads_as_many_tokens_as_it_has_positions(tmp_path: Path) -> None:
    folder = str(write_bert(tmp_path / "biomed", str(write_text_tower(tmp_path / "bert"))))
    spec = longer(resolve_model(folder, folder), 16)
    model, tokenizer = build(spec)
    base, _ = build(resolve_model(folder, folder))
    tokens = tokenizer(["a red square"])
    assert (tokens.shape, spec.stretched_from) == ((1, 16), None)
    torch.testing.assert_close(features(model, tokens), features(base, tokens[:, :12]))
