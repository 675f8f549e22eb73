from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from biomedica_ray.dedupe.config import DedupeConfig
from biomedica_ray.runs import Run, git_commit, read_runs
from biomedica_ray.store import Store, StoreError
from biomedica_ray.units import Flow


def git(folder: Path, *arguments: str) -> str:
    author = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **author}
    done = subprocess.run(["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_commit_is_that_of_a_repository_in_which_the_code_is_tracked(tmp_path: Path) -> None:
    module = tmp_path / "package" / "module.py"
    module.parent.mkdir()
    module.write_text("x = 1\n")
    assert git_commit(module) is None
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "package")
    git(tmp_path, "commit", "--quiet", "-m", "one")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert git_commit(module) == commit
    module.write_text("x = 2\n")
    assert git_commit(module) == f"{commit}+"


def test_a_repository_that_surrounds_an_environment_is_not_that_of_the_code(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "-m", "somebody's own work")
    installed = tmp_path / ".venv" / "lib" / "module.py"
    installed.parent.mkdir(parents=True)
    installed.write_text("x = 1\n")
    assert git_commit(installed) is None


def test_a_folder_of_runs_without_a_record_is_passed_over(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.open_or_create(4)
    with Run("dedupe", DedupeConfig(store=str(tmp_path))):
        pass
    (tmp_path / "runs" / "20260101T000000-dedupe-aaaaaa").mkdir()
    assert [run["status"] for run in read_runs(store)] == ["done"]


def test_a_start_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    root = tmp_path / "misspelt"
    with pytest.raises(StoreError), Run("dedupe", DedupeConfig(store=str(root))) as run:
        run.store.generations()
    assert not root.exists()


def test_a_failure_after_the_first_work_is_recorded_with_its_traceback(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Run("dedupe", DedupeConfig(store=str(tmp_path))) as run:
        run.add({"figures": Flow(1, 1, 0)})
        1 / 0  # noqa: B018
    (record,) = read_runs(run.store)
    assert (record["status"], record["failure"]) == ("failed", "ZeroDivisionError: division by zero")
    assert "test_a_failure_after_the_first_work" in record["traceback"]


def test_a_run_that_was_stopped_is_recorded_as_stopped(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Run("dedupe", DedupeConfig(store=str(tmp_path))) as run:
        run.add({"figures": Flow(1, 1, 0)})
        raise KeyboardInterrupt
    (record,) = read_runs(run.store)
    assert (record["status"], record["failure"], record["traceback"]) == ("stopped", None, None)
    assert record["counts"]["figures"]["rows_out"] == 1
