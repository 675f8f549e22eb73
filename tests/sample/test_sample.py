from __future__ import annotations

import csv
import io
import subprocess
import sys
import tarfile
from collections import defaultdict
from pathlib import Path

import imagehash
import numpy as np
import pytest
from lxml import etree
from PIL import Image, UnidentifiedImageError

from biomedica_ray.sample import PACKAGES, TRUTH

Packages = dict[str, dict[str, bytes]]
XLINK = "{http://www.w3.org/1999/xlink}href"


def read(folder: Path) -> Packages:
    found: Packages = {}
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            found[path.name] = {f.relative_to(path).as_posix(): f.read_bytes() for f in path.rglob("*") if f.is_file()}
        else:
            with tarfile.open(path) as archive:
                members = {m.name: archive.extractfile(m) for m in archive}
                name = path.name.removesuffix(".tar.gz")
                found[name] = {n.removeprefix(name + "/"): f.read() for n, f in members.items() if f}
    return found


@pytest.fixture(scope="module")
def packages() -> Packages:
    return read(PACKAGES)


def xml_of(files: dict[str, bytes]) -> bytes:
    (xml,) = [content for name, content in files.items() if name.endswith((".xml", ".nxml"))]
    return xml


def article(packages: Packages, name: str) -> etree._Element:
    return etree.fromstring(xml_of(packages[name]), etree.XMLParser(resolve_entities=False, no_network=True))


def image(packages: Packages, package: str, name: str) -> Image.Image:
    picture = Image.open(io.BytesIO(packages[package][name]))
    picture.load()
    return picture


def distance(first: Image.Image, second: Image.Image) -> int:
    return int(imagehash.phash(first.convert("RGB")) - imagehash.phash(second.convert("RGB")))


def same_pixels(first: bytes, second: bytes) -> bool:
    """Equal but for what another version of an encoder or font renderer may change."""
    try:
        pictures = [Image.open(io.BytesIO(data)) for data in (first, second)]
        pixels = [np.asarray(picture.convert("RGB"), dtype=np.int16) for picture in pictures]
    except OSError:
        return first[:64] == second[:64]
    if pictures[0].mode != pictures[1].mode or pixels[0].shape != pixels[1].shape:
        return False
    return float(np.abs(pixels[0] - pixels[1]).mean()) < 4


def test_regenerates_as_committed(tmp_path: Path, packages: Packages) -> None:
    # Texts must be equal to the byte. Images are compared as pixels: another libjpeg, zlib or FreeType than the one
    # that made the committed files gives other bytes, and nearly the same picture.
    subprocess.run([sys.executable, "-m", "biomedica_ray.sample.generate", tmp_path], check=True, timeout=300)
    again = read(tmp_path / "packages")
    assert (tmp_path / "truth.tsv").read_bytes() == TRUTH.read_bytes()
    assert {n: set(files) for n, files in again.items()} == {n: set(files) for n, files in packages.items()}
    assert {p.name for p in PACKAGES.iterdir()} == {p.name for p in (tmp_path / "packages").iterdir()}
    for package, files in packages.items():
        for name, content in files.items():
            if content != again[package][name]:
                assert not name.endswith("xml"), f"{package}/{name}"
                assert same_pixels(content, again[package][name]), f"{package}/{name}"


def test_is_small() -> None:
    assert sum(p.stat().st_size for p in PACKAGES.rglob("*") if p.is_file()) < 5_000_000


def test_xml_is_well_formed_but_for_the_broken_one(packages: Packages) -> None:
    broken = []
    for name, files in packages.items():
        try:
            etree.fromstring(xml_of(files))
        except etree.XMLSyntaxError:
            broken.append(name)
    assert broken == ["PMC9900019"]


def test_truth_names_every_image_and_terms_of_many_articles(packages: Packages) -> None:
    with TRUTH.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    named = {(row["article_id"], row["file_name"]) for row in rows}
    there = {
        (name if "." in name else f"{name}.1", file)
        for name, files in packages.items()
        for file in files
        if not file.endswith("xml")
    }
    assert named == there
    assert len(named) == len(rows)
    articles = defaultdict(set)
    for row in rows:
        articles[row["secondary_label"]].add(row["article_id"])
    common = {label for label, ids in articles.items() if len(ids) >= 8}
    assert common == {
        "immunohistochemistry", "eye", "magnetic resonance", "fluorescence microscopy", "immunoblot", "bar plot",
        "heatmap plot", "2D chemical structure", "map", "flowchart",
    }  # fmt: skip


def test_images_are_at_least_200_pixels_wide(packages: Packages) -> None:
    narrow = set()
    for package, files in packages.items():
        for name, content in files.items():
            try:
                width = Image.open(io.BytesIO(content)).width
            except UnidentifiedImageError:
                continue
            if width < 200:
                narrow.add((package, Path(name).suffix))
    assert narrow == {
        ("PMC9900002", ".gif"),  # thumbnails
        ("PMC9900027", ".gif"),
        ("PMC9900032", ".jpg"),  # spacer
    }


