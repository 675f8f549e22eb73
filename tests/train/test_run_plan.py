from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from biomedica_ray.config import ConfigError
from biomedica_ray.runs import Run
from biomedica_ray.store import StoreError
from biomedica_ray.train.checkpoints import Checkpoints
from biomedica_ray.train.run_plan import Plan, make_plan
from tests.reading.shards import sample, write_dataset
from tests.train.training import tiny


def test_too_few_training_samples(tmp_path: Path, tiny_model: str) -> None:
    write_dataset(tmp_path / "dataset", [[sample(0)]])
    config = tiny(tmp_path, tiny_model)
    run = Run("train", config)
    with pytest.raises(ConfigError, match="1 training samples of commercial"):
        make_plan(config, run, Checkpoints(run.store, config.name))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            "/nope",
            r"^data: /nope: no such folder; expected the folder of a dataset, \.tar files, or a \.csv or \.tsv$",
        ),
        ("{here}/pairs.txt", r"^data: .*pairs\.txt: is a file; expected the folder of a dataset"),
        ("{here}/none.csv", r"^data: .*none\.csv: .*No such file"),
        (
            "{here}/pairs.csv",
            r"^data: .*pairs\.csv: expected a column named title or caption or text, got",
        ),
    ],
)
def test_data_that_is_none(tmp_path: Path, tiny_model: str, data: str, message: str) -> None:
    (tmp_path / "pairs.csv").write_text("filepath,tit\na.jpg,b\n")
    (tmp_path / "pairs.txt").write_text("")
    config = tiny(tmp_path, tiny_model, data=data.format(here=tmp_path))
    run = Run("train", config)
    with pytest.raises(ConfigError, match=message):
        make_plan(config, run, Checkpoints(run.store, config.name))


def test_a_plan_writes_nothing(tmp_path: Path, tiny_model: str) -> None:
    write_dataset(tmp_path / "dataset", [map(sample, range(8))])
    before = sorted(tmp_path.rglob("*"))
    config = tiny(tmp_path, tiny_model)
    run = Run("train", config)
    assert make_plan(config, run, Checkpoints(run.store, config.name)).settings["lanes"] == 2
    assert sorted(tmp_path.rglob("*")) == before


PLAN = """
import sys
from biomedica_ray.runs import Run
from biomedica_ray.train.checkpoints import Checkpoints
from biomedica_ray.train.config import TrainConfig
from biomedica_ray.train.run_plan import make_plan
config = TrainConfig(store=sys.argv[1], model="clip-lite0", pretrained=None, batch_size=2, eval_steps=2)
run = Run("train", config)
plan = make_plan(config, run, Checkpoints(run.store, config.name))
print(plan.spec.name, plan.held_out.size, sorted({"torch", "timm", "open_clip"} & sys.modules.keys()))
"""


def test_a_plan_of_a_model_that_needs_no_open_clip_imports_none(tmp_path: Path) -> None:
    write_dataset(tmp_path / "dataset", [map(sample, range(8))])
    write_dataset(tmp_path / "dataset", [map(sample, range(8, 12))], split="validation")
    done = subprocess.run(
        [sys.executable, "-c", PLAN, str(tmp_path)], capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout.strip() == "clip-lite0 4 []"


def test_what_is_held_out_must_be_there_and_be_wanted(tmp_path: Path, tiny_model: str) -> None:
    data = write_dataset(tmp_path / "dataset", [map(sample, range(8))])
    tar = f"{data.root}/webdataset/commercial/train/000000.tar"
    (Path(tar).parent / "sizes.json").write_text('{"000000.tar": 8}')

    def refused(message: str, **changes: Any) -> None:
        config = tiny(tmp_path, tiny_model, **changes)
        run = Run("train", config)
        with pytest.raises((ConfigError, StoreError), match=message):
            make_plan(config, run, Checkpoints(run.store, config.name))

    refused(r"^validation_fraction: a dataset has a validation split of its own", validation_fraction=0.1)
    refused(r"dataset: 0 validation samples, expected .* serialize with a greater validation_fraction$", eval_steps=1)
    refused(r"^eval_steps: samples without a dataset.json have no validation split; set valid", eval_steps=1, data=tar)
    # Tasks are measured without, but choose no checkpoint.
    tasks = {"eval_steps": 1, "eval_tasks": ["pcam"], "eval_data": str(tmp_path)}
    refused(r"^eval_tasks: pcam: not in ", **tasks)
    refused(r"dataset: 0 validation samples", keep_best="retrieval.image_to_text.recall@1", **tasks)


def test_words_of_panels_are_refused_where_samples_are_whole_figures(tmp_path: Path, tiny_model: str) -> None:
    data = write_dataset(tmp_path / "dataset", [map(sample, range(20))])
    config = tiny(tmp_path, tiny_model, texts={"caption": 1, "panel": 1})
    run = Run("train", config)
    with pytest.raises(
        ConfigError, match=r"^texts: panel: .*dataset holds whole figures; run `biomedica serialize --pa"
    ):
        make_plan(config, run, Checkpoints(run.store, config.name))
    data.write_json("dataset.json", {**data.read_json("dataset.json"), "pairs": "both"})
    assert make_plan(config, run, Checkpoints(run.store, config.name)).stream.n_samples == 20


def test_weights_that_a_step_cannot_have(tmp_path: Path, tiny_model: str) -> None:
    large = write_dataset(tmp_path / "large", [map(sample, range(40))])
    small = write_dataset(tmp_path / "small", [map(sample, range(6))])

    def plan(*weights: float, **changes: Any) -> Plan:
        return plan_of(large.root, small.root, *weights, **changes)

    def plan_of(first: str, second: str, *weights: float, **changes: Any) -> Plan:
        uris = (first, second)
        data = [{"uri": uri, "weight": weight} for uri, weight in zip(uris, weights or (1, 1), strict=True)]
        config = tiny(tmp_path, tiny_model, data=data, **{"batch_size": 8, **changes})
        run = Run("train", config)
        return make_plan(config, run, Checkpoints(run.store, config.name))

    assert plan(3, 1).stream.sizes == (6, 2, 6, 2)
    assert plan(1, 1, num_workers=1, batch_size=12).stream.sizes == (6, 6)
    with pytest.raises(ConfigError, match=r"^data: .*small: its weight is no sample of the 8 of a lane in a step$"):
        plan(100, 1)
    with pytest.raises(ConfigError, match=r"^data: .*small: 6 samples are fewer than the 8 that a step takes of it$"):
        plan(1, 1)
    with pytest.raises(StoreError, match=r"large, .*small: 0 validation samples, expected .* serialize with a greater"):
        plan(3, 1, eval_steps=1)
    write_dataset(Path(large.root), [map(sample, range(40, 44))], "validation")
    held_out = plan(3, 1, eval_steps=1).held_out
    assert held_out is not None
    assert [(part.data.root, part.numbers) for part in held_out.parts] == [(large.root, [0, 1, 2, 3])]
    write_dataset(Path(small.root), [map(sample, range(44, 52))], "validation")
    held_out = plan(3, 1, eval_steps=1, eval_samples=4).held_out
    assert held_out is not None
    assert [(part.data.root, len(part.numbers)) for part in held_out.parts] == [(large.root, 3), (small.root, 1)]
    keys = [each.key for rank in range(2) for each in held_out.samples(rank, 2)]
    assert len(set(keys)) == held_out.size == 4
    twice = plan_of(large.root, large.root, eval_steps=1)
    assert twice.held_out is not None
    assert [part.numbers for part in twice.held_out.parts] == [[0, 1, 2, 3]]
