"""The sheets stage: pages on which annotators see figures of each cluster, or single ones, and say what they show."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from biomedica_ray import schema
from biomedica_ray.annotate.members import Wanted
from biomedica_ray.cluster import on_a_worker, run_units
from biomedica_ray.config import ConfigError
from biomedica_ray.files import VOTES
from biomedica_ray.labelling import label_studio
from biomedica_ray.labelling.config import SheetsConfig
from biomedica_ray.labelling.html_sheet import Sheet, ShownCluster, ShownMember, earlier_votes, html
from biomedica_ray.labelling.image_sheets import IMAGES, ImagesAsked, image_number, image_proposals, write_images
from biomedica_ray.labelling.label_table import labelled_members, labelled_units
from biomedica_ray.labelling.proposals_file import Proposals, read_proposals
from biomedica_ray.labelling.taxonomy import Taxonomy, load_taxonomy
from biomedica_ray.pages.formats import shorten
from biomedica_ray.pages.pictures import ABSENT, article_url, by_unit, picture, read_figures
from biomedica_ray.runs import Run, read_runs
from biomedica_ray.store import Commit, Store, StoreError
from biomedica_ray.units import Counts, Flow, fingerprint

log = logging.getLogger(__name__)

VERSION = 3
"""Raise it when the same clusters would give other sheets."""

_CAPTION = 300
"""Characters shown of a caption."""


def run(config: SheetsConfig, record: Run) -> None:
    """Write the sheets of all clusters, in later rounds of those that the votes dispute, or of single images.

    Commits them as stage ``sheets/<form>/round-<round>``, a sheet a unit; the files are in ``sheets/round-<round>/``.
    Of single images the rounds are called ``images-round-<round>``.

    Raises:
        ConfigError: The taxonomy is invalid, or there are no votes on these clusters to ask again about.
        StoreError: There are no labels yet, some units have the clusters of an earlier clustering, or annotators have
            answered all images.
        UnitsFailedError: Sheets failed; all others are done.
    """
    store = record.store
    taxonomy = load_taxonomy(store, config.taxonomy)
    asked = _ask_of_images(config, store) if config.of == IMAGES else _ask_of_clusters(config, store, taxonomy)
    numbers = sorted(asked.shown)
    step = config.clusters_per_sheet
    groups = [numbers[start : start + step] for start in range(0, len(numbers), step)]
    plan = Plan(config, taxonomy, asked, groups, _is_sample(store))
    settings = (VERSION, asked.file, config.picture_side, taxonomy.model_dump())
    units = {
        number: fingerprint(
            *settings, group, [asked.earlier.get(each) for each in group], *_proposed(asked.proposals, group)
        )
        for number, group in enumerate(groups)
    }
    worker = partial(SheetWorker, store, record.run_id, plan)
    run_units(record, plan.stage, units, worker, memory_gb=config.memory_gb, max_actors=config.max_actors)
    if config.form == "label-studio":
        store.write_bytes(f"{plan.folder}/label_studio.xml", label_studio.config(taxonomy).encode())
    for name in store.list("sheets"):
        if f"sheets/{name}" != asked.file:
            store.delete(f"sheets/{name}")
    record.results |= {
        "clustering": asked.clustering,
        config.of: len(numbers),
        "sheets": len(groups),
        "folder": store.uri(plan.folder),
    }
    log.info("sheets: %d %s on %d sheets in %s", len(numbers), config.of, len(groups), store.uri(plan.folder))


@dataclass(frozen=True)
class Asked:
    """What annotators are asked about.

    Attributes:
        clustering: Fingerprint of the clustering; :data:`IMAGES` where each picture is asked about by itself.
        file: The members table, relative to the store's root.
        shown: Cluster, or number of an image -> how many pictures of it are to be shown.
        earlier: What was said before of each, in words.
        proposals: What a model proposes for each.
    """

    clustering: str
    file: str
    shown: Mapping[int, int]
    earlier: Mapping[int, str]
    proposals: Proposals


def _ask_of_clusters(config: SheetsConfig, store: Store, taxonomy: Taxonomy) -> Asked:
    """All clusters, or in later rounds those that the votes dispute."""
    labelled = labelled_units(store)
    contents = {unit: commit.content for unit, commit in labelled.items()}
    file = f"sheets/members-{fingerprint(VERSION, contents, config.members, config.seed)}.parquet"
    work = partial(_write_members, store, list(labelled.values()), file, config.members, config.seed)
    clustering, shown = on_a_worker(work, memory_gb=config.memory_gb)
    earlier: Mapping[int, str] = {}
    if config.round > 1:
        earlier = _disputed(store, clustering)
        shown = {cluster: shown[cluster] for cluster in shown if cluster in earlier}
    return Asked(clustering, file, shown, earlier, read_proposals(store, clustering, taxonomy.concepts))


def _ask_of_images(config: SheetsConfig, store: Store) -> Asked:
    """Images that the classifier is unsure of, and those that annotators dispute or have begun to answer for."""
    labelled = store.commits("classify")
    if not labelled:
        raise StoreError(f"{store.root}: no labels of images yet; run `biomedica classify` first")
    votes = _votes(store).get("images", [])
    open_votes = {each["exemplars"][0]: each for each in votes if each["state"] != "decided"}
    begun = {figure: bool(each.get("random")) for figure, each in open_votes.items()}
    decided = sorted(each["exemplars"][0] for each in votes if each["state"] == "decided")
    contents = {unit: commit.content for unit, commit in labelled.items()}
    settings = contents, config.images, config.seed, sorted(begun.items()), decided
    file = f"sheets/images-{fingerprint(VERSION, *settings)}.parquet"
    asked = ImagesAsked(config.images, begun, decided, config.seed)
    work = partial(write_images, store, list(labelled.values()), file, asked)
    shown = on_a_worker(work, memory_gb=config.memory_gb)
    earlier = {image_number(figure): earlier_votes(each["tallies"]) for figure, each in open_votes.items()}
    propose = partial(image_proposals, store, labelled, file, "the classifier")
    proposals = on_a_worker(propose, memory_gb=config.memory_gb)
    return Asked(IMAGES, file, shown, earlier, proposals)


@dataclass(frozen=True)
class Plan:
    """What the workers need to know.

    Attributes:
        config: The settings.
        taxonomy: The words to label with.
        asked: What annotators are asked about.
        groups: The clusters, or the numbers of the images, of each sheet.
        invented: Whether the articles are those of the embedded sample, which PubMed Central does not have.
    """

    config: SheetsConfig
    taxonomy: Taxonomy
    asked: Asked
    groups: Sequence[Sequence[int]]
    invented: bool

    @property
    def round(self) -> str:
        """The round, by its name: those of clusters and those of images are apart."""
        return f"{'images-' if self.config.of == IMAGES else ''}round-{self.config.round}"

    @property
    def folder(self) -> str:
        """Where the sheets go, relative to the store's root."""
        return f"sheets/{self.round}"

    @property
    def stage(self) -> str:
        """Under which name they are committed."""
        return f"sheets/{self.config.form}/{self.round}"


