"""The README's Python examples run on the store that ``make demo`` writes, and print what it says they print."""

from __future__ import annotations

import doctest
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from biomedica_ray.config import STAGES
from biomedica_ray.report.summary import summary_rows
from biomedica_ray.store import Store

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.cluster
def test_the_examples_print_what_the_readme_says(
    demo_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "sample").symlink_to(demo_store)
    monkeypatch.chdir(tmp_path)
    result = doctest.testfile(str(README), module_relative=False)
    assert result.attempted >= 10
    assert result.failed == 0


def test_every_stage_is_explained() -> None:
    text = README.read_text()
    assert [stage for stage in STAGES if f"\n| {stage} |" not in text] == []


LEARNED = {
    "training loss": (0.3, 0.1, 0),
    "zero-shot accuracy": (20, 0.1),
    **{f"{way} recall@{k}": (15, 0.1) for way in ("image to text", "text to image") for k in (1, 10)},
}
"""Rows of the demo's summary that other processors round otherwise -> how far each of their numbers may be away."""


@pytest.mark.cluster
def test_the_demo_ends_with_what_the_readme_shows(demo_store: Path) -> None:
    shown: dict[str, str] = {}
    for line in README.read_text().split("It ends with:")[1].split("    report:")[0].splitlines():
        if found := re.match(r"    (\S.*?)  +(\S.*)", line):
            shown[found[1]] = found[2]
    printed = dict(summary_rows(Store(str(demo_store)), "clip"))
    assert shown.keys() == printed.keys()
    for name, value in printed.items():
        if name in LEARNED:
            ours, theirs = (list(map(float, re.findall(r"\d+(?:\.\d+)?", text))) for text in (shown[name], value))
            for a, b, away in zip(ours, theirs, LEARNED[name], strict=True):
                assert abs(a - b) <= away, (name, shown[name], value)
        elif name != "time":
            assert shown[name] == value, name


def test_the_citation_is_of_this_version() -> None:
    project = tomllib.loads((README.parent / "pyproject.toml").read_text())["project"]
    cited = yaml.safe_load((README.parent / "CITATION.cff").read_text())
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])
