"""What is read of a Parquet file, and in how many requests."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biomedica_ray.store import Commit, Store
from biomedica_ray.store.known import as_text, knowing
from biomedica_ray.store.parquet import ParquetRows, read_columns
from biomedica_ray.store.root import Root
from biomedica_ray.units import Flow
from tests.fakes.s3 import CREDENTIALS
from tests.fakes.served_folder import served_folder

GROUPS, ROWS, ROW_BYTES = 20, 3, 40_000
"""Row groups, rows of each, and bytes of a row."""
GROUP_BYTES = ROWS * ROW_BYTES
END_BYTES = 2**16
"""As many as Arrow asks for; enough for what the file says of its row groups, and less than one of these."""

Asked = Callable[[], tuple[int, int]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Root, Asked]]:
    """A folder on a server, and how to learn how many requests and bytes it was asked for since the last time."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with served_folder(tmp_path, 0) as url:
        before = {"requests": 0, "bytes": 0}

        def asked() -> tuple[int, int]:
            with urllib.request.urlopen(f"{url}/stats") as answer:
                now = json.load(answer)
            since = now["requests"] - before["requests"], now["bytes"] - before["bytes"]
            before.update(now)
            return since

        yield Root("s3://bucket", url), asked


@pytest.fixture
def file(folder: tuple[Root, Asked], tmp_path: Path) -> tuple[ParquetRows, Asked]:
    """A file on the server, of which the end has been read."""
    draw = np.random.default_rng(0)
    table = pa.table({"n": np.arange(GROUPS * ROWS), "image": [draw.bytes(ROW_BYTES) for _ in range(GROUPS * ROWS)]})
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=ROWS, compression="none")
    root, asked = folder
    rows = ParquetRows(root, "rows.parquet", END_BYTES)
    assert asked() == (1, END_BYTES)
    return rows, asked


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


def test_a_small_file_is_one_request_and_of_a_large_one_only_what_is_wanted_is_read(
    folder: tuple[Root, Asked], tmp_path: Path
) -> None:
    root, asked = folder
    draw, n = np.random.default_rng(0), 3000
    columns = {name: draw.integers(0, 2**63, n) for name in ("a", "b", "c")}
    columns |= {"texts": [draw.bytes(2000) for _ in range(n)], "nested": [[{"x": i}] for i in range(n)]}
    table = pa.table(columns).select(["a", "texts", "b", "nested", "c"])
    pq.write_table(table.slice(0, 100), tmp_path / "small.parquet", compression="none")
    pq.write_table(table, tmp_path / "large.parquet", compression="none", row_group_size=1000)
    assert read_columns(root, "small.parquet", None, None).equals(table.slice(0, 100))
    assert asked() == (1, (tmp_path / "small.parquet").stat().st_size)
    wanted = ["nested", "a", "b"]
    assert read_columns(root, "large.parquet", wanted, None).equals(table.select(wanted))
    requests, n_bytes = asked()
    assert requests == 4  # its end, and what lies before, between and after the texts of three row groups, but the end
    assert n_bytes < 1.2e6
    assert read_columns(root, "large.parquet", None, None).equals(table)
    assert asked()[0] == 2


def test_a_known_record_is_not_asked_for_and_others_once(folder: tuple[Root, Asked], tmp_path: Path) -> None:
    root, asked = folder
    commits = [Commit("extract", 1, "aa", counts={"figures": Flow(1, 1)}), Commit("panels", 1, "bb")]
    for commit in commits:
        Store(str(tmp_path)).write_json(commit.record, commit.to_json())
    store = Store(root.root, root.endpoint_url)
    with knowing(as_text(store, 1, {"extract": replace(commits[0], run_id="given"), "label": None})) as known:
        assert store.commit("extract", 1).run_id == "given"
        with pytest.raises(FileNotFoundError):
            store.commit("label", 1)
        assert asked() == (0, 0)
        assert [store.commit("panels", 1) for _ in range(3)] == [commits[1]] * 3
        for _ in range(3):
            with pytest.raises(FileNotFoundError):
                store.commit("enrich", 1)
        assert asked()[0] == 2
        assert known.made == []
    assert store.commit("extract", 1) == commits[0]
    with knowing("[]") as known:
        here = Store(str(tmp_path))
        with here.write_unit("extract", 1, "cc") as writer:
            written = writer.commit({})
        assert known.made == [written] == [here.commit("extract", 1)]
