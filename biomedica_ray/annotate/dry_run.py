"""What a run of annotate would do and need: figures to embed, one of them embedded, memory, time and money."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from biomedica_ray.ahead import READS, map_in_threads
from biomedica_ray.annotate import embed, fitting
from biomedica_ray.annotate.config import AnnotateConfig
from biomedica_ray.annotate.earlier_vectors import EarlierVectors
from biomedica_ray.annotate.embed_actor import encoder_mark, load
from biomedica_ray.annotate.truth import load_truth
from biomedica_ray.annotate.vectors import count_vectors, embed_stage
from biomedica_ray.cluster import on_a_worker
from biomedica_ray.config import ConfigError
from biomedica_ray.forecast import TRIES, Tried, as_it_grows, batch_memory, forecast, measured_rate, told_memory
from biomedica_ray.images import ImageError, decode
from biomedica_ray.messages import one_line
from biomedica_ray.models.encoder_info import EncoderInfo
from biomedica_ray.panels.sure import is_sure
from biomedica_ray.runs import Run
from biomedica_ray.store import Commit, Store
from biomedica_ray.units import pmcid_of

log = logging.getLogger(__name__)

_SLIM_GB = 1.5
"""Memory of the task that compares figures with earlier vectors."""
_VALUE_BYTES = 1 + 4
"""Of a pixel's value: as it is decoded, and as the number that the model sees."""


def dry_run(config: AnnotateConfig, record: Run) -> None:
    """Embed one figure, and say what the run would do with the others.

    Raises:
        ConfigError, StoreError: As the run would; or the encoder cannot take the figure.
    """
    store = record.store
    load_truth(store, config.truth)
    extracted = store.extracted()
    panelled = embed.found_panels(store, extracted) if config.panels else {}
    info, units = embed.plan(config, store, extracted)
    embedded = record.committed(embed_stage(config.model))
    done = _done(embedded, units)
    todo = [unit for unit in units if unit not in done]
    earlier = EarlierVectors.find(encoder_mark(info), store, extracted, embedded, todo)
    figures = sum(extracted[unit].counts["figures"].rows_out for unit in todo)
    reused = on_a_worker(partial(count_reused, store, extracted, todo, earlier), memory_gb=_SLIM_GB) if todo else 0
    for key, numbers in (("clusters", [config.clusters]), ("scan_k", config.scan_k or [])):
        for clusters in numbers:
            fitting.check(config, clusters, info.dim, count_vectors(done) + figures, key)
    panels = 0
    if config.panels:
        planned = embed.plan_panels(config, extracted, panelled, info)
        there = _done(record.committed(embed_stage(config.model, "panels")), planned)
        count = partial(count_panels, store, [panelled[unit] for unit in planned.keys() - there.keys()])
        panels = on_a_worker(partial(count, config.panels_min_confidence), memory_gb=_SLIM_GB)
        log.info("annotate: %d panels to do, of units whose panels are not embedded as they are now", panels)
    tried = on_a_worker(
        partial(try_one, config, store, extracted), num_cpus=config.num_cpus, memory_gb=config.memory_gb
    )
    height, width = tried.size
    log.info("annotate: %s embeds %s at %d x %d pixels as %d numbers", info.model, tried.what, height, width, info.dim)
    log.info(
        "annotate: %d figures in %d units to do, of which %d have a vector of the same image; %d units are done",
        figures, len(todo), reused, len(done),
    )  # fmt: skip
    gpus = embed.gpus_of(config)
    parts = batch_memory(tried, config.batch_size, _VALUE_BYTES, on_gpu=gpus > 0)
    rate = measured_rate(store, "annotate", "figures", ("model", config.model))
    record.results["dry_run"] = {
        "figure": tried.what,
        "input": [height, width],
        "dim": info.dim,
        "parameters": tried.parameters,
        "units": len(todo),
        "reused": reused,
        "panels": panels,
        "memory_gib": told_memory("annotate", parts),
        **forecast(config, "annotate", figures - reused + panels, embed.room(config.num_cpus, gpus), rate),
    }


