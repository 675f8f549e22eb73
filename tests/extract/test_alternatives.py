"""Which file is taken of several that are one figure."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.extract.extracting import extract_here, jats, table
from tests.synthetic import encoded, picture

SIZES = {"small.gif": (24, 18), "large.jpg": (320, 240), "middle.png": (96, 72)}


def write(root: Path, *files: str, broken: str = "") -> None:
    graphics = "".join(f'<graphic xlink:href="{name}"/>' for name in SIZES)
    xml = jats(figures=1).replace(b'<graphic xlink:href="f1"/>', f"<alternatives>{graphics}</alternatives>".encode())
    folder = root / "PMC1"
    folder.mkdir(parents=True)
    (folder / "PMC1.nxml").write_bytes(xml)
    for name in files:
        data = encoded(picture(1, SIZES[name]), {"gif": "GIF", "jpg": "JPEG", "png": "PNG"}[name[-3:]])
        (folder / name).write_bytes(data[:40] if name == broken else data)


@pytest.mark.parametrize(
    ("files", "broken", "expected"),
    [
        (("small.gif", "large.jpg", "middle.png"), "", "large.jpg"),
        (("small.gif", "middle.png"), "", "middle.png"),
        (("small.gif", "large.jpg", "middle.png"), "large.jpg", "middle.png"),
    ],
)
def test_the_largest_that_is_an_image(tmp_path: Path, files: tuple[str, ...], broken: str, expected: str) -> None:
    write(tmp_path / "packages", *files, broken=broken)
    extract_here(tmp_path / "store", source="packages", packages=str(tmp_path / "packages"))
    (row,) = table(tmp_path / "store", "figures")
    assert (row["file_name"], (row["width"], row["height"])) == (expected, SIZES[expected])
    assert table(tmp_path / "store", "errors") == []
