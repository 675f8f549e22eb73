"""A small store on which every stage seems to have run, with rows made by hand."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from biomedica_ray import schema
from biomedica_ray.runs import Run
from biomedica_ray.stages import CONFIGS
from biomedica_ray.store import Store
from biomedica_ray.units import Counts, Flow, unit_of
from tests.synthetic import N_UNITS, Row, article, encoded, figure, picture

HOSTILE = '<script>alert("x")</script> & <img src="http://evil.example/x.png" onerror=alert(1)>'
BROKEN = "PMC2.1_001"


def articles() -> list[Row]:
    return [
        article("PMC1", title=HOSTILE, journal="J Tests", license_code="CC BY"),
        article("PMC2", journal="J Tests", license_code="CC BY-NC", published=datetime.date(2018, 1, 1)),
        article("PMC3", journal=None, published=None),
    ]


def figures() -> list[Row]:
    rows = [
        figure("PMC1.1", 1, encoded(picture(1)), caption=HOSTILE, label=HOSTILE),
        figure("PMC1.1", 2, encoded(picture(2, (1200, 300)), "JPEG"), kind="table"),
        figure("PMC2.1", 1, encoded(picture(1))),
        figure("PMC2.1", 2, encoded(picture(3)), panels=[{"label": "A", "text": "left", "start": 0, "end": 4}]),
        figure("PMC3.1", 1, encoded(picture(4, (5000, 20))), third_party=True),
    ]
    rows[2]["image"] = b"not an image"
    return rows


def error(what: str, kind: str, message: str, entity: str = "figure") -> Row:
    return {"what": what, "stage": "extract", "entity": entity, "kind": kind, "message": message, "attempts": 1}


ERRORS = [
    error("PMC1.1_003", "missing-image", HOSTILE),
    error("PMC3.1_002", "missing-image", "sought b.jpg; there were no files"),
    error("PMC4.1", "bad-xml", "line 3: mismatched tag", "article"),
]


def pmcid(figure_id: str) -> str:
    return figure_id.partition(".")[0]


def by_unit(rows: list[Row], key: str) -> dict[int, list[Row]]:
    return {unit: [row for row in rows if unit_of(pmcid(row[key]), N_UNITS) == unit] for unit in range(N_UNITS)}


def commit_tables(store: Store, stage: str, tables: Mapping[str, dict[int, list[Row]]]) -> None:
    for unit in range(N_UNITS):
        rows = {name: units.get(unit, []) for name, units in tables.items()}
        errors = len(rows.get("errors", []))
        counts = {"figures": Flow(len(rows.get("figures", [])) + errors, len(rows.get("figures", [])), errors)}
        with store.write_unit(stage, unit, "aa", "run") as writer:
            for name in tables:
                directory = f"errors/{stage}" if name == "errors" else None
                writer.table(name, schema.TABLES[name], directory=directory).write(rows[name])
            writer.commit(counts)


def record_run(store: Store, stage: str, counts: Counts, **results: Any) -> None:
    with Run(stage, CONFIGS[stage](store=store.root, endpoint_url=store.endpoint_url)) as run:
        run.add(counts)
        run.results |= results


def extracted_store(root: Path | str, endpoint_url: str | None = None) -> Store:
    """A store after extract."""
    store = Store(str(root), endpoint_url)
    store.open_or_create(N_UNITS)
    tables = {
        "articles": by_unit(articles(), "article_id"),
        "figures": by_unit(figures(), "figure_id"),
        "images": by_unit(figures(), "figure_id"),
        "errors": by_unit(ERRORS, "what"),
    }
    commit_tables(store, "extract", tables)
    record_run(store, "extract", {"articles": Flow(4, 3, 1), "figures": Flow(7, 5, 2)})
    return store


def whole_store(root: Path | str, endpoint_url: str | None = None) -> Store:
    """A store after all stages."""
    store = extracted_store(root, endpoint_url)
    repeats = [
        {"id": "PMC2.1_001", "of": "PMC1.1_001", "entity": "figure", "kind": "exact", "distance": 0},
        {"id": "PMC3.1_001", "of": "PMC1.1_001", "entity": "figure", "kind": "near", "distance": 3},
        {"id": "PMC3.1_009", "of": "PMC1.1_002", "entity": "figure", "kind": "near", "distance": 1},
        {"id": "PMC3.1", "of": "PMC1.1", "entity": "article", "kind": "same-doi", "distance": 0},
        {"id": "PMC3.1", "of": "PMC2.1", "entity": "article", "kind": "correction", "distance": 0},
        {"id": "PMC1.1_002", "of": "PMC1.1_002", "entity": "figure", "kind": "boilerplate", "distance": 0},
        {"id": "PMC3.1_009", "of": "PMC1.1_002", "entity": "figure", "kind": "boilerplate", "distance": 0},
        {"id": "PMC2.1_002", "of": "val/1.png", "entity": "figure", "kind": "against", "distance": 2},
    ]
    commit_tables(store, "dedupe", {"duplicates": by_unit(repeats, "id")})
    record_run(store, "dedupe", {"figures": Flow(5, 5, 0)})
    labels = [
        {
            "figure_id": row["figure_id"],
            "cluster_id": 0 if index < 4 else 1,
            "distance": float(index),
            "panel_type": "single",
            "panel_subtype": "single",
            "primary_label": ["Maps"] if index < 4 else [],
            "secondary_label": [],
            "how": "propagated" if index < 4 else "none",
            "confidence": 1 - index / 10,
            "uncertain": False,
        }
        for index, row in enumerate(figures())
    ]
    commit_tables(store, "label", {"labels": by_unit(labels, "figure_id")})
    record_run(store, "annotate", {"figures": Flow(5, 5, 0)}, **CLUSTERING)
    record_run(store, "label", {"labels": Flow(5, 5, 0)}, clusters=2)
    store.write_json("votes.json", VOTES)
    shard = {"path": "a.tar", "samples": 5, "bytes": 12_345}
    store.write_json("dataset/dataset.json", {"shards": [shard], "samples": 5})
    record_run(store, "serialize", {"figures": Flow(5, 5, 0)})
    metrics = [
        {"step": step, "loss": 4 / step, "lr": 1e-3, "samples": 20, "seconds": 2.0, "wait": 0.25}
        for step in range(1, 9)
    ]
    for step in (4, 8):
        metrics[step - 1] |= {"tasks.pcam.accuracy": step / 10, "retrieval.image_to_text.recall@10": 0.5}
    store.write_bytes("checkpoints/clip/metrics.jsonl", "".join(json.dumps(each) + "\n" for each in metrics).encode())
    record_run(store, "train", {"samples": Flow(160, 160, 0)})
    store.write_json("checkpoints/clip/evaluation.json", EVALUATION)
    record_run(store, "evaluate", {"samples": Flow(50, 50, 0)})
    return store


CLUSTERING = {
    "explained_variance": 0.75,
    "explained_variance_ratio": [0.5, 0.25],
    "inertia": 12.0,
    "silhouette": 0.25,
    "stability": 0.875,
    "scan": [
        {"clusters": 2, "inertia": 12.0, "silhouette": 0.25},
        {"clusters": 3, "inertia": 8.0, "silhouette": None},
        {"clusters": 4, "inertia": 4.0, "silhouette": 0.125},
    ],
}

_QUESTION = {"field": "primary", "clusters": 2, "votes": 6, "kappa_clusters": 2}
VOTES = {
    "clusters": [
        {"state": "decided", "said": {"primary": ["Maps"]}, "proposed": "Tables", "against_proposal": True},
        {"state": "decided", "said": {"primary": ["Maps"]}, "proposed": "Maps", "against_proposal": False},
        {"state": "disputed", "said": {"primary": []}, "proposed": "Maps", "against_proposal": False},
    ],
    "answers": [{"annotator": name} for name in "AAABBBC"],
    "agreement": [
        {**_QUESTION, "concept": None, "observed": 0.625, "alpha": 0.4375, "kappa": 0.375},
        {**_QUESTION, "concept": HOSTILE, "observed": 1.0, "alpha": None, "kappa": None},
    ],
}

EVALUATION = {
    "name": "clip",
    "step": 8,
    "run_id": "run",
    "tasks": {
        "zero_shot_primary_label": {
            "samples": 50,
            "accuracy": {"value": 0.625, "low": 0.5, "high": 0.75, "chance": 0.125},
            "majority": 0.2,
            "classes": [{"label": "Maps", "samples": 20, "recall": 0.75}],
        },
        "retrieval": {
            "samples": 50,
            "image_to_text": {"recall@1": {"value": 0.25, "low": None, "high": None, "chance": 0.02}},
        },
        "other": {"skipped": "no labels"},
    },
}
