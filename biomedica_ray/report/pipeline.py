"""The report stage: one task on the cluster reads the store and makes the page."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from functools import partial
from typing import Any

import jinja2

from biomedica_ray.cluster import on_a_worker
from biomedica_ray.config import ConfigError
from biomedica_ray.files import write_file
from biomedica_ray.pages import formats, page_environment
from biomedica_ray.report import charts
from biomedica_ray.report.annotation import read_clustering, read_image_labels, read_votes
from biomedica_ray.report.collect import (
    COUNTED_UNITS,
    count_duplicates,
    distribution,
    distributions,
    draw,
    read_labels,
    reasons,
    stage_flows,
    values,
)
from biomedica_ray.report.config import ReportConfig
from biomedica_ray.report.gallery import cluster_sheets, duplicate_groups, figure_cards
from biomedica_ray.report.learning import read_evaluation, read_training
from biomedica_ray.report.panels import panel_page
from biomedica_ray.report.scaling import read_scaling
from biomedica_ray.report.suites import read_suites
from biomedica_ray.report.summary import PAGE, facts
from biomedica_ray.runs import Run, read_runs
from biomedica_ray.store import Store

log = logging.getLogger(__name__)

_MEMORY_GB = 2.0
"""Memory that the task reserves: a few row groups of images, and the commit records of a large store."""


def run(config: ReportConfig, record: Run) -> None:
    """Write the page to ``config.output``, or to the store's ``report.html``.

    Raises:
        ConfigError: The output cannot be a file.
        StoreError: There is no store.
    """
    output = config.output or record.store.uri(PAGE)
    if output.endswith("/"):
        raise ConfigError(f"output: expected a file, got {output!r}")
    record.store.generations()
    page = on_a_worker(partial(make_page, record.store, config.name, config.title), memory_gb=_MEMORY_GB)
    write_file(output, page.encode(), config.endpoint_url)
    record.results["report"] = output
    record.results["bytes"] = len(page.encode())
    log.info("report: %s, %s", output, formats.size(len(page.encode())))


def make_page(store: Store, name: str, title: str) -> str:
    """The page, which needs no other file and no network; its size does not grow with the store.

    Args:
        store: The store; stages that have not run are named with the command that runs them.
        name: The training run to show.
        title: Title of the page.
    """
    runs = read_runs(store)
    stages = stage_flows(runs)
    extracted = store.commits("extract")
    counted = dict(draw(sorted(extracted.items()), COUNTED_UNITS))
    duplicates = count_duplicates(store)
    labels = read_labels(store, counted)
    clusters, concepts = values(labels["cluster_id"]), values(labels["primary_label"])
    last = {run["stage"]: run for run in runs if run["status"] == "done"}
    invented = last.get("extract", {}).get("config", {}).get("source") == "sample"
    return _template().render(
        title=title,
        store=store.root,
        made=datetime.now(UTC),
        latest=runs[-1] if runs else None,
        facts=facts(store, name, stages, duplicates, last),
        stages=stages,
        reasons=reasons(store),
        counted=len(counted),
        n_units=len(extracted),
        distributions=distributions(store, counted) if counted else [],
        labels=distribution("Global concept", "figures", dict(concepts.most_common())) if concepts else None,
        panels=panel_page(store, extracted, counted),
        deduped="dedupe" in last,
        annotated="annotate" in last,
        duplicates=sorted(duplicates.items()),
        groups=duplicate_groups(store, extracted),
        clusters=clusters,
        clustering=read_clustering(last.get("annotate", {}), clusters),
        image_labels=read_image_labels(store, last.get("classify", {})),
        panel_labels=read_image_labels(store, last.get("classify", {}), "panels"),
        votes=read_votes(store),
        sheets=cluster_sheets(store, extracted, labels),
        cards=figure_cards(store, extracted, invented=invented) if extracted else [],
        invented=invented,
        training=read_training(store, name),
        evaluation=read_evaluation(store, name),
        suites=read_suites(store),
        name=name,
        scaling=read_scaling(last.values()),
        last_runs=list(last.values()),
    )


def _template() -> jinja2.Template:
    environment = page_environment("biomedica_ray.report", ".")
    named: dict[str, Any] = {
        each: getattr(formats, each) for each in ("count", "number", "share", "size", "duration", "shorten", "things")
    }
    environment.filters.update(named)
    environment.globals["chart"] = {
        key: getattr(charts, key) for key in ("WIDTH", "HEIGHT", "LEFT", "RIGHT", "TOP", "BOTTOM")
    }
    return environment.get_template("template.html.j2")
