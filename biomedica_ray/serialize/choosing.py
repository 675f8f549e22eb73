"""Choosing a unit's samples: which figures and panels are written, and why others are not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from biomedica_ray import schema
from biomedica_ray.reading.place import Place
from biomedica_ray.select.pipeline import selected_ids
from biomedica_ray.serialize import left_out as selection
from biomedica_ray.serialize.config import SerializeConfig
from biomedica_ray.serialize.members import read_pubmed, read_rows
from biomedica_ray.serialize.panel_samples import COLUMNS, Cut, cut
from biomedica_ray.store import Store, StoreError
from biomedica_ray.units import Counts, Flow

Row = dict[str, Any]


class SelectionWorker:
    """Decides for each figure of a unit, and for its panels, whether and where it is written."""

    def __init__(self, store: Store, run_id: str, config: SerializeConfig) -> None:
        self._store, self._run_id, self._config = store, run_id, config
        self._place = Place(config.selection)

    def __call__(self, unit: int, mark: str) -> Counts:
        """Commit the samples of one unit, and an error for each figure or panel that is left out; returns the counts.

        Figures that are not in the selection, or of which each panel is a sample, are counted as skipped; so are panels
        that stay with their figure.

        Raises:
            StoreError: Panels are asked for, and were found by a version that aligned no words.
        """
        extracted = self._store.commit("extract", unit)
        articles = self._store.read(extracted, "articles", selection.ARTICLE_COLUMNS).to_pylist()
        figures = self._store.read(extracted, "figures", selection.FIGURE_COLUMNS, row="row").to_pylist()
        repeats, others = read_rows(self._store, "dedupe", unit, "duplicates", "captions")
        duplicates, captions = _grouped(repeats, "id"), _grouped(others, "figure_id")
        panels, pubmed = self._panels(unit), read_pubmed(self._store, unit)
        name = self._config.selection
        selected = selected_ids(self._store, name, unit) if name else None
        by_id = {article["article_id"]: article for article in articles}
        for article_id in by_id.keys() & pubmed.keys():  # PubMed knows of retractions that the XML does not mention
            by_id[article_id]["is_retracted"] |= pubmed[article_id]["is_retracted"]
        choice = _Choice(self._config)
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
                choice.take(sample, parts, [each["caption"] for each in captions.get(figure_id, ())])
        place = self._place
        with self._store.write_unit(place.stage, unit, mark, self._run_id) as writer:
            written = writer.table("samples", schema.SAMPLES, directory=place.folder("samples"))
            written.write(choice.samples())
            errors = writer.table("errors", schema.ERRORS, directory=place.folder("errors/serialize"))
            errors.write(choice.left_out)
            return writer.commit(choice.counts(extracted.counts["figures"].rows_out, written.rows, errors.rows)).counts

    def _panels(self, unit: int) -> dict[str, Row]:
        """The unit's rows of the panels table by figure_id, where panels are asked for."""
        if self._config.pairs == "figures":
            return {}
        (rows,) = read_rows(self._store, "panels", unit, "panels", columns=COLUMNS)
        if any(row["phashes"] is None for row in rows):
            raise StoreError(f"{self._store.root}: panels of an earlier version; run `biomedica panels` first")
        return {row["figure_id"]: row for row in rows}


class _Choice:
    """What has been decided of a unit.

    Attributes:
        left_out: Rows of the errors table, of figures and of panels.
        skipped: Figures that are not in the selection, or are there as their panels alone.
    """

    def __init__(self, config: SerializeConfig) -> None:
        self.left_out: list[Row] = []
        self.skipped = 0
        self._pairs = config.pairs
        self._chosen: list[Row] = []
        self._withheld: set[str] = set()
        self._panels = self._staying = 0

    def leave_out(self, figure: Row, reason: selection.LeftOut) -> None:
        """A figure is not written, and none of its panels."""
        self.left_out.append(schema.error_row("serialize", figure["figure_id"], reason.kind, reason.message))
        if reason.kind in selection.WITHHELD:
            self._withheld.add(figure["article_id"])

    def take(self, sample: Row, parts: Cut, also_captioned: list[str]) -> None:
        """A figure is written, its panels, or both."""
        self._panels += parts.n_panels
        self._staying += parts.staying
        if self._pairs == "panels" and parts.n_panels and not parts.staying:
            self.skipped += 1
        else:
            self._chosen.append({**sample, "panel": 0, "also_captioned": also_captioned})
        self._chosen += ({**sample, "panel": number, "also_captioned": []} for number in parts.numbers)
        for number, why in parts.left_out:
            id_ = schema.panel_id(sample["figure_id"], number)
            self.left_out.append(schema.error_row("serialize", id_, why.kind, why.message, entity="panel"))

    def samples(self) -> list[Row]:
        """Rows of the samples table."""
        return [{**sample, "article_whole": sample["article_id"] not in self._withheld} for sample in self._chosen]

    def counts(self, n_figures: int, n_written: int, n_errors: int) -> Counts:
        """What became of the figures that came in, and of the panels of those that were wanted."""
        panels = sum(sample["panel"] > 0 for sample in self._chosen)
        errors = sum(row["entity"] == "panel" for row in self.left_out)
        counts = {"figures": Flow(n_figures, n_written - panels, n_errors - errors, self.skipped)}
        return (
            counts
            if self._pairs == "figures"
            else {**counts, "panels": Flow(self._panels, panels, errors, self._staying)}
        )


def _grouped(rows: Iterable[Row], key: str) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[key]].append(row)
    return groups
