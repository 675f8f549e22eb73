from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biomedica_ray.config import ConfigError
from biomedica_ray.dedupe.against import find_pieces, in_parts, read_hashes, read_looks, read_thumbnails
from biomedica_ray.images import decode, read_image
from biomedica_ray.images.thumbnails import thumbnail
from biomedica_ray.store import Store, filesystem
from tests.fakes.s3 import client, free_port, s3_server
from tests.synthetic import article, encoded, figure, picture, write_extracted

GOOD = {f"{seed}.png": encoded(picture(seed)) for seed in range(3)}
BROKEN = encoded(picture(9))[:60]


def as_tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def as_parquet(columns: dict[str, Any]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, row_group_size=2)
    return sink.getvalue().to_pybytes()


def write(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def read(uri: str, endpoint_url: str | None = None) -> tuple[dict[str, tuple[str, str, int]], list[tuple[str, str]]]:
    """Hashes by name below ``uri``, and name and kind of errors."""
    pieces, _ = find_pieces(uri, endpoint_url)
    hashes, errors = {}, []
    for number, piece in enumerate(pieces):
        pictures, problems, met = read_hashes(number, piece)
        assert met == pictures.num_rows + len(problems)
        errors += [(row["what"].removeprefix(uri), row["kind"]) for row in problems]
        assert all(row["entity"] == "picture" and row["stage"] == "dedupe" for row in problems)
        for row in pictures.to_pylist():
            hashes[row["name"].removeprefix(uri)] = row["sha256"].hex(), row["pixel_sha256"].hex(), row["phash"]
        looks = read_thumbnails(piece, pictures["row"].to_numpy())
        wanted = [thumbnail(decode(data)) for data in GOOD.values()]
        assert all(any(np.array_equal(look, each) for each in wanted) for look in looks)
    return hashes, errors


def hashes_of(files: dict[str, bytes], prefix: str = "/") -> dict[str, tuple[str, str, int]]:
    infos = {prefix + name: read_image(data) for name, data in files.items()}
    return {name: (info.sha256, info.pixel_sha256, info.phash) for name, info in infos.items()}


def test_a_folder_of_images(tmp_path: Path) -> None:
    root = write(tmp_path / "set", {"sub/" + name: data for name, data in GOOD.items()})
    write(root, {"labels.csv": b"a,b", "broken.JPG": BROKEN, "empty.png": b"", "text.png": b"no image at all"})
    found, errors = read(str(root))
    assert found == hashes_of(GOOD, "/sub/")
    assert errors == [("/broken.JPG", "truncated-image"), ("/empty.png", "empty-image"), ("/text.png", "not-an-image")]


def test_single_files(tmp_path: Path) -> None:
    write(tmp_path, {"1.png": GOOD["1.png"], "a.tar": as_tar(GOOD)})
    assert read(str(tmp_path / "1.png"))[0] == hashes_of({"": GOOD["1.png"]}, "")
    assert read(str(tmp_path / "a.tar"))[0] == hashes_of(GOOD)


def test_tars(tmp_path: Path) -> None:
    files = {"a.json": b"{}", **GOOD, "b.jpg": BROKEN}
    root = write(tmp_path / "set", {"0.tar": as_tar(files), "more/1.tar": as_tar(GOOD)[:10_000], "2.tar": b"no tar"})
    found, errors = read(str(root))
    assert found == {**hashes_of(GOOD, "/0.tar/"), **hashes_of({"0.png": GOOD["0.png"]}, "/more/1.tar/")}
    assert sorted(errors) == [
        ("/0.tar/b.jpg", "truncated-image"),
        ("/2.tar", "unreadable"),
        ("/more/1.tar", "unreadable"),
    ]


def test_parquet(tmp_path: Path) -> None:
    images = [*GOOD.values(), BROKEN, None]
    root = write(
        tmp_path / "set",
        {
            "bytes.parquet": as_parquet({"key": ["a", "b", "c", "d", "e"], "jpg": pa.array(images, pa.binary())}),
            "structs.parquet": as_parquet({"image": [{"bytes": data, "path": "x"} for data in images]}),
            "other.parquet": as_parquet({"label": [1, 2]}),
            "broken.parquet": b"PAR1",
        },
    )
    found, errors = read(str(root))
    names = {"/bytes.parquet/": "abc", "/structs.parquet/": "012"}
    wanted = (hashes_of(dict(zip(keys, GOOD.values(), strict=True)), prefix) for prefix, keys in names.items())
    assert found == {name: hashes for each in wanted for name, hashes in each.items()}
    assert sorted(errors) == [
        ("/broken.parquet", "unreadable"),
        ("/bytes.parquet/d", "truncated-image"),
        ("/bytes.parquet/e", "unreadable"),
        ("/other.parquet", "unreadable"),
        ("/structs.parquet/3", "truncated-image"),
        ("/structs.parquet/4", "unreadable"),
    ]


def test_another_store_has_its_hashes_already(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    figures = [figure(f"PMC{n}.1", 1, data) for n, data in enumerate(GOOD.values(), 1)]
    figures.append({**figures[0], "figure_id": "PMC1.1_002", "sha256": "?"})
    write_extracted(store, [article(f"PMC{n}") for n in range(1, 4)], figures)
    found, errors = read(store.root)
    assert found == hashes_of(dict(zip(("PMC1.1_001", "PMC2.1_001", "PMC3.1_001"), GOOD.values(), strict=True)))
    assert errors == [("/PMC1.1_002", "bad-hash")]
    assert find_pieces(store.root, None)[1] == [store.root, *(c.content for c in store.commits("extract").values())]


def test_what_changes_when_the_set_does(tmp_path: Path) -> None:
    root = write(tmp_path / "set", GOOD)
    before = find_pieces(str(root), None)[1]
    assert find_pieces(str(root), None)[1] == before
    write(root, {"3.png": BROKEN})
    assert find_pieces(str(root), None)[1] != before


def test_nothing_to_look_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "set").mkdir()
    for uri in (tmp_path / "set", tmp_path / "absent", write(tmp_path, {"a.txt": b"x"}) / "a.txt"):
        with pytest.raises(ConfigError, match=f"^against: {uri}: expected a folder of images, tar or Parquet"):
            find_pieces(str(uri), None)
    monkeypatch.setattr(filesystem, "TRIAL_S", 1.0)
    nobody = f"http://127.0.0.1:{free_port()}"
    for uri in ("gs://x", "s3://x/y"):
        with pytest.raises(ConfigError, match=f"^against: {uri}: expected .*; {uri} at {nobody}: the server does not"):
            find_pieces(uri, nobody)


def test_a_file_that_has_gone_meanwhile_is_an_error(tmp_path: Path) -> None:
    root = write(tmp_path / "set", GOOD)
    ((piece,), _) = find_pieces(str(root), None)
    (root / "1.png").unlink()
    pictures, errors, _ = read_hashes(0, piece)
    assert pictures["row"].to_pylist() == [0, 2]
    assert [(row["what"], row["kind"]) for row in errors] == [(f"{root}/1.png", "unreadable")]


@pytest.mark.parametrize("name", ["0.tar", "2.png"])
def test_looks_of_what_cannot_be_read_again(tmp_path: Path, name: str) -> None:
    root = write(tmp_path / "set", {"0.tar": as_tar(GOOD)} if name == "0.tar" else GOOD)
    ((piece,), _) = find_pieces(str(root), None)
    rows, numbers = np.array([0, 2]), np.array([5, 7], np.int32)
    looks, greys = read_looks(piece, rows, numbers)
    assert looks.pictures.tolist() == [5, 7] and len(greys) == 2
    broken = root / name
    broken.write_bytes(broken.read_bytes()[:5000]) if name == "0.tar" else broken.unlink()
    with pytest.raises(OSError, match=f"^against: {piece.base}: its pictures cannot be read"):
        read_looks(piece, rows, numbers)


def test_each_part_of_a_tar_is_read_from_its_own_first_picture_on(tmp_path: Path) -> None:
    files = {f"{'long' * 30 * (n % 2)}{n}.png": encoded(picture(n)) for n in range(8)}
    with tarfile.open(tmp_path / "0.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in {"a.json": b"{}", **files, "b.json": b"{}"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    pieces, _ = find_pieces(str(tmp_path), None)
    pictures = read_hashes(0, pieces[0]).pictures
    whole = read_looks(pieces[0], pictures["row"].to_numpy(), np.arange(8, dtype=np.int32))
    parts = list(in_parts(pieces, pictures, 3))
    assert [(rows.tolist(), numbers.tolist()) for _, rows, numbers in parts] == [
        (part, part) for part in ([0, 1, 2], [3, 4, 5], [6, 7])
    ]
    tar_bytes = bytearray((tmp_path / "0.tar").read_bytes())
    greys = []
    for piece, rows, numbers in parts:
        tar_bytes[: piece.at] = bytes(piece.at)  # with which a tar ends
        (tmp_path / "0.tar").write_bytes(tar_bytes)
        looks, found = read_looks(piece, rows, numbers)
        assert sorted(set(looks.pictures.tolist())) == numbers.tolist()
        greys += found
    assert len(greys) == len(whole[1]) and all(map(np.array_equal, greys, whole[1]))


def test_in_s3() -> None:
    with s3_server() as url:
        s3 = client(url)
        s3.create_bucket(Bucket="sets")
        s3.put_object(Bucket="sets", Key="val/a/0.tar", Body=as_tar(GOOD))
        s3.put_object(Bucket="sets", Key="val/1.png", Body=GOOD["1.png"])
        found, errors = read("s3://sets/val", url)
        assert read("s3://sets/val/1.png", url)[0] == hashes_of({"": GOOD["1.png"]}, "")
        with pytest.raises(ConfigError, match="s3://sets/absent: expected"):
            find_pieces("s3://sets/absent", url)
    assert found == {**hashes_of(GOOD, "/a/0.tar/"), **hashes_of({"1.png": GOOD["1.png"]})}
    assert errors == []
