"""Pictures of other sets that are among the figures of a store: exact, as another file, cropped, or as a panel."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from benchmarks.copies import cropped, turned
from biomedica_ray import schema
from biomedica_ray.dedupe import copies, leaks
from biomedica_ray.dedupe.leaks import Searched, find_leaks, read_leaks
from biomedica_ray.dedupe.seen import MATCHES, Readable, best_matches
from biomedica_ray.evaluate.config import EvaluateConfig
from biomedica_ray.panels.boxes import Box
from biomedica_ray.panels.found import FoundPanel
from biomedica_ray.panels.rows import panel_row
from biomedica_ray.reading.shards import Unreadable
from biomedica_ray.runs import Run
from biomedica_ray.store import Commit, Store
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


def search(training: Store, results: Store, *sets: Pictures) -> dict[str, pa.Table]:
    """What a search finds, in parts of three pictures."""
    record = Run("evaluate", EvaluateConfig(store=results.root, data="d", tasks=["pcam"]))
    commits = find_leaks(record, Searched.now(training), sets, 1.0)
    return {name: read_leaks(results, commit) for name, commit in commits.items()}


@pytest.fixture(autouse=True)
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything in this process, one after the other."""

    def refs_in_tasks(function: Any, calls: dict[int, tuple[Any, ...]], n: int, _: float) -> Iterator[Any]:
        for key, arguments in calls.items():
            found = read_only(function(*arguments))
            yield key, list(found if n > 1 else (found,))

    def run_units(record: Run, stage: str, units: dict[int, str], worker: Any, **how: Any) -> dict[int, Commit]:
        there, work = record.store.commits(stage), worker()
        for unit, mark in units.items():
            if unit not in there or there[unit].fingerprint != mark:
                work(unit, mark)
        return {unit: record.store.commit(stage, unit) for unit in units}

    monkeypatch.setattr(copies.ray, "get", lambda ref: ref)
    monkeypatch.setattr(leaks, "MOST_IN_PART", 3)
    monkeypatch.setattr(leaks, "refs_in_tasks", refs_in_tasks)
    monkeypatch.setattr(leaks, "run_units", run_units)


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
    units, sets = stages(training, results, "units"), [Searched.now(training).stage("sets")]
    of_figures = [commit.counts["figures"] for commit in results.commits(units[0]).values()]
    assert (sum(flow.rows_in for flow in of_figures), sum(flow.errors for flow in of_figures)) == (4, 1)
    of_sets = {commit.counts["pictures sought"] for commit in results.commits(sets[0]).values()}
    assert of_sets == {Flow(8, 7, 1), Flow(2, 2)}
    errors = [row for stage in units + sets for row in results.dataset(stage, "errors").to_table().to_pylist()]
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
    rows = [(1, "a", "part", 0.99, False), (1, "b", "near", 0.96, False), (1, "c", "exact", 1.0, False)]
    rows += [(0, "a", "near", 0.97, None), (0, "b", "near", 0.98, None), (1, "d", "part", 0.95, True)]
    names = ("picture", "figure_id", "how", "correlation", "trained")
    schema = pa.schema([*MATCHES, ("trained", pa.bool_())])
    table = pa.Table.from_pylist([{**dict(zip(names, row, strict=True)), "number": 0} for row in rows], schema=schema)
    order = np.random.default_rng(0).permutation(len(rows))
    best = best_matches(table.take(pa.array(order)), 2).to_pylist()
    assert [(row["picture"], row["figure_id"]) for row in best] == [(0, "b"), (0, "a"), (1, "d"), (1, "c")]


def stages(training: Store, results: Store, part: str) -> list[str]:
    """Those under which a part of searches is committed."""
    folder = Searched.now(training).folder
    return [f"{folder}/{name}" for name in results.folders(f"commits/{folder}") if name.partition("-")[0] == part]


def serialize(training: Store, **splits: str) -> None:
    """A dataset with figures of these articles."""
    training.write_json("dataset/dataset.json", splits)
    rows = [{"figure_id": f"{article}.1_001", "split": split} for article, split in splits.items()]
    with training.atomic_file("dataset/metadata.parquet") as path:
        pq.write_table(pa.Table.from_pylist(rows), path)


def test_a_picture_is_sought_on_where_it_is_in_figures_alone_that_none_was_trained_on(
    training: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures that are figures which are left out of training, and a crop of one and the other in figures of training.

    The one that is left out is always the surer.
    """
    left_out = [figure("PMC10.1", 1, encoded(B)), figure("PMC10.1", 2, encoded(turned(A, Image.Transpose.ROTATE_180)))]
    crop = figure("PMC7.1", 1, encoded(cropped(A, 0.1)))
    write_extracted(training, [article("PMC7"), article("PMC10")], [crop, *left_out])
    results, sought = Store(str(tmp_path / "results")), Pictures((encoded(A), encoded(B)))
    by_hash = [(0, "PMC1.1_001", 0, "exact"), (1, "PMC10.1_001", 0, "exact"), (1, "PMC3.1_001", 0, "exact")]
    assert told(search(training, results, sought)["set"]) == by_hash
    before = written(results, "units")

    monkeypatch.setattr(leaks, "MOST_CANDIDATES", 1)
    monkeypatch.setattr(leaks, "gather_best", partial(copies.gather_best, most=1))
    serialize(training, PMC1="test", PMC2="train", PMC3="train", PMC7="train")
    first, second = search(training, results, sought)["set"].to_pylist()
    assert (first["row"], first["figure_id"], first["trained"]) == (0, "PMC7.1_001", True)
    assert first["how"] != "exact" and (second["figure_id"], second["trained"]) == ("PMC3.1_001", True)
    # Another dataset is no reason to look figures up again.
    assert written(results, "units") == before
    serialize(training, PMC1="train", PMC3="validation", PMC7="test")
    found = search(training, results, sought)["set"].to_pylist()
    assert [(row["figure_id"], row["trained"]) for row in found] == [("PMC1.1_001", True), ("PMC10.1_001", False)]


def written(results: Store, part: str) -> dict[str, int]:
    """When the files of a part of searches were written."""
    files = Path(results.root).glob(f"leaks/*/{part}-*/**/*.parquet")
    return {str(path): path.stat().st_mtime_ns for path in files}


def test_sets_that_were_sought_together_are_sought_in_new_units_alone(training: Store, tmp_path: Path) -> None:
    results = Store(str(tmp_path / "results"))
    one, two, three = (Pictures((encoded(A),), name) for name in ("one", "two", "three"))
    search(training, results, two, one)
    before = written(results, "units")
    assert search(training, results, three, one)["three"].num_rows == 1  # another search in between
    between = written(results, "units")
    assert before.items() <= between.items()
    write_extracted(training, [article("PMC7")], [figure("PMC7.1", 1, encoded(picture(11)))])
    search(training, results, one, three, two)
    after = written(results, "units")
    assert len(stages(training, results, "units")) == 2
    # The tables of matches and candidates of the new unit, of each search.
    assert between.items() <= after.items() and len(after) == len(between) + 4

    # A set that is asked for alone is sought alone; when no set needs an earlier search, nothing is left of it.
    write_extracted(training, [article("PMC7")], [figure("PMC7.1", 1, encoded(picture(12)))], "bb")
    search(training, results, one)
    assert len(stages(training, results, "units")) == 3
    search(training, results, two, one)
    assert len(stages(training, results, "units")) == 3  # those of two alone, of one and of three
    assert before.keys().isdisjoint(written(results, "units"))
