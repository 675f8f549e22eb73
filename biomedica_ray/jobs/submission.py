"""What a submitted stage is: its command, what travels with it, and the id that it runs under."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient

import biomedica_ray
from biomedica_ray.config import ConfigError, StageConfig
from biomedica_ray.jobs.api import answer
from biomedica_ray.jobs.lock import LOCK, LOCK_VARIABLE

STOP_WAIT_S = 300
"""How long a job that is told to stop may take to close its run, before Ray kills it (Ray's default is 3 s)."""

_PACKAGE = Path(biomedica_ray.__file__).parent


@dataclass(frozen=True)
class Submission:
    """A stage to be run as a job.

    Args:
        stage: The stage.
        arguments: Its command line, as ``biomedica STAGE`` takes it.
        config: What they resolve to here.
        env_vars: Names of environment variables of this process that the job gets too.
    """

    stage: str
    arguments: Sequence[str]
    config: StageConfig
    env_vars: Sequence[str] = ()

    @property
    def prefix(self) -> str:
        """How the ids of jobs begin that do this same work: the stage, and a hash of its resolved config."""
        resolved = json.dumps([self.stage, self.config.model_dump(mode="json")], sort_keys=True)
        return f"{self.stage}-{hashlib.sha256(resolved.encode()).hexdigest()[:8]}-"

    @property
    def entrypoint(self) -> str:
        """The job's command."""
        return shlex.join(["python", "-m", "biomedica_ray", self.stage, *self.arguments])

    @property
    def metadata(self) -> dict[str, str]:
        """What a list of jobs shows."""
        return {"stage": self.stage, "store": self.config.store}

    def runtime_env(self, folder: Path) -> dict[str, Any]:
        """Ray's runtime environment: the files of ``folder`` travel with the job, and this package if it isn't there.

        Raises:
            ConfigError: The config file is not below the folder, or an environment variable is not set.
        """
        env_vars = {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_S), **_set(self.env_vars)}
        runtime_env: dict[str, Any] = {"working_dir": str(folder), "env_vars": env_vars}
        for file in _config_files(self.arguments):
            if Path(file).is_absolute() or not (folder / file).resolve().is_relative_to(folder.resolve()):
                raise ConfigError(
                    f"config: {file} does not travel with the job; expected a path below the current folder, {folder}"
                )
        if not (folder / _PACKAGE.name).is_dir():
            runtime_env["py_modules"] = [str(_PACKAGE)]
        if (folder / LOCK).is_file():
            env_vars[LOCK_VARIABLE] = LOCK
        return runtime_env


def submit(client: JobSubmissionClient, submission: Submission, folder: Path) -> tuple[str, bool]:
    """Submit a stage, unless a job that does the same work runs or waits.

    Returns:
        The job's submission id, and whether the job is a new one.

    Raises:
        ConfigError: As in :meth:`Submission.runtime_env`.
        ClusterError: The cluster refuses the job, or does not answer.
    """
    runtime_env = submission.runtime_env(folder)
    jobs = _same(client, submission.prefix)
    if (running := _unfinished(jobs)) is not None:
        return running, False
    numbers = [int(number) for job in jobs if (number := job.removeprefix(submission.prefix)).isdigit()]
    name = f"{submission.prefix}{max(numbers, default=0) + 1}"

    def send() -> str:
        return client.submit_job(
            entrypoint=submission.entrypoint,
            submission_id=name,
            runtime_env=runtime_env,
            metadata=submission.metadata,
        )

    try:
        return answer(client, send), True
    except Exception:
        # Another submit of the same work was faster.
        if (running := _unfinished(_same(client, submission.prefix))) is not None:
            return running, False
        raise


def _same(client: JobSubmissionClient, prefix: str) -> dict[str, JobDetails]:
    jobs = answer(client, client.list_jobs)
    return {job.submission_id: job for job in jobs if job.submission_id and job.submission_id.startswith(prefix)}


def _unfinished(jobs: Mapping[str, JobDetails]) -> str | None:
    return next((name for name, job in jobs.items() if not JobStatus(job.status).is_terminal()), None)


def _config_files(arguments: Sequence[str]) -> list[str]:
    following = [value for key, value in pairwise(arguments) if key == "--config"]
    return following + [text.removeprefix("--config=") for text in arguments if text.startswith("--config=")]


def _set(names: Sequence[str]) -> dict[str, str]:
    if missing := [name for name in names if name not in os.environ]:
        raise ConfigError(f"env_vars: {missing[0]} is not set here")
    return {name: os.environ[name] for name in names}