def _write_members(store: Store, labelled: list[Commit], file: str, each: int, seed: int) -> tuple[str, dict[int, int]]:
    """Choose the figures that are shown and write them, unless that has been done.

    Returns:
        The clustering; and cluster -> how many of its members are shown.
    """
    try:
        table = pq.read_table(store.path(file), columns=["cluster_id"], filesystem=store.filesystem)
    except FileNotFoundError:
        table, clustering = labelled_members(store, labelled, Wanted(each, each, each, seed))
        table = table.select(schema.MEMBERS.names).cast(schema.MEMBERS)
        table = table.replace_schema_metadata({"clustering": clustering})
        with store.atomic_file(file) as path:
            pq.write_table(table, path, compression="zstd")
    return table.schema.metadata[b"clustering"].decode(), dict(Counter(table["cluster_id"].to_pylist()))


def _disputed(store: Store, clustering: str) -> dict[int, str]:
    """What was said of the clusters that are to be asked about again, in words."""
    votes = _votes(store)
    if not votes:
        raise ConfigError("round: no votes yet; run `biomedica votes` first")
    disputed = [each for each in votes["clusters"] if each["state"] == "disputed"]
    if others := sorted({each["clustering"] for each in disputed} - {clustering}):
        raise ConfigError(f"round: the votes are on clustering {others[0]}, this one is {clustering}")
    return {each["cluster"]: earlier_votes(each["tallies"]) for each in disputed}


def _votes(store: Store) -> dict[str, Any]:
    """What the votes stage wrote; empty where it has not run."""
    try:
        votes: dict[str, Any] = store.read_json(VOTES)
    except FileNotFoundError:
        return {}
    return votes


