from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.models.hub import put_on_hub, write_bert, write_text_tower
from tests.reading.shards import sample, write_dataset

pytestmark = pytest.mark.cluster


def test_a_model_of_the_hub_with_a_bert_is_trained_evaluated_and_merged(tmp_path: Path) -> None:
    """As BiomedCLIP would be, from the cache of a hub that cannot be reached."""
    cache = tmp_path / "home/hub"
    put_on_hub(cache, "some/bert", write_text_tower(tmp_path / "bert"))
    put_on_hub(cache, "some/biomed", write_bert(tmp_path / "biomed", "some/bert"))
    store = tmp_path / "store"
    write_dataset(store / "dataset", [map(sample, range(10))])
    for split in ("validation", "test"):
        write_dataset(store / "dataset", [map(sample, range(20, 26))], split)
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "tests.models.hub_run", str(store)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    scores = json.loads((store / "checkpoints/tiny/evaluation.json").read_text())["tasks"]
    merged = json.loads((store / "checkpoints/mixed/merge.json").read_text())
    assert merged["base"] == f"hf-hub:some/biomed@{'0' * 40}"
    assert merged["sweep"][1]["score"] == scores["retrieval"]["image_to_text"]["recall@1"]["value"]
    assert (store / "checkpoints/mixed/model/tokenizer_config.json").is_file()
    assert (store / "checkpoints/mixed/model/config.json").is_file()
    start = load_file(tmp_path / "biomed/open_clip_model.safetensors")
    tuned = load_file(store / "checkpoints/tiny/model/open_clip_model.safetensors")
    assert start.keys() == tuned.keys()
    moved = max((tuned[name] - start[name]).abs().max().item() for name in start)
    assert 0 < moved < 1e-3
