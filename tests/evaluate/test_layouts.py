"""Loaders on real files of other packages, and on the quirks of published sets."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pydicom
import pytest
import skimage.data
from clip_benchmark.datasets.builder import build_dataset
from PIL import Image
from pydicom.data import get_testdata_file

from biomedica_ray.evaluate.finding import find
from biomedica_ray.evaluate.layouts import BadDataError, MissingDataError, Opened
from biomedica_ray.evaluate.layouts.arrays import Npz
from biomedica_ray.evaluate.layouts.files import Folders, Table
from biomedica_ray.evaluate.layouts.hub import Hub
from biomedica_ray.evaluate.layouts.pixels import to_rgb
from biomedica_ray.evaluate.questions import ask
from biomedica_ray.evaluate.task_files import packaged
from biomedica_ray.images import ImageError
from biomedica_ray.reading.shards import Unreadable
from biomedica_ray.store.root import Root
from tests.evaluate.written import picture, write_set
from tests.fakes.s3 import s3_server, upload


def opened(layout: Any, folder: Path, split: str = "test") -> Opened:
    found: Opened = layout.open(Root(str(folder)), split)
    return found


def test_a_dicom_of_pydicom_is_windowed_by_percentiles() -> None:
    path = get_testdata_file("CT_small.dcm")
    pixels = pydicom.dcmread(path).pixel_array
    low, high = np.percentile(pixels, (0.5, 99.5))
    found = np.asarray(to_rgb(Path(path).read_bytes(), (0.5, 99.5)))
    assert found.shape == (*pixels.shape, 3)
    grey = found[..., 0]
    assert (grey == found[..., 2]).all()
    assert (grey[pixels <= low] == 0).all() and (grey[pixels >= high] == 255).all()
    middle = (pixels > low) & (pixels < high)
    assert np.abs(grey[middle] - (pixels[middle] - low) / (high - low) * 255).max() <= 0.5 + 1e-6


def test_monochrome1_is_turned_and_several_frames_are_one() -> None:
    document = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    usual = np.asarray(to_rgb(_bytes(document), (0.5, 99.5)))
    document.PhotometricInterpretation = "MONOCHROME1"
    assert (np.asarray(to_rgb(_bytes(document), (0.5, 99.5))) == 255 - usual).all()
    several = Path(get_testdata_file("rtdose.dcm")).read_bytes()
    assert to_rgb(several, (0.5, 99.5)).size == (10, 10)
    colour = get_testdata_file("examples_rgb_color.dcm")
    assert np.ptp(np.asarray(to_rgb(Path(colour).read_bytes(), (0.5, 99.5))), axis=2).max() > 0


def test_a_dicom_that_is_cut_off_is_an_image_error() -> None:
    data = Path(get_testdata_file("CT_small.dcm")).read_bytes()
    with pytest.raises(ImageError, match="DICOM does not decode"):
        to_rgb(data[: len(data) // 2], (0.5, 99.5))


def _bytes(document: pydicom.Dataset) -> bytes:
    file = io.BytesIO()
    document.save_as(file)
    return file.getvalue()


def test_rsna_names_dicoms_in_rows_that_repeat(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "stage_2_train_images").mkdir(exist_ok=True)
        data = Path(get_testdata_file("MR_small.dcm")).read_bytes()
        (tmp_path / "stage_2_train_images" / f"{name}.dcm").write_bytes(data)
    csv = "patientId,x,y,width,height,Target\na,1,1,5,5,1\na,9,9,5,5,1\nb,,,,,0\nc,,,,,0\n"
    (tmp_path / "stage_2_train_labels.csv").write_text(csv)
    images = packaged().sets["rsna_pneumonia"]
    found = opened(images.layouts[0], tmp_path, images.split)
    assert found.listing.table["id"].to_pylist() == ["a", "b"]
    assert found.listing.repeated == ["a"]
    assert [each.what for each in found.listing.missing] == ["c"]
    questions = ask(packaged().tasks["rsna_pneumonia"], found.listing.table, "here")
    assert questions.truth.tolist() == [1, 0]
    assert [to_rgb(image, images.window).size for image in found.images([0, 1])] == [(64, 64)] * 2
    (tmp_path / "stage_2_train_labels.csv").write_text(csv + "a,,,,,0\n")
    with pytest.raises(BadDataError, match=r"stage_2_train_labels.csv: row 6: a is 0, and 1 in an earlier row"):
        opened(images.layouts[0], tmp_path, images.split)


def test_one_hot_columns_of_a_spreadsheet(tmp_path: Path) -> None:
    layout = Table(kind="table", file="test.xlsx", image="name", one_hot=["NC", "G3"], folder="images")
    (tmp_path / "images").mkdir()
    for number, name in enumerate("ab"):
        (tmp_path / "images" / f"{name}.jpg").write_bytes(picture(number, "JPEG"))
    book = openpyxl.Workbook()
    for row in [["name", "NC", "G3"], ["a.jpg", 0, 1], ["b", 1.0, None], [None, None, None]]:
        book.active.append(row)
    book.save(tmp_path / "test.xlsx")
    assert opened(layout, tmp_path).listing.table["label"].to_pylist() == ["G3", "NC"]
    book.active.append(["c", 1, 1])
    book.save(tmp_path / "test.xlsx")
    with pytest.raises(BadDataError, match=r"test.xlsx: row 5: expected a 1 in exactly one of NC, G3, got 2"):
        opened(layout, tmp_path)
    (tmp_path / "test.xlsx").write_bytes(b"no spreadsheet")
    with pytest.raises(BadDataError, match="not an XLSX file"):
        opened(layout, tmp_path)
    with pytest.raises(BadDataError, match="no column nom; there are name, NC, G3"):
        (tmp_path / "test.csv").write_text("name,NC,G3\na,1,0\n")
        opened(layout.model_copy(update={"file": "test.csv", "image": "nom"}), tmp_path)


def test_an_npz_of_medmnist_from_pictures_of_scikit_image(tmp_path: Path) -> None:
    """Its files as medmnist writes them: {split}_images, {split}_labels, compressed."""
    pictures = [skimage.data.retina(), skimage.data.immunohistochemistry(), skimage.data.microaneurysms()]
    pixels = np.stack([np.asarray(Image.fromarray(p).convert("RGB").resize((224, 224))) for p in pictures])
    labels = np.array([[6], [3], [0]], np.uint8)
    arrays = {
        f"{split}_{what}": a for split in ("train", "test") for what, a in (("images", pixels), ("labels", labels))
    }
    np.savez_compressed(tmp_path / "bloodmnist_224.npz", **arrays)
    images = packaged().sets["bloodmnist"]
    found = find(Root(str(tmp_path)), images).open()
    questions = ask(packaged().tasks["bloodmnist"], found.listing.table, "here")
    assert questions.names[questions.truth[0]] == "neutrophil"
    read = [np.asarray(to_rgb(image, images.window)) for image in found.images([0, 2])]
    assert (np.stack(read) == pixels[[0, 2]]).all()
    assert (np.asarray(next(iter(found.images([1])))) == pixels[1]).all()  # backwards
    np.savez_compressed(tmp_path / "bloodmnist_224.npz", **{**arrays, "test_labels": labels[:2]})
    with pytest.raises(BadDataError, match="3 images and 2 labels of test"):
        find(Root(str(tmp_path)), images).open()
    np.savez(tmp_path / "bloodmnist_224.npz", **{**arrays, "test_labels": np.array([{}], object)})
    with pytest.raises(BadDataError, match="test_labels: not a plain array"):
        find(Root(str(tmp_path)), images).open()
    (tmp_path / "bloodmnist_224.npz").write_bytes(b"no zip" * 100)
    with pytest.raises(BadDataError, match=r"bloodmnist_224\.npz: test_labels: File is not a zip file"):
        Npz(kind="npz", file="bloodmnist_224.npz").open(Root(str(tmp_path)), "test")


def test_clip_benchmark_reads_the_same_webdataset(tmp_path: Path) -> None:
    folder = write_set(tmp_path, "pcam_webdataset")
    (folder / "classnames.txt").write_text("a\nb\n")
    (folder / "zeroshot_classification_templates.txt").write_text("a picture of {c}\n")
    theirs = build_dataset(
        "wds/vtab/pcam", root=str(folder), transform=lambda image: image, split="test", wds_cache_dir=None
    )
    expected = [(image, int(label)) for image, label in theirs]
    found = find(Root(str(tmp_path)), packaged().sets["pcam_webdataset"]).open()
    assert found.listing.table["label"].to_pylist() == [label for _, label in expected]
    for image, (their_image, _) in zip(found.images(range(len(expected))), expected, strict=True):
        assert (np.asarray(to_rgb(image, (0, 100))) == np.asarray(their_image.convert("RGB"))).all()


def test_a_tar_that_is_cut_off_or_not_there(tmp_path: Path) -> None:
    folder = write_set(tmp_path, "pcam_webdataset")
    images = packaged().sets["pcam_webdataset"]
    tar = folder / "test" / "1.tar"
    data = tar.read_bytes()
    tar.write_bytes(data[:700])
    with pytest.raises((BadDataError, tarfile.ReadError)):
        find(Root(str(tmp_path)), images).open()
    tar.unlink()
    with pytest.raises(MissingDataError, match=r"test/1\.tar"):
        find(Root(str(tmp_path)), images).open()


@pytest.mark.parametrize("image", [b"bytes", {"bytes": b"bytes", "path": "x"}])
def test_images_of_the_hub_are_bytes_or_structs(tmp_path: Path, image: Any) -> None:
    (tmp_path / "data").mkdir()
    empty = None if isinstance(image, bytes) else {"bytes": None, "path": "x"}
    table = pa.table({"image": [image, empty, image], "label": [True, False, True]})
    pq.write_table(table, tmp_path / "data" / "test-00000-of-00001.parquet", row_group_size=2)
    found = opened(Hub(kind="hub", files_like="*{split}-*.parquet"), tmp_path)
    first, second, third = found.images([0, 1, 2])
    assert (first, third) == (b"bytes", b"bytes")
    assert isinstance(second, Unreadable) and second.kind == "empty-image"
    assert ask(packaged().tasks["pcam"], found.listing.table, "here").truth.tolist() == [1, 0, 1]
    with pytest.raises(BadDataError, match="no column picture; there are image, label"):
        opened(Hub(kind="hub", files_like="*.parquet", image="picture"), tmp_path)
    with pytest.raises(MissingDataError, match=r"\*\.arrow"):
        opened(Hub(kind="hub", files_like="*.arrow"), tmp_path)


def test_folders_of_folders_and_other_files(tmp_path: Path) -> None:
    for path in ("test/a/x.png", "test/a/deeper/y.PNG", "test/b/z.jpg", "test/b/notes.txt", "test/loose.png"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(picture(0))
    found = opened(Folders(kind="folders"), tmp_path)
    assert found.listing.table.to_pydict() == {
        "id": ["test/a/deeper/y.PNG", "test/a/x.png", "test/b/z.jpg"],
        "label": ["a", "a", "b"],
    }
    with pytest.raises(MissingDataError, match="train"):
        opened(Folders(kind="folders"), tmp_path, "train")


def test_not_coco(tmp_path: Path) -> None:
    folder = write_set(tmp_path, "dresden")
    images = packaged().sets["dresden"]
    (folder / "images" / "test" / "00003.png").unlink()
    found = find(Root(str(tmp_path)), images).open()
    assert [each.what for each in found.listing.missing] == ["00003.png"]
    (folder / "annotations" / "instances_test.json").write_text('{"images": []}')
    with pytest.raises(BadDataError, match=r"instances_test\.json: not COCO's format: KeyError 'annotations'"):
        find(Root(str(tmp_path)), images).open()


def test_sets_on_s3_are_read_as_on_a_disk(tmp_path: Path) -> None:
    names = ["lc25000_lung", "deepdrid", "breastmnist", "pcam", "pcam_webdataset", "dresden", "ubench", "biomed_flickr"]
    sets = packaged().sets
    for name in names:
        write_set(tmp_path, name)
    with s3_server() as url:
        upload(url, tmp_path, "sets", "below")
        for name in names:
            local = find(Root(str(tmp_path)), sets[name]).open()
            there = find(Root("s3://sets/below", url), sets[name]).open()
            assert there.listing.table.equals(local.listing.table), name
            some = [0, there.listing.table.num_rows - 1]
            for ours, theirs in zip(local.images(some), there.images(some), strict=True):
                assert np.array_equal(ours, theirs), name  # type: ignore[arg-type]
        with pytest.raises(MissingDataError, match=r"s3://sets/below/ham10000/ISIC2018"):
            find(Root("s3://sets/below", url), sets["ham10000"])


def table_of(folder: Path, rows: str, *images: str) -> Opened:
    for name in images:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8)).save(folder / name)
    (folder / "t.csv").write_text(f"id,label\n{rows}")
    return opened(Table(kind="table", file="t.csv", image="id", folder="s", label="label"), folder)


def test_a_row_never_gets_the_image_of_another_folder(tmp_path: Path) -> None:
    """A path from a folder higher up, or a name that two folders have, is the row's own image or none."""
    images = ["s/a/1.png", "s/b/1.png", "s/b/2.png", "s/b/2.gif"]
    found = table_of(tmp_path, "b/1,x\na/1.png,y\nx/b/1.png,z\n1,w\n2,v\n", *images)
    assert dict(zip(found.listing.table["id"].to_pylist(), found.paths, strict=True)) == {  # type: ignore[attr-defined]
        "b/1": "s/b/1.png",
        "a/1.png": "s/a/1.png",
        "2": "s/b/2.gif",
    }
    assert [each.what for each in found.listing.missing] == ["x/b/1.png", "1"]


