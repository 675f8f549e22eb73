"""Chemical structures, maps, flowcharts and a publisher's logo.

Every function takes a random generator and returns the picture and a sentence that says what this one shows.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from biomedica_ray.sample.plots import render

Point = tuple[float, float]
Look = tuple[str, str]
"""Face colour and box style of a flowchart's boxes."""
SCAFFOLDS: dict[str, tuple[tuple[int, int], ...]] = {
    "monocyclic": ((0, 0),),
    "bicyclic": ((0, 0), (1, 0)),
    "linear tricyclic": ((0, 0), (1, 0), (2, 0)),
    "angular tricyclic": ((0, 0), (1, 0), (2, 1)),
    "peri-fused tricyclic": ((0, 0), (1, 0), (1, 1)),
    "steroid-like tetracyclic": ((0, 0), (1, 0), (2, 1), (3, 1)),
}
PERSON_STEPS = ("invited", "assessed", "eligible", "enrolled", "analysed")
RECORD_STEPS = ("identified", "screened", "retrieved", "assessed", "included")
PERSON_REASONS = ("Declined", "Not eligible", "Lost")
RECORD_REASONS = ("Duplicates", "Wrong design", "No full text")
WORK_STEPS = (
    "Sample collection",
    "RNA extraction",
    "Library preparation",
    "Sequencing",
    "Quality control",
    "Data cleaning",
    "Read alignment",
    "Peak calling",
    "Model training",
    "Validation",
    "Statistical analysis",
    "Expert review",
)
SUBSTITUENTS = ("OH", "NH₂", "OCH₃", "Cl", "F", "CF₃", "NO₂", "Br", "COOH", "CN")


def _rings(cells: tuple[tuple[int, int], ...]) -> tuple[list[Point], dict[tuple[int, int], tuple[int, ...]]]:
    """Hexagons with unit sides at the given axial coordinates of a hexagonal lattice.

    Returns the vertices, and each edge with the corners of a ring that it belongs to.
    """
    points: list[Point] = []
    edges: dict[tuple[int, int], tuple[int, ...]] = {}
    for q, r in cells:
        centre = (np.sqrt(3) * (q - r / 2), 1.5 * r)
        corners = []
        for angle in np.pi / 6 + np.arange(6) * np.pi / 3:
            corner = (round(centre[0] + np.cos(angle), 4), round(centre[1] + np.sin(angle), 4))
            near = [i for i, p in enumerate(points) if np.hypot(p[0] - corner[0], p[1] - corner[1]) < 0.01]
            if not near:
                points.append((float(corner[0]), float(corner[1])))
            corners.append(near[0] if near else len(points) - 1)
        for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
            edges[min(a, b), max(a, b)] = tuple(corners)
    return points, edges


def _atom(axes: Axes, place: Point, group: str, align: str) -> None:
    """Write a heteroatom or group over its bond: oxygen red, halogens green, the others blue."""
    tint = "#b0171f" if "O" in group else "#1f7a1f" if group in ("Cl", "F", "Br", "CF₃") else "#1f3fbf"
    white = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
    axes.text(*place, group, color=tint, ha=align, va="center", fontsize=9, bbox=white)


