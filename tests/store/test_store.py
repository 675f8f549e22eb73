from __future__ import annotations

import os
import pickle
import resource
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from biomedica_ray.schema import ERRORS, error_row
from biomedica_ray.store import Store, StoreError, check_answers, open_filesystem
from biomedica_ray.store.atomic import UNFINISHED
from biomedica_ray.units import Flow, LostRowsError, unit_of
from tests.fakes.flaky_proxy import flaky_proxy
from tests.fakes.s3 import client, s3_server

SCHEMA = pa.schema([pa.field("id", pa.string(), nullable=False), ("image", pa.large_binary())])


def commit(store: Store, unit: int, mark: str, ids: list[str]) -> None:
    with store.write_unit("extract", unit, mark, "run") as writer:
        writer.table("figures", SCHEMA).write([{"id": i, "image": i.encode()} for i in ids])
        writer.commit({"figures": Flow(len(ids), len(ids), 0)})


def all_files(store: Store) -> list[str]:
    found = store.filesystem.get_file_info(pa.fs.FileSelector(store.path(), recursive=True))
    return sorted(info.path for info in found if info.is_file)


def test_what_is_committed_is_read(store: Store) -> None:
    commit(store, 3, "aa", ["x", "y"])
    commits = store.commits("extract")
    assert list(commits) == [3]
    assert commits[3].counts == {"figures": Flow(2, 2, 0)}
    assert commits[3] == store.commit("extract", 3)
    assert store.read(commits[3], "figures", ["image"]).to_pylist() == [{"image": b"x"}, {"image": b"y"}]
    assert sum(batch.num_rows for batch in store.batches(commits[3], "figures", batch_size=1)) == 2
    assert store.dataset("extract", "figures").to_table(columns=["id"])["id"].to_pylist() == ["x", "y"]


def test_nothing_is_visible_before_the_commit(store: Store) -> None:
    with store.write_unit("extract", 1, "aa") as writer:
        writer.table("figures", SCHEMA).write([{"id": "x", "image": b""}])
        assert store.commits("extract") == {}
        assert store.list("figures") == []


def test_an_error_leaves_no_file_behind(store: Store) -> None:
    with pytest.raises(RuntimeError, match="half way"), store.write_unit("extract", 1, "aa") as writer:
        writer.table("figures", SCHEMA).write([{"id": "x", "image": b""}])
        raise RuntimeError("half way")
    assert store.commits("extract") == {}
    assert store.list("figures") == []
    if store.is_local:
        assert [path for path in Path(store.root).rglob("*") if path.is_file()] == []


def test_a_new_commit_replaces_the_files_of_the_old_one(store: Store) -> None:
    commit(store, 1, "aa", ["old"])
    commit(store, 2, "aa", ["other"])
    commit(store, 1, "bb", ["new"])
    assert store.list("figures") == ["000001-bb.parquet", "000002-aa.parquet"]
    assert store.dataset("extract", "figures").to_table()["id"].to_pylist() == ["new", "other"]


@pytest.mark.parametrize("root", ["local", "s3"])
def test_what_dead_processes_left_is_swept_by_the_next_one(root: str, tmp_path: Path) -> None:
    folder = tmp_path / UNFINISHED if root == "local" else tmp_path
    folder.mkdir(exist_ok=True)
    host = socket.gethostname()
    ended = subprocess.Popen(["true"])
    ended.wait()
    kept = {f"biomedica-{host}-{os.getpid()}-a", "biomedica-other-host-1-b", "biomedica-other-host-1-folder"}
    old = {f"biomedica-{host}-{ended.pid}-c", "biomedica-other-host-1-d", "biomedica-0123456789abcdef"}
    for name in kept | old:
        (folder / name).write_bytes(b"half")
    (folder / "biomedica-other-host-1-folder").unlink()
    for name in (f"biomedica-{host}-{ended.pid}-folder", "biomedica-other-host-1-folder"):
        (folder / name).mkdir()
        os.utime(folder / name, (0, 0))
    for name in ("biomedica-other-host-1-d", "biomedica-0123456789abcdef"):
        os.utime(folder / name, (0, 0))
    place = tmp_path if root == "local" else "s3://stores/swept"
    code = f"from biomedica_ray.store import Store; Store({str(place)!r}, 'http://127.0.0.1:1').atomic_file('x').__enter__()"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(tmp_path)}, check=True)
    assert {path.name for path in folder.glob("biomedica-*")} == kept