@pytest.mark.parametrize(
    ("package", "name", "form", "mode"),
    [
        ("PMC9900005", "journal.pone.9900005.g002.png", "PNG", "RGBA"),
        ("PMC9900010", "elife-9900010-fig4-v1.tif", "TIFF", "I;16"),
        ("PMC9900021", "sample9900021f3.gif", "GIF", "P"),
        ("PMC9900022", "elife-9900022-fig4-v1.tif", "TIFF", "CMYK"),
        ("PMC9900023", "gr4.jpg", "JPEG", "CMYK"),
        ("PMC9900030", "9900030v1_fig1", "JPEG", "RGB"),
    ],
)
def test_formats(packages: Packages, package: str, name: str, form: str, mode: str) -> None:
    picture = image(packages, package, name)
    assert (picture.format, picture.mode) == (form, mode)


def test_bad_images(packages: Packages) -> None:
    with pytest.raises(OSError, match="truncated"):
        image(packages, "PMC9900032", "9900032.fig.001.jpg")
    assert packages["PMC9900032"]["9900032.fig.002.jpg"].startswith(b"<!DOCTYPE html>")
    assert "9900032.fig.003.jpg" not in packages["PMC9900032"]
    assert image(packages, "PMC9900032", "9900032.fig.004.jpg").size == (10, 10)


def test_duplicates(packages: Packages) -> None:
    first, second = packages["PMC9900003"], packages["PMC9900003.2"]
    assert all(first[f"gr{i}.jpg"] == second[f"gr{i}.jpg"] for i in (1, 2, 3))
    assert (
        packages["PMC9900008"]["12900_2024_9900008_Fig1_HTML.jpg"] == packages["PMC9900028"]["ijss-25-9900028-g005.jpg"]
    )
    logos = [packages["PMC9900001"]["pone.9900001.g005.jpg"], packages["PMC9900006"]["fsamp-15-9900006-g006.jpg"]]
    assert logos[0] == logos[1] == packages["PMC9900018"]["pone.9900018.g006.jpg"]
    for i, of in ((1, 1), (2, 3)):
        near = image(packages, "PMC9900015", f"nihms-9900015-f{i:04d}.jpg")
        kept = image(packages, "PMC9900014", f"fsamp-15-9900014-g{of:03d}.jpg")
        assert near.tobytes() != kept.tobytes()
        assert distance(near, kept) <= 4
    dois = [article(packages, f"PMC99000{n}").findtext(".//article-id[@pub-id-type='doi']") for n in (14, 15)]
    assert dois[0] == dois[1]


@pytest.mark.parametrize(
    ("package", "xpath", "count"),
    [
        ("PMC9900001", "//fig/caption//*[local-name()='math']", 1),
        ("PMC9900004", "//abstract[@abstract-type='graphical']//fig/graphic", 1),
        ("PMC9900005", "//table-wrap/graphic", 1),
        ("PMC9900005", "//disp-formula/graphic", 1),
        ("PMC9900008", "//chem-struct/graphic", 1),
        ("PMC9900009", "//fig/caption//tex-math", 1),
        ("PMC9900010", "//fig-group/fig/graphic", 2),
        ("PMC9900011", "//fig[count(graphic) = 2]", 1),
        ("PMC9900013", "/article[@xml:lang='es']", 1),
        ("PMC9900016", "//related-article[@related-article-type='retraction-forward']", 1),
        ("PMC9900020", "//graphic", 0),
        ("PMC9900024", "//fig/permissions", 2),
        ("PMC9900024", "//boxed-text//fig", 1),
        ("PMC9900028", "//fig/alternatives[count(graphic) = 2]", 1),
        ("PMC9900029", "/article/floats-group/fig", 4),
        ("PMC9900030", "//sub-article//fig", 1),
        ("PMC9900030", "//back//app/fig", 1),
        ("PMC9900031", "//fig[label and not(caption)]", 1),
        ("PMC9900032", "//inline-graphic", 1),
    ],
)
def test_structures(packages: Packages, package: str, xpath: str, count: int) -> None:
    assert len(article(packages, package).xpath(xpath)) == count


def test_links_lead_to_ids_and_ids_are_unique(packages: Packages) -> None:
    for name in packages.keys() - {"PMC9900019"}:
        root = article(packages, name)
        ids = root.xpath("//@id")
        assert len(ids) == len(set(ids)), name
        assert {rid for rids in root.xpath("//xref/@rid") for rid in rids.split()} <= set(ids), name


def test_captions_say_what_is_seen_in_words(packages: Packages) -> None:
    captions = []
    for name in packages.keys() - {"PMC9900019", "PMC9900003.2", "PMC9900015"}:
        found = article(packages, name).iterfind(".//fig/caption")
        captions += [" ".join(" ".join(caption.itertext()).split()) for caption in found]
    assert len(captions) > 100
    assert len(captions) == len(set(captions))
    assert all(12 <= len(caption.split()) <= 90 for caption in captions)


def test_licences_of_every_group(packages: Packages) -> None:
    urls, words = set(), set()
    for name in packages.keys() - {"PMC9900019"}:
        root = article(packages, name)
        urls |= {*root.xpath("//license/@xlink:href", namespaces={"xlink": XLINK[1:-5]})}
        urls |= {*root.xpath("//*[local-name()='license_ref']/text()")}
        words |= {bool(root.xpath("//license-p"))}
    parts = {"zero", "by", "by-sa", "by-nc", "by-nc-nd"}
    assert {url.rstrip("/").split("/")[-2] for url in urls} == parts
    assert words == {True, False}
