from __future__ import annotations

import hashlib
import json
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import webdataset

from biomedica_ray import cli, schema
from biomedica_ray.images import decode
from biomedica_ray.reading.shards import RawSample, read_samples, read_shards
from biomedica_ray.reading.texts import texts_by_kind
from biomedica_ray.runs import Run
from biomedica_ray.serialize.config import SerializeConfig
from biomedica_ray.serialize.pipeline import ShardWorker, bytes_of_a_figure
from biomedica_ray.serialize.pipeline import run as serialize
from biomedica_ray.store import Store, StoreError
from biomedica_ray.units import Flow, unit_of
from tests.synthetic import N_UNITS, Row, article, encoded, figure, lose_a_row, picture, write_extracted

pytestmark = pytest.mark.cluster

ARTICLES = [f"PMC{n}" for n in range(10)]
INDICES = {
    f"webdataset/{group}/train/{name}.json" for group in ("commercial", "noncommercial") for name in ("sizes", "wids")
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def rows() -> tuple[list[Row], list[Row]]:
    """Ten articles of two figures; PMC0 is NC and its second figure has no caption, PMC1 has been retracted."""
    articles = [article(pmcid) for pmcid in ARTICLES]
    articles[0].update(license_group="noncommercial", license_code="CC BY-NC")
    articles[1].update(is_retracted=True)
    figures = [
        figure(f"{pmcid}.1", position, encoded(picture(10 * n + position), "JPEG"))
        for n, pmcid in enumerate(ARTICLES)
        for position in (1, 2)
    ]
    figures[1].update(caption=None)
    return articles, figures


def run(store: Store, **keys: Any) -> Run:
    settings = {
        "samples_per_shard": 5,
        "validation_fraction": 0,
        "test_fraction": 0,
        "memory_gb": 0.3,
        "max_actors": 2,
        **keys,
    }
    config = SerializeConfig(store=store.root, **settings)
    with Run("serialize", config) as stage_run:
        serialize(config, stage_run)
    return stage_run


def commit_duplicates(
    store: Store, mark: str, duplicates: list[tuple[str, str, str]], captions: tuple[Row, ...] = ()
) -> None:
    for unit in store.commits("extract"):
        own = [
            {"id": id_, "of": of, "entity": "figure" if "_" in id_ else "article", "kind": kind, "distance": 0}
            for id_, of, kind in duplicates
            if unit_of(id_.partition(".")[0], N_UNITS) == unit
        ]
        with store.write_unit("dedupe", unit, mark) as writer:
            writer.table("duplicates", schema.DUPLICATES).write(own)
            others = [row for row in captions if unit_of(row["figure_id"].partition(".")[0], N_UNITS) == unit]
            writer.table("captions", schema.CAPTIONS).write(others)
            writer.commit({})


def commit_labels(store: Store, figure_id: str) -> None:
    unit = unit_of(figure_id.partition(".")[0], N_UNITS)
    label = {"figure_id": figure_id, "cluster_id": 3, "distance": 1.0, "panel_type": "single", "how": "propagated"}
    with store.write_unit("label", unit, "aa") as writer:
        row = {**label, "primary_label": ["Microscopy"], "secondary_label": [], "confidence": 0.5, "uncertain": False}
        writer.table("labels", schema.LABELS).write([row])
        writer.commit({})


def files(store: Store) -> dict[str, float]:
    root = Path(store.root) / "dataset"
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


def size_and_hash(path: Path) -> tuple[int, str]:
    data = path.read_bytes()
    return len(data), hashlib.sha256(data).hexdigest()


def keys_of(store: Store, path: str) -> list[str]:
    data = webdataset.WebDataset(f"{store.root}/dataset/{path}", shardshuffle=False)
    return [sample["__key__"] for sample in data]


def by_concept(keys: list[str], first: str) -> list[str]:
    """In the order of a Parquet file, where one sample alone has a concept."""
    return sorted(keys, key=lambda key: key != first)


def check_gathered(root: Path, shards: list[Row], keys: list[str]) -> set[str]:
    """The table of all samples, and the counts, of which the topics are returned."""
    metadata = pq.read_table(root / "metadata.parquet")
    assert metadata.schema.equals(schema.METADATA)
    assert metadata["key"].to_pylist() == keys
    assert [(path, len(list(rows))) for path, rows in groupby(metadata["path"].to_pylist())] == [
        (shard["path"], shard["samples"]) for shard in shards
    ]
    statistics = json.loads((root / "statistics.json").read_text())
    assert {group: counts["samples"] for group, counts in statistics.items()} == {"commercial": 16, "noncommercial": 1}
    assert statistics["commercial"]["concepts"] == {"unlabelled": 15, "Microscopy": 1}
    return statistics["commercial"].keys() - {"samples"}


def test_a_dataset_and_what_changes_it(ray_cluster: None, store: Store) -> None:
    articles, figures = rows()
    write_extracted(store, articles, figures)
    commit_labels(store, "PMC5.1_002")
    first = run(store)
    assert first.counts == {"figures": Flow(20, 17, 3), "samples": Flow(17, 17), "attributions": Flow(17, 17)}
    errors = store.dataset("serialize", "errors").to_table().to_pylist()
    assert {(e["what"], e["kind"]) for e in errors} == {
        ("PMC0.1_002", "no-caption"),
        ("PMC1.1_001", "retracted"),
        ("PMC1.1_002", "retracted"),
    }
    assert {e["stage"] for e in errors} == {"serialize"}

    document = store.read_json("dataset/dataset.json")
    shards = document["shards"]
    assert document["samples"] == 17
    assert [(s["path"], s["samples"]) for s in shards] == [
        *((f"webdataset/commercial/train/commercial-train-{n:06d}.tar", count) for n, count in enumerate((5, 5, 5, 1))),
        ("webdataset/noncommercial/train/noncommercial-train-000000.tar", 1),
    ]
    root = Path(store.root) / "dataset"
    keys = []
    for shard in shards:
        assert size_and_hash(root / shard["path"]) == (shard["bytes"], shard["sha256"])
        assert size_and_hash(root / shard["parquet"]) == (shard["parquet_bytes"], shard["parquet_sha256"])
        table = pq.read_table(root / shard["parquet"])
        assert table.schema.equals(schema.DATASET)
        assert table["key"].to_pylist() == by_concept(keys_of(store, shard["path"]), first="PMC5-1_002")
        keys += table["key"].to_pylist()
    wanted = [
        f["figure_id"].replace(".", "-") for f in figures if f["caption"] and not f["figure_id"].startswith("PMC1.")
    ]
    assert sorted(keys) == sorted(wanted)

    commercial = f"{root}/webdataset/commercial/train/commercial-train-{{000000..000003}}.tar"
    samples = {s["__key__"]: s for s in webdataset.WebDataset(commercial, shardshuffle=False)}
    sample, source = samples["PMC5-1_002"], next(f for f in figures if f["figure_id"] == "PMC5.1_002")
    assert sample["jpg"] == source["image"]
    assert sample["txt"].decode() == source["caption"]
    fields = json.loads(sample["json"])
    assert (fields["article_accession_id"], fields["image_label_id"]) == ("PMC5", "3")
    assert fields["image_primary_label"] == ["Microscopy"]
    assert json.loads(samples["PMC5-1_001"]["json"])["image_label_id"] is None

    table = pq.read_table(root / "attribution.parquet")
    assert table["key"].to_pylist() == keys
    assert set(table["attribution"].to_pylist()) >= {
        "Figure 2 from: Title of PMC5. J Tests. 2021;1:1. doi:10.1/pmc5. "
        "https://pmc.ncbi.nlm.nih.gov/articles/PMC5.1/ CC BY."
    }

    before = files(store)
    charts = {f"charts/{topic}.png" for topic in check_gathered(root, shards, keys)}
    beside = {"dataset.json", "README.md", "croissant.json", "webdataset/README.md"}
    beside |= {"attribution.parquet", "metadata.parquet", "statistics.json", "CHANGES.md", *charts}
    assert before.keys() == {*beside, *INDICES, *(s[k] for s in shards for k in ("path", "parquet"))}
    assert run(store).counts == first.counts
    assert files(store) == before

    # The last sample of the commercial group goes: only the shard that held it is no more.
    last = keys_of(store, shards[3]["path"])[0].replace("-", ".")
    commit_duplicates(store, "bb", [(last, "PMC0.1_001", "near")])
    assert run(store).counts == {
        "figures": Flow(20, 16, 4),
        "samples": Flow(16, 16),
        "attributions": Flow(16, 16),
    }
    after = files(store)
    gone = {shards[3]["path"], shards[3]["parquet"]}
    assert before.keys() - after.keys() == gone
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {*beside, *INDICES}
    assert store.read_json("dataset/dataset.json")["shards"] == shards[:3] + shards[4:]


def test_a_worker_does_not_begin_on_a_disk_without_room(store: Store) -> None:
    articles, figures = rows()
    write_extracted(store, articles, figures)
    folders = [Path(store.root, name) for name in ("figures", "images")]
    stored = sum(path.stat().st_size for folder in folders for path in folder.iterdir())
    assert bytes_of_a_figure(store, store.extracted()) == stored / len(figures)
    with pytest.raises(StoreError, match="lower samples_per_shard, or set TMPDIR"):
        ShardWorker(store, "run", SerializeConfig(store=store.root), {}, material={}, disk_bytes=10**18)


def test_another_caption_goes_with_the_sample_and_changes_its_shard_alone(ray_cluster: None, store: Store) -> None:
    write_extracted(store, *rows())
    first = run(store)
    before, shards = files(store), store.read_json("dataset/dataset.json")["shards"]
    caption = {"figure_id": "PMC5.1_002", "caption": "In other words.", "source": "PMC0.1_001"}
    commit_duplicates(store, "aa", [], (caption,))
    assert run(store).counts == first.counts
    (held,) = (shard for shard in store.read_json("dataset/dataset.json")["shards"] if shard not in shards)
    after = files(store)
    assert len(after) == len(before)
    changed = {name for name, time in after.items() if time != before.get(name)}
    assert {name for name in changed if name.endswith((".tar", ".parquet"))} == {
        "attribution.parquet",
        "metadata.parquet",
        held["path"],
        held["parquet"],
    }
    assert not {held["path"], held["parquet"]} & before.keys(), "another content has another name"
    path = f"{store.root}/dataset/{held['path']}"
    samples = {sample["__key__"]: sample for sample in webdataset.WebDataset(path, shardshuffle=False)}
    assert json.loads(samples["PMC5-1_002"]["json"])["also_captioned"] == ["In other words."]
    table = pq.read_table(f"{store.root}/dataset/{held['parquet']}", columns=["also_captioned"])
    assert [texts for texts in table["also_captioned"].to_pylist() if texts] == [["In other words."]]


def test_profiles_lie_side_by_side_and_no_name_is_given_twice(ray_cluster: None, store: Store) -> None:
    write_extracted(store, *rows())
    first = run(store)
    archive = files(store)
    for_training: dict[str, Any] = {"profile": "train", "longest_side": 32}
    assert run(store, **for_training).counts == first.counts
    assert run(store, jpeg_quality=90).counts == first.counts
    assert files(store) == archive

    data = Store(store.uri("profiles/train-32-q90/dataset"))
    document = data.read_json("dataset.json")
    assert (document["profile"], document["longest_side"], document["jpeg_quality"]) == ("train", 32, 90)
    assert Store(store.uri("profiles/archive-q90/dataset")).read_json("dataset.json")["jpeg_quality"] == 90
    shards = read_shards(data, None, "train")
    samples = [sample for shard in shards for sample in read_samples(data, shard, 0, shard.samples, metadata=True)]
    assert len(samples) == 17
    for sample in samples:
        assert isinstance(sample, RawSample)
        fields = json.loads(sample.metadata)
        assert max(decode(sample.image).size) == max(fields["image_size"]) == 32
        assert fields["image_converted"] == "JPEG 64x48"
        assert texts_by_kind(sample)["mention"] == [f"As {fields['figure_label']} shows."]

    # Shards that are cut in another way have names of their own, for whoever reads the earlier ones.
    before = {shard.path for shard in shards}
    run(store, samples_per_shard=4, **for_training)
    after = {shard.path for shard in read_shards(data, None, "train")}
    assert len(after) == 5 and not after & before


def test_splits_follow_the_kept_article_and_broken_images_are_errors(ray_cluster: None, store: Store) -> None:
    articles, figures = rows()
    png = encoded(picture(1))
    broken = {**figure("PMC4.1", 2, png), "image": png[:60]}
    write_extracted(store, articles, [f for f in figures if f["figure_id"] != "PMC4.1_002"] + [broken])
    commit_duplicates(store, "aa", [(f"{pmcid}.1", "PMC2.1", "same-doi") for pmcid in ARTICLES if pmcid != "PMC2"])
    counts = run(store, keep_duplicates=True, keep_retracted=True, test_fraction=0.5).counts
    assert counts == {"figures": Flow(20, 19, 1), "samples": Flow(19, 18, 1), "attributions": Flow(18, 18)}
    assert len({shard["split"] for shard in store.read_json("dataset/dataset.json")["shards"]}) == 1
    errors = store.dataset("serialize/shards", "errors").to_table().to_pylist()
    assert [(e["what"], e["kind"]) for e in errors] == [("PMC4.1_002", "truncated-image")]


def test_nothing_selected(ray_cluster: None, store: Store) -> None:
    write_extracted(store, *rows())
    assert run(store, min_side=1000).counts == {"figures": Flow(20, 0, 20), "attributions": Flow()}
    assert store.read_json("dataset/dataset.json")["shards"] == []


def test_figures_that_are_chosen_but_not_planned_fail_the_run(
    ray_cluster: None, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    write_extracted(store, *rows())
    run(store)
    lose_a_row(store, "serialize", unit_of("PMC5", N_UNITS), "samples")
    command = [
        "serialize",
        "--store",
        store.root,
        "--samples_per_shard",
        "5",
        "--test_fraction",
        "0",
        "--validation_fraction",
        "0",
    ]
    assert cli.main([*command, "--memory_gb", "0.3"]) == 1
    *_, line = capsys.readouterr().err.splitlines()
    assert line == "biomedica serialize: rows lost: 17 samples chosen, but 16 in the plan of the shards"
    assert not (Path(store.root) / "dataset" / "dataset.json").exists()
