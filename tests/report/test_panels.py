"""Panels in the report."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from biomedica_ray import schema
from biomedica_ray.panels.boxes import Box
from biomedica_ray.panels.found import FoundPanel
from biomedica_ray.panels.rows import panel_row
from biomedica_ray.report.panels import panel_page
from biomedica_ray.store import Store
from tests.report.stores import by_unit, commit_tables, extracted_store

PARTS = [{"label": "A", "text": "One.", "start": 0, "end": 4}, {"label": "B", "text": "Two.", "start": 5, "end": 9}]


def write(store: Store) -> None:
    image = Image.new("RGB", (1200, 300), "white")
    rows = [
        panel_row(
            "PMC1.1_002",
            image,
            [FoundPanel(Box(0, 0, 500, 300, 0.9)), FoundPanel(Box(600, 0, 1200, 300, 0.9))],
            "One. Two.",
            PARTS,
        ),
        panel_row(
            "PMC2.1_002",
            image,
            [FoundPanel(Box(0, 0, 32, 48, 0.2), None, "B", 0.7), FoundPanel(Box(32, 0, 64, 48, 0.2))],
            "One.",
            PARTS[:1],
        ),
        panel_row(
            "PMC2.1_001",
            image,
            [FoundPanel(Box(0, 0, 64, 24, 0.4), None, "B", 0.7), FoundPanel(Box(0, 24, 64, 48, 0.4))],
            "One. Two. Three.",
            [*PARTS, {"label": "C", "text": "Three.", "start": 10, "end": 16}],
        ),
        panel_row("PMC1.1_001", image, [FoundPanel(Box(0, 0, 64, 48, 1))], "One.", []),
    ]
    commit_tables(store, "panels", {"panels": by_unit(rows, "figure_id")})


def test_figures_with_their_boxes_by_how_words_were_found_and_the_hardest(tmp_path: Path) -> None:
    store = extracted_store(tmp_path / "store")
    extracted = store.commits("extract")
    assert panel_page(store, extracted, extracted) is None
    write(store)
    page = panel_page(store, extracted, extracted)
    assert page is not None
    assert (page.figures, page.compound, page.ways) == (4, 3, (("none", 3), ("order", 2), ("letter", 1)))
    shown = {title: [(each.figure_id, round(each.confidence, 3)) for each in row] for title, row in page.rows}
    assert {title: sorted(row) for title, row in shown.items()} == {
        "without words": [("PMC2.1_001", 0.4), ("PMC2.1_002", 0.2)],
        "by order": [("PMC1.1_002", 0.9)],
        "by letter": [("PMC2.1_001", 0.4)],
        "least confidence": [("PMC1.1_002", 0.9), ("PMC2.1_001", 0.4), ("PMC2.1_002", 0.2)],
    }
    assert [figure_id for figure_id, _ in shown["least confidence"]] == ["PMC2.1_002", "PMC2.1_001", "PMC1.1_002"]
    pictures = {each.figure_id: each.picture for _, row in page.rows for each in row}
    assert pictures["PMC2.1_001"].problem == "not-an-image"
    drawn = Image.open(io.BytesIO(base64.b64decode(pictures["PMC1.1_002"].uri.partition(",")[2])))
    assert drawn.size == (360, 90)
    red, green, blue = np.asarray(drawn.convert("RGB"))[60:85, 180:182].astype(int).mean(axis=(0, 1))
    assert green > red + 40 and green > blue + 20  # the left edge of the second box


def test_panels_of_an_earlier_version_are_not_shown(tmp_path: Path) -> None:
    store = extracted_store(tmp_path / "store")
    image = Image.new("RGB", (64, 48))
    boxes = [FoundPanel(Box(0, 0, 32, 48, 0.2)), FoundPanel(Box(32, 0, 64, 48, 0.2))]
    row = panel_row("PMC1.1_001", image, boxes, "One.", [])
    earlier = pa.struct([("label", pa.string()), ("left", pa.int32()), ("confidence", pa.float32())])
    table = pa.schema(
        [
            *(schema.PANELS.field(name) for name in ("figure_id", "n_panels", "least_confidence")),
            pa.field("panel_boxes", pa.list_(earlier)),
        ]
    )
    old = {
        **row,
        "panel_boxes": [{name: box[name] for name in ("label", "left", "confidence")} for box in row["panel_boxes"]],
    }
    for unit, rows in by_unit([old], "figure_id").items():
        with store.write_unit("panels", unit, "aa") as writer:
            writer.table("panels", table).write([{name: each[name] for name in table.names} for each in rows])
            writer.commit({})
    extracted = store.commits("extract")
    assert panel_page(store, extracted, extracted) is None
