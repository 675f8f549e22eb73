from __future__ import annotations

import io
import json
import tarfile
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from biomedica_ray.config import ConfigError
from biomedica_ray.evaluate.config import EvaluateConfig
from biomedica_ray.evaluate.pipeline import dataset_of, find_held_out
from biomedica_ray.reading.order import LanePosition, rows_of_worker
from biomedica_ray.reading.shards import RawSample, Shard, Unreadable, count_samples, read_samples
from biomedica_ray.reading.stream import Preparation, Stream
from biomedica_ray.reading.tars import Tars, expand, find_tars, is_tars
from biomedica_ray.runs import Run
from biomedica_ray.store import Store, StoreError
from biomedica_ray.train.checkpoints import Checkpoints
from biomedica_ray.train.config import TrainConfig
from biomedica_ray.train.run_plan import Plan, make_plan
from tests.fakes.file_server import file_server
from tests.fakes.s3 import client, s3_server
from tests.reading.shards import jpeg, sample, write_dataset
from tests.train.half_done import leave_half_done

HOW = Preparation((8, 8), "bicubic", lambda texts: torch.zeros((len(texts), 4), dtype=torch.long))


def archive(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def tars(root: Path, *shards: range) -> dict[str, bytes]:
    """File name -> content of shards as serialize writes them."""
    write_dataset(root, [map(sample, numbers) for numbers in shards])
    return {path.name: path.read_bytes() for path in sorted(root.rglob("*.tar"))}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("https://h/{000000..000009}.tar", True),
        ("a/b.tar::c/d.tar", True),
        ("hf://datasets/o/n/a.tgz", True),
        ("s3://bucket/dataset", False),
        ("stores/x.tar.d", False),
    ],
)
def test_what_names_shards_and_what_a_dataset(data: str, expected: bool) -> None:
    assert is_tars(data) == expected


def test_patterns() -> None:
    found = expand(["https://h/{1..3}/{a,b}.tar", "s3://b/d.tar::s3://b/c.tar"])
    folders = [f"https://h/{folder}/{name}.tar" for folder in (1, 2, 3) for name in "ab"]
    assert found == [*folders, "s3://b/c.tar", "s3://b/d.tar"]
    assert expand(["x/{a..c}.tar"]) == [str(Path(f"x/{name}.tar").absolute()) for name in "abc"]
    with pytest.raises(ConfigError, match=r"data: s3://b/c\.tar: named 2 times"):
        expand(["s3://b/c.tar", "s3://b/{a..c}.tar"])
    with pytest.raises(ConfigError, match=r"data: https://h/a\.zip: expected the path or URL of a \.tar"):
        expand(["https://h/a.tar", "https://h/a.zip"])
    with pytest.raises(ConfigError, match=r"data: https://h/\{1\.\.2\.tar: "):
        expand(["https://h/{1..2.tar"])


def test_images_of_every_kind_that_open_clip_takes(tmp_path: Path) -> None:
    image = jpeg("red", 1)
    names = [
        "a.jpg",
        "a.txt",
        "b.png",
        "b.txt",
        "b.json",
        "none.json",
        "c.JPEG",
        "c.txt",
        "d.webp",
        "d.txt",
        "e.gif",
        "e.txt",
    ]
    path = tmp_path / "a.tar"
    path.write_bytes(archive({f"folder/{name}": image if "txt" not in name else name.encode() for name in names}))
    source = Tars("")
    assert count_samples(source, str(path)) == 5
    *good, bad = read_samples(source, Shard(str(path), "", "train", 5, ""), 0, 5)
    assert [(each.key[-1], each.image, each.caption) for each in good if isinstance(each, RawSample)] == [
        (key, image, f"{key}.txt") for key in "abcd"
    ]
    assert isinstance(bad, Unreadable)
    with_json = list(read_samples(source, Shard(str(path), "", "train", 5, ""), 0, 5, metadata=True))
    assert [getattr(each, "metadata", None) for each in with_json] == [b"", image, b"", b"", None]
    assert bad.message.endswith("the sample has no jpg or png or jpeg or webp")


