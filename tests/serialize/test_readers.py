"""The dataset as the readers that people use see it: each the same keys, captions, fields and pixels."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import datasets
import duckdb
import mlcroissant
import numpy as np
import pandas
import polars
import pyarrow.parquet as pq
import pytest
import ray
import webdataset
import wids
from PIL import Image

from biomedica_ray import schema
from biomedica_ray.images import decode
from biomedica_ray.images.hashes import pixel_hash
from biomedica_ray.reading.place import Place
from biomedica_ray.serialize.dataset import publish
from biomedica_ray.serialize.jpeg import as_jpeg, crop_as_jpeg
from biomedica_ray.serialize.profiles import Profile
from biomedica_ray.serialize.samples import ArticleFields, panel_fields, parquet_row, sample_fields, sample_key
from biomedica_ray.serialize.shard_plan import Shard
from biomedica_ray.serialize.shards import ShardWriter
from biomedica_ray.serialize.twins import TwinWriter
from biomedica_ray.store import Store
from tests.serialize.test_samples import stored
from tests.synthetic import article, encoded, figure, picture

SETTINGS = {"version": "0.1.0", "samples_per_shard": 7, "validation_fraction": 0.05, "test_fraction": 0.1}
ARCHIVE = Profile()
BARE = {"title": None, "abstract": None, "journal": None, "keywords": [], "subjects": [], "mesh": [], "references": []}
"""What the first articles lack: as many samples as readers look at to guess types."""
PANELS = [{"label": "A", "text": "Caption", "start": 0, "end": 7}]

PANEL_OF, BOX = 9, (32, 0, 64, 48)
"""The article whose figures are there as a panel, and its box."""
SEEN = {
    "context": "Two parts.",
    "panel_boxes": [
        {
            **{"label": label, "words": words, "how": "letter", "confidence": 0.5, "alignment_confidence": 0.25},
            **dict(zip(("left", "top", "right", "bottom"), box, strict=True)),
        }
        for label, words, box in (("A", "Left.", (0, 0, 30, 48)), ("B", "Right.", BOX))
    ],
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shards of commercial training samples, the first of which know next to nothing; and one of another kind."""
    root = tmp_path_factory.mktemp("store") / "dataset"
    kinds = [("commercial", "train", 0, range(8)), ("commercial", "train", 1, range(8, 12))]
    shards = [write(root, *kind) for kind in [*kinds, ("noncommercial", "test", 0, range(12, 15))]]
    publish(Store(str(root.parent)), Place(None), shards, SETTINGS)
    return root


