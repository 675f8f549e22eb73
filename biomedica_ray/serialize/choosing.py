"""Choosing a unit's samples: which figures and panels are written, and why others are not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from biomedica_ray import schema
from biomedica_ray.select.pipeline import selected_ids
from biomedica_ray.serialize import left_out as selection
from biomedica_ray.serialize.config import SerializeConfig
from biomedica_ray.serialize.panel_samples import COLUMNS, Cut, cut, n_boxes
from biomedica_ray.serialize.tables import read_pubmed, read_rows
from biomedica_ray.store import Store, StoreError
from biomedica_ray.units import Counts, Flow

Row = dict[str, Any]


class SelectionWorker:
    """Decides for each figure of a unit, and for its panels, whether and where it is written."""

    def __init__(self, store: Store, run_id: str, config: SerializeConfig) -> None:
        self._store, self._run_id, self._config = store, run_id, config
        self._place = config.place

    def __call__(self, unit: int, mark: str) -> Counts:
        """Commit the samples of one unit, and an error for each figure or panel that is left out; returns the counts.

        Figures that are not in the selection, or of which each panel is a sample, are counted as skipped; so are panels
        that stay with their figure.

        Raises:
            StoreError: Panels are asked for, and were found by a version that aligned no words, or there are not as
                many as their row says.
            LostRowsError: A figure or a panel is neither written nor among the errors.
        """
        extracted = self._store.commit("extract", unit)
        articles = self._store.read(extracted, "articles", selection.ARTICLE_COLUMNS).to_pylist()
        figures = self._store.read(extracted, "figures", selection.FIGURE_COLUMNS, row="row").to_pylist()
        repeats, others = read_rows(self._store, "dedupe", unit, "duplicates", "captions")
        duplicates, captions = _grouped(repeats, "id"), _grouped(others, "figure_id")
        panels, pubmed = self._panels(unit), read_pubmed(self._store, unit, ["is_retracted"])
        name = self._config.selection
        selected = selected_ids(self._store, name, unit) if name else None
        by_id = {article["article_id"]: article for article in articles}
        for article_id in by_id.keys() & pubmed.keys():  # PubMed knows of retractions that the XML does not mention
            by_id[article_id]["is_retracted"] |= pubmed[article_id]["is_retracted"]
        choice, n_in = _Choice(self._config), 0
        for figure in figures:
            figure_id, article = figure["figure_id"], by_id[figure["article_id"]]
            if selected is not None and figure_id not in selected:
                choice.skipped += 1
            elif reason := selection.reason_left_out(figure, article, duplicates, self._config):
                choice.leave_out(figure, reason)
            else:
                fractions = self._config.validation_fraction, self._config.test_fraction
                sample = {name: figure[name] for name in ("row", "figure_id", "article_id")}
                sample["license_group"] = selection.group_of(figure, article)
                sample["split"] = selection.split_of(article["article_id"], duplicates, *fractions)
                code = figure["license_code"] or article["license_code"]
                parts = cut(panels.get(figure_id), code, duplicates, self._config)
                n_in += n_boxes(panels.get(figure_id))
                choice.take(sample, parts, [each["caption"] for each in captions.get(figure_id, ())])
        place = self._place
        with self._store.write_unit(place.stage, unit, mark, self._run_id) as writer:
            written = writer.table("samples", schema.SAMPLES, directory=place.folder("samples"))
            errors = writer.table("errors", schema.ERRORS, directory=place.folder("errors/serialize"))
            written.write(choice.samples("figure"))
            errors.write(choice.errors("figure"))
            n_written, n_errors = written.rows, errors.rows
            written.write(choice.samples("panel"))
            errors.write(choice.errors("panel"))
            counts = {"figures": Flow(extracted.counts["figures"].rows_out, n_written, n_errors, choice.skipped)}
            if self._config.pairs != "figures":
                counts["panels"] = Flow(n_in, written.rows - n_written, errors.rows - n_errors, choice.staying)
            return writer.commit(counts).counts

    def _panels(self, unit: int) -> dict[str, Row]:
        """The unit's rows of the panels table by figure_id, where panels are asked for."""
        if self._config.pairs == "figures":
            return {}
        (rows,) = read_rows(self._store, "panels", unit, "panels", columns=COLUMNS)
        if any(row["phashes"] is None for row in rows):
            raise StoreError(f"{self._store.root}: panels of an earlier version; run `biomedica panels` first")
        for row in rows:
            if len(row["panel_boxes"]) != row["n_panels"]:
                raise StoreError(
                    f"{self._store.root}: panels of {row['figure_id']}: {row['n_panels']} were found, but there are "
                    f"{len(row['panel_boxes'])}; run `biomedica panels --again true`"
                )
        return {row["figure_id"]: row for row in rows}


class _Choice:
    """What has been decided of a unit.

    Attributes:
        skipped: Figures that are not in the selection, or are there as their panels alone.
        staying: Panels that stay with their figure.
    """

    def __init__(self, config: SerializeConfig) -> None:
        self._left_out: list[Row] = []
        self.skipped = self.staying = 0
        self._pairs = config.pairs
        self._chosen: list[Row] = []
        self._withheld: set[str] = set()

    def leave_out(self, figure: Row, reason: selection.LeftOut) -> None:
        """A figure is not written, and none of its panels."""
        self._left_out.append(schema.error_row("serialize", figure["figure_id"], reason.kind, reason.message))
        if reason.kind in selection.WITHHELD:
            self._withheld.add(figure["article_id"])

    def take(self, sample: Row, parts: Cut, also_captioned: list[str]) -> None:
        """A figure is written, its panels, or both."""
        self.staying += parts.staying
        if self._pairs == "panels" and parts.n_panels and not parts.staying:
            self.skipped += 1
        else:
            self._chosen.append({**sample, "panel": 0, "also_captioned": also_captioned})
        self._chosen += ({**sample, "panel": number, "also_captioned": []} for number in parts.numbers)
        for number, why in parts.left_out:
            id_ = schema.panel_id(sample["figure_id"], number)
            self._left_out.append(schema.error_row("serialize", id_, why.kind, why.message, entity="panel"))

    def errors(self, entity: str) -> list[Row]:
        """Rows of the errors table of figures, or of panels."""
        return [row for row in self._left_out if row["entity"] == entity]

    def samples(self, entity: str) -> list[Row]:
        """Rows of the samples table that are figures, or panels."""
        chosen = (sample for sample in self._chosen if bool(sample["panel"]) == (entity == "panel"))
        return [{**sample, "article_whole": sample["article_id"] not in self._withheld} for sample in chosen]


def _grouped(rows: Iterable[Row], key: str) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[key]].append(row)
    return groups
