from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from braceexpand import braceexpand
from huggingface_hub import DatasetCard

from biomedica_ray.reading.place import Place
from biomedica_ray.serialize.card import braces, size_category
from biomedica_ray.serialize.dataset import publish, withdraw
from biomedica_ray.store import Store

ALL = Place(None)
SETTINGS = {"version": "0.1.0", "samples_per_shard": 2, "validation_fraction": 0.05, "test_fraction": 0.1}


def shard(group: str, split: str, index: int, samples: int) -> dict[str, Any]:
    return {
        "path": f"webdataset/{group}/{split}/{group}-{split}-{index:06d}.tar",
        "parquet": f"parquet/{group}/{split}/{group}-{split}-{index:06d}.parquet",
        "license_group": group,
        "split": split,
        "samples": samples,
        "bytes": 1_500_000,
        "sha256": "0" * 64,
    }


SHARDS = [shard("commercial", "test", 0, 1), shard("commercial", "train", 0, 2), shard("commercial", "train", 1, 1)]


def test_the_card(tmp_path: Path) -> None:
    publish(Store(str(tmp_path)), ALL, SHARDS, SETTINGS)
    card = (tmp_path / "dataset" / "README.md").read_text()
    _, header, text = card.split("---\n", 2)
    configs = yaml.safe_load(header)["configs"]
    assert [(c["config_name"], [d["split"] for d in c["data_files"]]) for c in configs] == [
        ("commercial", ["test", "train"])
    ]
    assert configs[0]["data_files"][1]["path"] == "parquet/commercial/train/*.parquet"
    assert "| commercial | train | 3 | 2 | 0.003 |" in text
    assert "webdataset/commercial/train/commercial-train-{000000..000001}.tar" in text
    assert "CC0, CC BY" in text
    assert "noncommercial" not in text
    assert "--train-num-samples 3 " in text
    assert "--workers 2 " in text
    assert "sorted by `image_concept`" in text and "shuffle(seed=0, buffer_size=2)" in text
    assert "About 10% of the articles are held out as `test`, for a final score, and 5% as `validation`" in text
    assert "U.S. National Library of Medicine" in text


def test_the_hub_reads_the_header_of_the_card(tmp_path: Path) -> None:
    publish(Store(str(tmp_path)), ALL, SHARDS, SETTINGS)
    data = DatasetCard.load(tmp_path / "dataset" / "README.md").data
    assert (data.license, data.license_name) == ("other", "creative-commons-by-figure")
    assert (data.size_categories, data.language) == (["n<1K"], ["en"])
    assert data.task_categories == ["zero-shot-image-classification", "image-to-text"]


@pytest.mark.parametrize(
    ("samples", "category"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (24_000_000, "10M<n<100M"), (10**12, "n>1T")],
)
def test_sizes_in_the_words_of_the_hub(samples: int, category: str) -> None:
    assert size_category(samples) == category


def test_shards_as_a_pattern_for_shells_and_webdataset() -> None:
    assert braces(["a-000000", "a-000001"]) == "a-{000000..000001}"
    gaps = [f"a-{number:06d}" for number in (0, 1, 4, 6, 7)]
    assert braces(gaps) == "a-{{000000..000001},{000004..000004},{000006..000007}}"
    assert list(braceexpand(f"a/{braces(gaps)}.tar")) == [f"a/{name}.tar" for name in gaps]


def test_files_of_no_shard_are_removed(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    stale, kept = f"dataset/{shard('other', 'train', 7, 1)['path']}", f"dataset/{SHARDS[0]['path']}"
    for path in (stale, kept, "dataset/NOTES.md"):
        store.write_bytes(path, b"x")
    publish(store, ALL, SHARDS, SETTINGS)
    assert not (tmp_path / stale).exists()
    assert (tmp_path / kept).exists()
    assert (tmp_path / "dataset/NOTES.md").exists()
    assert store.read_json("dataset/dataset.json") == {
        **SETTINGS,
        "samples": 4,
        "attribution": "attribution.parquet",
        "metadata": "metadata.parquet",
        "previous": None,
        "shards": SHARDS,
    }


def test_withdraw(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    withdraw(store, ALL)
    publish(store, ALL, SHARDS, SETTINGS)
    sizes = tmp_path / "dataset/webdataset/commercial/train/sizes.json"
    assert json.loads(sizes.read_text()) == {"commercial-train-000000.tar": 2, "commercial-train-000001.tar": 1}
    withdraw(store, ALL)
    assert not (tmp_path / "dataset/dataset.json").exists()
    assert not sizes.exists()
