from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa

from biomedica_ray import schema
from biomedica_ray.serialize.changes import COLUMNS, Changes, Rewritten, compare, gone_figures, section, with_section

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


def test_what_became_of_each_shard() -> None:
    gone = gone_figures(OLD, NEW)["key"].to_pylist()
    assert gone == ["P2_1", "P3_1v1", "P4_1", "P5_1"]
    articles = {"P1", "P2", "P3", "P4", "P5", "P6"}
    assert compare(OLD, NEW, articles, {"P2_1": "retracted", "P4_1": "retracted"}) == CHANGES


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
