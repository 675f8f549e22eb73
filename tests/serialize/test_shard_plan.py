from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from biomedica_ray.serialize.shard_plan import Piece, cut


def test_shards_span_units() -> None:
    shards = cut({("commercial", "train"): [(0, 3), (4, 5), (9, 1)], ("other", "test"): [(2, 1)]}, 4)
    assert [shard.pieces for shard in shards] == [
        (Piece(0, 0, 3), Piece(4, 0, 1)),
        (Piece(4, 1, 5),),
        (Piece(9, 0, 1),),
        (Piece(2, 0, 1),),
    ]
    assert [shard.path("webdataset", "tar") for shard in shards] == [
        "webdataset/commercial/train/000000.tar",
        "webdataset/commercial/train/000001.tar",
        "webdataset/commercial/train/000002.tar",
        "webdataset/other/test/000000.tar",
    ]
    assert [shard.number for shard in shards] == [0, 6, 12, 5]


KINDS = st.tuples(st.sampled_from(["commercial", "noncommercial", "other"]), st.sampled_from(["train", "test"]))
UNITS = st.lists(st.integers(0, 9), max_size=6).map(lambda sizes: list(enumerate(sizes)))


@given(st.dictionaries(KINDS, UNITS), st.integers(1, 7))
def test_every_sample_once_in_order_and_full_shards(
    counts: dict[tuple[str, str], list[tuple[int, int]]], size: int
) -> None:
    shards = cut(counts, size)
    assert len({shard.number for shard in shards}) == len(shards)
    for kind, units in counts.items():
        own = [shard for shard in shards if (shard.license_group, shard.split) == kind]
        lengths = [sum(piece.stop - piece.start for piece in shard.pieces) for shard in own]
        assert lengths[:-1] == [size] * (len(own) - 1)
        assert all(0 < length <= size for length in lengths)
        samples = [(p.unit, i) for shard in own for p in shard.pieces for i in range(p.start, p.stop)]
        assert samples == [(unit, i) for unit, n in units for i in range(n)]
        assert [shard.index for shard in own] == list(range(len(own)))
