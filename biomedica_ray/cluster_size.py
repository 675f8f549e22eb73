"""How large the cluster was while a run went on: what an autoscaling run used, and what is paid for."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from biomedica_ray.resources import nodes

log = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0

Size = dict[str, float]
"""At ``s`` seconds from the start of the run: live ``nodes``, their ``CPU`` and ``GPU``."""


@contextmanager
def recorded(results: dict[str, Any], every_s: float = LOOK_EVERY_S) -> Iterator[None]:
    """While the block runs, write to ``results["cluster"]`` how large the cluster is, each time that it has changed.

    The last entry is that of the block's end. Ray must be connected.
    """
    sizes: list[Size] = []
    results["cluster"] = sizes
    since, ended = time.monotonic(), threading.Event()

    def look(*, always: bool = False) -> None:
        try:
            there = nodes()
        except Exception as error:  # noqa: BLE001 - a record must not end the run
            log.debug("no list of nodes: %s", error)
            return
        found = {"nodes": len(there)} | {kind: sum(node.get(kind, 0) for node in there) for kind in ("CPU", "GPU")}
        if always or not sizes or found != {key: sizes[-1][key] for key in found}:
            sizes.append({"s": round(time.monotonic() - since, 1), **found})

    def watch() -> None:
        while not ended.wait(every_s):
            look()

    look()
    thread = threading.Thread(target=watch, daemon=True, name="cluster size")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        look(always=True)


def hours(sizes: list[Size], kind: str) -> float:
    """What was there over time, in CPU-hours, GPU-hours or node-hours, used or not.

    Args:
        sizes: As :func:`recorded` writes them.
        kind: ``CPU``, ``GPU`` or ``nodes``.
    """
    return sum(before[kind] * (after["s"] - before["s"]) for before, after in pairwise(sizes)) / 3600
