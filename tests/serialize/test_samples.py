from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from biomedica_ray import schema
from biomedica_ray.images import ImageError, decode
from biomedica_ray.reading.shards import RawSample
from biomedica_ray.reading.texts import texts_by_kind
from biomedica_ray.serialize.config import SerializeConfig
from biomedica_ray.serialize.jpeg import Picture, as_jpeg, crop_as_jpeg
from biomedica_ray.serialize.profiles import SCHEMAS, Profile
from biomedica_ray.serialize.samples import (
    ArticleFields,
    image_id,
    panel_fields,
    parquet_row,
    sample_fields,
    sample_key,
)
from biomedica_ray.serialize.shards import ShardWriter
from tests.images.icc import ADOBE_RGB, rgb_profile
from tests.synthetic import article, encoded, figure, picture

ARCHIVE = Profile()
AS_IT_WAS = Picture(b"jpg", (64, 48), (64, 48), converted=False)

FIELDS = {
    "image_file_name": str,
    "image_cluster_id": str,
    "image_hash": str,
    "image_label_id": str,
    "image_panel_type": str,
    "image_panel_subtype": str,
    "image_primary_label": list,
    "image_secondary_label": list,
    "image_concept": str,
    "image_size": list,
    "image_converted": type(None),
    "image_set": list,
    "image_context": list,
    "article_accession_id": str,
    "article_title": str,
    "article_journal": str,
    "article_date": str,
    "article_abstract": str,
    "article_mesh_terms": list,
    "article_keywords": list,
    "article_reference_ids": list,
    "article_reference_count": int,
    "article_reference_list": list,
    "article_subject": list,
    "article_citation": str,
    "article_license": str,
    "article_text": str,
    # These are ours; all others are those of the published dataset.
    "image_label": str,
    "image_confidence": float,
    "image_sure": bool,
    "image_local_concepts": list,
    "image_how": str,
    "cluster_panel_type": str,
    "cluster_panel_subtype": str,
    "also_captioned": list,
    "panels": list,
    "n_panels": int,
    "panel_boxes": list,
    "panel_number": type(None),
    "panel_label": type(None),
    "panel_box": list,
    "panel_context": type(None),
    "panel_mentions": list,
    "panel_how": type(None),
    "panel_confidence": type(None),
    "panel_alignment_confidence": type(None),
    "figure_id": str,
    "figure_label": str,
    "figure_kind": str,
    "figure_language": str,
    "figure_alt_text": str,
    "article_version": int,
    "article_authors": list,
    "article_author_count": int,
    "article_doi": str,
    "article_url": str,
    "license_name": str,
    "license_url": str,
    "license_is_own": bool,
    "copyright": str,
    "attribution": str,
}
LABEL = {
    "cluster_id": 7,
    "panel_type": "single",
    "panel_subtype": "single panel",
    "primary_label": ["Microscopy"],
    "secondary_label": ["light microscopy", "electron microscopy"],
}


SHOWN = {
    "image_label": "Microscopy",
    "image_confidence": 0.75,
    "image_sure": True,
    "image_local_concepts": ["light microscopy"],
    "image_how": "classifier",
}


def stored(table: pa.Schema, row: dict[str, Any]) -> dict[str, Any]:
    """The row as it is read from a table."""
    return pa.Table.from_pylist([row], schema=table).to_pylist()[0]


LICENSE = {"license_url": "https://creativecommons.org/licenses/by/4.0/", "copyright": "© 2021 Doe"}
PANELS = {1: [], 2: [{"label": "A", "text": "Caption 2", "start": 0, "end": 9}]}
FIGURES = [
    stored(
        schema.FIGURES, figure("PMC1.2", n, encoded(picture(n)), panels=PANELS[n], alt_text="A picture.", language="en")
    )
    for n in (1, 2)
]
SHARED = ArticleFields(stored(schema.ARTICLES, article("PMC1", 2, **LICENSE)), tuple(FIGURES))


