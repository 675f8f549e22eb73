"""Panels as samples of their own."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import webdataset
from PIL import Image

from biomedica_ray import cli, schema
from biomedica_ray.dedupe.compared import write_compared
from biomedica_ray.runs import Run
from biomedica_ray.serialize import choosing
from biomedica_ray.serialize.choosing import SelectionWorker
from biomedica_ray.serialize.config import SerializeConfig
from biomedica_ray.serialize.panel_samples import Cut, cut
from biomedica_ray.serialize.pipeline import check_panels, n_samples
from biomedica_ray.serialize.pipeline import run as serialize
from biomedica_ray.serialize.planning import plan_gb
from biomedica_ray.store import Store, StoreError
from biomedica_ray.units import Counts, Flow, LostRowsError, add_counts, unit_of
from tests.serialize.test_pipeline import commit_duplicates
from tests.synthetic import N_UNITS, Row, article, encoded, figure, picture, write_extracted

CAPTION = "Mice. (A) Left one. (B) Right one. Scale bar: 1 cm."


def seen(figure_id: str, *confidences: tuple[float, float], words: bool = True) -> Row:
    """A row of the panels table: panels of 80 x 80 pixels side by side, each with both confidences."""
    boxes = [
        {
            "label": "ABCDEFGH"[n] if words else None,
            **{"left": n * 80, "top": 2, "right": (n + 1) * 80, "bottom": 82},
            **{"confidence": there, "model_confidence": None, "printed": None, "printed_confidence": None},
            "how": "order" if words else "none",
            "alignment_confidence": aligned,
            "words": f"Words {n + 1}." if words else None,
        }
        for n, (there, aligned) in enumerate(confidences)
    ]
    return {
        "figure_id": figure_id,
        "panel_type": "multiple" if len(boxes) > 1 else "single",
        "n_panels": len(boxes),
        "least_confidence": min(there for there, _ in confidences),
        "caption_panels": 2,
        "aligned_panels": len(boxes) if words else 0,
        "context": "Mice. Scale bar: 1 cm.",
        "panel_boxes": boxes,
        "phashes": [1] * len(boxes) if len(boxes) > 1 else [],
        "thumbnails": [bytes(1024)] * len(boxes) if len(boxes) > 1 else [],
    }


CONFIG = SerializeConfig(store="mine", pairs="both", min_confidence=0.8, min_side=10)
SURE = (0.9, 0.8)
SIZE = (160, 90)


def test_both_confidences_have_to_be_enough_and_words_are_needed() -> None:
    found = cut(seen("f", SURE, (0.7, 1), (1, 0.7), SURE), "CC BY", {}, CONFIG)
    assert (found.numbers, found.left_out, found.staying, found.n_panels) == ((1, 4), (), 2, 4)
    assert cut(seen("f", SURE, SURE, words=False), "CC BY", {}, CONFIG).numbers == ()
    stored = {**seen("f", SURE, SURE)}
    for box in stored["panel_boxes"]:
        box["alignment_confidence"] = float(np.float32(0.8))  # as a table has it
        box["confidence"], box["model_confidence"] = 0.1, 0.9
    assert cut(stored, "CC BY", {}, CONFIG).numbers == (1, 2)


@pytest.mark.parametrize(
    ("code", "numbers"), [("CC BY-ND", ()), ("CC BY-NC-ND", ()), ("CC BY-SA", (1, 2)), ("other", ()), (None, ())]
)
def test_a_licence_that_is_unknown_or_without_derivatives_permits_no_parts(
    code: str | None, numbers: tuple[int, ...]
) -> None:
    assert cut(seen("f", SURE, SURE), code, {}, CONFIG).numbers == numbers


def test_an_image_of_one_panel_and_one_that_nobody_looked_at_have_none_to_cut_out() -> None:
    assert cut(seen("f", SURE), "CC BY", {}, CONFIG).n_panels == 0
    assert cut(None, "CC BY", {}, CONFIG).n_panels == 0


def test_small_panels_stay_and_repeats_are_left_out() -> None:
    small = CONFIG.model_copy(update={"min_side": 81})
    assert cut(seen("f", SURE, SURE), "CC BY", {}, small).staying == 2
    tiny = seen("f", SURE, SURE, SURE)
    tiny["panel_boxes"][0]["right"] = 63  # which dedupe does not compare
    tiny["panel_boxes"][1]["bottom"] = 2 + 64
    assert cut(tiny, "CC BY", {}, CONFIG).numbers == (2, 3)
    repeats = {"f/2": [{"id": "f/2", "of": "g", "kind": "near", "distance": 2.0}]}
    found = cut(seen("f", SURE, SURE), "CC BY", repeats, CONFIG)
    assert found.numbers == (1,)
    ((number, why),) = found.left_out
    assert (number, why.kind, why.message) == (2, "duplicate-panel", "repeats g (near, distance 2)")
    keeping = CONFIG.model_copy(update={"keep_duplicates": True})
    assert cut(seen("f", SURE, SURE), "CC BY", repeats, keeping).numbers == (1, 2)
    repeats["f/2"][0]["kind"] = "against"
    assert cut(seen("f", SURE, SURE), "CC BY", repeats, keeping).numbers == (1,)
    keeping = CONFIG.model_copy(update={"keep_against": True})
    assert cut(seen("f", SURE, SURE), "CC BY", repeats, keeping).numbers == (1, 2)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Six articles of one figure; of PMC0 and PMC1 two panels are sure, of PMC2 one; PMC3 is ND, PMC4 single."""
    store = Store(str(tmp_path / "store"))
    articles = [article(f"PMC{n}") for n in range(6)]
    articles[3] |= {"license_code": "CC BY-ND"}
    parts = [("A", 6, 19), ("B", 20, 34)]
    panels = [{"label": label, "text": CAPTION[a:b], "start": a, "end": b} for label, a, b in parts]
    images = [encoded(picture(n, SIZE)) for n in range(6)]
    images[5] = images[5][:60]
    figures = [figure(f"PMC{n}.1", 1, encoded(picture(n, SIZE)), caption=CAPTION, panels=panels) for n in range(6)]
    figures[5]["image"] = images[5]
    write_extracted(store, articles, figures)
    return store