def _molecule(axes: Axes, rng: np.random.Generator, kind: str, shift: float, name: str) -> float:
    """Draw one skeletal formula from ``shift`` on and return where it ends.

    Any matching of the edges may be drawn as double bonds: atoms left out are saturated, so no valence is exceeded.
    """
    points, edges = _rings(SCAFFOLDS[kind])
    middle = np.mean(points, axis=0)
    left = min(x for x, _ in points) - 2.2
    points = [(x - left + shift, y - float(middle[1])) for x, y in points]
    middle = np.mean(points, axis=0)
    degree = np.bincount(np.array(list(edges)).ravel(), minlength=len(points))
    matched: set[int] = set()
    bonds = sorted(edges)
    for number in rng.permutation(len(bonds)):
        a, b = bonds[int(number)]
        ends = np.array([points[a], points[b]])
        axes.plot(*ends.T, color="black", linewidth=1.3)
        if a not in matched and b not in matched:
            matched |= {a, b}
            centre = ends.mean(axis=0)
            inward = np.mean([points[corner] for corner in edges[a, b]], axis=0) - centre
            inner = centre + (ends - centre) * 0.72 + inward * 0.18
            axes.plot(*inner.T, color="black", linewidth=1.3)
    free = [i for i in range(len(points)) if degree[i] == 2]
    chosen = rng.permutation(free)[: int(rng.integers(3, 5))]
    nitrogen = int(chosen[0])
    _atom(axes, points[nitrogen], "N" if nitrogen in matched else "NH", "center")
    for vertex in chosen[1:]:
        x, y = points[int(vertex)]
        bonded = [points[b if a == vertex else a] for a, b in edges if vertex in (a, b)]
        away = np.array([x, y]) - np.mean(bonded, axis=0)
        end = np.array([x, y]) + away / np.hypot(*away)
        group = str(rng.choice(SUBSTITUENTS))
        axes.plot([x, end[0]], [y, end[1]], color="black", linewidth=1.3)
        place = "left" if away[0] > 0.2 else "right" if away[0] < -0.2 else "center"
        _atom(axes, (float(end[0]), float(end[1])), group, place)
    right = max(x for x, _ in points)
    axes.text(float(middle[0]), -4.1, name, weight="bold", ha="center")
    return right + 2.2


def _bare(axes: Axes) -> None:
    axes.axis("off")
    axes.set_aspect("equal")


def chemical_structure(rng: np.random.Generator) -> tuple[Image.Image, str]:
    """One to three skeletal formulae side by side, numbered in bold."""
    kinds = [str(kind) for kind in rng.choice(list(SCAFFOLDS), size=int(rng.integers(1, 4)))]
    first = int(rng.integers(1, 9))

    def draw(axes: Axes) -> str:
        _bare(axes)
        end = 0.0
        for number, kind in enumerate(kinds):
            end = _molecule(axes, rng, kind, end, f"{first}{'abc'[number]}")
        axes.set(xlim=(0, end), ylim=(-4.6, 3.8))
        return f"Skeletal formulae with {' and '.join(dict.fromkeys(kinds))} ring systems, numbered from {first}a."

    return render(draw, (1.4 + 1.3 * len(kinds), 2.5))


def chemical_reaction(rng: np.random.Generator) -> tuple[Image.Image, str]:
    """Starting material, arrow with reagents, product."""
    reagents = str(rng.choice(["K₂CO₃, DMF, 80 °C", "Pd(PPh₃)₄, dioxane", "NaBH₄, MeOH, 0 °C"]))

    def draw(axes: Axes) -> str:
        _bare(axes)
        end = _molecule(axes, rng, "bicyclic", 0.0, "1")
        axes.annotate("", (end + 5.2, 0), (end, 0), arrowprops={"arrowstyle": "->", "linewidth": 1.3})
        axes.text(end + 2.6, 0.5, reagents, ha="center", fontsize=7)
        end = _molecule(axes, rng, "angular tricyclic", end + 5.6, "2")
        axes.set(xlim=(0, end), ylim=(-4.6, 3.8))
        return f"Reagents and conditions of the step from 1 to 2: {reagents}."

    return render(draw, (4.8, 2.3))