def seen(*boxes: tuple[str | None, str | None, tuple[int, int, int, int]]) -> dict[str, Any]:
    """A row of the panels table: label, words and place of each panel."""
    rows = [
        {
            **{"label": label, "words": words, "how": "letter" if words else "none", "confidence": 0.5},
            **dict(zip(("left", "top", "right", "bottom"), box, strict=True)),
            **{"model_confidence": 0.75, "alignment_confidence": 0.25},
        }
        for label, words, box in boxes
    ]
    row = {
        "figure_id": "PMC1.2_002",
        "panel_type": "multiple" if len(boxes) > 1 else "single",
        "n_panels": len(boxes),
        "least_confidence": 0.5,
        "caption_panels": 2,
        "aligned_panels": 1,
        "context": "Of mice.",
        "panel_boxes": rows,
        "phashes": [],
        "thumbnails": [],
    }
    return stored(schema.PANELS, row)


TWO = seen(("A", "Caption 2", (0, 0, 30, 48)), (None, None, (34, 0, 64, 48)))
ONE = seen((None, None, (0, 0, 64, 48)))


def test_published_fields_with_their_types_and_values() -> None:
    fields = sample_fields(FIGURES[1], SHARED, LABEL, AS_IT_WAS, ["Another."], panels=ONE, shown=SHOWN)
    assert {name: fields[name] for name in SHOWN} == SHOWN
    assert {name: type(value) for name, value in fields.items()} == FIELDS
    assert fields["also_captioned"] == ["Another."]
    assert fields["panels"] == [{"label": "A", "text": "Caption 2", "start": 0, "end": 9}]
    assert fields["image_cluster_id"] == "pmc1-g002"
    assert fields["image_hash"] == FIGURES[1]["sha256"]
    assert fields["image_label_id"] == "7"
    assert fields["image_size"] == [64, 48]
    assert [each["image_id"] for each in fields["image_set"]] == ["pmc1-g001", "pmc1-g002"]
    assert fields["image_set"][0]["caption"] == "Caption 1 of PMC1.2."
    assert [each["figure_id"] for each in fields["image_set"]] == ["PMC1.2_001", "PMC1.2_002"]
    assert fields["image_context"] == [
        {"figure_id": f"PMC1.2_00{n}", "image_id": f"pmc1-g00{n}", "references": [f"As Figure {n} shows."]}
        for n in (1, 2)
    ]
    assert fields["article_date"] == "2021-03-04"
    assert fields["article_reference_ids"] == ["77"]
    assert fields["article_reference_count"] == 2
    assert fields["article_reference_list"] == ["Doe J. A study. 2019", "A book."]
    assert fields["article_text"] == "Results\nAs Figure 1 shows.\nFurther text."


def test_what_is_unknown_is_null() -> None:
    bare = stored(schema.ARTICLES, article("PMC1", 2, title=None, journal=None, published=None, abstract=None))
    figure_ = {**FIGURES[0], "alt_text": None, "language": None}
    fields = sample_fields(figure_, ArticleFields(bare, tuple(FIGURES)), None, AS_IT_WAS)
    assert {name for name, value in fields.items() if value is None} == {
        "image_concept",
        "image_converted",
        "image_label_id",
        "image_panel_type",
        "image_panel_subtype",
        "image_label",
        "image_confidence",
        "image_sure",
        "image_how",
        "cluster_panel_type",
        "cluster_panel_subtype",
        "n_panels",
        "panel_number",
        "panel_label",
        "panel_context",
        "panel_how",
        "panel_confidence",
        "panel_alignment_confidence",
        "article_title",
        "article_journal",
        "article_date",
        "article_abstract",
        "figure_language",
        "figure_alt_text",
        "license_url",
        "copyright",
    }
    assert (fields["image_primary_label"], fields["panels"], fields["panel_boxes"]) == ([], [], [])


