from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from biomedica_ray.sources.base import Listed, SourceError
from biomedica_ray.sources.packages import PackagesSource, choose_xml, split_name


def put(root: Path, name: str, data: bytes = b"<article/>") -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def archive(root: Path, name: str, members: dict[str, bytes]) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(root / name, "w:gz") as tar:
        for member, data in members.items():
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def listed(source: PackagesSource) -> dict[str, Listed]:
    return {row.article_id: row for row in Listed.from_table(source.list())}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("PMC123", ("PMC123", 1)),
        ("PMC123.2", ("PMC123", 2)),
        ("10.7554_elife.00353", ("10.7554_elife.00353", 1)),
    ],
)
def test_names_give_pmcid_and_version(name: str, expected: tuple[str, int]) -> None:
    assert split_name(name) == expected


def test_the_jats_file_is_told_from_other_xml() -> None:
    assert choose_xml(["a.xml", "b.nxml", "c.jats"], "PMC1") == "b.nxml"
    assert choose_xml(["supplement.xml", "PMC1.1.xml"], "PMC1.1") == "PMC1.1.xml"
    assert choose_xml(["media/deep.xml", "image.jpg"], "PMC1") is None


def test_folders_and_archives_at_any_depth(tmp_path: Path) -> None:
    put(tmp_path, "PMC1/a.nxml")
    put(tmp_path, "PMC1/f1.jpg", b"one")
    put(tmp_path, "PMC2.3/PMC2.3.xml")
    put(tmp_path, "PMC3/only.jpg")
    put(tmp_path, "other-journal/paper.jats", b"<article/>")
    put(tmp_path, "other-journal/media/f.png", b"png")
    put(tmp_path, "README.txt")
    archive(tmp_path, "oa_package/aa/bb/PMC4.tar.gz", {"PMC4/p.nxml": b"<article/>", "PMC4/g.jpg": b"jpg"})
    source = PackagesSource(str(tmp_path))
    rows = listed(source)
    assert sorted(rows) == ["PMC1.1", "PMC2.3", "PMC3.1", "PMC4.1", "other-journal.1"]
    assert rows["PMC4.1"].source_uri == f"{tmp_path}/oa_package/aa/bb/PMC4.tar.gz"
    found = {}
    for article_id, row in rows.items():
        with source.open(row) as package:
            found[article_id] = (package.xml, [file.name for file in package.files])
            for name in found[article_id][1]:
                assert package.read(name)
    assert found == {
        "PMC1.1": ("a.nxml", ["f1.jpg"]),
        "PMC2.3": ("PMC2.3.xml", []),
        "PMC3.1": (None, ["only.jpg"]),
        "PMC4.1": ("p.nxml", ["g.jpg"]),
        "other-journal.1": ("paper.jats", ["media/f.png"]),
    }


def test_the_etag_changes_with_the_content_only(tmp_path: Path) -> None:
    put(tmp_path, "PMC1/a.nxml")
    before = listed(PackagesSource(str(tmp_path)))["PMC1.1"].etag
    put(tmp_path, "PMC2/a.nxml")
    assert listed(PackagesSource(str(tmp_path)))["PMC1.1"].etag == before
    put(tmp_path, "PMC1/f.jpg", b"new")
    assert listed(PackagesSource(str(tmp_path)))["PMC1.1"].etag != before


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    put(tmp_path, "PMC1/a.nxml")
    source = PackagesSource(str(tmp_path))
    with source.open(listed(source)["PMC1.1"]) as package, pytest.raises(SourceError, match=r"gone\.jpg") as raised:
        package.read("gone.jpg")
    assert raised.value.kind == "missing-file"


def test_a_truncated_archive_is_an_error_that_names_it(tmp_path: Path) -> None:
    archive(tmp_path, "PMC1.tar.gz", {"PMC1/p.nxml": bytes(range(256)) * 400})
    path = tmp_path / "PMC1.tar.gz"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    source = PackagesSource(str(tmp_path))
    row = listed(source)["PMC1.1"]
    with pytest.raises(SourceError, match=r"PMC1\.tar\.gz") as raised, source.open(row):
        pass
    assert raised.value.kind == "bad-archive"


@pytest.mark.parametrize("name", ["../../evil.xml", "/etc/evil.xml"])
def test_an_archive_cannot_write_outside_its_folder(tmp_path: Path, name: str) -> None:
    archive(tmp_path / "in", "PMC1.tar.gz", {name: b"x", "PMC1/p.nxml": b"<article/>"})
    source = PackagesSource(str(tmp_path / "in"))
    row = listed(source)["PMC1.1"]
    if name.startswith("/"):  # PEP 706 strips the leading slash
        with source.open(row) as package:
            assert package.xml is None
    else:
        with pytest.raises(SourceError) as raised, source.open(row):
            pass
        assert raised.value.kind == "bad-archive"
    assert not list(tmp_path.rglob("evil.xml"))


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biomedica_ray.sources.packages.MAX_PACKAGE_BYTES", 1000)
    archive(tmp_path, "PMC1.tar.gz", {"PMC1/p.nxml": b"x" * 2000})
    source = PackagesSource(str(tmp_path))
    row = listed(source)["PMC1.1"]
    with pytest.raises(SourceError) as raised, source.open(row):
        pass
    assert raised.value.kind == "package-too-large"


def test_a_root_without_packages_or_with_one_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="missing"):
        PackagesSource(str(tmp_path / "missing")).list()
    with pytest.raises(SourceError, match="no PMCnnn folder"):
        PackagesSource(str(tmp_path)).list()
    put(tmp_path, "PMC1/a.nxml")
    put(tmp_path, "PMC1.1/a.nxml")
    with pytest.raises(SourceError, match=r"PMC1\.1 is both"):
        PackagesSource(str(tmp_path)).list()
