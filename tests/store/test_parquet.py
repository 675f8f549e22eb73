"""What is read of a Parquet file, and in how many requests."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biomedica_ray.store.parquet import ParquetRows
from biomedica_ray.store.root import Root
from tests.fakes.s3 import CREDENTIALS
from tests.fakes.served_folder import served_folder

GROUPS, ROWS, ROW_BYTES = 20, 3, 20_000
"""Row groups, rows of each, and bytes of a row."""
GROUP_BYTES = ROWS * ROW_BYTES
END_BYTES = 20_000
"""Enough for what the file says of its row groups, and less than one of these."""

Asked = Callable[[], tuple[int, int]]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ParquetRows, Asked]]:
    """The file on a server, and how to learn how many requests and bytes it was asked for since the last time."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    draw = np.random.default_rng(0)
    table = pa.table({"n": np.arange(GROUPS * ROWS), "image": [draw.bytes(ROW_BYTES) for _ in range(GROUPS * ROWS)]})
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=ROWS, compression="none")
    with served_folder(tmp_path, 0) as url:
        rows = ParquetRows(Root("s3://bucket", url), "rows.parquet", END_BYTES)
        before = {"requests": 0, "bytes": 0}

        def asked() -> tuple[int, int]:
            with urllib.request.urlopen(f"{url}/stats") as answer:
                now = json.load(answer)
            since = now["requests"] - before["requests"], now["bytes"] - before["bytes"]
            before.update(now)
            return since

        asked()
        yield rows, asked


def numbers(pieces: Iterator[pa.Table]) -> list[int]:
    return [number for piece in pieces for number in piece["n"].to_pylist()]


def test_small_row_groups_side_by_side_are_read_in_one_request(file: tuple[ParquetRows, Asked]) -> None:
    rows, asked = file
    assert numbers(rows.pieces()) == list(range(GROUPS * ROWS))
    requests, n_bytes = asked()
    assert requests == 1
    assert GROUPS * GROUP_BYTES - END_BYTES <= n_bytes < 1.1 * GROUPS * GROUP_BYTES


def test_a_piece_is_no_larger_than_what_may_be_in_memory(
    file: tuple[ParquetRows, Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("biomedica_ray.store.parquet.PIECE_BYTES", int(3.5 * GROUP_BYTES))
    rows, _ = file
    pieces = [piece["n"].to_pylist() for piece in rows.pieces()]
    assert [number for piece in pieces for number in piece] == list(range(GROUPS * ROWS))
    assert [len(piece) for piece in pieces] == [3 * ROWS] * 6 + [2 * ROWS]


def test_of_row_groups_that_are_not_wanted_nothing_is_read(file: tuple[ParquetRows, Asked]) -> None:
    rows, asked = file
    wanted = [0, 2, 4, 30, 57, 59]  # of groups 0 and 1, of 10, and of 19
    assert numbers(rows.at(np.array(wanted, np.int64))) == wanted
    requests, n_bytes = asked()
    assert requests == 3
    assert 4 * GROUP_BYTES - END_BYTES <= n_bytes < 4.4 * GROUP_BYTES


def test_no_rows_are_no_requests(file: tuple[ParquetRows, Asked]) -> None:
    rows, asked = file
    assert numbers(rows.at(np.array([], np.int64))) == []
    assert asked() == (0, 0)