def area_map(rng: np.random.Generator) -> tuple[Image.Image, str]:
    """Choropleth map of districts in an irregular country with study sites, scale bar and north arrow."""
    size, count = 260, int(rng.integers(9, 26))
    y, x = np.mgrid[-1.2 : 1.2 : size * 1j, -1.2 : 1.2 : size * 1j]
    fields = [gaussian_filter(rng.standard_normal((size, size)), sigma) for sigma in (26.0, 9.0, 9.0)]
    coast, warp_x, warp_y = (field / field.std() for field in fields)
    stretch = rng.uniform(0.75, 1.3)
    land = np.hypot(x * stretch, y / stretch) + 0.17 * coast + 0.02 * warp_x < 0.8
    seeds = rng.uniform(-0.9, 0.9, (count, 2))
    distance = np.hypot(x + 0.05 * warp_x - seeds[:, :1, None], y + 0.05 * warp_y - seeds[:, 1:, None])
    district = distance.argmin(axis=0)
    cases = rng.uniform(0, 60, count)
    scheme = str(rng.choice(["YlOrRd", "Blues", "Greens", "PuRd"]))
    spots = seeds[rng.permutation(count)[: int(rng.integers(0, 7))]]
    spots = spots[[bool(land[int((b + 1.2) / 2.4 * size), int((a + 1.2) / 2.4 * size)]) for a, b in spots]]

    def draw(axes: Axes) -> str:
        _bare(axes)
        area = (-1.2, 1.2, -1.2, 1.2)
        axes.imshow(np.where(land, 0.0, 1.0), cmap="Blues", vmin=0, vmax=4, extent=area, origin="lower")
        shades = np.ma.masked_where(~land, cases[district])
        filled = axes.imshow(shades, cmap=scheme, extent=area, origin="lower", vmin=0, vmax=60)
        region, border = np.where(land, district, -1), np.zeros((size, size), dtype=bool)
        border[:, 1:] |= region[:, 1:] != region[:, :-1]
        border[1:] |= region[1:] != region[:-1]
        axes.imshow(np.ma.masked_where(~border, border), cmap="gray", vmin=0.8, vmax=2, extent=area, origin="lower")
        axes.scatter(spots[:, 0], spots[:, 1], marker="^", color="black", s=26)
        axes.plot([-1.1, -0.7], [-1.08, -1.08], color="black", linewidth=2.5)
        axes.text(-0.9, -1.03, "100 km", ha="center", va="bottom", fontsize=7)
        axes.annotate("N", (1.03, 1.12), (1.03, 0.72), ha="center", arrowprops={"arrowstyle": "->"})
        axes.figure.colorbar(filled, ax=axes, shrink=0.5, label="per 100 000")
        marked = f"; {len(spots)} triangles mark the study sites" if len(spots) > 1 else ""
        tint = {"YlOrRd": "yellow to red", "Blues": "blue", "Greens": "green", "PuRd": "purple"}[scheme]
        return f"Districts are shaded in {tint} by annual rate{marked}."

    return render(draw, (3.9, 3.3))


def _box(axes: Axes, centre: Point, size: Point, text: str, look: Look) -> None:
    corner = (centre[0] - size[0] / 2, centre[1] - size[1] / 2)
    colour, style = look
    axes.add_patch(FancyBboxPatch(corner, *size, boxstyle=style, facecolor=colour, edgecolor="#333333", linewidth=0.9))
    axes.text(*centre, text, ha="center", va="center", fontsize=6.5)


