from __future__ import annotations

from pathlib import Path

import pytest

from biomedica_ray.config import STAGES, ConfigError
from biomedica_ray.config.needs import GIB, Need
from biomedica_ray.evaluate.config import EvaluateConfig
from biomedica_ray.extract.config import ExtractConfig
from biomedica_ray.stages import PipelineConfig, load
from biomedica_ray.train.config import TrainConfig

LAPTOP = [{"CPU": 2.0, "memory": 8.0 * GIB}]
CPU_NODE, GPU_NODE = {"CPU": 16.0, "memory": 64.0 * GIB}, {"CPU": 16.0, "GPU": 1.0, "memory": 128.0 * GIB}
JOBS = Path(__file__).parents[1] / "jobs"


def reasons(stage: str, *arguments: str, nodes: list[dict[str, float]]) -> list[str]:
    needs = load(stage, ["--store", "s", *arguments]).needs()
    return [reason for need in needs if (reason := need.unmet(nodes))]


def test_the_search_in_other_sets_needs_its_own_memory() -> None:
    small = [{"CPU": 2.0, "memory": 1.5 * GIB}]
    arguments = ["--memory_gb", "1"]
    assert reasons("dedupe", *arguments, nodes=small) == []
    told = "against: asks for 2 GB of memory, and there is 1.5 GB of memory"
    assert reasons("dedupe", *arguments, "--against", "x.tar", nodes=small) == [told]


@pytest.mark.parametrize(
    ("stage", "arguments", "reason"),
    [
        ("dedupe", ["--num_cpus", "8"], "num_cpus: asks for 8 CPUs, and there are 2 CPUs"),
        ("dedupe", ["--memory_gb", "8.5"], "memory_gb: asks for 8.5 GB of memory, and there is 8 GB of memory"),
        ("annotate", ["--num_gpus", "1"], "num_gpus: asks for 1 GPU, and there is no GPU"),
        ("annotate", ["--fit_cpus", "16"], "fit_cpus: asks for 16 CPUs, and there are 2 CPUs"),
        ("extract", ["--memory_gb", "1000"], "memory_gb: asks for 1000 GB of memory, and there is 8 GB of memory"),
        ("evaluate", ["--use_gpu", "true"], "use_gpu: asks for 1 GPU, and there is no GPU"),
        ("merge", ["--num_cpus", "3"], "num_cpus: asks for 3 CPUs, and there are 2 CPUs"),
        ("train", ["--use_gpu", "true"], "use_gpu: asks for 1 GPU, and there is no GPU"),
        (
            "train",
            ["--num_workers", "3"],
            "num_workers: 3 workers of 1 CPU (cpus_per_worker) each are asked for, and there is room for 2",
        ),
        (
            "pipeline",
            ["--annotate.num_gpus", "0.5"],
            "annotate.num_gpus: asks for 0.5 GPUs, and there is no GPU",
        ),
    ],
)
def test_what_this_machine_cannot_give_is_named(stage: str, arguments: list[str], reason: str) -> None:
    assert reasons(stage, *arguments, nodes=LAPTOP) == [reason]


def test_the_listing_of_all_of_pmc_needs_memory_of_its_own() -> None:
    small = [{"CPU": 2.0, "memory": 4.0 * GIB}]
    assert reasons("extract", "--source", "pmc", nodes=small) == [
        "source: asks for 4.412 GB of memory, and there is 4 GB of memory"
    ]
    assert reasons("extract", "--source", "pmc", "--source_endpoint_url", "http://localhost:1", nodes=small) == []
    assert reasons("extract", "--source", "sample", nodes=small) == []


def test_the_memory_of_the_listing_grows_with_what_the_store_holds() -> None:
    config = ExtractConfig(store="s", source="sample")
    assert [round(config.listing_gb(held), 2) for held in (0, 1_000_000, 6_300_000)] == [1.5, 1.5, 5.78]
    assert round(ExtractConfig(store="s", source="pmc").listing_gb(6_300_000), 2) == 6.17


@pytest.mark.parametrize("stage", [*STAGES, "sheets", "merge"])
def test_defaults_suit_a_small_machine(stage: str) -> None:
    required = {
        "enrich": ["--email", "a@b.org"],
        "select": ["--name", "n"],
        "propose": ["--model", "open_clip/ViT-B-32"],
    }
    assert reasons(stage, *required.get(stage, []), nodes=LAPTOP) == []


def test_everything_that_one_worker_asks_for_is_on_one_node() -> None:
    need = EvaluateConfig(store="s", use_gpu=True, num_cpus=17).needs()[0]
    assert (
        need.unmet([{"CPU": 32.0}, GPU_NODE]) == "num_cpus: no node has 17 CPUs (num_cpus) and 1 GPU (use_gpu) together"
    )
    assert need.unmet([CPU_NODE]) == "num_cpus: asks for 17 CPUs, and there are 16 CPUs"
    assert need.unmet([{"CPU": 17.0, "GPU": 1.0}]) == ""


def test_training_needs_the_fewest_workers_that_it_may_go_on_with() -> None:
    (need,) = TrainConfig(
        store="s", num_workers=4, min_workers=2, batch_size=3, use_gpu=True, cpus_per_worker=16
    ).needs()
    assert (need.workers, need.workers_key) == (2, "min_workers")
    assert need.unmet([GPU_NODE]).startswith("min_workers: 2 workers of 16 CPUs (cpus_per_worker) and 1 GPU (use_gpu)")
    assert need.unmet([GPU_NODE, GPU_NODE]) == ""


def test_a_cluster_without_a_node_for_work_is_no_division_by_zero() -> None:
    assert (
        Need.of(EvaluateConfig(store="s"), CPU="num_cpus").unmet([]) == "num_cpus: asks for 1 CPU, and there is no CPU"
    )


def test_the_shipped_configs_ask_for_what_cluster_yaml_has() -> None:
    """The largest nodes are m7i.4xlarge and g6e.4xlarge; Ray gives 7/10 of their memory to tasks."""
    nodes = [{"CPU": 16.0, "memory": 0.7 * 64 * GIB}, *[{"CPU": 16.0, "GPU": 1.0, "memory": 0.7 * 128 * GIB}] * 4]
    for stage in ("extract", "dedupe", "annotate", "serialize", "train", "evaluate", "merge", "sheets", "select"):
        needs = load(stage, ["--config", str(JOBS / f"{stage}.yaml"), "--store", "s"]).needs()
        assert [need.unmet(nodes) for need in needs] == [""] * len(needs), stage


def test_each_section_of_the_pipeline_is_as_the_stages_own_file() -> None:
    config = load("pipeline", ["--config", str(JOBS / "pipeline.yaml"), "--store", "s"])
    assert isinstance(config, PipelineConfig)
    for stage in config.stages:
        assert config.stage(stage) == load(stage, ["--config", str(JOBS / f"{stage}.yaml"), "--store", "s"]), stage


def test_a_config_error_is_what_a_user_sees() -> None:
    from biomedica_ray.resources import check

    with pytest.raises(ConfigError, match=r"num_cpus: .* on this machine; ask for less, or name a cluster"):
        check(load("dedupe", ["--store", "s", "--num_cpus", "8"]).needs(), LAPTOP)