def test_the_type_of_panels_is_that_of_the_image_and_the_cluster_s_beside_it() -> None:
    fields = sample_fields(FIGURES[1], SHARED, LABEL, AS_IT_WAS, panels=TWO)
    assert (fields["image_panel_type"], fields["image_panel_subtype"], fields["n_panels"]) == ("multiple", None, 2)
    assert (fields["cluster_panel_type"], fields["cluster_panel_subtype"]) == ("single", "single panel")
    assert [[box[name] for name in ("label", "words", "how", "left", "right")] for box in fields["panel_boxes"]] == [
        ["A", "Caption 2", "letter", 0, 30],
        [None, None, "none", 34, 64],
    ]
    assert fields["panel_boxes"][0]["confidence"] == 0.75  # the surer one of gutters and detector
    plots = {**LABEL, "panel_type": "multiple", "panel_subtype": "multiple panels: images & plots"}
    fields = sample_fields(FIGURES[1], SHARED, plots, AS_IT_WAS, panels=TWO)
    assert fields["image_panel_subtype"] == "multiple panels: images & plots"
    fields = sample_fields(FIGURES[1], SHARED, plots, AS_IT_WAS, panels=ONE)
    assert (fields["image_panel_type"], fields["image_panel_subtype"]) == ("single", "single panel")
    assert (fields["n_panels"], fields["panel_boxes"]) == (1, [])


def test_a_panel_has_its_own_box_words_and_mentions_and_is_credited_as_a_part() -> None:
    mentions = [{"section": [], "text": f"See {name}.", "panels": [name]} for name in ("a", "B")]
    row = stored(schema.FIGURES, {**FIGURES[1], "mentions": mentions, "panels": [*PANELS[2], {"label": "B, C"}]})
    fields = panel_fields(
        row, ArticleFields(SHARED.article, (FIGURES[0], row)), Picture(b"", (30, 48), (30, 48), converted=True), TWO, 1
    )
    assert {name: value for name, value in fields.items() if name.startswith("panel_")} == {
        "panel_number": 1,
        "panel_label": "A",
        "panel_box": [0, 0, 30, 48],
        "panel_boxes": [],
        "panel_context": "Of mice.",
        "panel_mentions": ["See a."],
        "panel_how": "letter",
        "panel_confidence": 0.75,
        "panel_alignment_confidence": 0.25,
    }
    assert (fields["image_panel_type"], fields["n_panels"], fields["image_size"]) == ("single", 1, [30, 48])
    assert [part["label"] for part in fields["panels"]] == ["A"]
    assert fields["attribution"].startswith("Figure 2 (panel A, cut out) from: ")
    assert list(parquet_row("k", b"", "", fields)) == schema.DATASET.names


@pytest.mark.parametrize(("box", "label"), [([0, 0, 30, 48], "Maps"), ([0, 0, 31, 48], None), (None, None)])
def test_a_panel_has_its_own_label_where_its_box_is_that_of_the_label(box: list[int] | None, label: str | None) -> None:
    own = {"image_label": "Maps", "image_confidence": 0.5, "image_sure": False, "image_how": "classifier"}
    shown = {"figure_id": "f", "panel": 1, "panel_box": box, **own, "image_local_concepts": ["map"]}
    picture = Picture(b"", (30, 48), (30, 48), converted=True)
    fields = panel_fields(FIGURES[1], SHARED, picture, TWO, 1, shown=shown)
    assert (fields["image_label"], fields["image_local_concepts"]) == (label, ["map"] if label else [])
    assert fields["image_confidence"] == (0.5 if label else None)
    assert (fields["image_label_id"], fields["image_primary_label"]) == (None, [])


@pytest.mark.parametrize("box", [(3, 5, 40, 41), (0, 0, 64, 48), (63, 47, 64, 48)])
def test_a_crop_has_the_pixels_of_its_box(box: tuple[int, int, int, int]) -> None:
    """What is encoded is the box pixel for pixel, and nothing of the file that the figure was."""
    image = decode(encoded(picture(5), comment="Dr Secret"))
    left, top, right, bottom = box
    pixels = np.asarray(image)[top:bottom, left:right]
    jpg, size, of, converted = crop_as_jpeg(image, box, ARCHIVE)
    assert (of, converted) == (size, True)
    assert jpg == encoded(Image.fromarray(pixels), "JPEG", quality=95, subsampling="4:4:4")
    with Image.open(io.BytesIO(jpg)) as read:
        assert (read.mode, read.size, size) == ("RGB", (right - left, bottom - top), (right - left, bottom - top))
        assert [layer[1:3] for layer in read.layer] == [(1, 1)] * 3  # type: ignore[attr-defined]


