"""``biomedica STAGE --config FILE --key value``, and ``biomedica submit`` with what belongs to it."""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from biomedica_ray.config import ConfigError, StageConfig
from biomedica_ray.config.help import stage_help
from biomedica_ray.config.wording import suggest
from biomedica_ray.exit_codes import DONE, MISUSED
from biomedica_ray.jobs.lock import LOCK_VARIABLE, warning
from biomedica_ray.report.config import ReportConfig
from biomedica_ray.stages import CONFIGS, PipelineConfig, load, work_of
from biomedica_ray.stopping import terminable

_HELP = {"-h", "--help"}

_COMMANDS = {
    "submit": ("biomedica_ray.jobs.commands", "Submit a stage as a Ray job, and follow its log."),
    "jobs": ("biomedica_ray.jobs.commands", "List the jobs of a cluster."),
    "logs": ("biomedica_ray.jobs.commands", "Show a job's log until the job ends."),
    "stop": ("biomedica_ray.jobs.commands", "Stop a job."),
    "plan": ("biomedica_ray.plan.command", "What all of PMC would take, from the records of a trial."),
    "tasks": ("biomedica_ray.evaluate.task_list", "List the tasks on published sets, and which of them are there."),
    "publish": ("biomedica_ray.publish.command", "Put a dataset or a model on the Hugging Face Hub, or into a bucket."),
    "verify": ("biomedica_ray.serialize.verifying", "Compare a downloaded dataset with its dataset.json."),
}
"""What is no stage -> the module with the function of that name, and what it does."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one stage, or all of them; returns the exit code (docs/troubleshooting.md)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    stage = arguments[0] if arguments else ""
    if stage in _HELP:
        print(_usage())
        return DONE
    if stage == "--version":
        print(f"biomedica_ray {importlib.metadata.version('biomedica_ray')}")
        return DONE
    if stage in _COMMANDS:
        return _run_command(stage, arguments[1:])
    return _main_of_stage(stage, arguments[1:])


def _main_of_stage(stage: str, arguments: Sequence[str]) -> int:
    if stage not in CONFIGS:
        hint = suggest(stage, [*CONFIGS, *_COMMANDS])
        wrong = f"{stage}: unknown stage; {hint}" if stage else "expected a stage; --help lists them"
        print(f"biomedica: {wrong}", file=sys.stderr)
        return MISUSED
    if _HELP.intersection(arguments):
        print(stage_help(stage, CONFIGS[stage], sections=stage == "pipeline"), end="")
        return DONE
    try:
        config = load(stage, arguments)
    except ConfigError as error:
        print(f"biomedica {stage}: {error}", file=sys.stderr)
        return MISUSED
    return _run_pipeline(config) if isinstance(config, PipelineConfig) else run_stage(stage, config)


def _run_command(command: str, arguments: Sequence[str]) -> int:
    module, _ = _COMMANDS[command]
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("biomedica_ray").setLevel(logging.INFO)
    try:
        work: Callable[[Sequence[str]], int] = getattr(importlib.import_module(module), command)
        with terminable():
            return work(arguments)
    except ConfigError as error:
        print(f"biomedica {command}: {error}", file=sys.stderr)
        return MISUSED
    except SystemExit as end:  # argparse's, after --help
        return int(end.code or 0)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - as in _guarded
        return _ended(command, error)


def run_stage(stage: str, config: StageConfig) -> int:
    """Run one stage on the cluster that its config names; returns the exit code."""
    return _guarded(stage, config, lambda: _run_stage(stage, config))


def _run_stage(stage: str, config: StageConfig) -> int:
    from biomedica_ray.cluster import connect  # noqa: PLC0415 - ray takes seconds to import
    from biomedica_ray.cluster_size import recorded  # noqa: PLC0415
    from biomedica_ray.reach import check_reach  # noqa: PLC0415
    from biomedica_ray.resources import check_machine, waiting  # noqa: PLC0415
    from biomedica_ray.runs import Run  # noqa: PLC0415

    with connect(config.ray_address):
        check_machine(config)
        with waiting(stage, config.needs()), Run(stage, config) as run, recorded(run.results):
            check_reach(run.store, run.lease)
            work_of(stage)(config, run)
    return DONE


def _run_pipeline(config: PipelineConfig) -> int:
    return _guarded("pipeline", config, lambda: _run_stages(config))


def _run_stages(config: PipelineConfig) -> int:
    from biomedica_ray.cluster import connect  # noqa: PLC0415
    from biomedica_ray.report.summary import print_summary  # noqa: PLC0415
    from biomedica_ray.resources import check_machine  # noqa: PLC0415

    with connect(config.ray_address):
        check_machine(config)
        for number, stage in enumerate(config.stages, 1):
            print(f"[{number}/{len(config.stages)}] {stage}", file=sys.stderr, flush=True)
            if code := run_stage(stage, config.stage(stage)):
                return code
    report = config.stage("report")
    assert isinstance(report, ReportConfig)
    print_summary(report)
    return DONE


def _guarded(stage: str, config: StageConfig, work: Callable[[], int]) -> int:
    """Do ``work`` once the store has been found to be writable; whatever ends it is one line and an exit code."""
    try:
        if not _is_started():
            address = os.environ.get("RAY_ADDRESS") or config.ray_address
            where = "on this machine" if address == "local" else f"at {address}"
            print(f"biomedica {stage}: starting, with Ray {where}", file=sys.stderr, flush=True)
            if differs := warning(Path(os.environ.get(LOCK_VARIABLE, ""))):
                print(f"biomedica {stage}: {differs}", file=sys.stderr, flush=True)
        from biomedica_ray.store import Store  # noqa: PLC0415 - after the line that says that something happens

        Store(config.store, config.endpoint_url).try_writing()
        return work()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - endings shows the traceback where one is due
        return _ended(stage, error)


def _ended(what: str, error: BaseException) -> int:
    from biomedica_ray.endings import ending  # noqa: PLC0415 - as ray in _run_stage

    code, line = ending(error)
    print(f"biomedica {what}: {line}", file=sys.stderr, flush=True)
    return code


def _is_started() -> bool:
    """Whether Ray runs already, in a pipeline whose stage this is."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def _usage() -> str:
    lines = [f"  {stage:10} {(model.__doc__ or '').strip().splitlines()[0]}" for stage, model in CONFIGS.items()]
    usage = (
        "usage: biomedica STAGE [--config FILE] [--key value ...]\n"
        "       biomedica submit STAGE [--address URL] [--config FILE] [--key value ...]\n"
        "       biomedica STAGE --help | --version\n"
    )
    commands = [f"  {command:10} {what}" for command, (_, what) in _COMMANDS.items()]
    return "\n".join(
        [
            usage,
            "stages:",
            *lines,
            "",
            "other commands:",
            *commands,
            "",
            "example:",
            "  biomedica extract --store mine --source sample",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
