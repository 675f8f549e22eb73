"""The stage train-panels."""

from __future__ import annotations

from pathlib import Path

import pytest

from biomedica_ray import cli
from biomedica_ray.panels.weights import about_weights, load_weights
from biomedica_ray.store import Store
from tests.synthetic import article, encoded, figure, picture, write_extracted

SMALL = ["--batch_size", "3", "--patches", "8", "--checkpoint_steps", "2"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "store"))
    rows = [figure(f"PMC{n}.1", 1, encoded(picture(n, (300, 200)))) for n in range(3)]
    write_extracted(store, [article(f"PMC{n}") for n in range(3)], rows)
    return store


@pytest.mark.cluster
def test_weights_are_trained_resumed_and_used(
    ray_cluster: None, store: Store, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train = ["train-panels", "--store", store.root, "--begin", "none", *SMALL]
    assert cli.main([*train, "--steps", "2"]) != 0
    assert "no panels yet; run `biomedica panels` first" in capfd.readouterr().err
    assert cli.main(["panels", "--store", store.root, "--detector", "none"]) == 0
    assert cli.main([*train, "--steps", "4"]) == 0
    path = Path(store.root) / "panel_models" / "panels.safetensors"
    first = path.read_bytes()
    about = about_weights(first, "x")
    assert (about["step"], about["steps"], about["begin"]) == (4, 4, "none")
    assert about["pictures"] == 3
    load_weights(first, "x")
    assert cli.main([*train, "--steps", "4"]) == 0  # done already
    assert path.read_bytes() == first
    assert cli.main(["panels", "--store", store.root, "--detector", str(path)]) == 0
    assert cli.main(["train-panels", "--store", store.root, "--begin", str(tmp_path / "no.safetensors")]) != 0
    assert "begin: " in capfd.readouterr().err
