"""The numbers of a store: rows through each stage, reasons for what was left out, and how values are distributed."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs

from biomedica_ray.ahead import map_in_threads
from biomedica_ray.config import STAGES
from biomedica_ray.reading.place import Place
from biomedica_ray.schema import LABELS
from biomedica_ray.serialize.config import SerializeConfig
from biomedica_ray.store import Commit, Store
from biomedica_ray.units import Flow, counts_from_json

COUNTED_UNITS = 400
"""Distributions of a larger store are those of this many units drawn at random: about 100,000 articles.

Units are chosen by a hash of pmcid, so they are a fair sample; a share of a half is then known to within 0.5 %.
"""

TOP_JOURNALS = 12
YEARS = 24
"""The most recent years, which are shown one by one."""
EXAMPLES = 3
"""Inputs named for each reason."""

LABEL_COLUMNS = ["figure_id", "cluster_id", "distance", "confidence", "panel_subtype", "primary_label"]

_SIDES = (0, 250, 500, 1000, 2000, 4000)
"""Classes of the longest side of an image, in pixels."""

_OF_A_PLACE = ("selection", "profile", "longest_side", "jpeg_quality", "keep_metadata")
"""Keys of serialize that say where a dataset goes."""

T = TypeVar("T")


@dataclass(frozen=True)
class StageFlow:
    """What a stage did, as its runs recorded it.

    Attributes:
        stage: The stage.
        flows: What became of its rows, by kind, in its last run that was done; empty where there was none.
        seconds: Wall-clock time of its last run that found something to do.
        rates: Rows by kind that this run took in, each second.
        failure: Why its last run failed, where it did.
    """

    stage: str
    flows: Mapping[str, Flow] = field(default_factory=dict)
    seconds: float | None = None
    rates: Mapping[str, float] = field(default_factory=dict)
    failure: str = ""


@dataclass(frozen=True)
class Reason:
    """Why rows were left out, and some of the inputs: pairs of name and message."""

    stage: str
    entity: str
    kind: str
    count: int
    examples: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Bar:
    """One value, how many rows have it, and that number as a share of the largest one and of all."""

    name: str
    count: int
    length: float
    share: float


@dataclass(frozen=True)
class Distribution:
    """How often values occur, in the order in which they are shown.

    Attributes:
        title: What the values are.
        of: What is counted: articles or figures.
        bars: The values.
        timeline: Whether the values are years.
    """

    title: str
    of: str
    bars: tuple[Bar, ...]
    timeline: bool = False


def stage_flows(runs: Iterable[dict[str, Any]]) -> list[StageFlow]:
    """Each stage but the report itself, in the order of the pipeline.

    Where all figures have been serialized as an archive with its defaults, that is told, and not what else of them
    has been.

    Args:
        runs: Records of all runs, oldest first.
    """
    by_stage: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        by_stage[run["stage"]].append(run)
    of_all = [run for run in by_stage["serialize"] if place_of(run) == Place(None)]
    by_stage["serialize"] = of_all or by_stage["serialize"]
    return [_stage_flow(stage, by_stage[stage]) for stage in STAGES if stage != "report"]


def place_of(run: Mapping[str, Any]) -> Place:
    """Where the dataset lies that a run of serialize wrote, by its record; of a key that it lacks, the default."""
    keys = {key: run["config"][key] for key in _OF_A_PLACE if key in run["config"]}
    return SerializeConfig(store=".", **keys).place


def _stage_flow(stage: str, runs: list[dict[str, Any]]) -> StageFlow:
    failure = (runs[-1]["failure"] or "") if runs else ""
    done = [run for run in runs if run["status"] == "done"]
    if not done:
        return StageFlow(stage, failure=failure)
    worked = next((run for run in reversed(done) if any(_made(run).values())), done[-1])
    rates = {kind: rows / worked["seconds"] for kind, rows in _made(worked).items() if rows and worked["seconds"]}
    return StageFlow(stage, counts_from_json(done[-1]["counts"]), worked["seconds"], rates, failure)


def _made(run: dict[str, Any]) -> dict[str, int]:
    """Rows that a run took in itself, by kind."""
    before = run["before"]
    return {kind: flow["rows_in"] - before.get(kind, {"rows_in": 0})["rows_in"] for kind, flow in run["counts"].items()}


def committed_stages(store: Store) -> list[str]:
    """Names under which units have been committed: ``extract``, ``serialize/shards``, ``train/clip``..."""
    selector = pafs.FileSelector(store.path("commits"), allow_not_found=True, recursive=True)
    folders = {info.path.rpartition("/")[0] for info in store.filesystem.get_file_info(selector) if info.is_file}
    root = store.path("commits") + "/"
    stages = (
        "extract",
        "enrich",
        "dedupe",
        "panels",
        "embed",
        "label",
        "classify",
        "sheets",
        "votes",
        "serialize",
        "train",
    )
    order = {stage: index for index, stage in enumerate(stages)}
    names = (folder.removeprefix(root) for folder in folders)
    return sorted(names, key=lambda name: (order.get(name.split("/", maxsplit=1)[0], len(order)), name))


def draw(items: Iterable[T], most: int) -> list[T]:
    """The items, or ``most`` of them drawn at random; the same ones for the same items."""
    found = list(items)
    return found if len(found) <= most else random.Random(0).sample(found, most)


def reasons(store: Store) -> list[Reason]:
    """Everything in the errors tables, by stage and kind; of serialize as in :func:`stage_flows`."""
    stages = committed_stages(store)
    if "serialize" in stages:
        stages = [stage for stage in stages if not stage.startswith(("serialize/selections/", "serialize/profiles/"))]
    counts: Counter[tuple[str, str, str]] = Counter()
    examples: dict[tuple[str, str, str], list[tuple[str, str]]] = defaultdict(list)
    for name in stages:
        stage = name.partition("/")[0]
        for commit, kinds in _with_kinds(store, name, "errors"):
            counts.update({(stage, *kind): n for kind, n in kinds.items()})
            if any(len(examples[stage, *kind]) < EXAMPLES for kind in kinds):
                for row in store.read(commit, "errors").to_pylist():
                    some = examples[stage, row["entity"], row["kind"]]
                    some += [(row["what"], row["message"])][: EXAMPLES - len(some)]
    found = [Reason(*key, count, tuple(examples[key])) for key, count in counts.items()]
    order = list(dict.fromkeys(name.partition("/")[0] for name in stages))
    return sorted(found, key=lambda reason: (order.index(reason.stage), -reason.count, reason.kind, reason.entity))


def _with_kinds(store: Store, stage: str, table: str) -> Iterator[tuple[Commit, dict[tuple[str, str], int]]]:
    """The commits of a stage that have rows of a table which tells entity and kind, and how many of each."""

    def kinds(commit: Commit) -> tuple[Commit, dict[tuple[str, str], int]]:
        if table not in commit.files:
            return commit, {}
        if commit.reasons is None:  # a record of an earlier version
            rows = store.read(commit, table, ["entity", "kind"])
            return commit, Counter(zip(rows["entity"].to_pylist(), rows["kind"].to_pylist(), strict=True))
        entities = (
            (what.removesuffix(f" {table}"), n) for what, n in commit.reasons.items() if what.endswith(f" {table}")
        )
        return commit, {(entity, kind): n for entity, of in entities if " " not in entity for kind, n in of.items()}

    found = map_in_threads(kinds, store.commits(stage).values())
    return ((commit, rows) for commit, rows in found if rows)


def distributions(store: Store, extracted: Mapping[int, Commit]) -> list[Distribution]:
    """Licences, years and journals of articles; kinds, formats and sizes of figures.

    Args:
        store: The store.
        extracted: Unit -> commit of extract; the units to count in.
    """
    licences: Counter[str] = Counter()
    years: Counter[int | None] = Counter()
    journals: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    formats: Counter[str] = Counter()
    sides: Counter[int] = Counter()
    for articles, figures in map_in_threads(lambda commit: _read_columns(store, commit), extracted.values()):
        licences.update(articles["license_code"])
        years.update(date and date.year for date in articles["published"])
        journals.update("unknown" if journal is None else journal for journal in articles["journal"])
        kinds.update(figures["kind"])
        formats.update(figures["format"])
        longest = map(max, figures["width"], figures["height"])
        sides.update(max(edge for edge in _SIDES if edge <= side) for side in longest)
    top = dict(journals.most_common(TOP_JOURNALS))
    if others := journals.keys() - top.keys():
        top[f"{len(others):,} others"] = sum(journals[name] for name in others)
    return [
        distribution("Licence", "articles", dict(licences.most_common())),
        distribution("Year", "articles", _last_years(years), timeline=True),
        distribution("Kind", "figures", dict(kinds.most_common())),
        distribution("File format", "figures", dict(formats.most_common())),
        distribution("Longest side, pixels", "figures", _size_classes(sides)),
        distribution("Journal", "articles", top),
    ]


def distribution(title: str, of: str, counts: Mapping[str, int], *, timeline: bool = False) -> Distribution:
    """A distribution from values and how often they occur, in the order in which they are to be shown."""
    greatest, total = max(counts.values(), default=1), sum(counts.values())
    bars = (Bar(name, count, count / greatest, count / total) for name, count in counts.items())
    return Distribution(title, of, tuple(bars), timeline)


def _read_columns(store: Store, commit: Commit) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    articles = store.read(commit, "articles", ["license_code", "published", "journal"])
    figures = store.read(commit, "figures", ["kind", "format", "width", "height"])
    return articles.to_pydict(), figures.to_pydict()


def _last_years(years: Counter[int | None]) -> dict[str, int]:
    """The last :data:`YEARS` years up to the latest that occurs, empty ones too; the others before and after them."""
    known = {year: count for year, count in years.items() if year is not None}
    if not known:
        return {"unknown": years[None]} if years else {}
    last = max(known)
    first = max(min(known), last - YEARS + 1)
    shown = {str(year): known.get(year, 0) for year in range(first, last + 1)}
    earlier = sum(count for year, count in known.items() if year < first)
    return {**({"earlier": earlier} if earlier else {}), **shown, **({"unknown": years[None]} if years[None] else {})}


def _size_classes(sides: Counter[int]) -> dict[str, int]:
    """Every class from the smallest to the largest that occurs, empty ones between them too."""
    if not sides:
        return {}
    edges = zip(_SIDES, [*_SIDES[1:], None], strict=True)
    return {
        f"{low:,}–{high - 1:,}" if high else f"{low:,} or more": sides[low]
        for low, high in edges
        if min(sides) <= low <= max(sides)
    }


def count_duplicates(store: Store) -> Counter[tuple[str, str]]:
    """(entity, kind) -> rows of the duplicates table."""
    counts: Counter[tuple[str, str]] = Counter()
    for _, kinds in _with_kinds(store, "dedupe", "duplicates"):
        counts.update(kinds)
    return counts


def read_labels(store: Store, units: Collection[int]) -> pa.Table:
    """The labels of some units; columns :data:`LABEL_COLUMNS`, without rows where there are none."""
    commits = [commit for unit, commit in store.commits("label").items() if unit in units and "labels" in commit.files]
    tables = map_in_threads(lambda commit: store.read(commit, "labels", LABEL_COLUMNS), commits)
    columns = pa.schema([LABELS.field(name) for name in LABEL_COLUMNS])
    return pa.concat_tables([columns.empty_table(), *(table.cast(columns) for table in tables)])


def values(column: pa.ChunkedArray) -> Counter[Any]:
    """How often each value of a column occurs, or of a column of lists each value in them."""
    flat = pc.list_flatten(column) if pa.types.is_list(column.type) else column
    return Counter({entry["values"]: entry["counts"] for entry in pc.value_counts(flat).to_pylist()})
