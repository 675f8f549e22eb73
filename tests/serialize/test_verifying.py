from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from biomedica_ray.cli import main
from tests.fakes.s3 import client, s3_server, upload

SHARDS = [("commercial", "train", 0), ("commercial", "test", 0), ("noncommercial", "train", 0)]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Three shards with their twins, of bytes that nobody reads as what they are called."""
    shards = []
    for group, split, number in SHARDS:
        name = f"{group}-{split}-{number:06d}"
        files = {"path": f"webdataset/{group}/{split}/{name}.tar", "parquet": f"parquet/{group}/{split}/{name}.parquet"}
        shard: dict[str, object] = {**files, "license_group": group, "split": split, "samples": 1}
        for key, prefix in (("path", ""), ("parquet", "parquet_")):
            data = f"{files[key]} ".encode() * 50
            file = tmp_path / files[key]
            file.parent.mkdir(parents=True)
            file.write_bytes(data)
            shard |= {f"{prefix}bytes": len(data), f"{prefix}sha256": hashlib.sha256(data).hexdigest()}
        shards.append(shard)
    (tmp_path / "dataset.json").write_text(json.dumps({"shards": shards}))
    (tmp_path / "webdataset" / "commercial" / "train" / "sizes.json").write_text("{}")
    return tmp_path


def verify(*arguments: object) -> int:
    return main(["verify", *map(str, arguments)])


def test_a_dataset_as_it_was_written(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(dataset) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "6 files" in said.err and "all are as dataset.json has them" in said.err


def test_what_differs_is_missing_or_does_not_belong_is_named(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tar = dataset / "webdataset" / "commercial" / "train" / "commercial-train-000000.tar"
    flipped = bytearray(tar.read_bytes())
    flipped[7] ^= 1
    tar.write_bytes(flipped)
    short = dataset / "parquet" / "commercial" / "test" / "commercial-test-000000.parquet"
    short.write_bytes(short.read_bytes()[:-1])
    (dataset / "webdataset" / "noncommercial" / "train" / "noncommercial-train-000000.tar").unlink()
    shutil.copy(tar, tar.with_name("000000.tar"))
    assert verify(dataset) == 1
    said = capsys.readouterr()
    lines = dict(line.split(": ", 1) for line in said.out.splitlines())
    size = len(short.read_bytes())
    expected = hashlib.sha256(b"webdataset/commercial/train/commercial-train-000000.tar " * 50).hexdigest()
    assert lines == {
        "webdataset/commercial/train/commercial-train-000000.tar": (
            f"SHA-256 is {hashlib.sha256(flipped).hexdigest()}, expected {expected}"
        ),
        "parquet/commercial/test/commercial-test-000000.parquet": f"{size:,} bytes, expected {size + 1:,}",
        "webdataset/noncommercial/train/noncommercial-train-000000.tar": "missing",
        "webdataset/commercial/train/000000.tar": "not in dataset.json",
    }
    assert "4 files are not as dataset.json has them" in said.err


def test_a_part_that_was_downloaded(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(dataset / "parquet")
    shutil.rmtree(dataset / "webdataset" / "noncommercial")
    assert verify(dataset) == 1
    assert verify(dataset, "--forms", "webdataset", "--license_groups", "commercial") == 0
    assert "2 files" in capsys.readouterr().err.splitlines()[-1]


def test_sizes_alone_read_no_file(dataset: Path) -> None:
    tar = dataset / "webdataset" / "commercial" / "train" / "commercial-train-000000.tar"
    tar.write_bytes(bytes(tar.stat().st_size))
    assert verify(dataset, "--sizes_only", "true") == 0
    assert verify(dataset) == 1


def test_a_dataset_on_s3(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with s3_server() as url:
        upload(url, dataset, "sets", "d")
        assert verify("s3://sets/d", "--endpoint_url", url) == 0
        client(url).delete_object(Bucket="sets", Key="d/parquet/commercial/test/commercial-test-000000.parquet")
        assert verify("s3://sets/d", "--endpoint_url", url) == 1
    assert capsys.readouterr().out == "parquet/commercial/test/commercial-test-000000.parquet: missing\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--forms", "tar"], "forms: tar: expected one of parquet, webdataset"),
        (["--license_groups", "commercail"], "license_groups: commercail: did you mean commercial?"),
        (["--size_only", "true"], "--size_only: unknown key; did you mean sizes_only?"),
    ],
)
def test_misuse_is_one_line(dataset: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str) -> None:
    assert verify(dataset, *arguments) == 2
    assert capsys.readouterr().err == f"biomedica verify: {line}\n"


def test_a_folder_without_a_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(tmp_path) == 2
    assert f"{tmp_path}: expected a folder with dataset.json" in capsys.readouterr().err
    assert main(["verify"]) == 2
    assert "DIR_OR_URI" in capsys.readouterr().err
