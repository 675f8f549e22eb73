"""Make the table of layouts from which `train-panels` composes figures.

    python benchmarks/panel_layouts.py ANNOTATIONS.csv.gz biomedica_ray/panels/data/layouts.csv.gz

The annotations have a row a panel (figure, panel_left, panel_top, panel_right, panel_bottom, letter_left, letter_top,
letter_right, letter_bottom, letter), in pixels: those of the training part of the U.S. National Library of Medicine's
multi-panel figures (Zou, Antani and Thoma) as a public repository carries them. What is kept are facts: of every
compound figure of at most 24 panels that hardly overlap, where panels and letters are, in thousandths of the longer
side of what they cover, without the figure's name.
"""

from __future__ import annotations

import csv
import gzip
import sys
from collections import defaultdict
from itertools import combinations
from pathlib import Path

SCALE = 1000
MOST_PANELS = 24
OVERLAP = 0.1
"""Share of the smaller one of two panels that they may have in common."""

PLACES = ("left", "top", "right", "bottom")
Box = tuple[int, ...]


def main(source: str, target: str) -> None:
    figures: dict[str, list[tuple[Box, Box | None, str]]] = defaultdict(list)
    with gzip.open(source, "rt") as file:
        for row in csv.DictReader(file):
            panel = tuple(int(row[f"panel_{place}"]) for place in PLACES)
            letter = tuple(int(row[f"letter_{place}"]) for place in PLACES) if row["letter_left"] else None
            figures[row["figure"]].append((panel, letter, row["letter"] if len(row["letter"]) == 1 else ""))
    kept = 0
    with Path(target).open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as packed:
        packed.write(b"layout,left,top,right,bottom,letter_left,letter_top,letter_right,letter_bottom,letter\n")
        for name in sorted(figures):
            panels = figures[name]
            if not 1 < len(panels) <= MOST_PANELS or _overlap([panel for panel, _, _ in panels]):
                continue
            left, top = (min(panel[place] for panel, _, _ in panels) for place in (0, 1))
            side = max(max(panel[2] for panel, _, _ in panels) - left, max(panel[3] for panel, _, _ in panels) - top)
            for panel, letter, text in panels:
                boxes = [_scaled(panel, left, top, side), _scaled(letter, left, top, side) if letter and text else ""]
                packed.write(f"{kept},{boxes[0]},{boxes[1] or ',,,'},{text if letter else ''}\n".encode())
            kept += 1
    print(f"{kept} layouts in {Path(target).stat().st_size} bytes")


def _scaled(box: Box, left: int, top: int, side: int) -> str:
    return ",".join(str(round((value - (left, top)[n % 2]) * SCALE / side)) for n, value in enumerate(box))


def _overlap(panels: list[Box]) -> bool:
    for one, other in combinations(panels, 2):
        width = min(one[2], other[2]) - max(one[0], other[0])
        height = min(one[3], other[3]) - max(one[1], other[1])
        least = min((each[2] - each[0]) * (each[3] - each[1]) for each in (one, other))
        if width > 0 and height > 0 and width * height > OVERLAP * least:
            return True
    return any(panel[2] <= panel[0] or panel[3] <= panel[1] for panel in panels)


if __name__ == "__main__":
    main(*sys.argv[1:])
