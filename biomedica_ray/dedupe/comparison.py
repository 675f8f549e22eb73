"""The comparison of everything with everything, over the slim columns of all units; one task."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import ray

from biomedica_ray import schema, usage
from biomedica_ray.ahead import map_in_threads
from biomedica_ray.cluster import RETRIES
from biomedica_ray.dedupe.against import PICTURES, Piece, in_parts, read_hashes, read_looks, read_thumbnails
from biomedica_ray.dedupe.articles import ArticleGroups, article_duplicates, in_order
from biomedica_ray.dedupe.boilerplate import boilerplate
from biomedica_ray.dedupe.captions import other_captions
from biomedica_ray.dedupe.columns import Rows, distinct, duplicate_rows, grouped
from biomedica_ray.dedupe.config import DedupeConfig
from biomedica_ray.dedupe.copies import MOST_IN_PART, MOST_PICTURES, find_copies
from biomedica_ray.dedupe.figures import FindPairs, figure_duplicates, find_candidates
from biomedica_ray.dedupe.hamming import pair_blocks
from biomedica_ray.dedupe.occurrences import Occurrences, find_occurrences, occurrences
from biomedica_ray.dedupe.panels import (
    PANELS,
    near_panels,
    panel_repeats,
    read_panel_thumbnails,
    read_panels,
    with_figures,
)
from biomedica_ray.dedupe.shuffle import pair_blocks_by_shuffle
from biomedica_ray.dedupe.slim import read_slim
from biomedica_ray.dedupe.tasks import in_tasks
from biomedica_ray.images import ImageError, decode
from biomedica_ray.images.thumbnails import SIDE, thumbnail
from biomedica_ray.store import Commit, Store
from biomedica_ray.units import Counts, Flow, counts_to_json, fingerprint
from biomedica_ray.usage import Usage

ROWS_DIGITS = 16
"""Digits of a unit's fingerprint that stand for its rows, and not for how many there were to compare."""

_LICENCES = ("commercial", "noncommercial", "other")
"""Licence groups, the freest first."""

log = logging.getLogger(__name__)

Row = dict[str, Any]
Thumbnails = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Inputs:
    """What is compared.

    Attributes:
        extracted: Unit -> commit of extract.
        enriched: Unit -> commit of enrich, where it has been run.
        pieces: Parts of the other sets in which figures are looked for.
        panelled: Unit -> commit of panels, where it has been run.
        embedded: Unit -> commit of the embeddings, for semantic duplicates.
        clusters: The clusters of these embeddings, below the store's root.
    """

    extracted: Mapping[int, Commit]
    enriched: Mapping[int, Commit]
    pieces: Sequence[Piece]
    panelled: Mapping[int, Commit]
    embedded: Mapping[int, Commit]
    clusters: str


@dataclass(frozen=True)
class Found:
    """What the comparison found.

    Attributes:
        tables: Name -> rows of duplicates and captions with their unit, unit by unit.
        errors: Unit -> rows of errors, where there are any.
        counts: Unit -> its counts.
    """

    tables: Mapping[str, pa.Table]
    errors: Mapping[int, list[Row]]
    counts: Mapping[int, Counts]

    def of(self, unit: int) -> tuple[dict[str, pa.Table], list[Row], Counts]:
        """The rows of duplicates and captions, the errors and the counts of one unit."""
        tables = {}
        for name, table in self.tables.items():
            start, stop = np.searchsorted(self._units[name], (unit, unit + 1))
            tables[name] = table.slice(start, stop - start).drop_columns(["unit"])
        return tables, self.errors.get(unit, []), self.counts[unit]

    def marks(self) -> dict[int, str]:
        """Unit -> fingerprint of what was found in it: :data:`ROWS_DIGITS` of the rows, and then of the counts."""
        marks = {}
        for unit in self.counts:
            tables, errors, counts = self.of(unit)
            rows = {name: table.to_pylist() for name, table in tables.items()}
            marks[unit] = fingerprint(rows, errors) + fingerprint(counts_to_json(counts))
        return marks

    @cached_property
    def _units(self) -> dict[str, npt.NDArray[np.int32]]:
        return {name: table["unit"].to_numpy() for name, table in self.tables.items()}


def compare(store: Store, inputs: Inputs, config: DedupeConfig) -> tuple[str, dict[int, str], Found, Usage]:
    """Find all duplicates; returns what was found in a line, as a fingerprint of each unit, in full, and its usage."""
    summary, found = _Comparison(store, inputs, config).compare()
    return summary, found.marks(), found, usage.take_work()


