"""``biomedica STAGE --config FILE --key value``: the same configs as the jobs."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from biomedica_ray.config import ConfigError, StageConfig
from biomedica_ray.report.config import ReportConfig
from biomedica_ray.stages import CONFIGS, PipelineConfig, load, work_of

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one stage, or all of them; returns the exit code: 0 done, 1 failed, 2 a config that cannot be used."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] not in CONFIGS:
        known = arguments and arguments[0] in {"-h", "--help"}
        print(_usage(), file=sys.stdout if known else sys.stderr)
        return 0 if known else 2
    stage, *rest = arguments
    try:
        config = load(stage, rest)
    except ConfigError as error:
        print(f"biomedica {stage}: {error}", file=sys.stderr)
        return 2
    return _run_pipeline(config) if isinstance(config, PipelineConfig) else run_stage(stage, config)


def run_stage(stage: str, config: StageConfig) -> int:
    """Run one stage on the cluster that its config names; returns the exit code."""
    from biomedica_ray.cluster import StageFailedError, connect  # noqa: PLC0415 - ray takes seconds to import
    from biomedica_ray.runs import Run, cause  # noqa: PLC0415
    from biomedica_ray.store import StoreError  # noqa: PLC0415
    from biomedica_ray.units import LostRowsError  # noqa: PLC0415

    try:
        with connect(config.ray_address), Run(stage, config) as run:
            work_of(stage)(config, run)
    except ConfigError as error:
        print(f"biomedica {stage}: {cause(error)}", file=sys.stderr)
        return 2
    except (StoreError, StageFailedError, LostRowsError) as error:
        print(f"biomedica {stage}: {cause(error)}", file=sys.stderr)
        return 1
    return 0


def _run_pipeline(config: PipelineConfig) -> int:
    from biomedica_ray.cluster import connect  # noqa: PLC0415
    from biomedica_ray.report.summary import print_summary  # noqa: PLC0415

    with connect(config.ray_address):
        for number, stage in enumerate(config.stages, 1):
            print(f"[{number}/{len(config.stages)}] {stage}", file=sys.stderr, flush=True)
            if code := run_stage(stage, config.stage(stage)):
                return code
    report = config.stage("report")
    assert isinstance(report, ReportConfig)
    print_summary(report)
    return 0


def _usage() -> str:
    lines = [f"  {stage:10} {(model.__doc__ or '').strip().splitlines()[0]}" for stage, model in CONFIGS.items()]
    return "usage: biomedica STAGE [--config FILE] [--key value ...]\n\nstages:\n" + "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