def test_tables_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    with pytest.raises(BadDataError, match=r"t\.csv: none of its images is below .*/s, 7 first"):
        table_of(tmp_path, "7,x\n8,y\n", "s/1.png")
    with pytest.raises(BadDataError, match=r"t\.csv: not a CSV file: field larger"):
        table_of(tmp_path, f"{'1' * 200_000},x\n")


def test_parquet_files_that_do_not_go_together(tmp_path: Path) -> None:
    for number, labels in enumerate(([1], ["a"])):
        pq.write_table(pa.table({"image": [b""], "label": labels}), tmp_path / f"{number}.parquet")
    with pytest.raises(BadDataError, match=r"0\.parquet and others: "):
        opened(Hub(kind="hub", files_like="*.parquet"), tmp_path)


def test_npz_files_that_are_damaged_or_of_another_shape(tmp_path: Path) -> None:
    labels = np.zeros((4, 1), np.uint8)
    np.savez(tmp_path / "a.npz", test_images=np.zeros((4, 8, 8, 1), np.uint8), test_labels=labels)
    with pytest.raises(BadDataError, match=r"expected uint8 \(N, H, W\[, 3\]\), got uint8 of shape \(4, 8, 8, 1\)"):
        opened(Npz(kind="npz", file="a.npz"), tmp_path)