class _Comparison:
    """Compares everything, and collects errors on the way."""

    def __init__(self, store: Store, inputs: Inputs, config: DedupeConfig) -> None:
        self._store, self._inputs, self._config = store, inputs, config
        self._errors: dict[int, list[Row]] = defaultdict(list)
        self._undecoded: set[str] = set()
        """Figures that turned out not to decode when they were looked at."""
        self._elsewhere = Flow()
        """What became of the pictures of the other sets."""

    def compare(self) -> tuple[str, Found]:
        articles, figures = self._read()
        groups = article_duplicates(articles)
        figures = _ranked(figures, articles, groups)
        find_pairs = self._find_pairs(figures.num_rows)
        candidates = find_candidates(figures, self._config.max_distance, find_pairs)
        figures = candidates.figures
        others = self._others()
        elsewhere = find_occurrences(figures, others, self._config.max_distance, find_pairs)

        looked_at = distinct(np.concatenate([candidates.rows, elsewhere.rows]))
        thumbnails = self._thumbnails(figures, looked_at)
        look = thumbnails[np.searchsorted(looked_at, candidates.rows)]
        repeats = figure_duplicates(candidates, look, self._config.min_correlation)
        if self._config.semantic_model:
            repeats = self._with_semantic(figures, repeats)
        useless = boilerplate(figures, candidates.same, repeats, self._config.boilerplate_articles)
        look = thumbnails[np.searchsorted(looked_at, elsewhere.rows)]
        leaks = occurrences(elsewhere, look, self._other_thumbnails(elsewhere), self._config.min_correlation)

        plain = repeats.filter(pc.invert(pc.is_in(repeats["id"], useless["id"].combine_chunks())))
        captions = _with_unit(self._captions(figures, plain), "figure_id", figures, "figure_id")
        kept = figures.filter(pc.invert(pc.is_in(figures["figure_id"], repeats["id"].combine_chunks())))
        panels = self._panels(figures)
        find_pairs = self._find_pairs(kept.num_rows + panels.num_rows)
        in_panels = with_figures(self._leaks_of_panels(panels, others, find_pairs), panels)
        # A figure that repeats another may be kept all the same: it is looked for elsewhere, whole and in parts.
        of_kept = panels.filter(pc.is_in(panels["figure_id"], kept["figure_id"].combine_chunks()))
        of_panels = pa.concat_tables(
            [self._repeats_of_panels(kept, of_kept, find_pairs), in_panels.filter(pc.field("entity") == "panel")]
        )
        new = pc.invert(pc.is_in(in_panels["id"], value_set=leaks["id"].combine_chunks()))
        leaks = pa.concat_tables([leaks, in_panels.filter(pc.and_(new, pc.equal(in_panels["entity"], "figure")))])
        leaks = pa.concat_tables([leaks, self._copies(figures, others, leaks)])
        by_id = [("id", "ascending"), ("kind", "ascending")]
        of_figures = pa.concat_tables([repeats, useless, leaks]).sort_by(by_id)
        duplicates = pa.concat_tables(
            [
                _with_unit(groups.duplicates, "id", articles, "article_id"),
                _with_unit(of_figures, "id", figures, "figure_id"),
                _with_unit(of_panels.sort_by(by_id), "id", panels, "panel_id"),
            ]
        )
        summary = (
            f"{int(groups.repeats.sum()):,} of {articles.num_rows:,} articles and {repeats.num_rows:,} of "
            f"{figures.num_rows:,} figures repeat others; {len(looked_at):,} were looked at twice; "
            f"{useless.num_rows:,} are boilerplate, {leaks.num_rows:,} occur in other sets; of {panels.num_rows:,} "
            f"panels {of_panels.num_rows:,} repeat another picture"
        )
        tables = {"duplicates": duplicates, "captions": captions}
        return summary, Found(
            {name: _by_unit(table) for name, table in tables.items()}, self._errors, self._counts(articles, figures)
        )

    def _find_pairs(self, n: int) -> FindPairs:
        """How near ones of ``n`` hashes are found."""
        return _by_shuffle if n >= self._config.shuffle_from else partial(pair_blocks, threads=self._config.num_cpus)

    def _panels(self, figures: pa.Table) -> pa.Table:
        """The panels of figures, in the order of these."""
        panelled = self._inputs.panelled
        found = [PANELS.empty_table(), *map_in_threads(partial(read_panels, self._store), panelled.values())]
        panels = pa.concat_tables(found)
        place = pc.index_in(panels["figure_id"], figures["figure_id"].combine_chunks())
        panels = panels.append_column("place", place).filter(place.is_valid())
        panels = panels.append_column("article", figures["article"].take(panels["place"]))
        order = [("place", "ascending"), ("number", "ascending")]
        return panels.sort_by(order).drop_columns(["place"])

    def _repeats_of_panels(self, kept: pa.Table, panels: pa.Table, find_pairs: FindPairs) -> pa.Table:
        """Rows of the duplicates table for panels that repeat a figure, or a panel of another one."""
        config = self._config
        near = near_panels(kept, panels, config.max_distance, find_pairs)
        looks = self._thumbnails(kept, near.figures), self._panel_thumbnails(panels, near.panels)
        most, least = config.max_distance, config.min_correlation
        return panel_repeats(kept, panels, near, looks, max_distance=most, min_correlation=least)

    def _leaks_of_panels(self, panels: pa.Table, others: pa.Table, find_pairs: FindPairs) -> pa.Table:
        """Rows of the duplicates table for panels that occur in other sets."""
        found = find_occurrences(
            panels.rename_columns({"figure_id": "of_figure", "panel_id": "figure_id"}),
            others,
            self._config.max_distance,
            find_pairs,
        )
        looks = self._panel_thumbnails(panels, found.rows), self._other_thumbnails(found)
        return occurrences(found, *looks, self._config.min_correlation)

    def _copies(self, figures: pa.Table, others: pa.Table, leaks: pa.Table) -> pa.Table:
        """Rows of the duplicates table for further figures that occur in other sets: cropped, turned, as a part...

        Args:
            figures: All figures.
            others: The pictures of the other sets.
            leaks: Those rows that the hashes have led to.
        """
        if others.num_rows > MOST_PICTURES:
            log.warning(
                "dedupe: against: %s pictures are too many to look for crops and turned ones (at most %s); they are "
                "compared by hashes alone",
                f"{others.num_rows:,}",
                f"{MOST_PICTURES:,}",
            )
            return leaks.slice(0, 0)
        rest = figures.filter(pc.invert(pc.is_in(figures["figure_id"], value_set=leaks["id"].combine_chunks())))
        inputs = self._inputs
        calls = dict(enumerate(in_parts(inputs.pieces, others, MOST_IN_PART)))
        copies = find_copies(self._store, inputs.extracted, inputs.panelled, rest, look=read_looks, calls=calls)
        # A figure is told by the picture that it is most like.
        order = [("figure_id", "ascending"), ("distance", "ascending"), ("picture", "ascending")]
        copies = copies.sort_by(order)
        ids = copies["figure_id"].to_numpy()
        first = np.flatnonzero(np.concatenate([ids[:1] == ids[:1], ids[1:] != ids[:-1]]))
        found = (copies["figure_id"], first), (others["name"], copies["picture"].to_numpy()[first].astype(np.int64))
        how = copies["how"].take(pa.array(first)).to_pylist()
        return duplicate_rows("figure", "against", *found, copies["distance"].to_numpy()[first], how=how)

    def _panel_thumbnails(self, panels: pa.Table, rows: Rows) -> Thumbnails:
        """Thumbnails (k, 1024) of panels, read unit by unit wherever there is room."""
        result = np.zeros((len(rows), SIDE * SIDE), np.uint8)
        units, places, numbers = (panels[name].to_numpy()[rows] for name in ("unit", "row", "number"))
        members = grouped(units, places)
        calls = {
            unit: (self._store, self._inputs.panelled[unit], places[each], numbers[each])
            for unit, each in members.items()
        }
        for unit, thumbnails in in_tasks(read_panel_thumbnails, calls):
            result[members[unit]] = thumbnails
        return result

    def _counts(self, articles: pa.Table, figures: pa.Table) -> dict[int, Counts]:
        """Unit -> what extract has committed of it, what of that was compared here, and the errors."""
        undecoded = pc.is_in(figures["figure_id"], value_set=pa.array(list(self._undecoded), pa.string()))
        extracted = self._inputs.extracted
        n_articles, n_figures = (
            np.bincount(table["unit"].to_numpy(), minlength=max(extracted) + 1).tolist()
            for table in (articles, figures.filter(pc.invert(undecoded)))
        )
        counts: dict[int, Counts] = {}
        for unit, commit in extracted.items():
            errors = Counter(row["entity"] for row in self._errors[unit])
            counts[unit] = {
                "articles": Flow(commit.counts["articles"].rows_out, n_articles[unit], errors["article"]),
                "figures": Flow(commit.counts["figures"].rows_out, n_figures[unit], errors["figure"]),
            }
        if self._inputs.pieces:
            counts[min(counts)]["pictures elsewhere"] = self._elsewhere
        return counts

    def _read(self) -> tuple[pa.Table, pa.Table]:
        """The slim columns of the articles, in order, and of the figures."""
        extracted, enriched = self._inputs.extracted, self._inputs.enriched
        slim = list(map_in_threads(lambda unit: read_slim(self._store, extracted[unit], enriched.get(unit)), extracted))
        for unit, columns in zip(extracted, slim, strict=True):
            self._errors[unit] += columns.errors
        return in_order(pa.concat_tables(each.articles for each in slim)), pa.concat_tables(
            each.figures for each in slim
        )

    def _others(self) -> pa.Table:
        """The pictures of the other sets; what cannot be read there is committed with the first unit."""
        unit = min(self._inputs.extracted)
        calls = {number: (number, piece) for number, piece in enumerate(self._inputs.pieces)}
        found = [PICTURES.empty_table()]
        met = n_errors = 0
        for _, hashed in in_tasks(read_hashes, calls):
            found.append(hashed.pictures)
            self._errors[unit] += hashed.errors
            met, n_errors = met + hashed.met, n_errors + len(hashed.errors)
        self._errors[unit].sort(key=lambda row: str(row["what"]))
        pictures = pa.concat_tables(found).sort_by(
            [("name", "ascending"), ("piece", "ascending"), ("row", "ascending")]
        )
        self._elsewhere = Flow(met, pictures.num_rows, n_errors)
        return pictures

    def _thumbnails(self, figures: pa.Table, rows: Rows) -> Thumbnails:
        """Thumbnails (k, 1024) of figures, made unit by unit wherever there is room.

        A figure that does not decode becomes an error; its thumbnail stays blank, which is like no other.
        """
        result = np.zeros((len(rows), SIDE * SIDE), np.uint8)
        members, calls = self._reads(figures, rows)
        for unit, (thumbnails, errors) in in_tasks(_unit_thumbnails, calls):
            result[members[unit]] = thumbnails
            self._errors[unit] += (row for row in errors if row["what"] not in self._undecoded)
            self._undecoded.update(row["what"] for row in errors)
        return result

    def _other_thumbnails(self, elsewhere: Occurrences) -> Thumbnails:
        """Thumbnails (m, 1024) of the pictures of other sets that figures may be near."""
        result = np.zeros((len(elsewhere.other_rows), SIDE * SIDE), np.uint8)
        chosen = elsewhere.others.take(pa.array(elsewhere.other_rows))
        members = grouped(chosen["piece"].to_numpy(), chosen["row"].to_numpy())
        rows = chosen["row"].to_numpy()
        calls = {number: (self._inputs.pieces[number], rows[each]) for number, each in members.items()}
        for number, thumbnails in in_tasks(read_thumbnails, calls):
            result[members[number]] = thumbnails
        return result

    def _captions(self, figures: pa.Table, repeats: pa.Table) -> pa.Table:
        """Rows of the captions table: other captions that may stand with a kept figure, as their licence is as free."""
        ids = figures["figure_id"].combine_chunks()
        rows, kept = (pc.index_in(repeats[name], ids).to_numpy().astype(np.int64) for name in ("id", "of"))
        licence = figures["licence"].to_numpy()
        usable = figures["has_caption"].to_numpy()[rows] & ~figures["retracted"].to_numpy()[rows]
        chosen = np.flatnonzero(usable & (licence[rows] <= licence[kept]))
        chosen = chosen[np.lexsort((rows[chosen], kept[chosen]))]
        wanted = distinct(np.concatenate([rows[chosen], kept[chosen]]))
        captions: dict[str, str | None] = {}
        _, calls = self._reads(figures, wanted)
        for _, found in in_tasks(_unit_captions, calls):
            captions |= found
        names = figures["figure_id"]
        groups = zip(*(names.take(pa.array(each[chosen])).to_pylist() for each in (kept, rows)), strict=True)
        return pa.Table.from_pylist(other_captions(groups, captions), schema=schema.CAPTIONS)

    def _with_semantic(self, figures: pa.Table, repeats: pa.Table) -> pa.Table:
        """The duplicates, with those by embeddings."""
        from biomedica_ray.dedupe.semantic import alike_in_clusters, with_semantic  # noqa: PLC0415 - needs scikit-learn

        assert self._config.min_cosine is not None
        numbered = figures.select(["figure_id", "unit"]).append_column("row", pa.array(np.arange(figures.num_rows)))
        kept = numbered.filter(pc.invert(pc.is_in(figures["figure_id"], repeats["id"].combine_chunks())))
        pairs, cosines = alike_in_clusters(
            self._store, self._inputs.embedded, self._inputs.clusters, kept, self._config.min_cosine
        )
        return with_semantic(figures, repeats, pairs, cosines)

    def _reads(self, figures: pa.Table, rows: Rows) -> tuple[dict[int, Rows], dict[int, tuple[Any, ...]]]:
        """Unit -> which of ``rows`` are in it, by their place there; and the arguments of a task that reads them."""
        chosen = figures.select(["unit", "row"]).take(pa.array(rows))
        places = chosen["row"].to_numpy()
        members = grouped(chosen["unit"].to_numpy(), places)
        return members, {
            unit: (self._store, self._inputs.extracted[unit], places[each]) for unit, each in members.items()
        }


