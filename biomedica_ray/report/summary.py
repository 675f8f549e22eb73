"""The summary: what a store holds and what was learned from it, in a few numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from biomedica_ray.config import STAGES
from biomedica_ray.pages.formats import count, duration, number, share, size, things
from biomedica_ray.reading.place import Place
from biomedica_ray.report.collect import StageFlow, count_duplicates, place_of, stage_flows
from biomedica_ray.report.config import ReportConfig
from biomedica_ray.report.learning import read_evaluation, read_training
from biomedica_ray.runs import read_runs
from biomedica_ray.schema import ARTICLE_REPEATS, FIGURE_REPEATS
from biomedica_ray.store import Store
from biomedica_ray.units import Flow

PAGE = "report.html"
"""Where the report is, relative to the store's root, unless the config says otherwise."""

_REPEATS = {"figure": FIGURE_REPEATS, "article": ARTICLE_REPEATS}
"""Kinds of duplicates that repeat another; the others say something else about a figure or an article."""

_SCORES = {
    "zero-shot accuracy": ("zero shot primary label", "accuracy"),
    **{
        f"{way} recall@{k}": ("retrieval", f"{way} recall@{k}")
        for way in ("image to text", "text to image")
        for k in (1, 10)
    },
}
"""Name in the summary -> task and score of the evaluation; the report has all of them."""


@dataclass(frozen=True)
class Fact:
    """A number of the summary, and a note on it."""

    name: str
    value: str
    note: str = ""


def print_summary(report: ReportConfig) -> None:
    """Print the summary of a store, with the time of each stage and the place of the report."""
    store = Store(report.store, report.endpoint_url)
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in summary_rows(store, report.name):
        table.add_row(name, value)
    console = Console(highlight=False)
    console.print(table)
    console.print(f"report: {report.output or store.uri(PAGE)}", soft_wrap=True)


def summary_rows(store: Store, name: str) -> list[tuple[str, str]]:
    """Names and values of the summary, as text; what has not been done is left out.

    Args:
        store: The store.
        name: The training run.
    """
    runs = read_runs(store)
    last = {run["stage"]: run for run in runs if run["status"] == "done"}
    found = facts(store, name, stage_flows(runs), count_duplicates(store), last)
    rows = [(fact.name, f"{fact.value} ({fact.note})" if fact.note else fact.value) for fact in found]
    times = [f"{stage} {duration(last[stage]['seconds'])}" for stage in STAGES if stage in last]
    return [*rows, ("time", ", ".join(times))] if times else rows


def facts(
    store: Store,
    name: str,
    stages: list[StageFlow],
    duplicates: Mapping[tuple[str, str], int],
    last: Mapping[str, Mapping[str, Any]],
) -> list[Fact]:
    """The numbers of what has been done, in the order of the pipeline.

    Args:
        store: The store.
        name: The training run.
        stages: What the stages did.
        duplicates: (entity, kind) -> rows.
        last: Stage -> record of its last run that was done.
    """
    flows = {stage.stage: stage.flows for stage in stages}
    return [
        *_extracted(flows["extract"]),
        *_errors(stages),
        *(_duplicates(duplicates) if flows["dedupe"] else []),
        *(_clusters(flows["label"], last["label"]["results"]) if "label" in last else []),
        *_dataset(store, last.get("serialize")),
        *_learned(store, name),
    ]


def _extracted(flows: Mapping[str, Flow]) -> list[Fact]:
    return [Fact(kind, count(flow.rows_out), f"of {count(flow.rows_in)}") for kind, flow in flows.items()]


def _errors(stages: list[StageFlow]) -> list[Fact]:
    errors = {stage.stage: sum(flow.errors for flow in stage.flows.values()) for stage in stages}
    where = ", ".join(f"{stage} {count(n)}" for stage, n in errors.items() if n)
    return [Fact("errors", count(sum(errors.values())), where)] if any(stage.flows for stage in stages) else []


def _duplicates(counts: Mapping[tuple[str, str], int]) -> list[Fact]:
    figures, articles = (sum(counts.get((entity, kind), 0) for kind in kinds) for entity, kinds in _REPEATS.items())
    return [Fact("duplicates", things(figures, "figure"), f"and {things(articles, 'article')}")]


def _clusters(flows: Mapping[str, Flow], results: Mapping[str, Any]) -> list[Fact]:
    figures = sum(flow.rows_out for flow in flows.values())
    return [Fact("clusters", count(results["clusters"]), f"of {things(figures, 'figure')}")] if figures else []


def _dataset(store: Store, last: Mapping[str, Any] | None) -> list[Fact]:
    """The archive of all figures; where there is none, the dataset that serialize wrote last."""
    place = place_of(last) if last and not store.has(Place(None).document) else Place(None)
    try:
        shards: list[dict[str, Any]] = store.read_json(place.document)["shards"]
    except FileNotFoundError:
        return []
    samples, n_bytes = (sum(shard[key] for shard in shards) for key in ("samples", "bytes"))
    return [Fact("samples", count(samples), f"in {things(len(shards), 'shard')}, {size(n_bytes)}")]


def _learned(store: Store, name: str) -> list[Fact]:
    found = []
    if training := read_training(store, name):
        change = f"{number(training.first_loss)} → {number(training.last_loss)}"
        found.append(Fact("training loss", change, things(training.steps, "step")))
    if evaluation := read_evaluation(store, name):
        scores = {(score.task, score.name): score for score in evaluation.scores}
        for what, key in _SCORES.items():
            if score := scores.get(key):
                found.append(Fact(what, share(score.value), f"chance {share(score.chance)}"))
    return found
