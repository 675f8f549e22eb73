"""Panels that repeat other pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from biomedica_ray import schema
from biomedica_ray.dedupe.compared import read_compared
from biomedica_ray.dedupe.panels import PANELS, NearPanels, near_panels, panel_repeats, read_panels, with_figures
from biomedica_ray.images.hashes import perceptual_hash
from biomedica_ray.images.thumbnails import thumbnail
from biomedica_ray.panels.boxes import Box
from biomedica_ray.panels.found import FoundPanel
from biomedica_ray.panels.rows import panel_row
from biomedica_ray.store import Store
from biomedica_ray.units import Flow, unit_of
from tests.dedupe.test_pipeline import duplicates, run
from tests.synthetic import N_UNITS, Row, article, encoded, figure, picture, write_extracted


def with_articles(rows: list[Row]) -> pa.Table:
    """Panels, with the number of their article: P2.1_001/1 is of 2."""
    table = pa.Table.from_pylist(rows, schema=PANELS)
    return table.append_column("article", pa.array([int(row["panel_id"][1]) for row in rows], pa.int64()))


@pytest.mark.parametrize(
    ("figures", "panels", "wanted"),
    [
        # The panel is 4 bits from the graphical abstract of its own article, and 2 from a panel of another one.
        ({"P3.1_001": 0b1111}, {"P2.1_001/1": 0b110000, "P3.1_002/1": 0b0}, [("P3.1_002/1", "P2.1_001/1")]),
        ({}, {"P1.1_001/1": 0b1, "P1.1_001/2": 0b1111, "P2.1_001/1": 0b111100}, [("P2.1_001/1", "P1.1_001/2")]),
        ({"P1.1_001": 0b1}, {"P1.1_002/1": 0b0, "P1.1_002/2": 0b11}, []),
    ],
)
def test_another_article_is_found_behind_what_is_near_in_its_own(
    figures: dict[str, int], panels: dict[str, int], wanted: list[tuple[str, str]]
) -> None:
    of_figures = pa.table(
        {
            "figure_id": pa.chunked_array([pa.array(list(figures), pa.string())]),
            "phash": pa.chunked_array([pa.array(list(figures.values()), pa.uint64())]),
            "article": pa.chunked_array([pa.array([int(name[1]) for name in figures], pa.int64())]),
        }
    )
    rows = [
        {"panel_id": id_, "figure_id": id_[:8], "unit": 0, "row": 0, "number": int(id_[-1]), "phash": phash}
        for id_, phash in panels.items()
    ]
    near = NearPanels(np.arange(len(figures)), np.arange(len(panels)))
    looks = tuple(np.repeat(thumbnail(picture(1))[None], len(each), axis=0) for each in near)
    found = panel_repeats(
        of_figures, with_articles(rows), near, (looks[0], looks[1]), max_distance=4, min_correlation=0.95
    )
    assert [(row["id"], row["of"]) for row in found.to_pylist()] == wanted


def test_a_panel_repeats_a_figure_before_a_panel_and_nothing_of_its_own_article() -> None:
    seeds = {"P1.1_001": [1], "P2.1_001": [2, 3], "P3.1_001": [2, 2, 1], "P4.1_001": [4]}
    figures = [(name, picture(of[0] if len(of) == 1 else 90 + len(of))) for name, of in seeds.items()]
    panels = [
        (f"{name}/{number}", name, number, picture(seed, (100, 75)))
        for name, of in seeds.items()
        for number, seed in enumerate(of, 1)
        if len(of) > 1
    ]
    of_figures = pa.table(
        {
            "figure_id": pa.chunked_array([[name for name, _ in figures]]),
            "phash": pa.chunked_array([pa.array([perceptual_hash(image) for _, image in figures], pa.uint64())]),
            "article": pa.chunked_array([[1, 2, 3, 4]]),
        }
    )
    rows = [
        {"panel_id": id_, "figure_id": name, "unit": 0, "row": 0, "number": number, "phash": perceptual_hash(image)}
        for id_, name, number, image in panels
    ]
    table = with_articles(rows)
    near = near_panels(of_figures, table, 4)
    assert near.figures.tolist() == [0]
    assert near.panels.tolist() == [0, 2, 3, 4]
    looks = [
        np.stack([thumbnail(images[row]) for row in chosen])
        for images, chosen in (
            ([image for _, image in figures], near.figures),
            ([image for *_, image in panels], near.panels),
        )
    ]
    found = panel_repeats(of_figures, table, near, (looks[0], looks[1]), max_distance=4, min_correlation=0.95)
    assert [(row["id"], row["of"], row["entity"], row["kind"]) for row in found.to_pylist()] == [
        ("P3.1_001/1", "P2.1_001/1", "panel", "near"),
        ("P3.1_001/2", "P2.1_001/1", "panel", "near"),
        ("P3.1_001/3", "P1.1_001", "panel", "near"),
    ]


def test_a_figure_is_told_by_its_nearest_panel() -> None:
    rows = [{"panel_id": f"f/{number}", "figure_id": "f", "number": number} for number in (1, 2)]
    leaks = [
        {"id": "f/1", "of": "b", "entity": "figure", "kind": "against", "distance": 3.0},
        {"id": "f/2", "of": "c", "entity": "figure", "kind": "against", "distance": 1.0},
    ]
    tables = pa.Table.from_pylist(leaks, schema=schema.DUPLICATES), pa.Table.from_pylist(rows, schema=PANELS)
    found = [(row["id"], row["of"], row["entity"]) for row in with_figures(*tables).to_pylist()]
    assert found == [("f", "c", "figure"), ("f/1", "b", "panel"), ("f/2", "c", "panel")]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """PMC1 has a compound figure, PMC2 one of its panels as a figure and one of its own, PMC3 another panel of it.

    PMC4 has a copy of the figure of PMC3.
    """
    store = Store(str(tmp_path / "store"))
    figures = [
        figure("PMC1.1", 1, encoded(compound(1, 2))),
        figure("PMC2.1", 1, encoded(picture(2, (180, 140)))),
        figure("PMC2.1", 2, encoded(picture(5))),
        figure("PMC3.1", 1, encoded(compound(3, 1))),
        figure("PMC4.1", 1, encoded(compound(3, 1))),
    ]
    write_extracted(store, [article(f"PMC{n}") for n in (1, 2, 3, 4)], figures)
    return store


def compound(*seeds: int) -> Image.Image:
    whole = Image.new("RGB", (220 * len(seeds), 150), "white")
    for n, seed in enumerate(seeds):
        whole.paste(picture(seed, (200, 150)), (220 * n, 0))
    return whole


def commit_panels(store: Store, *, without: tuple[str, ...] = ()) -> None:
    rows: dict[int, list[Row]] = {unit: [] for unit in store.commits("extract")}
    for figure_id, seeds in (
        ("PMC1.1_001", (1, 2)),
        ("PMC3.1_001", (3, 1)),
        ("PMC2.1_001", (2,)),
        ("PMC4.1_001", (3, 1)),
    ):
        found = [FoundPanel(Box(220 * n, 0, 220 * n + 200, 150, 1)) for n in range(len(seeds))]
        row = panel_row(figure_id, compound(*seeds), found, None, [])
        rows[unit_of(figure_id.partition(".")[0], N_UNITS)].append(row)
    kept = pa.schema([field for field in schema.PANELS if field.name not in without])
    for unit, own in rows.items():
        with store.write_unit("panels", unit, "aa") as writer:
            writer.table("panels", kept).write([{name: row[name] for name in kept.names} for row in own])
            writer.commit({"figures": Flow(len(own), len(own))})


def test_panels_are_read_with_their_place_unless_they_are_small(store: Store) -> None:
    commit_panels(store)
    unit = unit_of("PMC3", N_UNITS)
    commit = store.commit("panels", unit)
    rows = store.read(commit, "panels").to_pylist()
    for row in rows:
        if row["figure_id"] == "PMC3.1_001":
            row["panel_boxes"].insert(1, {**row["panel_boxes"][0], "right": row["panel_boxes"][0]["left"] + 63})
            row["phashes"].insert(1, 5)
    with store.write_unit("panels", unit, "bb") as writer:
        writer.table("panels", schema.PANELS).write(rows)
        writer.commit({})
    panels = read_panels(store, store.commit("panels", unit))
    assert panels.schema.equals(PANELS)
    found = [row for row in panels.to_pylist() if row["figure_id"] == "PMC3.1_001"]
    place = next(n for n, row in enumerate(rows) if row["figure_id"] == "PMC3.1_001")
    assert found == [
        {
            **{"panel_id": f"PMC3.1_001/{number}", "figure_id": "PMC3.1_001", "unit": unit, "row": place},
            **{"number": number, "phash": perceptual_hash(picture(seed, (200, 150)))},
        }
        for number, seed in ((1, 3), (3, 1))
    ]
    units = (read_panels(store, each)["figure_id"].to_pylist() for each in store.commits("panels").values())
    assert {id_ for ids in units for id_ in ids} == {"PMC1.1_001", "PMC3.1_001", "PMC4.1_001"}  # PMC2's has one panel


def test_what_is_near_within_an_article_alone_is_not_looked_at() -> None:
    hashes = {
        "P1.1_001/1": 0b0,
        "P1.1_001/2": 0b1,
        "P1.1_001/3": 0b0,
        "P2.1_001/1": 0b0 + (1 << 40),
        "P2.1_001/2": 7 << 60,
    }
    hashes |= {"P3.1_001/1": (1 << 63) + (7 << 60), "P4.1_001/1": 0xFF << 20, "P4.1_001/2": 0xFF << 20}
    rows = [{"panel_id": id_, "phash": phash} for id_, phash in hashes.items()]
    none = pa.table({"phash": pa.chunked_array([], pa.uint64()), "article": pa.chunked_array([], pa.int64())})
    near = near_panels(none, with_articles(rows), 1)
    assert near.panels.tolist() == [0, 2, 3, 4, 5]


@pytest.mark.cluster
def test_panels_are_found_in_the_store_and_in_another_set(ray_cluster: None, store: Store, tmp_path: Path) -> None:
    assert run(store).counts["figures"] == Flow(5, 5)
    copied = ("PMC4.1_001", "PMC3.1_001", "exact")
    assert duplicates(store) == [copied]
    commit_panels(store)
    assert read_compared(store).panels == {}
    run(store)
    assert read_compared(store).panels == {unit: commit.content for unit, commit in store.commits("panels").items()}
    assert duplicates(store) == [
        ("PMC1.1_001/2", "PMC2.1_001", "near"),
        ("PMC3.1_001/2", "PMC1.1_001/1", "near"),
        copied,  # but none of its panels, which are those of the figure that it repeats
    ]

    test_set = tmp_path / "test"
    test_set.mkdir()
    picture(3, (100, 75)).save(test_set / "x-ray.jpg")
    run(store, against=[str(test_set)])
    name = f"{test_set}/x-ray.jpg"
    assert [row for row in duplicates(store) if row[2] == "against"] == [
        ("PMC3.1_001", name, "against"),
        ("PMC3.1_001/1", name, "against"),
        ("PMC4.1_001", name, "against"),
        ("PMC4.1_001/1", name, "against"),
    ]


@pytest.mark.cluster
def test_panels_of_an_earlier_version_are_not_compared(ray_cluster: None, store: Store) -> None:
    commit_panels(store, without=("phashes", "thumbnails"))
    assert run(store).counts["figures"] == Flow(5, 5)
    assert duplicates(store) == [("PMC4.1_001", "PMC3.1_001", "exact")]
