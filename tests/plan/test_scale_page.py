"""docs/scale.md: its sheet is what the command prints, and its comparison follows from that."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from biomedica_ray.cli import main
from biomedica_ray.units import unit_count

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "scale.md").read_text()


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(ROOT)
    (command,) = re.findall(r"^    biomedica (plan .*)$", PAGE, re.M)
    assert main(shlex.split(command)) == 0
    return capsys.readouterr().out


def cells(printed: str, stage: str) -> list[list[float]]:
    """The numbers of a stage's row in each of the two tables; what is no number is left out."""
    rows = [line.split() for line in printed.splitlines() if line.split()[:1] == [stage]]
    return [[float(cell.replace(",", "")) for cell in row[1:] if re.fullmatch(r"[\d,.]+", cell)] for row in rows]


def test_the_sheet_is_what_the_command_prints(printed: str) -> None:
    (sheet,) = re.findall(r"^```\n(.*?)^```$", PAGE, re.M | re.S)
    assert [line.rstrip() for line in printed.splitlines()] == sheet.splitlines()
    assert f"{unit_count(6_300_000):,} units" in PAGE


def test_the_comparison_follows_from_the_sheet(printed: str) -> None:
    """60 CPUs and 10 GPUs for a month of 730 hours."""
    (cpu_hours, gpu_hours, *_), (*_, written, _, _, _, _, _, _, _) = cells(printed, "all")
    compared = PAGE.partition("## Beside")[2]
    (days,) = re.findall(r"and ([\d.]+) days", printed)
    days, everything = f"{days} days on the nodes of cluster.yaml", f"{cpu_hours:,.0f}"
    for row in (
        f"| CPU-hours, everything | 43,800: 60 CPUs for a month | {everything} |",
        f"| GPU-hours | 7,300: 10 GPUs for a month | {gpu_hours:,.0f}, assumed |",
        f"| time, everything | a month | {days}, one stage after the other |",
        f"| storage | 50 TB | {written:,.0f} TB: the figures as published, and twice more in shards, ",
    ):
        assert row in compared, row