def test_a_stream_that_breaks_is_an_error_each_time_it_is_asked(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)
    np.savez(tmp_path / "a.npz", test_images=images, test_labels=np.zeros((4, 1), np.uint8))
    data = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(data.replace(images[3].tobytes(), images[2].tobytes()))
    found = opened(Npz(kind="npz", file="a.npz"), tmp_path)
    for _ in range(2):
        with pytest.raises(BadDataError, match=r"a\.npz: test_images: Bad CRC-32"):
            list(found.images([2, 3]))
    assert [pixels.tolist() for pixels in found.images([1])] == [images[1].tolist()]


def test_samples_of_tars_are_told_where_they_are_left_out(tmp_path: Path) -> None:
    layout = packaged().sets["pcam_webdataset"].layouts[0]
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "nshards.txt").write_text("2")

    def shard(number: int, *members: tuple[str, bytes]) -> None:
        with tarfile.open(tmp_path / "test" / f"{number}.tar", "w") as tar:
            for name, data in members:
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))

    shard(0, ("a.png", b"x"), ("a.cls", b"0"), ("b.png", b"x"))
    shard(1, ("c.png", b"x"), ("c.cls", b"1"))
    found = opened(layout, tmp_path).listing
    assert found.table["id"].to_pylist() == ["a", "c"]
    assert [(each.what, each.kind) for each in found.missing] == [("b", "no-label")]
    shard(1, ("a.png", b"x"), ("a.cls", b"1"))
    with pytest.raises(BadDataError, match=r"1\.tar: a: a sample of this name came before"):
        opened(layout, tmp_path)


def test_row_groups_before_the_first_wanted_row_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [f"image {number}".encode() for number in range(100)]
    pq.write_table(pa.table({"image": images, "label": [0] * 100}), tmp_path / "a.parquet", row_group_size=10)
    found = opened(Hub(kind="hub", files_like="*.parquet"), tmp_path)
    groups: list[list[int]] = []
    iterate = pq.ParquetFile.iter_batches
    monkeypatch.setattr(
        pq.ParquetFile,
        "iter_batches",
        lambda self, size, groups_, columns: groups.append(groups_) or iterate(self, size, groups_, columns),
    )
    assert list(found.images([55, 58, 61, 99])) == [images[number] for number in (55, 58, 61, 99)]
    assert list(found.images(range(100))) == images
    assert [wanted[0] for wanted in groups] == [5, 0]