@pytest.mark.parametrize("on", ["local", "s3"])
def test_a_full_disk_costs_one_unit_and_nothing_stays_on_it(
    on: str, tmp_path: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(tmp_path)) if on == "local" else Store(f"s3://stores/{tmp_path.name}", endpoint)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, hard))
    try:
        with pytest.raises(OSError, match="File too large"), store.write_unit("extract", 1, "aa") as writer:
            writer.table("articles", SCHEMA).write([{"id": "x", "image": b""}])
            writer.file("tar", "dataset/a.tar").write_bytes(b"tar")
            writer.table("figures", SCHEMA).write([{"id": "x", "image": os.urandom(2**18)}])
            writer.commit({})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.rglob("biomedica-*")) == []
    assert store.commits("extract") == {}
    commit(store, 1, "aa", ["x"])
    assert store.dataset("extract", "figures").to_table()["id"].to_pylist() == ["x"]


def test_drop_removes_record_and_files(store: Store) -> None:
    commit(store, 1, "aa", ["x"])
    store.drop(store.commit("extract", 1))
    assert store.commits("extract") == {}
    assert store.list("figures") == []


def test_rows_are_cut_into_row_groups_by_bytes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biomedica_ray.store.writing.ROW_GROUP_BYTES", 1000)
    with store.write_unit("extract", 0, "aa") as writer:
        table = writer.table("figures", SCHEMA)
        for number in range(40):
            table.write([{"id": str(number), "image": b"x" * 400}])
        writer.commit({})
    with store.filesystem.open_input_file(store.path("figures", "000000-aa.parquet")) as stream:
        file = pa.parquet.ParquetFile(stream)
        assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [16, 16, 8]
        assert file.read(["id"])["id"].to_pylist() == [str(number) for number in range(40)]


@pytest.mark.parametrize("bad", [5, None])
def test_a_row_that_does_not_fit_the_schema_is_refused(store: Store, bad: object) -> None:
    with store.write_unit("extract", 0, "aa") as writer, pytest.raises((pa.ArrowTypeError, ValueError)):
        writer.table("figures", SCHEMA).write([{"id": bad, "image": b""}])
        writer.commit({})
    assert not store.commits("extract")


def test_units_of_a_store_are_fixed_when_it_is_made_and_others_may_be_added(store: Store) -> None:
    with pytest.raises(StoreError, match="run `biomedica extract` first"):
        store.generations()
    assert store.open_or_create(16) == [16]
    assert store.open_or_create(99) == [16]
    assert store.units_of(["PMC1", "PMC2"]) == {unit_of("PMC1", 16): {"PMC1"}, unit_of("PMC2", 16): {"PMC2"}}
    assert store.add_generation(3) == store.generations() == [16, 3]
    assert store.units_of(["PMC1"]) == {unit_of("PMC1", 16): {"PMC1"}, 16 + unit_of("PMC1", 3): {"PMC1"}}


def test_a_store_of_format_1_is_read_and_becomes_one_of_this_format_when_extract_opens_it(store: Store) -> None:
    store.write_json("store.json", {"format": 1, "units": 4})
    assert store.generations() == [4]
    assert store.read_json("store.json")["format"] == 1
    assert store.open_or_create(9) == [4]
    assert store.read_json("store.json") == {"format": 2, "generations": [4]}


# Google's emulator copies a whole object for each range of it.
@pytest.mark.parametrize("store", ["local", "s3"], indirect=True)
def test_images_are_in_a_file_of_their_own_and_read_with_their_rows(store: Store) -> None:
    slim = pa.schema([("article_id", pa.string()), ("figure_id", pa.string())])
    of_images = pa.schema([("article_id", pa.string()), ("image", pa.large_binary())])
    rows = [{"article_id": f"PMC{n // 2}.1", "figure_id": f"f{n}", "image": os.urandom(2**20) * 12} for n in range(8)]
    with store.write_unit("extract", 0, "aa") as writer:
        writer.table("figures", slim).write(rows)
        images = writer.table("images", of_images)
        for row in rows:
            images.write([row])
        commit = writer.commit({})
    wanted = [{"image": row["image"], "figure_id": row["figure_id"]} for row in rows]
    for left, dropped in (([0, 1, 2, 3, 4, 5, 6, 7], []), ([0, 1, 4, 5], ["PMC1.1", "PMC3.1"])):
        commit = replace(commit, dropped=dropped)
        expected = [wanted[n] for n in left]
        assert store.read(commit, "figures", ["image", "figure_id"]).to_pylist() == expected
        batches = list(store.batches(commit, "figures", ["image", "figure_id"], batch_size=2))
        assert pa.Table.from_batches(batches).to_pylist() == expected
        assert len(batches) > 1
    assert list(store.rows(commit, "figures", [1, 4, 6], ["image", "figure_id"])) == [wanted[n] for n in (1, 4, 6)]
    assert store.read(commit, "figures", ["figure_id"], row="row")["row"].to_pylist() == [0, 1, 4, 5]
    with store.write_unit("extract", 1, "aa") as writer:
        writer.table("figures", slim).write(rows[:3])
        writer.table("images", of_images).write(rows[:2])
        commit = writer.commit({})
    for read in (store.read, lambda *what: list(store.batches(*what))):
        with pytest.raises(StoreError, match=r"images/000001-aa.parquet: not the images of figures/000001-aa.parquet"):
            read(commit, "figures", ["image"])


