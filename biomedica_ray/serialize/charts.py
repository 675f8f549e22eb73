"""The counts of a dataset on its card: tables, and bars as PNG, which the Hub shows."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from biomedica_ray.serialize.statistics import TOPICS

_ROWS = 15
"""Rows of a table and bars of a chart."""
_IN_ORDER = ("caption_words", "longest_side")
_SEVERAL = ("concepts",)
"""Topics of which a sample may have several values."""


def chart_path(topic: str) -> str:
    """Where the chart of a topic lies below dataset/."""
    return f"charts/{topic}.png"


def rows(topic: str, counts: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Value and samples of the rows of a topic: the newest years, or the most frequent values, and the rest as one."""
    values: list[tuple[str, int]] = list(counts[topic].items())
    if topic in _IN_ORDER:
        return values
    shown = values[-_ROWS:] if topic == "years" else values[:_ROWS]
    rest = counts["samples"] - sum(count for _, count in shown)
    if topic in _SEVERAL or not rest:
        return shown
    return [("earlier or unknown", rest), *shown] if topic == "years" else [*shown, ("others or unknown", rest)]


def section(counts: Mapping[str, Any]) -> str:
    """The statistics of a card, in Markdown; empty where there are none."""
    if not counts.get("samples"):
        return ""
    parts = ["## Statistics\n"]
    for topic, heading in TOPICS.items():
        found = rows(topic, counts)
        if found:
            parts.append(f"### {heading}\n\n![{heading}: samples]({chart_path(topic)})\n")
            lines = [f"| {_cell(value)} | {count:,} | {count / counts['samples']:.1%} |" for value, count in found]
            parts.append("\n".join([f"| {heading.lower()} | samples | share |", "|---|---|---|", *lines, ""]))
    return "\n".join(parts) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def charts(counts: Mapping[str, Any]) -> dict[str, bytes]:
    """Path and PNG of the chart of each topic; the same bytes for the same counts."""
    if not counts.get("samples"):
        return {}
    drawn = {topic: rows(topic, counts) for topic in TOPICS}
    return {chart_path(topic): _bars(TOPICS[topic], found) for topic, found in drawn.items() if found}


def _bars(heading: str, found: Sequence[tuple[str, int]]) -> bytes:
    import matplotlib.style  # noqa: PLC0415 - takes half a second, which not every run needs
    from matplotlib.figure import Figure  # noqa: PLC0415

    with matplotlib.style.context("default", after_reset=True):  # whatever a user has set for his own
        figure = Figure(figsize=(8, 0.9 + 0.28 * len(found)), dpi=100, layout="constrained")
        axes = figure.add_subplot()
        places = range(len(found))
        bars = axes.barh(places, [count for _, count in found], color="#4477aa")
        axes.bar_label(bars, [f"{count:,}" for _, count in found], padding=3, fontsize=8)
        # Not as mathematics, as a name may have a dollar sign.
        axes.set_yticks(places, [_short(value) for value, _ in found], fontsize=8, parse_math=False)
        axes.invert_yaxis()
        axes.set_xlabel("samples", fontsize=8)
        axes.set_title(heading, fontsize=10)
        axes.margins(x=0.12)
        axes.spines[["top", "right"]].set_visible(False)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _short(text: str, most: int = 48) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"