@pytest.fixture(scope="module")
def for_training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in the profile for training, its pictures at most half as large."""
    root, profile = tmp_path_factory.mktemp("store") / "dataset", Profile("train", 32, 90)
    kinds = [("commercial", "train", 0, range(8)), ("commercial", "train", 1, range(8, 12))]
    shards = [write(root, *kind, profile=profile) for kind in kinds]
    publish(Store(str(root.parent)), Place(None), shards, {**SETTINGS, "profile": "train", "longest_side": 32})
    return root


def write(
    root: Path, group: str, split: str, index: int, articles: Iterable[int], *, profile: Profile = ARCHIVE
) -> dict[str, Any]:
    shard = Shard(group, split, index, 2)
    tar, parquet = shard.path("webdataset", "tar"), shard.path("parquet", "parquet")
    for path in (tar, parquet):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
    with ShardWriter(root / tar) as writer:
        for n in articles:
            known: dict[str, Any] = {"license_url": "https://creativecommons.org/licenses/by/4.0/"} if n > 6 else BARE
            its_article = stored(schema.ARTICLES, article(f"PMC{n}", **known))
            more = {"panels": PANELS, "alt_text": "Alt", "file_name": "a/same.png"} if n > 6 else {"mentions": []}
            jpgs = [encoded(picture(10 * n + k), "JPEG") for k in (1, 2)]
            figures = [stored(schema.FIGURES, figure(f"PMC{n}.1", k, jpg, **more)) for k, jpg in enumerate(jpgs, 1)]
            shared = ArticleFields(its_article, tuple(figures))
            for row, whole in zip(figures, jpgs, strict=True):
                made = as_jpeg({**row, "image": whole}, profile)
                fields = sample_fields(row, shared, None, made, ["Other words."] if n > 6 else [])
                key, caption = sample_key(row["figure_id"]), row["caption"]
                if n == PANEL_OF:  # its figures are there as a panel of each
                    made = crop_as_jpeg(decode(whole), BOX, profile)
                    fields = panel_fields(row, shared, made, SEEN, 2)
                    key, caption = sample_key(row["figure_id"], 2), "Right."
                writer.write(key, made.jpg, caption, profile.fields(fields))
    with TwinWriter(root / parquet, writer.offsets, profile.schema) as twin:
        for sample in writer.by_concept():
            twin.write(parquet_row(*sample))
    return {
        "path": tar,
        "parquet": parquet,
        "license_group": group,
        "split": split,
        "samples": writer.samples,
        "bytes": writer.size,
        "sha256": writer.sha256,
    }


Seen = tuple[str, str, str, dict[str, Any]]
"""Key, caption, hash of the pixels, and the other fields."""


def seen(key: str, caption: str, image: bytes | Image.Image, fields: Mapping[str, Any]) -> Seen:
    if isinstance(image, bytes):
        image = Image.open(io.BytesIO(image))
    others = {name: value for name, value in fields.items() if name not in ("key", "txt", "jpg")}
    return key, caption, pixel_hash(image), json.loads(json.dumps(others))


def truth(root: Path) -> list[Seen]:
    """Training samples of the commercial group as webdataset reads them."""
    found = []
    for path in sorted((root / "webdataset/commercial/train").glob("*.tar")):
        for sample in webdataset.WebDataset(str(path), shardshuffle=False):
            fields = json.loads(sample["json"])
            found.append(seen(sample["__key__"], sample["txt"].decode(), sample["jpg"], fields))
    assert len(found) == 24
    (panel, _) = (each for each in found if "~p" in each[0])
    assert panel[:2] == (f"PMC{PANEL_OF}-1_001~p2", "Right.")
    assert (panel[3]["panel_box"], panel[3]["panel_confidence"], panel[3]["panel_context"]) == (
        [*BOX],
        0.5,
        "Two parts.",
    )
    return found


def of_rows(rows: Iterable[Mapping[str, Any]]) -> list[Seen]:
    return [seen(row["key"], row["txt"], row["jpg"]["bytes"], row) for row in rows]


@pytest.fixture
def cache(tmp_path: Path) -> str:
    return str(tmp_path / "cache")


@pytest.mark.parametrize("streaming", [False, True])
def test_datasets_reads_the_parquet_files(dataset: Path, cache: str, streaming: bool) -> None:
    data = datasets.load_dataset(str(dataset), "commercial", split="train", streaming=streaming, cache_dir=cache)
    assert data.features["jpg"] == datasets.Image()
    assert [seen(row["key"], row["txt"], row["jpg"], row) for row in data] == truth(dataset)
    other = datasets.load_dataset(str(dataset), "noncommercial", split="test", streaming=streaming, cache_dir=cache)
    assert sum(1 for _ in other) == 6


@pytest.mark.parametrize("streaming", [False, True])
def test_datasets_reads_the_webdataset_shards(dataset: Path, cache: str, streaming: bool) -> None:
    data = datasets.load_dataset(
        str(dataset / "webdataset"), "commercial", split="train", streaming=streaming, cache_dir=cache
    )
    assert [seen(row["__key__"], row["txt"], row["jpg"], row["json"]) for row in data] == truth(dataset)


@pytest.mark.parametrize("streaming", [False, True])
def test_a_parquet_file_alone_tells_datasets_that_it_has_images(dataset: Path, cache: str, streaming: bool) -> None:
    files = {"train": str(dataset / "parquet/commercial/train/*.parquet")}
    data = datasets.load_dataset("parquet", data_files=files, split="train", streaming=streaming, cache_dir=cache)
    assert [seen(row["key"], row["txt"], row["jpg"], row) for row in data] == truth(dataset)


def test_datasets_and_croissant_read_the_profile_for_training(for_training: Path, cache: str) -> None:
    parquet = datasets.load_dataset(str(for_training), "commercial", split="train", cache_dir=cache)
    assert [seen(row["key"], row["txt"], row["jpg"], row) for row in parquet] == truth(for_training)
    shards = datasets.load_dataset(str(for_training / "webdataset"), "commercial", split="train", cache_dir=cache)
    assert [seen(row["__key__"], row["txt"], row["jpg"], row["json"]) for row in shards] == truth(for_training)
    assert max(max(fields["image_size"]) for _, _, _, fields in truth(for_training)) == 32
    described = mlcroissant.Dataset(jsonld=str(for_training / "croissant.json"))
    assert not described.metadata.issues.errors
    assert len(list(described.records(record_set="commercial-train"))) == 24
    card = (for_training / "README.md").read_text()
    assert "This is the profile `train`" in card
    assert "at most 32 pixels long" in card


def by_pyarrow(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(folder).to_pylist()
    return rows


def by_polars(folder: Path) -> list[dict[str, Any]]:
    return polars.read_parquet(folder / "*.parquet").to_dicts()


def by_duckdb(folder: Path) -> list[dict[str, Any]]:
    found = duckdb.sql(f"SELECT * FROM '{folder}/*.parquet' ORDER BY filename, file_row_number")
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


def by_pandas(folder: Path) -> list[dict[str, Any]]:
    return [unwrapped(row) for row in pandas.read_parquet(folder).to_dict("records")]


def unwrapped(value: Any) -> Any:
    """A cell of pandas, which has arrays for lists."""
    if isinstance(value, dict):
        return {key: unwrapped(each) for key, each in value.items()}
    if isinstance(value, np.ndarray):
        return [unwrapped(each) for each in value.tolist()]
    return None if isinstance(value, float) and np.isnan(value) else value


@pytest.mark.parametrize("read", [by_pyarrow, by_polars, by_duckdb, by_pandas])
def test_readers_of_tables(dataset: Path, read: Callable[[Path], list[dict[str, Any]]]) -> None:
    assert of_rows(read(dataset / "parquet/commercial/train")) == truth(dataset)


def test_mlcroissant_validates_the_description_and_reads_the_records(dataset: Path) -> None:
    described = mlcroissant.Dataset(jsonld=str(dataset / "croissant.json"))
    assert not described.metadata.issues.errors
    assert described.metadata.issues.warnings == {
        f'[Metadata({described.metadata.name})] Property "https://schema.org/datePublished" is recommended, '
        "but does not exist."
    }
    records = list(described.records(record_set="commercial-train"))
    fields = [field.id.partition("/")[2] for field in described.metadata.record_sets[0].fields]
    assert {"jpg", "txt", "attribution", "article_authors", "license_is_own"} <= set(fields)
    found = []
    for record in records:
        row = {name: text_of(record[f"commercial-train/{name}"]) for name in fields}
        found.append(seen(row["key"], row["txt"], row["jpg"], row))
    expected = [
        (key, caption, pixels, {name: value for name, value in others.items() if name in fields})
        for key, caption, pixels, others in truth(dataset)
    ]
    assert found == expected


def text_of(value: Any) -> Any:
    """Texts, which mlcroissant gives as bytes."""
    if isinstance(value, bytes):
        return value.decode()
    return [text_of(each) for each in value] if isinstance(value, list | np.ndarray) else value


def test_wids(dataset: Path) -> None:
    data = wids.ShardListDataset(str(dataset / "webdataset/commercial/train/wids.json"))
    found = [data[number] for number in range(len(data))]
    assert [seen(each["__key__"], each[".txt"], each[".jpg"], each[".json"]) for each in found] == truth(dataset)


@pytest.mark.cluster
def test_ray_data(ray_cluster: None, dataset: Path) -> None:
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    rows = ray.data.read_parquet(str(dataset / "parquet/commercial/train")).take_all()
    assert sorted(of_rows(map(unwrapped, rows)), key=str) == sorted(truth(dataset), key=str)
    shards = ray.data.read_webdataset(str(dataset / "webdataset/commercial/train"), file_extensions=["tar"])
    found = [
        seen(row["__key__"], row["txt"], Image.fromarray(row["jpg"]), unwrapped(row["json"]))
        for row in shards.take_all()
    ]
    assert sorted(found, key=str) == sorted(truth(dataset), key=str)


def test_the_two_forms_have_the_same_features(dataset: Path) -> None:
    parquet = datasets.load_dataset_builder(str(dataset), "commercial").info.features
    shards = datasets.load_dataset_builder(str(dataset / "webdataset"), "commercial").info.features
    assert shards["json"] == {name: type_ for name, type_ in parquet.items() if name not in ("key", "jpg", "txt")}
    file = next((dataset / "parquet/commercial/train").iterdir())
    assert datasets.Features.from_arrow_schema(pq.read_schema(file)) == parquet


def test_figures_of_one_file_name_have_paragraphs_of_their_own(dataset: Path) -> None:
    fields = next(fields for key, _, _, fields in truth(dataset) if key == "PMC8-1_002")
    assert {each["image_id"] for each in fields["image_context"]} == {"same"}
    (own,) = (each for each in fields["image_context"] if each["figure_id"] == fields["figure_id"])
    assert own["references"] == ["As Figure 2 shows."]
