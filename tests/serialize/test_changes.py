from __future__ import annotations

import tracemalloc
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from biomedica_ray import schema
from biomedica_ray.serialize import changes
from biomedica_ray.serialize.changes import COLUMNS, COLUMNS_OF_NOW, Changes, Rewritten, compare, section, with_section
from biomedica_ray.serialize.planning import plan_gb

OF_NOW = {"run": "2026-11-29", "listing": "2026-11-28"}


def samples(*rows: tuple[str, str, str]) -> pa.Table:
    """Samples by shard, key and licence group."""
    columns: list[dict[str, Any]] = [
        {
            "path": path,
            "key": key,
            "figure_id": key,
            "panel_number": None,
            "license_group": group,
            "article_accession_id": key.partition("_")[0],
        }
        for path, key, group in rows
    ]
    return pa.Table.from_pylist(columns, pa.schema([schema.METADATA.field(name) for name in COLUMNS]))


OLD = samples(
    ("a", "P1_1", "commercial"),
    ("a", "P1_2", "commercial"),
    ("a", "P2_1", "commercial"),
    ("a", "P3_1v1", "commercial"),
    ("b", "P4_1", "commercial"),
    ("b", "P5_1", "commercial"),
    ("c", "P6_1", "other"),
)
NEW = samples(
    ("d", "P1_1", "commercial"),
    ("e", "P1_2", "noncommercial"),
    ("d", "P3_1v2", "commercial"),
    ("d", "P9_1", "commercial"),
    ("f", "P6_1", "other"),
    ("g", "P9_2", "other"),
)
CHANGES = Changes(
    {"e": 1, "g": 1},
    [
        Rewritten(
            "a",
            Counter({"licence group noncommercial now": 1, "retracted": 1, "another version of its article": 1}),
            ("d",),
        ),
        Rewritten("c", Counter(), ("f",)),
    ],
    [Rewritten("b", Counter({"retracted": 1, "no longer in the store or the selection": 1}), ())],
    new=3,
    of_new_articles=2,
)


def of_now(table: pa.Table) -> pa.Table:
    return table.select(COLUMNS_OF_NOW.names).cast(COLUMNS_OF_NOW)


def test_what_became_of_each_shard() -> None:
    asked = []

    def left_out(ids: pa.ChunkedArray) -> pa.Table:
        asked.append(ids.to_pylist())
        return pa.table({"what": ["P4_1", "P2_1"], "kind": ["retracted"] * 2})

    unchanged = samples(("h", "P8_1", "other"))
    paths = ["d", "e", "f", "g", "h"]
    for size in (1, 3, 100):
        every = pa.concat_tables([OLD, unchanged])
        pieces = [every.slice(start, size) for start in range(0, len(every), size)]
        assert compare(pieces, of_now(NEW), paths, left_out) == CHANGES
    assert asked == [["P2_1", "P3_1v1", "P4_1", "P5_1"]] * 3


def test_a_new_sample_of_an_article_in_a_shard_that_stays_is_of_no_new_article() -> None:
    found = compare([samples(("h", "P9_7", "other"))], of_now(NEW), ["d", "e", "f", "g", "h"], lambda _: pa.table({}))
    assert (found.new, found.of_new_articles) == (6, 4)
    assert (found.rewritten, found.removed) == ([], [])


def test_panels_are_asked_for_by_their_own_ids() -> None:
    row = {"path": "a", "key": "k", "figure_id": "F", "license_group": "other", "article_accession_id": "P"}
    columns = OLD.schema
    old = pa.Table.from_pylist([{**row, "panel_number": 2}, {**row, "panel_number": None}], columns)
    none = of_now(OLD.slice(0, 0))
    kinds = pa.table({"what": [schema.panel_id("F", 2)], "kind": ["too-small"]})
    (shard,) = compare([old], none, [], lambda _: kinds).removed
    assert shard.gone == {"too-small": 1, "no longer in the store or the selection": 1}


def test_the_memory_that_a_comparison_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a dataset that is written anew as a whole, which is the most: less than the task reserves for each sample."""
    n, size, at_a_time = 400_000, 2_500, 40_000
    numbers, pool = np.arange(n), pa.default_memory_pool()
    ids = [f"PMC{10_000_000 + number // 4}-1_00{number % 4}" for number in range(n)]
    articles = pc.binary_join_element_wise("PMC", pc.cast(pa.array(numbers // 4 + 10**7), pa.string()), "")
    columns = [pa.array(ids), pa.array(ids), pa.nulls(n), pa.repeat("commercial", n), articles]
    old = pa.table([pa.array([f"old-{number:06d}" for number in numbers // size]), *columns], COLUMNS).cast(OLD.schema)
    pieces = [old.slice(start, at_a_time) for start in range(0, n, at_a_time)]
    paths = [f"new-{number:06d}" for number in range(n // size)]
    of_each = [of_now(old.slice(k * size, size).set_column(0, "path", [[paths[k]] * size])) for k in range(n // size)]
    new = pa.concat_tables(of_each).unify_dictionaries()

    monkeypatch.setattr(changes, "_AT_A_TIME", at_a_time)
    filled = pa.allocate_buffer(pool.max_memory() - pool.bytes_allocated())  # so that the next peak is the call's
    before = pool.max_memory()
    tracemalloc.start()
    found = compare(pieces, new, paths, lambda _: pa.table({}))
    in_python = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    del filled
    assert (found.new, len(found.rewritten), found.gone.total()) == (0, n // size, 0)
    used = (new.nbytes + pool.max_memory() - before + in_python) / n
    assert used < plan_gb(2**30) - plan_gb(0)


def test_an_entry() -> None:
    assert section(CHANGES, 6, OF_NOW, "ab" * 32).splitlines() == [
        "## 2026-11-29",
        "",
        f"6 samples; articles as listed on 2026-11-28. Before: the dataset.json with the SHA-256 `{'ab' * 32}`.",
        "",
        "- 3 samples are new, 2 of them of new articles; 5 are no longer where they were (retracted 2, "
        "another version of its article 1, licence group noncommercial now 1, "
        "no longer in the store or the selection 1)",
        "- 2 shards added:",
        "  - `e`: 1 samples",
        "  - `g`: 1 samples",
        "- 2 shards rewritten:",
        "  - `a`, now in `d`: 3 samples gone (another version of its article 1, licence group noncommercial now 1, "
        "retracted 1)",
        "  - `c`, now in `f`: samples are written otherwise",
        "- 1 shards removed:",
        "  - `b`: 2 samples (no longer in the store or the selection 1, retracted 1)",
    ]
    assert section(None, 6, {"run": "2026-11-29"}, None).endswith("There was none before.\n\n- first edition\n")


def test_entries_are_newest_first_and_one_of_a_run_that_was_cut_short_is_replaced() -> None:
    first = section(None, 5, {"run": "2026-01-01"}, None)
    second, again = (section(CHANGES, 6, {"run": f"2026-02-0{day}"}, "aa") for day in (1, 2))
    text = with_section("", first, None)
    text = with_section(with_section(text, second, "aa"), again, "aa")
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# Changes",
        "## 2026-02-02",
        "## 2026-01-01",
    ]
    assert text == with_section(with_section("", first, None), again, "aa")


def test_many_shards_are_counted_and_not_all_named() -> None:
    lines = section(Changes({f"s{n}": 1 for n in range(150)}), 150, OF_NOW, "aa").splitlines()
    assert lines[-1] == "  - and 50 more"
    assert len(lines) == 4 + 2 + 101
