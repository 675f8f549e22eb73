"""The commands of the card, as they stand there, with the versions that it names."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.serialize.test_readers import dataset, for_training
from tests.train.conftest import TINY

__all__ = ["dataset", "for_training"]


def blocks(root: Path, language: str) -> list[str]:
    """The card's blocks of code in a language."""
    return re.findall(rf"```{language}\n(.*?)```", (root / "README.md").read_text(), re.S)


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def test_webdataset_is_of_a_version_that_open_clip_train_reads_with() -> None:
    assert tuple(map(int, version("webdataset").split("."))) <= (0, 2, 86)


def test_open_clip_train(for_training: Path, tmp_path: Path) -> None:
    """A step of each worker, of a model small enough for that; of all profiles it reads the same files."""
    (command,) = blocks(for_training, "sh")
    model = tmp_path / "tiny"
    model.mkdir()
    (model / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY, "preprocess_cfg": {}}))
    words = shlex.split(command.replace("\\\n", " ").replace("ViT-L-14", f"local-dir:{model}"))
    assert words[0] == "python"
    few = ["--batch-size", "4", "--epochs", "1", "--precision", "fp32", "--warmup", "1", "--device", "cpu"]
    told = run([sys.executable, *words[1:], *few, "--logs", str(tmp_path), "--log-every-n-steps", "1"], for_training)
    losses = [float(loss) for loss in re.findall(r"Contrastive_loss: ([\d.]+)", told, re.IGNORECASE)]
    assert losses
    assert all(0 < loss < 10 for loss in losses)
    assert "[24/24 (100%)]" in told


@pytest.mark.parametrize("number", [0, 1])
def test_python(dataset: Path, tmp_path: Path, number: int) -> None:
    """Each block, and that what it calls data has all the samples."""
    code = blocks(dataset, "python")[number]
    count = "\nprint('samples:', sum(1 for _ in data))\n"
    assert "samples: 24" in run([sys.executable, "-c", code + count], dataset)