def test_columns_that_an_earlier_version_did_not_write_are_null(store: Store) -> None:
    earlier = pa.schema([("figure_id", pa.string()), ("article_id", pa.string())])
    with store.write_unit("extract", 0, "aa") as writer:
        writer.table("figures", earlier).write([{"figure_id": "PMC1.1_001", "article_id": "PMC1.1"}])
        commit = writer.commit({})
    wanted = {"is_thumbnail": None, "figure_id": "PMC1.1_001", "license_code": None}
    assert store.read(commit, "figures", list(wanted)).to_pylist() == [wanted]
    (batch,) = store.batches(commit, "figures", list(wanted))
    assert batch.to_pylist() == [wanted]
    assert list(store.rows(commit, "figures", [0], list(wanted))) == [{"figure_id": "PMC1.1_001"} | wanted]
    with pytest.raises(pa.ArrowInvalid, match="nonsense"):
        store.read(commit, "figures", ["figure_id", "nonsense"])


def test_rows_of_dropped_articles_are_not_read(store: Store) -> None:
    rows = [{"article_id": f"PMC{n}.1", "image": b"x" * n} for n in range(6)]
    of_articles = pa.schema([("article_id", pa.string()), ("image", pa.large_binary())])
    for unit in range(2):
        with store.write_unit("extract", unit, "aa") as writer:
            writer.table("figures", of_articles).write(rows)
            commit = writer.commit({})
    dropped = replace(commit, dropped=["PMC1.1", "PMC4.1"])
    store.write_json(dropped.record, dropped.to_json())
    dropped = store.commit("extract", 1)
    ids = [f"PMC{n}.1" for n in (0, 2, 3, 5)]
    assert store.read(dropped, "figures")["article_id"].to_pylist() == ids
    assert store.read(dropped, "figures", ["image"], row="row").to_pylist() == [
        {"image": b"x" * n, "row": n} for n in (0, 2, 3, 5)
    ]
    streamed = pa.Table.from_batches(store.batches(dropped, "figures", ["image"], batch_size=2))
    assert streamed.to_pylist() == [{"image": b"x" * n} for n in (0, 2, 3, 5)]
    assert [row["article_id"] for row in store.rows(dropped, "figures", [2, 5], ["article_id"])] == ["PMC2.1", "PMC5.1"]
    found = store.dataset("extract", "figures").to_table(columns=["article_id"])["article_id"].to_pylist()
    assert sorted(found) == sorted([*(row["article_id"] for row in rows), *ids])


def test_a_store_of_another_format_is_refused(store: Store) -> None:
    store.write_json("store.json", {"format": 99, "units": 1})
    with pytest.raises(StoreError, match="format 99, expected 2"):
        store.generations()


def test_a_table_that_no_stage_has_made_is_named(store: Store) -> None:
    with pytest.raises(StoreError, match="no duplicates yet; run `biomedica dedupe` first"):
        store.dataset("dedupe", "duplicates")


def test_a_store_travels_to_workers(store: Store) -> None:
    commit(store, 1, "aa", ["x"])
    assert list(pickle.loads(pickle.dumps(store)).commits("extract")) == [1]


def test_other_schemes_are_refused() -> None:
    with pytest.raises(
        StoreError,
        match=r"hdfs://bucket: expected a local path, s3://bucket/prefix, gs://bucket/prefix or az://container/",
    ):
        open_filesystem("hdfs://bucket")