def commit_panels(store: Store, rows: list[Row], *, without: tuple[str, ...] = ()) -> None:
    names = [name for name in schema.PANELS.names if name not in without]
    for unit in store.commits("extract"):
        own = [row for row in rows if unit_of(row["figure_id"].partition(".")[0], N_UNITS) == unit]
        with store.write_unit("panels", unit, "aa") as writer:
            table = writer.table("panels", schema.pa.schema([schema.PANELS.field(name) for name in names]))
            table.write([{name: row[name] for name in names} for row in own])
            writer.commit({"figures": Flow(len(own), len(own))})


def commit_image_labels(store: Store) -> None:
    """Labels of PMC0's figure and its panels, the second of them of another place than the panel has now."""
    boxes = {0: [], 1: [0, 2, 80, 82], 2: [81, 2, 160, 82]}
    said = {"image_confidence": 0.5, "image_sure": False, "image_local_concepts": [], "image_how": "classifier"}
    rows = [
        {"figure_id": "PMC0.1_001", "panel": n, "panel_box": box, "image_label": ["Tables", "Maps", "Maps"][n], **said}
        for n, box in boxes.items()
    ]
    with store.write_unit("classify", unit_of("PMC0", N_UNITS), "aa") as writer:
        writer.table("image_labels", schema.IMAGE_LABELS).write(rows)
        writer.commit({"image_labels": Flow(1, 1), "panel_labels": Flow(2, 2)})


def contents(store: Store) -> dict[int, str]:
    return {unit: commit.content for unit, commit in store.commits("panels").items()}


