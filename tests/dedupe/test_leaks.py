"""Pictures of other sets that are among the figures of a store: exact, as another file, cropped, or as a panel."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from benchmarks.copies import cropped, turned
from biomedica_ray import schema
from biomedica_ray.dedupe import copies, leaks
from biomedica_ray.dedupe.leaks import LookupWorker, PlaceWorker, Searched, read_leaks
from biomedica_ray.dedupe.seen import MATCHES, Readable, best_matches, join, look_at
from biomedica_ray.panels.boxes import Box
from biomedica_ray.panels.found import FoundPanel
from biomedica_ray.panels.rows import panel_row
from biomedica_ray.reading.shards import Unreadable
from biomedica_ray.runs import UnitsOf
from biomedica_ray.store import Store
from biomedica_ray.units import Flow, unit_of
from tests.dedupe.test_copies import read_only
from tests.dedupe.test_panels import compound
from tests.synthetic import N_UNITS, article, encoded, figure, picture, write_extracted

A, B = picture(1, (400, 300)), picture(3, (400, 300))
PANELS = (4, 5, 6)


@dataclass(frozen=True)
class Pictures:
    """A set of pictures in memory: files, pixels, and what is neither."""

    files: tuple[bytes | Image.Image | None, ...]
    name: str = "set"
    content: str = "a"

    @property
    def n(self) -> int:
        return len(self.files)

    def pictures(self, rows: range) -> Iterator[Readable | Unreadable]:
        for row in rows:
            file = self.files[row]
            if file is None:
                yield Unreadable(f"picture {row}", "not-an-image", "is none")
            elif isinstance(file, bytes):
                yield Readable(file, Image.open(io.BytesIO(file)).convert("RGB"))
            else:
                yield Readable(None, file)


SOUGHT = Pictures(
    (
        encoded(A),
        encoded(B.resize((200, 150)), "JPEG", quality=80),
        encoded(turned(cropped(A, 0.1), Image.Transpose.ROTATE_180)),
        encoded(picture(5, (200, 150)).resize((180, 135)), "JPEG"),
        encoded(picture(9, (300, 200))),
        None,
        A,
        encoded(cropped(picture(6, (200, 150)), 0.1)),
    )
)
FOUND = [
    (0, "PMC1.1_001", 0, "exact"),
    (1, "PMC3.1_001", 0, "near"),
    (2, "PMC1.1_001", 0, "crop, rotated by 180"),
    (3, "PMC2.1_001", 2, "near"),
    (6, "PMC1.1_001", 0, "same-pixels"),
    (7, "PMC2.1_001", 0, "part"),
]
"""Row, figure, panel and way of what is found."""


@pytest.fixture
def training(tmp_path: Path) -> Store:
    """A store whose figures are two pictures and a compound figure, the panels of which are known."""
    return leave_figures(tmp_path / "training")


def leave_figures(root: Path) -> Store:
    store = Store(str(root))
    images = {"PMC1.1": A, "PMC2.1": compound(*PANELS), "PMC3.1": B}
    figures = [figure(article_id, 1, encoded(image)) for article_id, image in images.items()]
    figures.append({**figure("PMC3.1", 2, encoded(picture(8))), "sha256": "none"})
    write_extracted(store, [article(name.partition(".")[0]) for name in images], figures)
    boxes = [FoundPanel(Box(220 * n, 0, 220 * n + 200, 150, 1)) for n in range(len(PANELS))]
    with store.write_unit("panels", unit_of("PMC2", N_UNITS), "aa") as writer:
        writer.table("panels", schema.PANELS).write([panel_row("PMC2.1_001", images["PMC2.1"], boxes, None, [])])
        writer.commit({})
    return store


def search(training: Store, results: Store, *sets: Pictures, most: int = 3) -> dict[str, pa.Table]:
    """What the tasks of a search do, one after the other, in parts of ``most`` pictures."""
    searched, of = Searched.now(training), UnitsOf(results, "run", "evaluate", "text")
    pieces = [(n, range(at, min(at + most, each.n))) for n, each in enumerate(sets) for at in range(0, each.n, most)]
    looked = [look_at(sets[number], rows, in_parts=True) for number, rows in pieces]
    known, overview = read_only(join([number for number, _ in pieces], *(first for first, _ in looked)))
    lookup: Any = LookupWorker(of, training, "leaks/x/units", known)
    found = []
    for unit in searched.extracted:
        lookup(unit, searched.content(unit))
        found.append(results.commit("leaks/x/units", unit))
    units = {unit: searched.content(unit) for unit in searched.extracted}
    gathered, marks = leaks._gather(results, found, overview, units)
    place: Any = PlaceWorker(of, training, "leaks/x/places", gathered, [greys for _, greys in looked])
    for unit, mark in marks.items():
        place(unit, mark)
    places = list(results.commits("leaks/x/places").values())
    names = {each.name: each.content for each in sets}
    commits = leaks._conclude(of, "leaks/x/sets", names, places, gathered, overview)
    return {each.name: read_leaks(results, commit) for each, commit in zip(sets, commits, strict=True)}


@pytest.fixture(autouse=True)
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies.ray, "get", lambda ref: ref)


def told(table: pa.Table) -> list[tuple[int, str, int, str]]:
    return [(row["row"], row["figure_id"], row["number"], row["how"]) for row in table.to_pylist()]


def test_copies_are_found_in_whatever_way(training: Store, tmp_path: Path) -> None:
    results = Store(str(tmp_path / "results"))
    other = Pictures((encoded(picture(7, (300, 300))), encoded(A, "BMP")), "other")
    found = search(training, results, SOUGHT, other)
    assert told(found["set"]) == FOUND
    assert told(found["other"]) == [(1, "PMC1.1_001", 0, "same-pixels")]
    assert all(row["correlation"] > 0.93 for row in found["set"].to_pylist())
    # Nothing is lost: a figure without hashes and a picture that is none are errors.
    of_figures = [commit.counts["figures"] for commit in results.commits("leaks/x/units").values()]
    assert (sum(flow.rows_in for flow in of_figures), sum(flow.errors for flow in of_figures)) == (4, 1)
    of_sets = {commit.counts["pictures sought"] for commit in results.commits("leaks/x/sets").values()}
    assert of_sets == {Flow(8, 7, 1), Flow(2, 2)}
    errors = [
        row
        for stage in ("units", "sets")
        for row in results.dataset(f"leaks/x/{stage}", "errors").to_table().to_pylist()
    ]
    assert [(row["what"], row["kind"]) for row in errors] == [
        ("PMC3.1_002", "bad-hash"),
        ("set: picture 5", "not-an-image"),
    ]


def test_pictures_that_none_can_be_read_of(training: Store, tmp_path: Path) -> None:
    found = search(training, Store(str(tmp_path / "results")), Pictures((None, None)))
    assert told(found["set"]) == []


def test_a_store_has_another_state_when_its_figures_or_panels_change(training: Store) -> None:
    before = Searched.now(training)
    assert Searched.now(training).state == before.state
    unit = unit_of("PMC2", N_UNITS)
    with training.write_unit("panels", unit, "bb") as writer:
        writer.table("panels", schema.PANELS).write([])
        writer.commit({})
    after = Searched.now(training)
    changed = {each for each in before.extracted if before.content(each) != after.content(each)}
    assert changed == {unit} and after.state != before.state


def test_the_surest_figures_of_each_picture() -> None:
    rows = [(1, "a", "part", 0.99), (1, "b", "near", 0.96), (1, "c", "exact", 1.0), (0, "a", "near", 0.97)]
    rows += [(0, "b", "near", 0.98)]
    names = ("picture", "figure_id", "how", "correlation")
    table = pa.Table.from_pylist([{**dict(zip(names, row, strict=True)), "number": 0} for row in rows], schema=MATCHES)
    order = np.random.default_rng(0).permutation(len(rows))
    best = best_matches(table.take(pa.array(order)), 2).to_pylist()
    assert [(row["picture"], row["figure_id"]) for row in best] == [(0, "b"), (0, "a"), (1, "c"), (1, "b")]
