from __future__ import annotations

from pathlib import Path

import pytest

from biomedica_ray.config import ConfigError
from biomedica_ray.jobs.submission import Submission
from biomedica_ray.stages import CONFIGS, load


def submission(*arguments: str, env_vars: tuple[str, ...] = ()) -> Submission:
    return Submission("extract", arguments, load("extract", arguments), env_vars)


def test_the_command_is_that_of_a_shell() -> None:
    made = submission("--store", "s3://b/with space", "--source", "sample")
    assert made.entrypoint == "python -m biomedica_ray extract --store 's3://b/with space' --source sample"
    assert made.metadata == {"stage": "extract", "store": "s3://b/with space"}


def test_work_is_the_same_where_the_resolved_config_is(tmp_path: Path) -> None:
    """Not where the words are: a file may say it, in any order; what differs in one key is other work."""
    config = tmp_path / "mine.yaml"
    config.write_text("source: sample\nstore: s3://b/x\n")
    made = submission("--store", "s3://b/x", "--source", "sample")
    assert submission("--config", str(config)).prefix == made.prefix
    assert submission("--store", "s3://b/x", "--source", "sample", "--limit", "5").prefix != made.prefix
    assert made.prefix.startswith("extract-")


def test_the_package_travels_unless_the_folder_has_it(tmp_path: Path) -> None:
    checkout = Path(__file__).parents[2]
    made = submission("--store", "s3://b/x", "--source", "sample")
    assert "py_modules" not in made.runtime_env(checkout)
    elsewhere = made.runtime_env(tmp_path)
    assert [Path(module).name for module in elsewhere["py_modules"]] == ["biomedica_ray"]
    assert elsewhere["working_dir"] == str(tmp_path)
    assert "BIOMEDICA_LOCK" not in elsewhere["env_vars"]
    assert made.runtime_env(checkout)["env_vars"]["BIOMEDICA_LOCK"] == "constraints.txt"


def test_a_config_that_does_not_travel_is_refused(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "x.yaml"
    inside.mkdir()
    outside.write_text("source: sample\nstore: s3://b/x\n")
    for form in (["--config", str(outside)], [f"--config={outside}"]):
        with pytest.raises(ConfigError, match="does not travel with the job; expected a path below the current folder"):
            submission(*form).runtime_env(inside)


def test_environment_variables_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    store = ("--store", "s3://b/x", "--source", "sample")
    assert submission(*store, env_vars=("HF_TOKEN",)).runtime_env(tmp_path)["env_vars"]["HF_TOKEN"] == "secret"
    with pytest.raises(ConfigError, match="env_vars: WANDB_API_KEY is not set here"):
        submission(*store, env_vars=("WANDB_API_KEY",)).runtime_env(tmp_path)


def test_no_stage_has_a_key_that_submit_takes_for_itself() -> None:
    own = {"address", "follow", "env_vars"}
    assert [stage for stage, config in CONFIGS.items() if own & config.model_fields.keys()] == []
