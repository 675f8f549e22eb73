"""The check stage: says what is wrong with a store, and mends it where that is asked for."""

from __future__ import annotations

import logging
import time

from biomedica_ray.ahead import map_in_threads
from biomedica_ray.check.config import CheckConfig
from biomedica_ray.check.faults import Faults, find_faults
from biomedica_ray.cluster import StageFailedError
from biomedica_ray.runs import Run
from biomedica_ray.store import StoreError
from biomedica_ray.store.lease import others

log = logging.getLogger(__name__)

SETTLED_S = 3600.0
"""A file without a commit that is younger than this may belong to a run whose lease was not seen."""
_SHOWN = 20


def run(config: CheckConfig, record: Run) -> None:
    """List the faults of the store, and with ``mend`` remove them.

    Raises:
        StoreError: There is no store, it is of another format, or with ``mend`` another run writes to it.
        StageFailedError: There are faults, and they were not to be mended.
    """
    store = record.store
    store.generations()
    if config.mend and (held := others(store, record.run_id)):
        raise StoreError(f"{store.root}: {held}; mend when it has ended")
    faults = find_faults(store, int((time.time() - SETTLED_S) * 1e9))
    _tell(faults, record)
    if not faults.total:
        return
    if not config.mend:
        raise StageFailedError(
            f"{len(faults.missing)} units with missing files, {len(faults.left_over)} files left over, "
            f"{len(faults.unreadable)} unreadable records; to mend the store: --mend true"
        )
    for commit, _ in faults.missing:
        store.drop(commit)
    list(map_in_threads(store.delete, [*faults.left_over, *faults.unreadable]))
    stages = sorted({commit.stage for commit, _ in faults.missing})
    log.info("check: mended%s", f"; run again: {', '.join(stages)}" if stages else "")


def _tell(faults: Faults, record: Run) -> None:
    lines = [f"missing: {path} of {commit.stage}, unit {commit.unit}" for commit, path in faults.missing]
    lines += [f"left over: {path}" for path in faults.left_over]
    lines += [f"not readable by this version: {path}" for path in faults.unreadable]
    for line in lines[:_SHOWN]:
        log.warning("check: %s", line)
    if len(lines) > _SHOWN:
        log.warning("check: and %d more; all are in runs/%s/run.json", len(lines) - _SHOWN, record.run_id)
    record.results["faults"] = lines
    log.info("check: %d commits of %d files: %d faults", faults.commits, faults.files, faults.total)
