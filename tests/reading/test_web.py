from __future__ import annotations

import io
import os
import random
import subprocess
import sys

import pytest

from biomedica_ray.config import ConfigError
from biomedica_ray.reading.web import ATTEMPTS, WebFile, locate
from biomedica_ray.store import StoreError
from tests.fakes.file_server import TOKEN, Spoil, file_server

BODY = random.Random(0).randbytes(3_000_000)


def read(spoil: Spoil, body: bytes = BODY) -> tuple[bytes, list[str | None]]:
    """What is read of a file, and the ranges that were asked for."""
    with file_server({"/a.tar": body}, spoil) as server:
        with io.BufferedReader(WebFile(f"{server.url}/a.tar"), 2**16) as stream:
            data = stream.read()
        return data, [asked for _, asked in server.asked]


def nth(*how: str | None) -> Spoil:
    return lambda _, times: how[times] if times < len(how) else None


def test_a_file_is_read_with_one_request() -> None:
    assert read(nth()) == (BODY, [None])
    assert read(nth(), b"") == (b"", [None])


def test_a_broken_connection_goes_on_where_it_stood() -> None:
    data, ranges = read(nth("cut", "cut"))
    assert data == BODY
    starts = [int(asked.removeprefix("bytes=").removesuffix("-")) for asked in ranges[1:] if asked]
    assert len(starts) == 2
    assert 1_300_000 < starts[0] <= 1_500_000
    assert 2_000_000 < starts[1] <= 2_250_000


def test_a_server_that_knows_no_ranges_is_read_again() -> None:
    data, ranges = read(nth("cut", "whole"))
    assert data == BODY
    assert len(ranges) == 2


def test_a_busy_server_is_asked_again() -> None:
    data, ranges = read(nth("503", "429", None))
    assert (data, ranges) == (BODY, [None] * 3)
    data, ranges = read(nth("cut", "503", "502"))
    assert data == BODY
    assert len(ranges) == 4


def test_a_server_that_stays_busy_is_an_error() -> None:
    with pytest.raises(StoreError, match=r"/a\.tar: HTTP 503, after 8 attempts"):
        read(lambda _, __: "503")
    assert ATTEMPTS == 8


def test_a_file_that_changes_under_the_reader_is_an_error() -> None:
    with pytest.raises(StoreError, match="changed while it was read"):
        read(nth("cut", "change"))


@pytest.mark.parametrize(
    ("status", "error"), [("404", FileNotFoundError), ("403", PermissionError), ("400", StoreError)]
)
def test_other_answers_are_not_asked_for_again(status: str, error: type[Exception]) -> None:
    with file_server({"/a.tar": BODY}, lambda _, __: status) as server:
        with (
            pytest.raises(error, match=rf"^{server.url}/a\.tar: HTTP {status}"),
            WebFile(f"{server.url}/a.tar") as file,
        ):
            file.describe()
        assert len(server.asked) == 1


def test_size_and_version_are_known_before_the_content() -> None:
    with file_server({"/a.tar": BODY}) as server, WebFile(f"{server.url}/a.tar") as file:
        file.describe()
        assert file.size == len(BODY)
        assert file.version
        assert file.read() == BODY
    assert [asked for _, asked in server.asked] == ["bytes=0-0", None]
    with file_server({"/a.tar": BODY}, nth("whole")) as server, WebFile(f"{server.url}/a.tar") as file:
        file.describe()
        assert file.size == len(BODY)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("hf://datasets/o/n/a/b 1.tar", "https://huggingface.co/datasets/o/n/resolve/main/a/b%201.tar"),
        ("hf://datasets/o/n@v1/a.tar", "https://huggingface.co/datasets/o/n/resolve/v1/a.tar"),
        ("hf://datasets/o/n@refs%2Fpr%2F1/a.tar", "https://huggingface.co/datasets/o/n/resolve/refs%2Fpr%2F1/a.tar"),
        ("hf://o/n/a.tar", "https://huggingface.co/o/n/resolve/main/a.tar"),
        ("https://example.org/a.tar", "https://example.org/a.tar"),
    ],
)
def test_addresses(url: str, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    found, headers = locate(url)
    assert found == address
    assert headers.get("Authorization") == (f"Bearer {TOKEN}" if "huggingface" in address else None)


def test_what_is_no_address_on_the_hub() -> None:
    with pytest.raises(ConfigError, match="expected hf://datasets/OWNER/NAME/PATH"):
        locate("hf://datasets/a.tar")


def hub(url: str, token: str) -> subprocess.CompletedProcess[str]:
    """Length of a file of the Hub at ``url``, which huggingface_hub looks up when it is imported."""
    code = (
        "from biomedica_ray.reading.web import WebFile\n"
        "with WebFile('hf://datasets/o/n/a.tar') as file: print(len(file.read()))"
    )
    environment = {**os.environ, "HF_ENDPOINT": url, "HF_TOKEN": token}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


def test_a_file_of_the_hub_with_its_token_which_no_other_host_is_told() -> None:
    with file_server({"/datasets/o/n/resolve/main/a.tar": BODY}, nth("cut")) as server:
        found = hub(server.url, TOKEN)
        assert found.stdout.strip() == str(len(BODY)), found.stderr
        assert [path for path, _ in server.asked] == ["/cdn/datasets/o/n/resolve/main/a.tar"] * 2
        assert server.leaked == []
        refused = hub(server.url, "hf_wrong")
        assert "hf://datasets/o/n/a.tar: HTTP 401; is HF_TOKEN set" in refused.stderr
        assert "hf_wrong" not in refused.stderr