def _arrow(axes: Axes, start: Point, end: Point) -> None:
    axes.annotate(
        "",
        end,
        start,
        arrowprops={"arrowstyle": "-|>", "color": "#333333", "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0},
    )


def _selection(axes: Axes, rng: np.random.Generator, look: Look) -> str:
    review, levels, arms = bool(rng.random() < 0.35), int(rng.integers(3, 6)), int(rng.choice([0, 2, 3]))
    side = int(rng.choice([-1, 1]))
    what, steps = ("Records", RECORD_STEPS) if review else ("Participants", PERSON_STEPS)
    words = (*steps[: levels - 1], steps[-1])
    pitch, width = 9.6 / (levels + (arms > 0)), float(rng.uniform(3.4, 4.8))
    count = total = int(rng.integers(180, 1900))
    middle = 5 - 1.6 * side
    for level, word in enumerate(words):
        y = 9.8 - pitch * (level + 0.5)
        _box(axes, (middle, y), (width, pitch * 0.55), f"{what} {word}\n(n = {count})", look)
        if level < levels - 1:
            gone = int(count * rng.uniform(0.05, 0.3))
            count -= gone
            _arrow(axes, (middle, y - pitch * 0.28), (middle, y - pitch * 0.72))
            _arrow(axes, (middle, y - pitch * 0.5), (middle + 2.6 * side, y - pitch * 0.5))
            why = str(rng.choice(RECORD_REASONS if review else PERSON_REASONS))
            text = f"Excluded (n = {gone})\n{why}"
            _box(axes, (middle + 4.2 * side, y - pitch * 0.5), (3.2, pitch * 0.5), text, ("white", look[1]))
    names = ("Synthesis", "Meta-analysis", "Subgroups") if review else ("Intervention", "Control", "Usual care")
    for arm in range(arms):
        place, size = (arm + 0.5) * 10 / arms, 8.6 / arms
        share = count // arms + (arm < count % arms)
        _arrow(axes, (middle, 9.8 - pitch * (levels - 0.22)), (place, 0.2 + pitch * 0.78))
        _box(axes, (place, 0.2 + pitch * 0.5), (size, pitch * 0.55), f"{names[arm]}\n(n = {share})", look)
    ending = f"to {arms} arms" if arms else "to analysis"
    return f"Boxes follow {total} {what.lower()} through {levels} steps {ending}; {total - count} were excluded."


def _workflow(axes: Axes, rng: np.random.Generator, look: Look) -> str:
    columns, rows = int(rng.integers(2, 4)), int(rng.integers(2, 4))
    chosen = np.sort(rng.choice(len(WORK_STEPS), size=columns * rows, replace=False))
    steps = [WORK_STEPS[int(step)] for step in chosen]
    places = []
    for number in range(len(steps)):
        row, along = divmod(number, columns)
        column = along if row % 2 == 0 else columns - 1 - along
        places.append(((column + 0.5) * 10 / columns, 10 - (row + 0.5) * 10 / rows))
    half_width, half_height = 3.6 / columns, 2.6 / rows
    for (x, y), (later_x, later_y) in pairwise(places):
        across, down = float(np.sign(later_x - x)), float(np.sign(later_y - y))
        start = (x + half_width * across, y + half_height * down)
        _arrow(axes, start, (later_x - half_width * across, later_y - half_height * down))
    for place, step in zip(places, steps, strict=True):
        _box(axes, place, (2 * half_width, 2 * half_height), step.replace(" ", "\n"), look)
    return f"The workflow has {len(steps)} steps, from {steps[0].lower()} to {steps[-1].lower()}."


def flowchart(rng: np.random.Generator) -> tuple[Image.Image, str]:
    """Selection of participants or records, whose numbers add up, or the steps of a workflow."""
    style = str(rng.choice(["square,pad=0", "round,pad=0.02,rounding_size=0.12"]))
    look = (str(rng.choice(["white", "#dbe9f6", "#e5f5e0", "#fff2cc", "#f8d9d9"])), style)

    def draw(axes: Axes) -> str:
        axes.axis("off")
        axes.set(xlim=(0, 10), ylim=(0, 10))
        return (_workflow if rng.random() < 0.35 else _selection)(axes, rng, look)

    return render(draw, (float(rng.uniform(3.2, 4.8)), float(rng.uniform(2.5, 3.6))))


def logo(rng: np.random.Generator) -> tuple[Image.Image, str]:
    """Badge of a publisher: a ring, a leaf and a word."""
    hue = tuple(int(value) for value in rng.integers(20, 120, 3))
    picture = Image.new("RGB", (660, 240), "white")
    draw = ImageDraw.Draw(picture)
    draw.ellipse((20, 20, 220, 220), outline=hue, width=18)
    draw.chord((70, 50, 170, 190), 60, 300, fill=hue)
    draw.text((250, 120), "Sample\nPress", fill=hue, anchor="lm", font_size=72)
    return picture.resize((220, 80), Image.Resampling.LANCZOS), "Publisher's badge."