def _done(commits: Mapping[int, Commit], planned: Mapping[int, str]) -> dict[int, Commit]:
    return {unit: c for unit, c in commits.items() if c.complete and planned.get(unit) == c.fingerprint}


def count_panels(store: Store, commits: list[Commit], min_confidence: float) -> int:
    """Panels of units that would be embedded; is a task on the cluster."""

    def of_unit(commit: Commit) -> int:
        rows = store.read(commit, "panels", ["n_panels", "panel_boxes"]).to_pylist()
        boxes = (box for row in rows if row["n_panels"] > 1 for box in row["panel_boxes"])
        return sum(is_sure(box, min_confidence) for box in boxes)

    return sum(map_in_threads(of_unit, commits, READS))


def count_reused(store: Store, extracted: Mapping[int, Commit], todo: Iterable[int], earlier: EarlierVectors) -> int:
    """Figures of units whose vector an earlier run has made of the same image; is a task on the cluster."""
    if not earlier.files:
        return 0

    def of_unit(unit: int) -> int:
        slim = store.read(extracted[unit], "figures", ["article_id", "sha256"])
        digests = slim["sha256"].to_pylist()
        pmcids = {pmcid_of(article_id) for article_id in slim["article_id"].to_pylist()}
        known = earlier.of(store, pmcids, digests)
        return sum(digest in known for digest in digests)

    return sum(map_in_threads(of_unit, list(todo), READS))


def try_one(config: AnnotateConfig, store: Store, extracted: Mapping[int, Commit]) -> Tried:
    """Embed the first figure that decodes, on a CPU; is a task on the cluster.

    Raises:
        ConfigError: None of the first figures decodes, or the encoder cannot take one or gives no numbers.
    """
    import numpy as np  # noqa: PLC0415
    import torch  # noqa: PLC0415

    from biomedica_ray.models.encoders import embed_all  # noqa: PLC0415
    from biomedica_ray.models.live import peak_bytes  # noqa: PLC0415

    torch.set_num_threads(max(1, int(config.num_cpus)))
    encoder = load(config)
    figure_id, pixels = _first_figure(store, extracted, encoder.info)
    try:
        vectors, _ = embed_all(encoder, pixels[None], 1)
    except (RuntimeError, ValueError, TypeError) as error:
        raise ConfigError(f"model: {config.model}: cannot take {figure_id}: {one_line(error)}") from None
    if not np.isfinite(vectors).all():
        raise ConfigError(f"model: {config.model}: the numbers that it gives of {figure_id} are not finite")

    def peak(images: int) -> int:
        batch = torch.zeros(images, 3, *encoder.info.preprocessing.size)

        def work() -> None:
            with torch.autocast("cpu", torch.bfloat16, enabled=embed.gpus_of(config) > 0):
                encoder.model(batch)

        return peak_bytes(work)

    parameters = sum(parameter.numel() for parameter in encoder.model.parameters())
    size = encoder.info.preprocessing.size
    return Tried(figure_id, size, parameters, *as_it_grows([peak(2)], [peak(4)]))


def _first_figure(store: Store, extracted: Mapping[int, Commit], info: EncoderInfo) -> tuple[str, Any]:
    left, transform = TRIES, info.preprocessing.transform()
    for commit in extracted.values():
        rows = range(min(left, commit.counts["figures"].rows_out))
        for figure in store.rows(commit, "figures", rows, ["figure_id", "image"]):
            left -= 1
            try:
                return figure["figure_id"], transform(decode(figure["image"]))
            except ImageError as error:
                log.debug("%s: %s", figure["figure_id"], error)
        if not left:
            break
    raise ConfigError(f"store: {store.root}: none of the first {TRIES - left} figures decodes")