def _proposed(proposals: Proposals, clusters: Iterable[int]) -> tuple[str, list[list[dict[str, Any]]]]:
    """Who proposes what for some clusters, as plain data."""
    return proposals.model, [[asdict(each) for each in proposals.clusters.get(cluster, ())] for cluster in clusters]


def _is_sample(store: Store) -> bool:
    extracts = [run["config"]["source"] for run in read_runs(store) if run["stage"] == "extract"]
    return extracts[-1:] == ["sample"]


class SheetWorker:
    """Makes sheets."""

    def __init__(self, store: Store, run_id: str, plan: Plan) -> None:
        self._store, self._run_id, self._plan = store, run_id, plan

    def __call__(self, unit: int, mark: str) -> Counts:
        """Commit one sheet; returns its counts."""
        plan, group = self._plan, self._plan.groups[unit]
        wanted = pc.field("cluster_id").isin(list(group))
        members = pq.read_table(
            self._store.path(plan.asked.file), filters=wanted, filesystem=self._store.filesystem
        ).to_pylist()
        shown = self._shown(members)
        name = f"sheet-{unit + 1:03d}"
        clusters = [_cluster(plan, cluster, members, shown) for cluster in group]
        sheet = Sheet(
            name, plan.config.round, plan.asked.clustering, plan.taxonomy, clusters, plan.asked.proposals.model
        )
        errors = [_error(member) for member in shown.values() if member.problem]
        with self._store.write_unit(plan.stage, unit, mark, self._run_id) as writer:
            failed = writer.table("errors", schema.ERRORS, directory=f"errors/{plan.stage}")
            failed.write(errors)
            if plan.config.form == "html":
                writer.file("sheet", f"{plan.folder}/{name}.html").write_text(html(sheet), encoding="utf-8")
            else:
                tasks = json.dumps(label_studio.tasks(sheet), ensure_ascii=False)
                writer.file("sheet", f"{plan.folder}/{name}.json").write_text(tasks, encoding="utf-8")
            expected = sum(plan.asked.shown[cluster] for cluster in group)
            pictures = sum(bool(member.src) for cluster in sheet.clusters for member in cluster.members)
            counts = {
                "clusters": Flow(len(group), len(sheet.clusters)),
                "pictures": Flow(expected, pictures, failed.rows),
            }
            writer.commit(counts)
        return counts

    def _shown(self, members: Iterable[Mapping[str, Any]]) -> dict[str, ShownMember]:
        """The members as they are shown, by figure_id."""
        places = {member["figure_id"]: member["place"] for member in members}

        def show(row: dict[str, Any]) -> ShownMember:
            image = picture(row["image"], self._plan.config.picture_side)
            text = " ".join(part for part in (row["label"], row["caption"]) if part)
            url = "" if self._plan.invented else article_url(row["figure_id"])
            return ShownMember(
                row["figure_id"],
                places[row["figure_id"]],
                shorten(text, _CAPTION),
                url,
                *(image.uri, image.width, image.height, image.problem),
            )

        found = read_figures(self._store, self._extracted(places), places, ["label", "caption", "image"], show)
        return {
            figure_id: found.get(figure_id) or ShownMember(figure_id, place, problem=ABSENT.problem)
            for figure_id, place in places.items()
        }

    def _extracted(self, figure_ids: Iterable[str]) -> dict[int, Commit]:
        """The commits of the units that the figures are in."""
        commits = {}
        for unit in by_unit(self._store, figure_ids):
            try:
                commits[unit] = self._store.commit("extract", unit)
            except FileNotFoundError:
                continue  # dropped since, and its figures with it
        return commits


def _cluster(
    plan: Plan, cluster: int, members: Iterable[Mapping[str, Any]], shown: Mapping[str, ShownMember]
) -> ShownCluster:
    its = [member for member in members if member["cluster_id"] == cluster]
    alone = plan.asked.clustering == IMAGES
    exemplars = [member["figure_id"] for member in its if alone or member["place"] == "nearest"]
    return ShownCluster(
        cluster,
        its[0]["cluster_size"],
        exemplars,
        [shown[member["figure_id"]] for member in its],
        plan.asked.earlier.get(cluster, ""),
        plan.asked.proposals.clusters.get(cluster, ()),
        random=alone and its[0]["place"] == "random",
    )


def _error(member: ShownMember) -> dict[str, Any]:
    kind = "missing-figure" if member.problem == ABSENT.problem else member.problem
    row = schema.error_row("sheets", member.id, kind, f"shown without a picture: {member.problem}", entity="picture")
    return {**row, "article_id": member.id.rpartition("_")[0]}
