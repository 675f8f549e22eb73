from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from biomedica_ray.config import ConfigError
from biomedica_ray.reading import pairs as module
from biomedica_ray.reading.pairs import Pairs, is_pairs
from biomedica_ray.reading.shards import RawSample, Unreadable
from biomedica_ray.reading.stream import Stream
from tests.fakes.s3 import client, s3_server
from tests.reading.shards import jpeg


def all_of(pairs: Pairs) -> Iterator[RawSample | Unreadable]:
    for shard in pairs.shards():
        yield from pairs.samples(shard, 0, shard.samples)


@pytest.fixture
def images(tmp_path: Path) -> list[bytes]:
    found = [jpeg("red", seed) for seed in range(4)]
    (tmp_path / "images").mkdir()
    for number, data in enumerate(found):
        (tmp_path / f"images/{number}.jpg").write_bytes(data)
    return found


@pytest.mark.parametrize(
    ("name", "header", "separator"),
    [
        ("a.csv", "filepath\ttitle", "\t"),
        ("a.tsv", "n\ttext\timage", "\t"),
        ("a.csv", "caption,path", ","),
        ("a.csv", "\ufeffpath,caption", ","),
    ],
)
def test_tables_of_every_kind(tmp_path: Path, images: list[bytes], name: str, header: str, separator: str) -> None:
    columns = header.strip("\ufeff").split(separator)
    lines = [header]
    for number in range(4):
        path = tmp_path / f"images/{number}.jpg" if number % 2 else f"images/{number}.jpg"
        values = [str(path) if column in module.PATHS else f'"A, {number}\n."' for column in columns]
        lines.append(separator.join(values))
    (tmp_path / name).write_text("\n".join(lines) + "\n")
    found = list(all_of(Pairs(str(tmp_path / name))))
    assert all(isinstance(each, RawSample) for each in found)
    assert [each.image for each in found if isinstance(each, RawSample)] == images
    assert [each.caption for each in found if isinstance(each, RawSample)] == [f"A, {n}\n." for n in range(4)]


def test_rows_that_give_no_sample_are_errors(tmp_path: Path, images: list[bytes]) -> None:
    (tmp_path / "a.csv").write_text("filepath,title\nimages/0.jpg,a\nimages/9.jpg,b\nimages/1.jpg,\nimages,c\n")
    good, *bad = all_of(Pairs(str(tmp_path / "a.csv")))
    assert good == RawSample("images/0.jpg", images[0], "a")
    assert [(each.what, each.kind) for each in bad if isinstance(each, Unreadable)] == [
        ("images/9.jpg", "missing-image"),
        ("images/1.jpg", "incomplete-sample"),
        ("images", "missing-image"),
    ]


def test_a_stream_sees_every_row_once_and_goes_on_anywhere(
    tmp_path: Path, images: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROWS", 4)
    rows = [f"images/{number % 4}.jpg,caption {number}" for number in range(11)]
    (tmp_path / "a.csv").write_text("\n".join(["filepath,title", *rows]) + "\n")
    pairs = Pairs(str(tmp_path / "a.csv"))
    assert [shard.samples for shard in pairs.shards()] == [4, 4, 3]
    stream = Stream(pairs, pairs.shards(), 1, 4, 0, 3)
    whole = [(after.slots, each) for after, each, _ in islice(stream.samples(0, 0, 0), 11)]
    captions = [each.caption for _, each in whole if isinstance(each, RawSample)]
    assert sorted(captions) == sorted(f"caption {number}" for number in range(11))
    assert [(after.slots, each) for after, each, _ in islice(stream.samples(0, 0, 5), 6)] == whole[5:]


def test_a_table_and_images_in_s3(tmp_path: Path, images: list[bytes]) -> None:
    with s3_server() as url:
        s3 = client(url)
        s3.create_bucket(Bucket="pairs")
        s3.put_object(Bucket="pairs", Key="t/images/0.jpg", Body=images[0])
        table = "filepath,title\nimages/0.jpg,a\ns3://pairs/t/images/0.jpg,b\ns3://pairs/none.jpg,c\n"
        s3.put_object(Bucket="pairs", Key="t/a.csv", Body=table.encode())
        first, second, missing = all_of(Pairs("s3://pairs/t/a.csv", url))
        assert isinstance(first, RawSample)
        assert isinstance(second, RawSample)
        assert first.image == second.image == images[0]
        assert isinstance(missing, Unreadable)
        assert missing.kind == "missing-image"


def test_a_table_with_other_columns_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("file,title\n")
    with pytest.raises(ConfigError, match=r"a\.csv: expected a column named filepath or path or image, got file"):
        Pairs(str(tmp_path / "a.csv")).shards()
    assert is_pairs("s3://pairs/a.tsv")
    assert not is_pairs("a.tar")
