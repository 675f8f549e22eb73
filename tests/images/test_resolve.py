"""Which file an href names."""

from __future__ import annotations

import csv
import re
from pathlib import Path, PurePosixPath

import pytest

from biomedica_ray.images import is_thumbnail, resolve
from biomedica_ray.jats import parse_article


@pytest.mark.parametrize(
    ("href", "names", "found"),
    [
        ("a.jpg", ["a.gif", "a.jpg", "a.png"], "a.jpg"),
        ("a", ["a.gif", "a.jpg", "a.xml"], "a.jpg"),
        ("a", ["a.jpg", "a.tif", "a.png"], "a.png"),
        ("a", ["a", "a.png"], "a"),
        ("a.tif", ["a.gif", "a.jpg"], "a.jpg"),
        ("a.eps", ["a.jpg"], "a.jpg"),
        ("a.tif", ["a"], "a"),
        ("A.JPG", ["a.jpg"], "a.jpg"),
        ("media/a%20b.png", ["a b.png"], "a b.png"),
        ("media/x/a.png", ["other/a.png", "media/x/a.png"], "media/x/a.png"),
        ("a.png", ["media/x/a.png"], "media/x/a.png"),
        ("x/a.png", ["y/a.png", "media/x/a.png"], "media/x/a.png"),
        ("media\\a.png", ["a.png"], "a.png"),
        ("./a.png", ["a.png"], "a.png"),
        ("https://example.org/a.png?download=1#top", ["a.png"], "a.png"),
        ("cafe\u0301.png", ["caf\u00e9.png"], "caf\u00e9.png"),
        ("caf%C3%A9.png", ["caf\u00e9.png"], "caf\u00e9.png"),
        ("a.jpeg", ["a.jpg"], "a.jpg"),
        ("a", ["a.tif", "a.jpg", "a.gif"], "a.tif"),
        ("A", ["a.TIF", "a.JPG"], "a.TIF"),
        ("a.gif", ["a.gif", "a.jpg", "b.png"], "a.jpg"),
        ("a.gif", ["a.gif", "other/a.jpg"], "a.gif"),
        ("a.jpg", ["a.tif", "a.jpg"], "a.jpg"),
        (".jpg", ["a.jpg"], None),
        ("https://example.org/store/9f.jpg", ["9f.jpg"], "9f.jpg"),
        (
            "info:doi/10.1371/journal.pone.0038869.g001",
            ["pone.0038869.g001.tif", "pone.0038869.g001.PNG"],
            "pone.0038869.g001.PNG",
        ),
        ("fig1", ["fig10.jpg", "fig1.pdf"], None),
        ("", ["a.jpg"], None),
        ("a", [], None),
    ],
)
def test_names_resolve(href: str, names: list[str], found: str | None) -> None:
    assert resolve([href], names) == found


@pytest.mark.parametrize(
    ("name", "hrefs", "thumbnails", "size", "is_one"),
    [
        ("a.gif", ["a"], [], (100, 80), True),
        ("a.gif", ["a.jpg"], [], (100, 80), True),
        ("a.gif", ["a.jpg", "a.gif"], ["a.gif"], (100, 80), True),
        ("small.jpg", ["a.tif", "small.jpg"], ["small.jpg"], (400, 300), True),
        ("a.tif", ["a.tif", "small.jpg"], ["small.jpg"], (400, 300), False),
        ("a.gif", ["a.gif"], [], (100, 80), False),
        ("a.gif", ["a"], [], (640, 480), False),
        ("a.jpg", ["a"], [], (100, 80), False),
        ("small.jpg", ["small.jpg"], ["small.jpg"], (100, 80), False),
    ],
)
def test_a_thumbnail_of_a_missing_image_is_told(
    name: str, hrefs: list[str], thumbnails: list[str], size: tuple[int, int], is_one: bool
) -> None:
    assert is_thumbnail(name, hrefs, thumbnails, size) is is_one


def test_of_alternatives_the_best_file_there_wins() -> None:
    assert resolve(["a.tif", "b.png", "c.jpg"], ["c.jpg", "b.png"]) == "b.png"
    assert resolve(["big.jpg", "small.jpg"], ["small.jpg", "big.jpg"]) == "big.jpg"


@pytest.mark.corpus
def test_every_image_of_the_packages_is_found(corpus: Path) -> None:
    with (corpus / "SOURCES.tsv").open(encoding="utf-8") as table:
        rows = [row for row in csv.DictReader(table, delimiter="\t") if row["set"] == "A"]
    n_found = 0
    for row in rows:
        package = (corpus / row["file"]).parent
        names = [path.name for path in package.iterdir()]
        for figure in parse_article((corpus / row["file"]).read_bytes()).figures:
            name = resolve([figure.href, *figure.alternatives], names)
            if name is None:
                # Images that are missing at the origin: nothing there has their name.
                base = PurePosixPath(figure.href.removeprefix("info:doi/10.1371/journal.")).name
                stem = re.sub(r"\.(?:png|jpg|pdf|tif)$", "", base)
                assert not any(name.startswith((stem + ".", base)) for name in names), f"{package.name}: {figure.href}"
            else:
                n_found += 1
                assert name != Path(row["file"]).name
    assert n_found >= 200
