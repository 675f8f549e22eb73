"""Copies that no hash of a whole image finds: cropped, turned, framed, parts."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageEnhance, ImageOps
from scipy.ndimage import gaussian_filter

from benchmarks.copies import ALTERED, cropped, found_against, framed, read, turned
from biomedica_ray import schema
from biomedica_ray.dedupe import copies
from biomedica_ray.dedupe.alignment import align
from biomedica_ray.dedupe.copies import CANDIDATES, as_part, best_candidates, find_in_unit
from biomedica_ray.dedupe.sought import build_sought, find_candidates, looks_of
from biomedica_ray.dedupe.windows import TURNS, turned_back
from biomedica_ray.images.thumbnails import SIDE, thumbnail
from biomedica_ray.panels.boxes import Box
from biomedica_ray.panels.found import FoundPanel
from biomedica_ray.panels.rows import panel_row
from biomedica_ray.store import Store
from biomedica_ray.units import unit_of
from tests.dedupe.test_panels import compound
from tests.synthetic import N_UNITS, article, encoded, figure, picture, write_extracted

FIGURES = [
    picture(seed, (400, 300)) for seed in (1, 3, 4, 5, 6)
]  # that of 2 is smooth, one edge of that of 0 of one grey value
GREYS = [(image.convert("L"), ()) for image in FIGURES]


@pytest.mark.parametrize(
    ("copied", "how"),
    [
        (lambda image: ImageEnhance.Brightness(image).enhance(0.7), "altered"),
        (lambda image: cropped(image, 0.1), "crop"),
        (lambda image: image.crop((40, 0, 400, 280)), "crop"),
        (lambda image: image.crop((0, 0, 200, 150)), "part"),
        (lambda image: framed(image, 0.1), "altered, margins"),
        (lambda image: ImageOps.expand(image, 12, "black"), "altered, margins"),
        (lambda image: turned(cropped(image, 0.1), Image.Transpose.ROTATE_90), "crop, rotated by 90"),
        *(
            (lambda image, way=way: turned(image, way), f"altered, {name}")
            for name, way in (
                ("flipped left to right", Image.Transpose.FLIP_LEFT_RIGHT),
                ("flipped top to bottom", Image.Transpose.FLIP_TOP_BOTTOM),
                ("rotated by 90", Image.Transpose.ROTATE_90),
                ("rotated by 180", Image.Transpose.ROTATE_180),
                ("rotated by 270", Image.Transpose.ROTATE_270),
                ("transposed", Image.Transpose.TRANSPOSE),
                ("transversed", Image.Transpose.TRANSVERSE),
            )
        ),
    ],
)
def test_what_was_done_to_a_copy(copied: Callable[[Image.Image], Image.Image], how: str) -> None:
    found = list(found_against(GREYS, [copied(image) for image in FIGURES]))
    assert sorted(found) == [(number, number, how) for number in range(len(FIGURES))]


@pytest.mark.parametrize("turn", range(len(TURNS)))
def test_figures_that_are_crops_of_the_pictures(turn: int) -> None:
    """The pictures are larger, and turned."""
    figures = [(cropped(image, 0.1).convert("L"), ()) for image in FIGURES]
    name, back = TURNS[turn]
    undone = {
        Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270,
        Image.Transpose.ROTATE_270: Image.Transpose.ROTATE_90,
    }
    pictures = [image if back is None else turned(image, undone.get(back, back)) for image in FIGURES]
    how = f"larger, {name}" if name else "larger"
    assert sorted(found_against(figures, pictures)) == [(number, number, how) for number in range(len(FIGURES))]


def test_thumbnails_are_turned_as_images_are() -> None:
    image = picture(1, (64, 64)).convert("L").resize((SIDE, SIDE))
    wanted = [thumbnail(image if back is None else image.transpose(back)) for _, back in TURNS]
    assert np.array_equal(turned_back(thumbnail(image)[None])[0], np.stack(wanted))


def test_an_image_is_laid_over_its_place() -> None:
    image = picture(4, (400, 300)).convert("L")
    aligned = align(image, image.crop((37, 21, 341, 260)), (30, 30, 330, 270))
    assert np.abs(np.array(aligned.window) - (37, 21, 341, 260)).max() < 0.5
    assert aligned.correlation > 0.99 and aligned.is_copy
    other = align(image, picture(5, (304, 239)).convert("L"), (30, 30, 330, 270))
    assert not other.is_copy


def test_a_curve_more_is_no_copy() -> None:
    """Plots with the same axes and other data."""
    plot = Image.new("RGB", (400, 300), "white")
    plot.paste("black", (40, 20, 43, 260))
    plot.paste("black", (40, 257, 380, 260))
    for x in range(60, 380, 40):
        plot.paste("black", (x, 257, x + 2, 266))
    plots = [plot.copy() for _ in range(2)]
    for number, each in enumerate(plots):
        for x in range(44, 380):
            y = round(250 - 200 * abs(np.sin(x / 60 + number)))
            each.paste("blue", (x, y, x + 2, y + 6))
    figures = [(plots[0].convert("L"), ())]
    assert [picture for _, picture, _ in found_against(figures, [plots[1], cropped(plots[0], 0.05)])] == [1]


def test_nothing_is_certain_of_a_smooth_picture() -> None:
    smooth = picture(2, (400, 300))
    assert list(found_against([(smooth.convert("L"), ())], [smooth.crop((0, 0, 200, 150))])) == []


def test_blank_figures_alone() -> None:
    (look,) = looks_of(FIGURES[0])
    sought = build_sought(np.array([0], np.int32), np.array([False]), look.thumbnail[None])
    assert find_candidates(sought, np.zeros((2, SIDE * SIDE), np.uint8)) == []
    after = np.concatenate([np.zeros((40, SIDE * SIDE), np.uint8), look.thumbnail[None]])
    assert [candidate.region for candidate in find_candidates(sought, after)] == [40]


@pytest.mark.parametrize(("side", "of_itself", "most"), [(28, 0, 0), (64, 6, 2)])
def test_pictures_that_are_alike_but_for_details(side: int, of_itself: int, most: int) -> None:
    """As X-rays are: of the same smooth shape, and 15 parts of 100 of their own; of small ones nothing is certain."""
    rng = np.random.default_rng(1)
    shape, *details = (smooth / smooth.std() for smooth in (blurred(rng, sigma) for sigma in (27, *[4.5] * 12)))
    images = [
        Image.fromarray(np.clip(128 + 45 * (0.85 * shape + 0.15 * own), 0, 255).astype(np.uint8)) for own in details
    ]
    pictures = [image.resize((side, side), Image.Resampling.BOX).convert("RGB") for image in images]
    figures = [(image.convert("L"), ()) for image in pictures[:6]]
    assert len(list(found_against(figures, pictures[6:]))) <= most  # of 36
    assert len([1 for row, number, _ in found_against(figures, pictures[:6]) if row == number]) == of_itself


def blurred(rng: np.random.Generator, sigma: float) -> Any:
    return gaussian_filter(rng.standard_normal((224, 224)), sigma)


def test_small_and_blank_pictures_are_not_sought() -> None:
    assert looks_of(picture(1, (200, 47))) == []
    assert looks_of(Image.new("RGB", (200, 200), "white")) == []
    assert [look.trimmed for look in looks_of(picture(1))] == [False]
    assert [look.trimmed for look in looks_of(framed(picture(1), 0.1))] == [False, True]


def test_the_best_candidates_of_each_picture_in_any_order() -> None:
    rows = [
        {"picture": picture, "unit": unit, "row": 0, "number": 0, "score": score}
        for picture, unit, score in ((0, 1, 0.5), (0, 2, 0.9), (0, 3, 0.5), (1, 1, 0.4))
    ]
    wanted = [(0, 2), (0, 1), (1, 1)]
    for each in (rows, rows[::-1]):
        best = best_candidates(pa.Table.from_pylist(each), 2).to_pylist()
        assert [(row["picture"], row["unit"]) for row in best] == wanted


def test_candidates_are_pruned_only_when_they_have_doubled(monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(unit: int) -> pa.Table:
        filled: dict[str, Any] = {field.name: None for field in CANDIDATES}
        each = [{**filled, "picture": n, "unit": unit, "row": 0, "number": 0, "score": unit / 100} for n in range(20)]
        return pa.Table.from_pylist(each, CANDIDATES)

    sorted_rows = []
    best = copies.best_candidates

    def counted(candidates: pa.Table, most: int) -> pa.Table:
        sorted_rows.append(candidates.num_rows)
        return best(candidates, most)

    monkeypatch.setattr(copies, "best_candidates", counted)
    found = copies.gather_best((rows(unit) for unit in range(60)), most=3, pruned_at=50)
    assert found.equals(best(pa.concat_tables(map(rows, range(60))), 3))
    assert sum(sorted_rows) <= 2 * 60 * 20 + 50


@pytest.mark.parametrize("format_1", [False, True])
def test_pictures_in_the_figures_and_panels_of_units(
    tmp_path: Path, format_1: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Ray hands the arguments over: arrays that nobody can write to; the grey values in parts."""
    monkeypatch.setattr(copies.ray, "get", lambda part: part)
    store = Store(str(tmp_path))
    images = {"PMC1.1": picture(1, (400, 300)), "PMC2.1": compound(4, 5, 6, 0, 3)}
    figures = [figure(article_id, 1, encoded(image)) for article_id, image in images.items()]
    figures.append({**figure("PMC2.1", 2, encoded(picture(6))), "image": b"damaged since"})
    write_extracted(store, [article("PMC1"), article("PMC2")], figures, format_1=format_1)
    boxes = [FoundPanel(Box(220 * n, 0, 220 * n + 200, 150, 1)) for n in range(5)]
    unit = unit_of("PMC2", N_UNITS)
    with store.write_unit("panels", unit, "aa") as writer:
        writer.table("panels", schema.PANELS).write([panel_row("PMC2.1_001", images["PMC2.1"], boxes, None, [])])
        writer.commit({})
    pictures = [turned(cropped(images["PMC1.1"], 0.1), Image.Transpose.ROTATE_180), picture(9), picture(3, (190, 140))]
    looks, greys = read_only(as_part((number, looks_of(image)) for number, image in enumerate(pictures)))
    sought = read_only(build_sought(*looks))
    panelled = store.commits("panels")
    found = []
    for commit in store.commits("extract").values():
        rows = np.arange(store.read(commit, "figures", ["figure_id"]).num_rows)
        guesses = find_in_unit(store, commit, panelled.get(commit.unit), rows, sought)
        trimmed = pa.array(looks.trimmed[guesses["look"].to_numpy()])
        guesses = guesses.append_column("trimmed", trimmed)
        looked = copies.fetch_and_look(store, commit, guesses, np.array([0, 2]), [greys[:2], greys[2:]])
        found += looked.to_pylist()
    told = sorted((row["figure_id"], row["picture"], row["how"]) for row in found)
    assert told == [("PMC1.1_001", 0, "crop, rotated by 180"), ("PMC2.1_001", 2, "part")]
    assert all(row["distance"] < 0.02 for row in found)


def read_only(value: Any) -> Any:
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    return pickle.loads(data, buffers=[bytes(buffer) for buffer in buffers])


@pytest.mark.corpus
def test_copies_of_real_figures(corpus: Path) -> None:
    articles = ("10.7554_elife.46472", "10.1101_2021.12.08.471796")
    images = [image for name in articles for image in read(corpus / "packages" / name).values()]
    figures = [(image.convert("L"), ()) for image in images]
    for name in ("cropped by 10 %", "white border of 10 %"):
        found = [(a, b) for a, b, _ in found_against(figures, [ALTERED[name](image) for image in images])]
        assert [pair for pair in found if pair[0] != pair[1]] == []
        assert len(found) >= 0.95 * len(images), name
