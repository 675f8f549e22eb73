"""Readers that know of Arrow's filesystem alone, before a server that fails now and then."""

from __future__ import annotations

import io
import pickle
import tarfile
from collections import Counter
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

from biomedica_ray.store import open_filesystem
from tests.fakes.flaky_proxy import flaky_proxy
from tests.fakes.s3 import client, s3_server

ROWS = pa.table({"number": range(20_000), "text": ["a word"] * 20_000})
MEMBERS = {f"{n}.txt": bytes([n]) * 3000 for n in range(40)}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as url:
        client(url).create_bucket(Bucket="bucket")
        filesystem, _ = open_filesystem("s3://bucket", url)
        with filesystem.open_output_stream("bucket/set/rows.parquet") as file:
            pq.write_table(ROWS, file, row_group_size=5000)
        with filesystem.open_output_stream("bucket/some.tar") as file, tarfile.open(fileobj=file, mode="w|") as tar:
            for name, data in MEMBERS.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        yield url


@pytest.mark.parametrize("how", ["500", "503", "cut", "truncate", "short"])
def test_whoever_reads_gets_all_of_it(server: str, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request is spoilt the first time that it is sent."""
    monkeypatch.setattr("biomedica_ray.store.objects.wait_after", lambda _: None)
    spoilt = Counter[str]()

    def spoil(what: str, times: int) -> str | None:
        if times:
            return None
        spoilt[what] += 1
        return how

    with flaky_proxy(server, spoil, by_range=True) as (url, _):
        filesystem, _ = open_filesystem("s3://bucket", url)
        assert pq.read_table("bucket/set/rows.parquet", filesystem=filesystem).equals(ROWS)
        few = pads.dataset("bucket/set", filesystem=filesystem).to_table(filter=pads.field("number") >= 19_990)
        assert few["number"].to_pylist() == [*range(19_990, 20_000)]
        with filesystem.open_input_stream("bucket/some.tar") as file, tarfile.open(fileobj=file, mode="r|") as tar:
            assert {each.name: tar.extractfile(each).read() for each in tar} == MEMBERS  # type: ignore[union-attr]
    assert len(spoilt) >= 6


def test_what_is_not_there_is_told_on_opening(server: str) -> None:
    filesystem, _ = open_filesystem("s3://bucket", server)
    for open_it in (filesystem.open_input_file, filesystem.open_input_stream):
        with pytest.raises(FileNotFoundError, match="s3://bucket/none: no such object"):
            open_it("bucket/none")
    assert filesystem.get_file_info("bucket/none").type == pafs.FileType.NotFound


def test_a_lasting_failure_is_an_oserror_that_names_the_object(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biomedica_ray.store.objects.wait_after", lambda _: None)
    monkeypatch.setattr("biomedica_ray.store.objects.ATTEMPTS", 2)

    def spoil(path: str, _: int) -> str | None:
        return "503" if path.endswith("-131071") else None

    with flaky_proxy(server, spoil, by_range=True) as (url, _):
        filesystem, _ = open_filesystem("s3://bucket", url)
        with filesystem.open_input_file("bucket/some.tar") as file:
            file.seek(65536)
            with pytest.raises(OSError, match=r"^s3://bucket/some.tar: .*SlowDown.*; after 2 attempts$"):
                file.read(65536)


def test_it_travels_to_other_processes(server: str) -> None:
    filesystem, path = open_filesystem("s3://bucket/set", server)
    there = pickle.loads(pickle.dumps(filesystem))
    assert there == filesystem
    assert pq.read_table(f"{path}/rows.parquet", filesystem=there, columns=["number"]).num_rows == 20_000