def _ranked(figures: pa.Table, articles: pa.Table, groups: ArticleGroups) -> pa.Table:
    """The figures with what is known of their articles, and the rank by which one is kept rather than another.

    The first thing that counts is that the article is kept and not retracted, then that there is a caption and the
    image itself, no thumbnail, then that the figure is the authors' own, then the licence, the stricter one of the
    figure's and the article's: otherwise a usable picture would give way to one that later stages leave out.
    """
    place = pc.index_in(figures["article_id"], articles["article_id"].combine_chunks()).to_numpy()
    licences = pc.index_in(articles["license_group"], pa.array(_LICENCES)).fill_null(len(_LICENCES)).to_numpy()
    excluded = (groups.repeats | groups.retracted)[place]
    useless = ~figures["has_caption"].to_numpy() | figures["is_thumbnail"].to_numpy()
    third_party = figures["third_party"].to_numpy()
    own = pc.index_in(figures["license_group"], pa.array(_LICENCES)).fill_null(0).to_numpy()
    licence = np.maximum(licences[place], own).astype(np.int64)
    rank = np.ravel_multi_index((excluded, useless, third_party, licence), (2, 2, 2, len(_LICENCES) + 1))
    columns = {"article": place, "family": groups.families[place], "retracted": groups.retracted[place]}
    for name, values in {**columns, "licence": licence, "rank": rank}.items():
        figures = figures.append_column(name, pa.array(values))
    return figures