def test_rows_at_positions_are_read_from_their_row_groups_only(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biomedica_ray.store.writing.ROW_GROUP_BYTES", 1)
    with store.write_unit("extract", 1, "aa") as writer:
        table = writer.table("figures", SCHEMA)
        for group in range(4):
            table.write([{"id": f"{group}-{i}", "image": b"x" * 40} for i in range(20)])
        made = writer.commit({})
    positions = [0, 17, 19, 59, 60, 79]
    read = store.rows(made, "figures", positions, ["id"])
    assert [row["id"] for row in read] == ["0-0", "0-17", "0-19", "2-19", "3-0", "3-19"]
    assert list(store.rows(made, "figures", [])) == []


def test_a_file_of_any_kind_is_there_after_the_commit_only(store: Store) -> None:
    with store.write_unit("shards", 1, "aa") as writer:
        writer.file("tar", "dataset/a.tar").write_bytes(b"tar")
        assert store.list("dataset") == []
        made = writer.commit({})
    assert made.files == {"tar": "dataset/a.tar"}
    assert store.list("dataset") == ["a.tar"]
    with pytest.raises(RuntimeError), store.write_unit("shards", 2, "aa") as writer:
        writer.file("tar", "dataset/b.tar").write_bytes(b"tar")
        raise RuntimeError
    assert store.list("dataset") == ["a.tar"]
    store.drop(made)
    assert store.list("dataset") == []


def test_content_changes_when_an_incomplete_unit_is_done_again(store: Store) -> None:
    made = []
    for run_id, complete in (("r1", False), ("r2", False), ("r3", True), ("r4", True)):
        with store.write_unit("extract", 1, "aa", run_id) as writer:
            made.append(writer.commit({}, complete=complete).content)
    assert made == ["aa-r1", "aa-r2", "aa", "aa"]


def test_a_store_that_can_be_written_is_tried_without_a_trace(store: Store, tmp_path: Path) -> None:
    store.try_writing()
    assert list(tmp_path.iterdir()) == []
    assert not store.is_local or not Path(store.root).exists()
    commit(store, 1, "aa", ["x"])
    files = all_files(store)
    store.try_writing()
    assert all_files(store) == files


def test_a_local_store_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for root, reason in (
        (tmp_path / "file", r"/file: is a file; expected a folder"),
        (tmp_path / "file" / "store", r"/store: .*/file is a file; expected a folder"),
        (Path("/proc/stores/mine"), r"store /proc/stores/mine: cannot be written: \w"),
    ):
        with pytest.raises(StoreError, match=reason):
            Store(str(root)).try_writing()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_store_on_a_full_disk_says_so(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # what a disk with one free block does
    try:
        with pytest.raises(StoreError, match="cannot be written: File too large"):
            Store(str(tmp_path)).try_writing()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_bucket_that_cannot_be_written_says_why(endpoint: str) -> None:
    with pytest.raises(StoreError, match=f"^store s3://none/here at {endpoint}: there is no such bucket$"):
        Store("s3://none/here", endpoint).try_writing()
    with pytest.raises(StoreError, match=r"at http://127.0.0.1:1: the server does not answer \(Failed to connect"):
        Store("s3://stores/x", "http://127.0.0.1:1").try_writing()
    with pytest.raises(StoreError, match=r"the server does not answer \(Could not resolve host"):
        Store("s3://stores/x", "http://nowhere.invalid").try_writing()


@pytest.mark.parametrize("kind", ["s3", "az"])
def test_a_server_that_cuts_some_connections_answers(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("biomedica_ray.store.azure_client.wait_after", lambda _: None)
    monkeypatch.setattr("biomedica_ray.store.writable.wait_after", lambda _: None)
    server = request.getfixturevalue({"s3": "endpoint", "az": "azure"}[kind])
    with flaky_proxy(server, lambda _, before: "cut" if before < 3 else None) as (url, seen):
        check_answers(f"{kind}://stores/x", url)
        assert seen.asked["/stores/x" if kind == "s3" else "/devstoreaccount1/stores/x"] >= 4


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biomedica_ray.store.root.TRIAL_S", 1.0)
    started = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = Store("s3://stores/x", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(StoreError, match="the server does not answer"):
            store.try_writing()
    assert time.monotonic() - started < 60  # two tries of a second each, on a busy machine


@pytest.mark.parametrize("size", [10, 6 * 2**20])
def test_an_object_that_a_server_refuses_is_an_error_however_small(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biomedica_ray.store.filesystem.ATTEMPTS", 2)
    with s3_server() as server, flaky_proxy(server, lambda path, _: "503" if "refused" in path else None) as (url, _):
        client(server).create_bucket(Bucket="bucket")
        store = Store("s3://bucket/store", url)
        with pytest.raises(OSError, match=r"(?i)slow.?down"):
            store.write_bytes("refused", b"x" * size)
        assert "refused" not in store.list("")


def test_a_unit_whose_counts_do_not_add_up_is_not_committed(store: Store) -> None:
    commit(store, 1, "aa", ["x"])
    for flow, n_errors, message in (
        (Flow(3, 1, 1), 1, "extract, unit 1: rows lost: figures: 3 in but 1 out \\+ 1 errors"),
        (Flow(3, 1, 1, 2), 1, "rows lost: figures: 3 in but 1 out \\+ 1 errors \\+ 2 skipped"),
        (Flow(3, 1, 2), 1, "rows lost: 2 errors, but 1 in the errors table"),
    ):
        with pytest.raises(LostRowsError, match=message), store.write_unit("extract", 1, "bb") as writer:
            writer.table("figures", SCHEMA).write([{"id": "y", "image": b""}])
            writer.table("errors", SCHEMA, directory="errors").write([{"id": "z", "image": b""}] * n_errors)
            writer.commit({"figures": flow})
        assert store.dataset("extract", "figures").to_table()["id"].to_pylist() == ["x"]
        assert store.list("errors") == []


def test_rows_are_counted_where_they_are_written(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biomedica_ray.store.writing.ROW_GROUP_BYTES", 100)
    with store.write_unit("extract", 1, "aa") as writer:
        table = writer.table("figures", SCHEMA)
        for n in (3, 0, 40, 1):
            table.write({"id": str(number), "image": b"x"} for number in range(n))
        assert table.rows == 44
        table.write(pa.Table.from_pylist([{"id": "y", "image": b""}] * 2, SCHEMA))
        assert table.rows == 46
        made = writer.commit({})
    assert store.read(made, "figures").num_rows == table.rows == 46


def test_a_disk_without_room_is_named_with_the_key_to_change(store: Store) -> None:
    store.check_room(1, "samples_per_shard")
    message = (
        rf"^{socket.gethostname()}: /\S+ has \d+\.\d GB free, and 1000000000\.0 GB are needed; lower samples_per_shard"
    )
    with pytest.raises(StoreError, match=message):
        store.check_room(10**18, "samples_per_shard")


def test_a_folder_is_removed_with_all_that_is_in_it(store: Store) -> None:
    files = ["model/a", "model/b c/d&e", "model/b c/f/g", "models/a", "a"]
    for name in files:
        store.write_bytes(name, b"x")
    store.filesystem.create_dir(store.path("model/made"))
    store.delete_folder("model")
    assert {name for name in files if store.has(name)} == {"models/a", "a"}
    assert store.folders("") == ((UNFINISHED, "models") if store.is_local else ("models",))
    store.delete_folder("model")
    store.delete_folder("none/there")


def test_bytes_of_a_folder(store: Store) -> None:
    assert store.total_bytes("figures") == 0
    for name, size in (("a", 10), ("b", 7), ("deeper/c", 100)):
        store.write_bytes(f"figures/{name}", bytes(size))
    assert store.total_bytes("figures") == 17


def test_a_table_of_errors_without_rows_is_no_file_and_reads_as_none(store: Store) -> None:
    for unit, rows in enumerate(([], [error_row("extract", "PMC1.1", "bad-xml", "no XML", entity="article")])):
        with store.write_unit("extract", unit, "aa") as writer:
            writer.table("errors", ERRORS, directory="errors/extract").write(rows)
            commit = writer.commit({"articles": Flow(1, 1 - len(rows), len(rows))})
        assert ("errors" in commit.files) == bool(rows)
        assert store.read(commit, "errors", ["what"]).to_pylist() == [{"what": row["what"]} for row in rows]
        assert sum(batch.num_rows for batch in store.batches(commit, "errors")) == len(rows)
        assert store.dataset("extract", "errors").to_table().schema.names == ERRORS.names
        assert store.dataset("extract", "errors").count_rows() == len(rows)
    assert store.list("errors/extract") == ["000001-aa.parquet"]
    with pytest.raises(StoreError, match="no errors yet"):
        store.dataset("panels", "errors")