@pytest.mark.parametrize("box", [(0, 0, 65, 48), (-1, 0, 5, 5), (5, 5, 5, 9)])
def test_a_box_that_is_not_in_the_image_is_an_error(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(ImageError, match="is not within 64x48 pixels"):
        crop_as_jpeg(picture(1), box, ARCHIVE)


def test_section_titles_stand_once() -> None:
    sections = [
        {"path": ["Methods"], "paragraphs": ["a"]},
        {"path": ["Methods", "Mice"], "paragraphs": ["b"]},
        {"path": ["Methods", "Stain"], "paragraphs": ["c", "d"]},
        {"path": ["Results", "Stain"], "paragraphs": ["e"]},
    ]
    fields = ArticleFields({**SHARED.article, "sections": sections}, ()).fields
    assert fields["article_text"].split("\n") == [
        "Methods",
        "a",
        "Mice",
        "b",
        "Stain",
        "c",
        "d",
        "Results",
        "Stain",
        "e",
    ]


def test_names() -> None:
    assert sample_key("PMC12.3_004") == "PMC12-3_004"
    assert sample_key("a-b~c.1_001") == "a~1b~0c-1_001"
    assert image_id("media/fig.1.tif") == "fig.1"


@given(st.lists(st.tuples(st.text("abp.-~01_", max_size=6), st.integers(0, 12)), min_size=2, max_size=2, unique=True))
def test_each_figure_and_panel_has_a_key_of_its_own(ids: list[tuple[str, int]]) -> None:
    first, second = (sample_key(*each) for each in ids)
    assert first != second
    assert "." not in first + second


def test_the_parquet_row_fits_its_schema() -> None:
    fields = sample_fields(FIGURES[0], SHARED, LABEL, AS_IT_WAS)
    row = parquet_row("k", b"jpg", "caption", fields)
    assert list(row) == schema.DATASET.names
    read = stored(schema.DATASET, row)
    assert {name: read[name] for name in fields} == fields
    assert read["jpg"] == {"bytes": b"jpg", "path": "k.jpg"}


def test_plain_rgb_jpeg_stays_byte_by_byte() -> None:
    data = encoded(picture(1), "JPEG", quality=70, progressive=True)
    assert as_jpeg(figure("PMC1.1", 1, data), ARCHIVE) == Picture(data, (64, 48), (64, 48), converted=False)


def test_what_a_jpeg_carries_beside_its_picture_goes_unless_it_is_to_stay() -> None:
    plain = encoded(picture(1), "JPEG")
    data = encoded(picture(1), "JPEG", comment="Dr Secret") + b"more"
    row = figure("PMC1.1", 1, data)
    assert as_jpeg(row, ARCHIVE).jpg == plain
    assert as_jpeg(row, replace(ARCHIVE, keep_metadata=True)).jpg == data


@pytest.mark.parametrize("keep_metadata", [False, True])
def test_a_jpeg_in_other_colours_is_converted(keep_metadata: bool) -> None:
    options = {"icc_profile": rgb_profile(ADOBE_RGB, 2.2), "comment": "Dr Secret"}
    data = encoded(Image.new("RGB", (64, 48), (200, 120, 60)), "JPEG", quality=100, **options)
    jpg = as_jpeg(figure("PMC1.1", 1, data), replace(ARCHIVE, keep_metadata=keep_metadata)).jpg
    with Image.open(io.BytesIO(jpg)) as read:
        assert "icc_profile" not in read.info
        assert b"Secret" not in jpg
        assert read.getpixel((30, 20)) == pytest.approx(decode(data).getpixel((30, 20)), abs=2)
        assert read.getpixel((30, 20)) != pytest.approx((200, 120, 60), abs=15)


def test_a_thin_red_line_stays_red() -> None:
    image = Image.new("RGB", (64, 48), "white")
    image.paste((255, 0, 0), (0, 21, 64, 22))
    jpg = as_jpeg(figure("PMC1.1", 1, encoded(image)), ARCHIVE).jpg
    with Image.open(io.BytesIO(jpg)) as read:
        assert read.getpixel((30, 21)) == pytest.approx((255, 0, 0), abs=20)


def test_a_jpeg_that_is_stored_on_its_side_becomes_upright() -> None:
    upright = picture(1)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # a reader has to turn it clockwise
    stored_ = upright.transpose(Image.Transpose.ROTATE_90)
    row = figure("PMC1.1", 1, encoded(stored_, "JPEG", quality=95, exif=exif))
    assert (row["width"], row["height"], row["orientation"]) == (48, 64, 6)
    jpg, size, *_ = as_jpeg(row, ARCHIVE)
    with Image.open(io.BytesIO(jpg)) as read:
        assert (read.size, size) == ((64, 48), (64, 48))
        assert ExifTags.Base.Orientation not in read.getexif()
        assert np.abs(np.asarray(read, int) - np.asarray(upright, int)).mean() < 4
    as_turned = encoded(stored_, "JPEG", quality=95)
    assert as_jpeg(figure("PMC1.1", 1, as_turned), ARCHIVE).jpg == as_turned


@pytest.mark.parametrize(
    ("format_", "mode"), [("PNG", "RGBA"), ("JPEG", "L"), ("JPEG", "CMYK"), ("GIF", "P"), ("TIFF", "RGB")]
)
def test_other_images_become_rgb_jpeg(format_: str, mode: str) -> None:
    image = picture(1)
    jpg, size, *_ = as_jpeg(figure("PMC1.1", 1, encoded(image.convert(mode), format_)), ARCHIVE)
    with Image.open(io.BytesIO(jpg)) as read:
        assert (read.format, read.mode, read.size, size) == ("JPEG", "RGB", (64, 48), (64, 48))
        if mode in {"RGBA", "RGB"}:
            assert np.abs(np.asarray(read, int) - np.asarray(image, int)).mean() < 4


def test_too_large_for_a_jpeg() -> None:
    row = {"image": encoded(Image.new("RGB", (65536, 2))), "format": "PNG", "mode": "RGB", "orientation": 1}
    with pytest.raises(ImageError, match="65536x2 pixels") as caught:
        as_jpeg(row, ARCHIVE)
    assert caught.value.kind == "too-large"


TRAIN = Profile("train", longest_side=48, quality=90)


def test_a_picture_for_training_is_made_smaller_once_and_none_is_made_larger() -> None:
    """What is small enough keeps its pixels; of what is not, sides and encoding are the profile's."""
    large = encoded(picture(1), "JPEG", quality=100)
    jpg, size, of, converted = as_jpeg(figure("PMC1.1", 1, large), TRAIN)
    smaller = decode(large).resize((48, 36), Image.Resampling.LANCZOS)
    assert (size, of, converted) == ((48, 36), (64, 48), True)
    assert jpg == encoded(smaller, "JPEG", quality=90, subsampling="4:4:4")
    fits = encoded(picture(1, (40, 48)), "JPEG", quality=70)
    assert as_jpeg(figure("PMC1.1", 1, fits), TRAIN) == Picture(fits, (40, 48), (40, 48), converted=False)
    strip = encoded(Image.new("RGB", (48 * 300, 2)))
    assert as_jpeg(figure("PMC1.1", 1, strip), TRAIN).size == (48, 1)
    part = crop_as_jpeg(picture(1), (0, 0, 50, 40), TRAIN)
    assert (part.size, part.of) == ((48, 38), (50, 40))


def test_what_a_sample_for_training_tells() -> None:
    """What training draws texts from, whom to credit, and where panels are in the smaller picture; no article."""
    smaller = Picture(b"jpg", (32, 24), (64, 48), converted=True)
    everything = sample_fields(FIGURES[1], SHARED, LABEL, smaller, ["Another."], panels=TWO)
    fields = TRAIN.fields(everything)
    assert everything.keys() - fields.keys() == {
        "image_set",
        "article_abstract",
        "article_reference_ids",
        "article_reference_list",
        "article_text",
    }
    assert {name: fields[name] for name in fields if name != "image_context"} == {
        name: everything[name] for name in fields if name != "image_context"
    }
    assert fields["image_context"] == everything["image_context"][1:]
    assert (fields["image_size"], fields["image_converted"]) == ([32, 24], "PNG 64x48")
    assert [(box["left"], box["right"], box["bottom"]) for box in fields["panel_boxes"]] == [(0, 15, 24), (17, 32, 24)]
    texts = texts_by_kind(RawSample("k", b"", "caption", json.dumps(fields).encode()))
    assert texts == texts_by_kind(RawSample("k", b"", "caption", json.dumps(everything).encode()))
    assert texts["mention"] == ["As Figure 2 shows."]
    row = parquet_row("k", b"jpg", "caption", fields)
    assert sorted(row) == sorted(SCHEMAS["train"].names)
    assert {name: stored(SCHEMAS["train"], row)[name] for name in fields} == fields


def test_what_changes_the_bytes_of_pictures_names_the_dataset() -> None:
    assert [each.name for each in (ARCHIVE, TRAIN)] == [None, "train-48-q90"]
    assert replace(ARCHIVE, quality=90).name == "archive-q90"
    assert replace(ARCHIVE, keep_metadata=True).name == "archive-q95-metadata"
    assert SerializeConfig(store="s", profile="train").made == Profile("train", 512, 90)
    assert SerializeConfig(store="s", profile="train", selection="a").place.document == (
        "selections/a/profiles/train-512-q90/dataset/dataset.json"
    )
    assert SerializeConfig(store="s").place.document == "dataset/dataset.json"
    with pytest.raises(ValueError, match="an archive has pictures as published"):
        SerializeConfig(store="s", longest_side=512)


def write(path: Path) -> ShardWriter:
    jpg = encoded(picture(1), "JPEG")
    with ShardWriter(path) as writer:
        for index in (0, 1):
            fields = sample_fields(FIGURES[index], SHARED, LABEL, AS_IT_WAS, panels=ONE, shown=SHOWN)
            writer.write(f"PMC1-2_{index:03d}", jpg, f"Größe {index}", fields)
    return writer


def test_shards_are_the_same_byte_by_byte(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a.tar"), write(tmp_path / "b.tar")
    data = (tmp_path / "a.tar").read_bytes()
    assert data == (tmp_path / "b.tar").read_bytes()
    assert first.sha256 == second.sha256 == hashlib.sha256(data).hexdigest()
    assert (first.size, first.samples) == (len(data), 2)
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert {(m.mtime, m.uid, m.gid, m.uname) for m in tar} == {(0, 0, 0, "")}


NAMES = ("PMC1-1_001", "PMC1-1_002", "p" * 96, "p" * 97, "q" * 300, "Größe")
"""Keys, of which the files of some have names that no header has room for."""


def test_shards_are_what_tarfile_and_json_write(tmp_path: Path) -> None:
    shared, sizes = {"text": 'Größe\n"1"', "list": [{"b": 1.5, "a": None}]}, (0, 1, 511, 512, 513, 70_000)
    documents = [
        {"z": shared, "image_concept": name, "n": len(name), "of": [shared, True], "a\u2028": shared["list"]}
        for name in NAMES
    ]
    with ShardWriter(tmp_path / "ours.tar") as writer:
        for key, size, fields in zip(NAMES, sizes, documents, strict=True):
            writer.write(key, bytes(size), "c" * size, fields)
    starts = []
    with tarfile.open(tmp_path / "theirs.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        for key, size, fields in zip(NAMES, sizes, documents, strict=True):
            starts.append(tar.offset)
            document = json.dumps(fields, ensure_ascii=False, sort_keys=True).encode()
            for extension, data in (("jpg", bytes(size)), ("json", document), ("txt", b"c" * size)):
                member = tarfile.TarInfo(f"{key}.{extension}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        starts.append(tar.offset)
    assert (tmp_path / "ours.tar").read_bytes() == (tmp_path / "theirs.tar").read_bytes()
    assert writer.offsets == starts
    found = {key: (jpg, caption, fields) for key, jpg, caption, fields in writer.by_concept()}
    assert found == {
        key: (bytes(size), "c" * size, fields) for key, size, fields in zip(NAMES, sizes, documents, strict=True)
    }


def test_webdataset_reads_it(tmp_path: Path) -> None:
    write(tmp_path / "a.tar")
    read = list(webdataset.WebDataset(str(tmp_path / "a.tar"), shardshuffle=False).decode("pil"))
    assert [sample["__key__"] for sample in read] == ["PMC1-2_000", "PMC1-2_001"]
    assert read[1]["txt"] == "Größe 1"
    assert read[1]["jpg"].size == (64, 48)
    assert {name: type(value) for name, value in read[1]["json"].items()} == FIELDS
