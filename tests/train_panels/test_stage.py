"""The stage train-panels."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from biomedica_ray import cli
from biomedica_ray.config import ConfigError
from biomedica_ray.panels.reader import Reader
from biomedica_ray.panels.weights import about_weights, dump_weights, load_weights
from biomedica_ray.store import Store
from biomedica_ray.train_panels.checkpoint import dump_checkpoint, unfinished_path
from biomedica_ray.train_panels.learning import Both, Learner
from biomedica_ray.train_panels.loop import begun
from tests.synthetic import article, encoded, figure, picture, write_extracted

SMALL = ["--batch_size", "3", "--patches", "8", "--checkpoint_steps", "2"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "store"))
    rows = [figure(f"PMC{n}.1", 1, encoded(picture(n, (300, 200)))) for n in range(3)]
    write_extracted(store, [article(f"PMC{n}") for n in range(3)], rows)
    return store


def test_a_checkpoint_of_the_same_settings_is_gone_on_from_until_the_weights_are_finished(store: Store) -> None:
    settings = {"steps": 4, "lr": 0.1, "begin": "none", "pictures": 5}
    paths = "panel_models/a.safetensors", unfinished_path("a")
    assert begun(store, *paths, settings) == (0, None)
    checkpoint = dump_checkpoint({}, {**settings, "step": 2, "pictures": 3})
    store.write_bytes(paths[1], checkpoint)
    assert begun(store, *paths, settings) == (2, checkpoint)
    assert begun(store, *paths, {**settings, "lr": 0.2}) == (0, None)
    finished = {**settings, "step": 4}
    store.write_bytes(paths[0], dump_weights(None, Reader(), {**finished, "lr": 0.2}))  # finished, of other settings
    assert begun(store, *paths, settings) == (2, checkpoint)
    store.write_bytes(paths[0], dump_weights(None, Reader(), {**finished, "step": 2}))  # an earlier version left that
    assert begun(store, *paths, settings) == (2, checkpoint)
    store.write_bytes(paths[0], dump_weights(None, Reader(), finished))
    assert begun(store, *paths, settings) == (4, None)
    store.write_bytes(paths[0], b"something else")
    with pytest.raises(ConfigError, match=r"a\.safetensors: expected weights that train-panels of this version wrote"):
        begun(store, *paths, settings)
    store.delete(paths[0])
    store.write_bytes(paths[1], dump_weights(None, Reader(), {**settings, "step": 2}))  # weights are no checkpoint
    assert begun(store, *paths, settings) == (0, None)


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
    unfinished = Path(store.root) / unfinished_path("panels")
    assert not unfinished.exists()
    detector, reader = load_weights(first, "x")
    assert detector is not None
    state = Learner(Both(detector, reader), 2e-3, 4, torch.device("cpu")).state()
    store.write_bytes(unfinished_path("panels"), dump_checkpoint(state, {**about, "step": 2}))
    path.unlink()
    capfd.readouterr()
    assert cli.main([*train, "--steps", "4"]) == 0
    assert "resuming after step 2 of 4" in capfd.readouterr().err
    assert about_weights(path.read_bytes(), "x") == about
    assert not unfinished.exists()
    assert cli.main(["panels", "--store", store.root, "--detector", str(path)]) == 0
    assert cli.main(["train-panels", "--store", store.root, "--begin", str(tmp_path / "no.safetensors")]) != 0
    assert "begin: " in capfd.readouterr().err