def test_panels_have_to_be_those_that_dedupe_compared(store: Store) -> None:
    units = store.commits("extract").keys()
    commit_panels(store, panels())
    there = contents(store)
    check_panels(store, "both", units, [], there)  # dedupe has not run
    commit_duplicates(store, "bb", [])
    n = len(units)
    line = (
        f"pairs: both: dedupe has not compared the panels that {n} of {n} units have now; run `biomedica dedupe` again"
    )
    with pytest.raises(StoreError) as failed:
        check_panels(store, "both", units, units, there)  # it ran before panels
    assert str(failed.value) == line
    write_compared(store, "f", there)
    check_panels(store, "both", units, units, there)
    found = {**there, min(units): "by another detector"}
    with pytest.raises(StoreError, match=f"compared the panels that 1 of {n} units have now"):
        check_panels(store, "panels", units, units, found)
    check_panels(store, "panels", units, set(units) - {min(units)}, found)  # repeats of that unit stay in, as is told
    with pytest.raises(StoreError, match=f"1 of {n} units have no panels; run `biomedica panels` first"):
        check_panels(store, "both", units, units, {unit: there[unit] for unit in units if unit != min(units)})


def test_the_plan_has_memory_for_figures_and_panels() -> None:
    figures, both = {"figures": Flow(9, 5, 4)}, {"figures": Flow(9, 5, 4), "panels": Flow(40, 20, 1, 19)}
    assert (n_samples(figures), n_samples(both)) == (5, 25)
    assert plan_gb(2**30) - plan_gb(0) == 150


def select(store: Store) -> Counts:
    config = SerializeConfig(store=store.root, pairs="both", min_confidence=0.8)
    worker = SelectionWorker(store, "run", config)
    return reduce(add_counts, (worker(unit, "aa") for unit in store.commits("extract")))


def test_a_panel_that_is_lost_on_the_way_fails_the_unit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    commit_panels(store, panels())
    commit_duplicates(store, "bb", [("PMC1.1_001/2", "PMC0.1_001/2", "near")])
    assert select(store) == {"figures": Flow(6, 6), "panels": Flow(10, 6, 1, 3)}

    def lossy(*arguments: Any) -> Cut:
        found = cut(*arguments)
        return replace(found, numbers=found.numbers[1:])

    with monkeypatch.context() as patch:
        patch.setattr(choosing, "cut", lossy)
        with pytest.raises(LostRowsError, match=r"rows lost: panels: \d+ in but"):
            select(store)
    rows = panels()
    rows[0]["n_panels"] = 3
    commit_panels(store, rows)
    with pytest.raises(
        StoreError, match=r"panels of PMC0\.1_001: 3 were found, but there are 2; run `biomedica panels"
    ):
        select(store)


def panels() -> list[Row]:
    found = [seen(f"PMC{n}.1_001", SURE, SURE) for n in range(6)]
    found[2] = seen("PMC2.1_001", SURE, (0.2, 0.9))
    found[4] = seen("PMC4.1_001", SURE)
    return found


def run(store: Store, **keys: Any) -> Run:
    settings = {"validation_fraction": 0, "test_fraction": 0, "memory_gb": 0.3, "max_actors": 2, "min_confidence": 0.8}
    config = SerializeConfig(store=store.root, **{**settings, **keys})
    with Run("serialize", config) as stage_run:
        serialize(config, stage_run)
    return stage_run


def samples(store: Store) -> dict[str, tuple[bytes, str, Row]]:
    found = {}
    for shard in store.read_json("dataset/dataset.json")["shards"]:
        for each in webdataset.WebDataset(f"{store.root}/dataset/{shard['path']}", shardshuffle=False):
            found[each["__key__"]] = each["jpg"], each["txt"].decode(), json.loads(each["json"])
    return found