def _with_unit(found: pa.Table, key: str, rows: pa.Table, id_: str) -> pa.Table:
    return found.add_column(0, "unit", rows["unit"].take(pc.index_in(found[key], rows[id_].combine_chunks())))


def _by_unit(found: pa.Table) -> pa.Table:
    """The rows unit by unit, otherwise in the same order."""
    return found.take(np.argsort(found["unit"].to_numpy(), kind="stable"))


def _by_shuffle(hashes: npt.NDArray[np.uint64], max_distance: int) -> Iterator[Rows]:
    """The pairs by a shuffle, led by a task without CPUs; this task lends out its own while it waits for that one."""
    task: Any = ray.remote(pair_blocks_by_shuffle)
    options = {"num_cpus": 0, "num_returns": "streaming", "max_retries": RETRIES}
    for block in task.options(**options).remote(hashes, max_distance):
        yield ray.get(block)


def _unit_thumbnails(store: Store, commit: Commit, rows: Rows) -> tuple[Thumbnails, list[Row]]:
    """Thumbnails of the figures at ``rows`` of a unit, and error rows for those that do not decode.

    Extract stores them; only units that an earlier version extracted have to be decoded again.
    """
    if "images" in commit.files:
        stored = store.rows(commit, "figures", rows.tolist(), ["thumbnail"])
        return np.frombuffer(b"".join(row["thumbnail"] for row in stored), np.uint8).reshape(len(rows), -1), []
    thumbnails = np.zeros((len(rows), SIDE * SIDE), np.uint8)
    errors: list[Row] = []
    for index, figure in enumerate(store.rows(commit, "figures", rows.tolist(), ["figure_id", "image"])):
        try:
            thumbnails[index] = thumbnail(decode(figure["image"]))
        except ImageError as error:
            errors.append(schema.error_row("dedupe", figure["figure_id"], error.kind, str(error)))
    return thumbnails, errors


def _unit_captions(store: Store, commit: Commit, rows: Rows) -> dict[str, str | None]:
    """figure_id -> caption of the figures at ``rows`` of a unit."""
    figures = store.rows(commit, "figures", rows.tolist(), ["figure_id", "caption"])
    return {figure["figure_id"]: figure["caption"] for figure in figures}
