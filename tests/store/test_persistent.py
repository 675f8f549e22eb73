"""Readers that know of Arrow's filesystem alone, before a server that fails now and then."""

from __future__ import annotations

import io
import pickle
import tarfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

from biomedica_ray.store import open_filesystem
from tests.fakes import azure
from tests.fakes.azure import azure_server
from tests.fakes.flaky_proxy import flaky_proxy
from tests.fakes.s3 import client, s3_server

ROWS = pa.table({"number": range(20_000), "text": ["a word"] * 20_000})
MEMBERS = {f"{n}.txt": bytes([n]) * 3000 for n in range(40)}


@dataclass(frozen=True)
class Server:
    scheme: str
    url: str

    def filesystem(self, url: str = "") -> pafs.FileSystem:
        return open_filesystem(f"{self.scheme}://bucket", url or self.url)[0]


@pytest.fixture(scope="module", params=["s3", "az"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with s3_server() if request.param == "s3" else azure_server("bucket") as url:
        if request.param == "s3":
            client(url).create_bucket(Bucket="bucket")
        made = Server(request.param, url)
        filesystem = made.filesystem()
        with filesystem.open_output_stream("bucket/set/rows.parquet") as file:
            pq.write_table(ROWS, file, row_group_size=5000)
        with filesystem.open_output_stream("bucket/some.tar") as file, tarfile.open(fileobj=file, mode="w|") as tar:
            for name, data in MEMBERS.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        yield made


@pytest.fixture(scope="module")
def of_azure() -> Iterator[str]:
    with azure_server("bucket") as url:
        yield url


@pytest.mark.parametrize("how", ["500", "503", "cut", "truncate", "short"])
def test_whoever_reads_gets_all_of_it(server: Server, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request is spoilt the first time that it is sent."""
    monkeypatch.setattr("biomedica_ray.store.objects.wait_after", lambda _: None)
    spoilt = Counter[str]()

    def spoil(what: str, times: int) -> str | None:
        if times or (how == "short" and what.endswith(" ")):  # half a listing of Azure ends the process, in Arrow
            return None
        spoilt[what] += 1
        return how

    with flaky_proxy(server.url, spoil, by_range=True) as (url, _):
        filesystem = server.filesystem(url)
        assert pq.read_table("bucket/set/rows.parquet", filesystem=filesystem).equals(ROWS)
        few = pads.dataset("bucket/set", filesystem=filesystem).to_table(filter=pads.field("number") >= 19_990)
        assert few["number"].to_pylist() == [*range(19_990, 20_000)]
        with filesystem.open_input_stream("bucket/some.tar") as file, tarfile.open(fileobj=file, mode="r|") as tar:
            assert {each.name: tar.extractfile(each).read() for each in tar} == MEMBERS  # type: ignore[union-attr]
    assert len(spoilt) >= (4 if how == "short" else 6)


def test_what_is_not_there_is_told_on_opening(server: Server) -> None:
    filesystem = server.filesystem()
    for open_it in (filesystem.open_input_file, filesystem.open_input_stream):
        with pytest.raises(FileNotFoundError, match=f"{server.scheme}://bucket/none: no such object"):
            open_it("bucket/none")
    assert filesystem.get_file_info("bucket/none").type == pafs.FileType.NotFound


def test_a_lasting_failure_is_an_oserror_that_names_the_object(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biomedica_ray.store.objects.wait_after", lambda _: None)
    monkeypatch.setattr("biomedica_ray.store.objects.ATTEMPTS", 2)

    def spoil(path: str, _: int) -> str | None:
        return "503" if path.endswith("-131071") else None

    with flaky_proxy(server.url, spoil, by_range=True) as (url, _):
        filesystem = server.filesystem(url)
        with filesystem.open_input_file("bucket/some.tar") as file:
            file.seek(65536)
            with pytest.raises(
                OSError, match=rf"^{server.scheme}://bucket/some.tar: .*(SlowDown|503).*; after 2 attempts$"
            ):
                file.read(65536)


def test_it_travels_to_other_processes_without_credentials(server: Server) -> None:
    filesystem = server.filesystem()
    filesystem.get_file_info("bucket/none")
    sent = pickle.dumps(filesystem)
    assert not any(secret.encode() in sent for secret in (azure.SECRET, azure.NAME))
    there = pickle.loads(sent)
    assert there == filesystem
    assert there != server.filesystem("http://127.0.0.1:1")
    assert pq.read_table("bucket/set/rows.parquet", filesystem=there, columns=["number"]).num_rows == 20_000


@pytest.mark.parametrize(
    "ask",
    [
        lambda filesystem: filesystem.get_file_info("bucket/some.tar"),
        lambda filesystem: filesystem.get_file_info(pafs.FileSelector("bucket", recursive=True)),
        lambda filesystem: filesystem.open_output_stream("bucket/new").close(),
        lambda filesystem: filesystem.create_dir("bucket/new"),
        lambda filesystem: filesystem.delete_dir("bucket/set"),
        lambda filesystem: filesystem.delete_dir_contents("bucket/set"),
        lambda filesystem: filesystem.delete_file("bucket/some.tar"),
        lambda filesystem: filesystem.move("bucket/some.tar", "bucket/new"),
    ],
)
def test_no_error_tells_a_signature(
    of_azure: str,
    ask: Callable[[pafs.FileSystem], object],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "?sv=2020-12-06&sig=AAAA%2BBBBB%3D")
    with pytest.raises(OSError, match="AuthenticationFailed") as told:
        ask(open_filesystem("az://bucket", of_azure)[0])
    shown = "".join([*traceback.format_exception(told.value), *capfd.readouterr()])
    assert "AuthenticationFailed" in shown and "AAAA" not in shown and "BBBB" not in shown


def test_a_file_of_azure_is_there_when_it_is_closed(of_azure: str) -> None:
    filesystem, _ = open_filesystem("az://bucket", of_azure)
    for data in (b"whole", bytes(9 * 2**20)):
        with filesystem.open_output_stream("bucket/deep/new") as file:
            file.write(data[:2])
            file.write(data[2:])
            assert file.tell() == len(data)
        with filesystem.open_input_stream("bucket/deep/new") as file:
            assert file.read() == data
    filesystem.delete_dir("bucket/deep")
    assert filesystem.get_file_info("bucket/deep").type == pafs.FileType.NotFound