def test_what_is_no_shard_is_an_error_and_a_shard_that_is_cut_is_counted_as_far_as_it_goes(tmp_path: Path) -> None:
    path, source = tmp_path / "a.tar", Tars("")
    for content, reason in ((b"<html>Sorry", "file could not be opened"), (archive({"a.csv": b"x"}), "no images")):
        path.write_bytes(content)
        with pytest.raises(StoreError, match=rf"{path}: not a shard of samples: .*{reason}"):
            count_samples(source, str(path))
    (whole,) = tars(tmp_path / "data", range(6)).values()
    path.write_bytes(whole)
    assert count_samples(source, str(path)) == 6
    path.write_bytes(whole[: len(whole) // 2])
    counted = count_samples(source, str(path))
    assert 1 < counted < 6
    read = list(read_samples(source, Shard(str(path), "", "train", counted, ""), 0, counted))
    assert [isinstance(each, RawSample) for each in read] == [True] * (counted - 1) + [False]


def test_every_sample_of_shards_on_a_server_that_breaks_connections_is_seen_once(tmp_path: Path) -> None:
    files = {f"/{name}": data for name, data in tars(tmp_path, range(8), range(8, 20)).items()}
    with file_server(files, lambda _, times: ("cut", "503", None)[times % 3]) as server:
        shards = [Shard(f"{server.url}{path}", "", "train", n, "") for path, n in zip(files, (8, 12), strict=True)]
        stream = Stream(Tars(server.url), shards, lanes=1, batch_size=4, seed=0, buffer=4)
        source = stream.batches(rows_of_worker(0, 1, 1, stream.piece), {0: LanePosition()}, HOW, threads=1)
        batches = list(islice(source, stream.steps(1)))
        source.close()
    counts = Counter(key for batch in batches for key in batch.keys)
    assert counts == Counter(f"PMC{number}-1_001" for number in range(20))
    assert [batch.lanes[0].errors for batch in batches] == [[]] * 5


def test_shards_in_s3(tmp_path: Path) -> None:
    (data,) = tars(tmp_path, range(3)).values()
    with s3_server() as url:
        client(url).create_bucket(Bucket="bucket")
        client(url).put_object(Bucket="bucket", Key="a/0.tar", Body=data)
        client(url).put_object(Bucket="bucket", Key="a/sizes.json", Body=b'{"0.tar": 3}')
        source = Tars("", url)
        assert count_samples(source, "s3://bucket/a/0.tar") == 3
        assert source.sizes("s3://bucket/a") == {"0.tar": 3}
        assert source.sizes("s3://bucket/b") == {}
        before = source.content("s3://bucket/a/0.tar")
        assert before.startswith(f"{len(data)} ")
        with pytest.raises(FileNotFoundError):
            source.content("s3://bucket/a/1.tar")


def test_sizes_that_are_none(tmp_path: Path) -> None:
    assert Tars("").sizes(str(tmp_path)) == {}
    for text in ("[1]", "{", '{"a.tar": "many"}', '{"a.tar": null}'):
        (tmp_path / "sizes.json").write_text(text)
        with pytest.raises(ConfigError, match=r"data: .*sizes\.json: expected file names and their samples"):
            Tars("").sizes(str(tmp_path))


def configured(store: Path, model: str, data: Any, **changes: Any) -> TrainConfig:
    settings = {"model": model, "pretrained": None, "num_workers": 1, "batch_size": 5, "warmup_steps": 0, **changes}
    return TrainConfig(store=str(store), data=data, **settings)


def plan(store: Path, model: str, data: Any, **changes: Any) -> tuple[Plan, Run]:
    """What a training run finds out before it begins."""
    config = configured(store, model, data, **changes)
    run = Run("train", config)
    return make_plan(config, run, Checkpoints(run.store, config.name)), run


def test_sizes_beside_the_shards_are_taken_as_they_are(tmp_path: Path) -> None:
    files = {"/a/0.tar": b"x" * 10, "/a/1.tar": b"y" * 20, "/a/sizes.json": b'{"0.tar": 3, "1.tar": 4, "2.tar": 5}'}
    run = Run("train", TrainConfig(store=str(tmp_path)))
    with file_server(files) as server:
        source, shards = find_tars([f"{server.url}/a/{{0..1}}.tar"], run, None)
        assert sorted(server.asked, key=str) == [
            ("/a/0.tar", "bytes=0-0"),
            ("/a/1.tar", "bytes=0-0"),
            ("/a/sizes.json", None),
        ]
    assert [(shard.path, shard.samples) for shard in shards] == [
        (f"{server.url}/a/0.tar", 3),
        (f"{server.url}/a/1.tar", 4),
    ]
    assert shards[0].content.startswith("3 10 ")
    assert source.root == f"{server.url}/a/0.tar ... {server.url}/a/1.tar"
    assert run.counts == {}


def test_mistakes_in_naming_data(tmp_path: Path, tiny_model: str) -> None:
    with pytest.raises(ConfigError, match=r"license_groups: samples without a dataset\.json do not say their licence"):
        plan(tmp_path, tiny_model, "a.tar", license_groups=["commercial"])
    with pytest.raises(ConfigError, match=rf"data: {tmp_path}/a\.tar: no such file"):
        plan(tmp_path, tiny_model, [f"{tmp_path}/a.tar"])
    with pytest.raises(StoreError, match=r"selections/small/dataset/dataset\.json: no dataset here"):
        plan(tmp_path, tiny_model, None, selection="small")


def test_the_dataset_of_a_selection(tmp_path: Path, tiny_model: str) -> None:
    root = tmp_path / "selections/small/dataset"
    write_dataset(root, [[sample(0)]])
    write_dataset(root, [map(sample, range(3))], "test")
    with pytest.raises(ConfigError, match=rf"data: {root}: 1 training samples"):
        plan(tmp_path, tiny_model, None, selection="small", num_workers=2)
    config = EvaluateConfig(store=str(tmp_path), selection="small")
    assert find_held_out(dataset_of(config, Store(str(tmp_path))), "test", config.samples).numbers == [0, 1, 2]


@pytest.mark.cluster
def test_training_on_urls_counts_their_samples_once(tmp_path: Path, tiny_model: str, ray_cluster: None) -> None:
    shards = tars(tmp_path / "data", range(7), range(7, 15))
    files = {f"/a/{name}": data for name, data in shards.items()}
    store = tmp_path / "store"
    with file_server(files, lambda _, times: "503" if times == 0 else None) as server:
        data = f"{server.url}/a/{{000000..000001}}.tar"
        found, run = plan(store, tiny_model, data)
        assert [shard.samples for shard in found.stream.shards] == [7, 8]
        assert run.counts["counted"].rows_out == 15
        server.asked.clear()
        again, run_again = plan(store, tiny_model, data)
        assert again == found
        assert run_again.before == run.counts
        # What they are and whether there are sizes, but not what they hold.
        assert Counter(path for path, _ in server.asked) == Counter([*files, "/a/sizes.json"])

        # Of shards that are added, those alone are read that are new.
        server.files["/a/000002.tar"] = server.files["/a/000000.tar"]
        server.asked.clear()
        three = f"{server.url}/a/{{000000..000002}}.tar"
        _, found = find_tars([three], stage_run := Run("train", TrainConfig(store=str(store))), None)
        assert [shard.samples for shard in found] == [7, 8, 7]
        assert (stage_run.counts["counted"].rows_out, stage_run.before["counted"].rows_out) == (22, 15)
        assert {path for path, bytes_ in server.asked if bytes_ != "bytes=0-0"} == {"/a/000002.tar", "/a/sizes.json"}
        del server.files["/a/000002.tar"]

        leave_half_done(configured(store, tiny_model, data), 1)
        server.files["/a/sizes.json"] = json.dumps(dict.fromkeys(shards, 7)).encode()
        with pytest.raises(
            ConfigError, match=r"begun with other settings: data \(other samples\); choose another name"
        ):
            plan(store, tiny_model, data)
        with pytest.raises(ConfigError, match=r"data: .*/a/000002\.tar: HTTP 404"):
            plan(store, tiny_model, f"{server.url}/a/{{000000..000002}}.tar")
