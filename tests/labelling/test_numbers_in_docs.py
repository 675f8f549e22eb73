"""What docs/labelling.md says of the classifier of images is what the benchmark's table has."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_how_often_labels_are_right_is_as_measured() -> None:
    table = (ROOT / "benchmarks" / "README.md").read_text()
    measured = re.findall(
        r"^\| (c[a-z, ]+) \| (\d+) \| (0\.\d+) \|", table[table.index("## image_labels") :], re.MULTILINE
    )
    found = {kind: [float(share) for name, _, share in measured if name == kind] for kind, _, _ in measured}
    ranges = [
        f"{100 * min(found[kind]):.0f} to {100 * max(found[kind]):.0f} %"
        for kind in ("classifier, exemplars", "clusters")
    ]
    page = " ".join((ROOT / "docs" / "labelling.md").read_text().split())
    told = re.search(r"it was right in (\S+ to \S+ %) with 16 to 128 answers .*? were right in (\S+ to \S+ %)", page)
    assert told is not None and list(told.groups()) == ranges
    assert {answers for _, answers, _ in measured} == {"16", "32", "64", "128"}
