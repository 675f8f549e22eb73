"""The panels stage: a unit's figures are read, row group by row group, and their panels found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from biomedica_ray import schema
from biomedica_ray.cluster import run_units
from biomedica_ray.images import ImageError, decode
from biomedica_ray.panels.alignment import panel_names
from biomedica_ray.panels.config import PanelsConfig
from biomedica_ray.panels.detectors import DetectorSpec
from biomedica_ray.panels.find import find_panels
from biomedica_ray.panels.rows import panel_row
from biomedica_ray.runs import Run
from biomedica_ray.store import Commit, Store
from biomedica_ray.units import Counts, Flow, fingerprint

VERSION = 4
"""Raise it when the same input would give other rows."""


def run(config: PanelsConfig, record: Run) -> None:
    """Commit the panels table unit by unit, as stage ``panels``.

    Raises:
        ConfigError: There is no such detector.
        StoreError: Nothing has been extracted yet.
        UnitsFailedError: Units failed; all others are done.
    """
    extracted = record.store.extracted()
    classes = tuple(config.panel_classes) if config.panel_classes else None
    detector = DetectorSpec(config.detector, classes, config.endpoint_url)
    mark = detector.mark()
    units = {unit: fingerprint([VERSION, mark], commit.written) for unit, commit in extracted.items()}
    worker = partial(PanelWorker, record.store, record.run_id, detector, mark)
    run_units(
        record,
        "panels",
        units,
        worker,
        num_gpus=config.num_gpus,
        memory_gb=config.memory_gb,
        max_actors=config.max_actors,
        inputs={"extract": extracted},
    )


class PanelWorker:
    """Finds the panels of a unit's figures."""

    def __init__(self, store: Store, run_id: str, detector: DetectorSpec, mark: Any = None) -> None:
        self._store, self._run_id = store, run_id
        self._look = detector.load(mark)

    def __call__(self, unit: int, mark: str) -> Counts:
        """Commit the panels of one unit; figures that do not decode are errors. Returns its counts."""
        extracted = self._store.commit("extract", unit)
        with self._store.write_unit("panels", unit, mark, self._run_id) as writer:
            panels = writer.table("panels", schema.PANELS)
            errors = writer.table("errors", schema.ERRORS, directory="errors/panels")
            for figure in self._figures(extracted):
                try:
                    image = decode(figure["image"])
                except ImageError as error:
                    errors.write([schema.error_row("panels", figure["figure_id"], error.kind, str(error))])
                    continue
                parts = figure["panels"]
                named = panel_names([part["label"] for part in parts])
                seen, letters = self._look(image) if self._look else (None, [])
                found = find_panels(np.asarray(image), len(named), letters, seen)
                panels.write([panel_row(figure["figure_id"], image, found, figure["caption"], parts)])
            counts = {"figures": Flow(extracted.counts["figures"].rows_out, panels.rows, errors.rows)}
            writer.commit(counts)
        return counts

    def _figures(self, extracted: Commit) -> Iterator[Mapping[str, Any]]:
        for batch in self._store.batches(
            extracted, "figures", ["figure_id", "caption", "panels", "image"], batch_size=16
        ):
            yield from batch.to_pylist()
