"""The README's Python examples run on the store that ``make demo`` writes, and print what it says they print."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

from biomedica_ray.config import STAGES

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
