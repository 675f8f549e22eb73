"""``biomedica submit``, ``jobs``, ``logs`` and ``stop``: each takes its command line and returns an exit code."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient
from rich.console import Console
from rich.table import Table

from biomedica_ray.config import ConfigError
from biomedica_ray.config.arguments import Arguments
from biomedica_ray.config.wording import suggest
from biomedica_ray.exit_codes import INTERRUPTED
from biomedica_ray.head_node import ClusterError
from biomedica_ray.jobs import api, following
from biomedica_ray.jobs.submission import STOP_WAIT_S, Submission
from biomedica_ray.jobs.submission import submit as submit_job
from biomedica_ray.logs import message_of
from biomedica_ray.progress import is_progress
from biomedica_ray.stages import CONFIGS, load


def submit(argv: Sequence[str]) -> int:
    """Submit a stage as a Ray job and follow its log; the job goes on when this ends.

    Returns:
        The exit code of the job; 0 where it is not followed.

    Raises:
        ConfigError: The stage's config or one of the options cannot be used.
        ClusterError: The cluster refuses the job or does not answer.
    """
    parser = _parser("submit", "Submit a stage as a Ray job, from the current folder, which travels with it.")
    parser.add_argument("stage", metavar="STAGE", help="the stage; its --key value follow")
    parser.add_argument(
        "--follow", choices=["true", "false"], default="true", help="show the log until the job ends (true)"
    )
    parser.add_argument(
        "--env_vars",
        default="",
        metavar="NAME,...",
        help="environment variables of this shell that the job gets; whoever may see the dashboard sees them",
    )
    options, arguments = parser.parse_known_args(list(argv))
    if options.stage not in CONFIGS:
        raise ConfigError(f"{options.stage}: unknown stage; {suggest(options.stage, CONFIGS)}")
    submission = Submission(
        options.stage,
        arguments,
        load(options.stage, arguments),
        [name for name in options.env_vars.split(",") if name],
    )
    client = api.connect(options.address)
    name, is_new = submit_job(client, submission, Path.cwd())
    print(f"biomedica submit: job {name} {'is submitted' if is_new else 'does this already'}", file=sys.stderr)
    if options.follow == "false":
        print(_how_to_return(client, name), file=sys.stderr)
        return 0
    return _follow(client, name)


def jobs(argv: Sequence[str]) -> int:
    """List the jobs of a cluster, newest first: id, stage, store, state, start, and how far those are that run."""
    client = api.connect(_parser("jobs", "List the jobs of a cluster.").parse(argv).address)
    listed = [job for job in api.answer(client, client.list_jobs) if job.submission_id]
    table = Table(box=None, pad_edge=False)
    table.add_column("job", no_wrap=True)
    for column in ("stage", "store", "state", "started (UTC)", "progress"):
        table.add_column(column, overflow="fold")
    for job in sorted(listed, key=lambda job: job.start_time or 0, reverse=True):
        metadata = job.metadata or {}
        started = datetime.fromtimestamp((job.start_time or 0) / 1000, UTC).strftime("%Y-%m-%d %H:%M")
        cells = [metadata.get("stage", ""), metadata.get("store", ""), job.status.value.lower(), started]
        table.add_row(job.submission_id, *cells, _progress(client, job))
    console = Console()
    if not console.is_terminal:
        console = Console(width=1000)
    console.print(table)
    return 0


def logs(argv: Sequence[str]) -> int:
    """Write the log of a job, until the job ends; returns the job's exit code."""
    parser = _parser("logs", "Show a job's log until the job ends.")
    parser.add_argument("job", metavar="JOB", help="the job, as `biomedica jobs` lists it")
    options = parser.parse(argv)
    return _follow(api.connect(options.address), options.job)


def stop(argv: Sequence[str]) -> int:
    """Stop a job: SIGTERM, upon which it closes its run; returns when it has ended."""
    parser = _parser("stop", "Stop a job; the same submit continues its work.")
    parser.add_argument("job", metavar="JOB", help="the job, as `biomedica jobs` lists it")
    options = parser.parse(argv)
    client = api.connect(options.address)
    if api.job(client, options.job).status.is_terminal():
        print(f"biomedica stop: job {options.job} has ended before", file=sys.stderr)
        return 0
    api.answer(client, lambda: client.stop_job(options.job))
    deadline = time.monotonic() + STOP_WAIT_S + 30
    while not api.job(client, options.job).status.is_terminal():
        if time.monotonic() > deadline:
            raise ClusterError(f"job {options.job} was told to stop and runs still")
        time.sleep(0.5)
    print(f"biomedica stop: job {options.job} has ended; the same submit continues its work", file=sys.stderr)
    return 0


def _parser(command: str, what: str) -> Arguments:
    parser = Arguments(command, what)
    parser.add_argument(
        "--address",
        metavar="URL",
        help=f"the cluster's dashboard; without it RAY_API_SERVER_ADDRESS or else {api.DEFAULT}",
    )
    return parser


def _follow(client: JobSubmissionClient, name: str) -> int:
    try:
        details = following.follow(client, name, sys.stdout)
    except KeyboardInterrupt:
        print(f"\nbiomedica: job {name} goes on\n{_how_to_return(client, name)}", file=sys.stderr)
        return INTERRUPTED
    except ClusterError as error:
        raise ClusterError(f"{error}; the job may well go on: biomedica logs {name}") from error
    code = following.exit_code(details)
    why = f": {details.message}" if details.status == JobStatus.FAILED and not details.driver_exit_code else ""
    print(f"biomedica: job {name} {details.status.value.lower()}{why}", file=sys.stderr)
    return code


def _how_to_return(client: JobSubmissionClient, name: str) -> str:
    at = "" if client.get_address() == api.DEFAULT else f" --address {client.get_address()}"
    return f"  its log: biomedica logs {name}{at}\n  end it:  biomedica stop {name}{at}"


def _progress(client: JobSubmissionClient, job: JobDetails) -> str:
    if job.status != JobStatus.RUNNING:
        return ""
    lines = api.answer(client, lambda: client.get_job_logs(str(job.submission_id))).splitlines()
    last = next((line for line in reversed(lines) if is_progress(line)), lines[-1] if lines else "")
    return message_of(last)
