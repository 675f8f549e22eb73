from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image

from biomedica_ray import schema
from biomedica_ray.labelling.image_sheets import IMAGES
from biomedica_ray.serialize import charts
from biomedica_ray.serialize.card import card
from biomedica_ray.serialize.origins import annotation, listing_date
from biomedica_ray.serialize.statistics import Counts, summed
from biomedica_ray.store import Store


def samples(**columns: list[Any]) -> pa.Table:
    n = len(next(iter(columns.values())))
    rows = {
        "txt": ["Some words."] * n,
        "image_size": [[300, 200]] * n,
        "image_primary_label": [["Plots"]] * n,
        "article_date": ["2021-03-04"] * n,
        "article_journal": ["J Tests"] * n,
        "license_name": ["CC BY 4.0"] * n,
        **columns,
    }
    return pa.table({name: pa.array(values, schema.DATASET.field(name).type) for name, values in rows.items()})


def counted(*tables: pa.Table) -> dict[str, Any]:
    counts = Counts()
    for table in tables:
        counts.add(table)
    return counts.to_json()


def test_what_is_counted() -> None:
    first = samples(
        txt=["one two", " ".join(["w"] * 10), "w " * 500],
        image_size=[[127, 4], [5, 128], [4000, 4000]],
        image_primary_label=[["Plots", "Microscopy"], [], ["Plots"]],
        article_date=["2021-03-04", None, "2019-01-01"],
    )
    found = counted(first, samples(article_journal=["A", "B"]), samples(txt=[]))
    assert found["samples"] == 5
    assert found["concepts"] == {"Plots": 4, "Microscopy": 1, "unlabelled": 1}
    assert list(found["years"].items()) == [("2019", 1), ("2021", 3)]
    assert list(found["journals"].items()) == [("J Tests", 3), ("A", 1), ("B", 1)]
    assert found["licences"] == {"CC BY 4.0": 5}
    assert {name: n for name, n in found["caption_words"].items() if n} == {"0-9": 3, "10-19": 1, "500 or more": 1}
    assert {name: n for name, n in found["longest_side"].items() if n} == {
        "0-127": 1,
        "128-255": 1,
        "256-511": 2,
        "2048 or more": 1,
    }
    twice = summed([found, found])
    assert (twice["samples"], twice["journals"]["A"], list(twice["years"])) == (10, 2, ["2019", "2021"])
    assert summed([])["samples"] == 0


def test_rows_of_a_table_say_what_they_leave_out() -> None:
    many = counted(
        samples(article_journal=[f"J{n:02d}" for n in range(20)], article_date=[f"{2000 + n}" for n in range(20)])
    )
    assert charts.rows("journals", many)[-1] == ("others or unknown", 5)
    assert charts.rows("years", many)[0] == ("earlier or unknown", 5)
    assert charts.rows("years", many)[-1] == ("2019", 1)
    assert charts.section(summed([])) == ""
    assert "| J00 | 1 | 5.0% |" in charts.section(many)


def test_charts_are_the_same_bytes_for_the_same_counts_and_hold_any_name() -> None:
    found = counted(samples(article_journal=["J of $x_1^ costs", "A|B", "N" * 200]))
    first, second = charts.charts(found), charts.charts(found)
    assert first == second
    assert set(first) == {charts.chart_path(topic) for topic in found if topic != "samples"}
    for data in first.values():
        with Image.open(io.BytesIO(data)) as image:
            assert image.format == "PNG" and image.width == 800
            assert not image.text  # type: ignore[attr-defined]  # no time, no program
    assert "A\\|B" in charts.section(found)


def test_what_the_store_says_of_labels_and_of_the_listing(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    assert (listing_date(store), annotation(store)) == (None, None)
    runs = (("done", {"listing": {"date": "2026-01-02"}}), ("done", {"listing": {"date": None}}), ("failed", {}))
    for n, (status, results) in enumerate(runs):
        record = {"status": status, "started": f"2026-02-0{n + 1}T00:00:00+00:00", "results": results}
        store.write_json(f"runs/2026020{n + 1}T000000-extract-aaaaaa/run.json", record)
        assert listing_date(store) == ("2026-01-02" if n == 0 else "2026-02-02")
    field = {"field": "primary", "clusters": 3, "votes": 6, "observed": 0.75, "alpha": 0.5, "kappa": None}
    said = {"primary": ["Plots"]}
    store.write_json(
        "votes.json",
        {
            "answers": [
                {"annotator": name, "clustering": of}
                for name, of in (("a", "c0"), ("b", "c0"), ("a", "c0"), ("a", IMAGES), ("c", IMAGES))
            ],
            "clusters": [
                {"state": "decided", "proposed": "Plots", "said": said, "against_proposal": True},
                {"state": "decided", "proposed": None, "said": said, "against_proposal": False},
                {"state": "open", "proposed": "Plots", "said": {"primary": []}, "against_proposal": False},
            ],
            "agreement": [{**field, "concept": None}, {**field, "concept": "Plots"}],
        },
    )
    store.write_json("runs/20260101T000000-annotate-aaaaaa/run.json", {"status": "done", "results": {"purity": 0.875}})
    found = annotation(store)
    assert found == {
        "annotators": 3,
        "answers": 3,
        "image_answers": 2,
        "clusters": {"decided": 2, "open": 1},
        "proposed": 1,
        "against_proposal": 1,
        "agreement": [field],
        "purity": 0.875,
    }
    document = {"shards": [], "samples": 0, "validation_fraction": 0, "test_fraction": 0, "annotation": found}
    text = card({**document, "listing": "2026-01-02"})
    assert "The articles are those that their source listed on 2026-01-02." in text
    assert "| primary | 3 | 6 | 0.750 | 0.500 |  |" in text
    assert "in 3 answers what clusters show, and in 2 what single images do. Of the" in " ".join(text.split())
    assert all(f"`{name}`" in text for name in ("image_label", "image_confidence", "image_sure", "image_how"))
    alone = card({**document, "annotation": {**found, "image_answers": 0}})
    assert "in 3 answers what clusters show. Of the clusters" in " ".join(alone.split())
    assert "87.5% show what most of their cluster" in " ".join(text.split())