@pytest.mark.cluster
def test_panels_figures_and_both(ray_cluster: None, store: Store) -> None:
    commit_panels(store, panels())
    whole = [f"PMC{n}-1_001" for n in range(5)]
    of_panels = ["PMC0-1_001~p1", "PMC0-1_001~p2", "PMC1-1_001~p1", "PMC2-1_001~p1"]

    assert run(store).counts == {"figures": Flow(6, 6), "samples": Flow(6, 5, 1), "attributions": Flow(5, 5)}
    found = samples(store)
    assert sorted(found) == whole
    assert [found[key][2]["n_panels"] for key in whole] == [2, 2, 2, 2, 1]
    assert [box["left"] for box in found["PMC2-1_001"][2]["panel_boxes"]] == [0, 80]

    # The second panel of PMC1 repeats another. PMC5 does not decode: neither the figure nor its panels.
    commit_duplicates(store, "bb", [("PMC1.1_001/2", "PMC0.1_001/2", "near")])
    write_compared(store, "f", contents(store))
    commit_image_labels(store)
    assert run(store, pairs="both").counts == {
        "figures": Flow(6, 6),
        "panels": Flow(10, 6, 1, 3),
        "samples": Flow(12, 9, 3),
        "attributions": Flow(9, 9),
    }
    found = samples(store)
    assert sorted(found) == sorted(whole + of_panels)
    jpg, text, fields = found["PMC0-1_001~p2"]
    crop = Image.fromarray(np.asarray(picture(0, SIZE))[2:82, 80:160])
    assert jpg == encoded(crop, "JPEG", quality=95, subsampling="4:4:4")
    assert Image.open(io.BytesIO(jpg)).size == (80, 80)
    assert text == "Words 2."
    assert (fields["panel_box"], fields["panel_context"]) == ([80, 2, 160, 82], "Mice. Scale bar: 1 cm.")
    assert (fields["figure_id"], fields["panel_number"]) == ("PMC0.1_001", 2)
    of_panels_labels = [found[f"PMC0-1_001{part}"][2]["image_label"] for part in ("", "~p1", "~p2")]
    assert of_panels_labels == ["Tables", "Maps", None]
    errors = store.dataset("serialize", "errors").to_table().to_pylist()
    assert [(e["what"], e["entity"], e["kind"]) for e in errors] == [("PMC1.1_001/2", "panel", "duplicate-panel")]
    lost = store.dataset("serialize/shards", "errors").to_table().to_pylist()
    assert sorted(e["what"] for e in lost) == ["PMC5.1_001", "PMC5.1_001/1", "PMC5.1_001/2"]

    # A figure stays where one of its panels does.
    assert run(store, pairs="panels").counts == {
        "figures": Flow(6, 3, 0, 3),
        "panels": Flow(10, 6, 1, 3),
        "samples": Flow(9, 7, 2),
        "attributions": Flow(7, 7),
    }
    assert sorted(samples(store)) == sorted([*whole[2:], *of_panels])
    document = store.read_json("dataset/dataset.json")
    assert (document["pairs"], document["min_confidence"], document["samples"]) == ("panels", 0.8, 7)
    table = pq.read_table(f"{store.root}/dataset/attribution.parquet")
    assert sum("(panel " in line for line in table["attribution"].to_pylist()) == 4


@pytest.mark.cluster
def test_panels_that_are_not_there_or_of_an_earlier_version_are_asked_for(
    ray_cluster: None, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["serialize", "--store", store.root, "--pairs", "both", "--memory_gb", "0.3"]
    assert cli.main(command) == 1
    *_, line = capsys.readouterr().err.splitlines()
    n = len(store.commits("extract"))
    assert line == f"biomedica serialize: pairs: both: {n} of {n} units have no panels; run `biomedica panels` first"
    commit_panels(store, panels(), without=("phashes", "thumbnails", "context"))
    assert cli.main(command) == 1
    assert "panels of an earlier version; run `biomedica panels` first" in capsys.readouterr().err
