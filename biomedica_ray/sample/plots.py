"""Plots, charts and tables drawn with matplotlib.

Every function takes a random generator and returns the picture and a sentence that says what this one shows.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

PALETTES: tuple[tuple[str, ...], ...] = (
    ("#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3"),
    ("#222222", "#7f7f7f", "#bfbfbf", "#555555", "#e0e0e0"),
    ("#e64b35", "#4dbbd5", "#00a087", "#3c5488", "#f39b7f"),
    ("#1b9e77", "#d95f02", "#7570b3", "#e7298a", "#66a61e"),
)
GENES = (
    "IL6",
    "TNF",
    "VEGFA",
    "CXCL8",
    "TP53",
    "EGFR",
    "STAT3",
    "MYC",
    "CDH1",
    "VIM",
    "COL1A1",
    "ACTA2",
    "FN1",
    "MMP9",
)
ARMS = ("Control", "Vehicle", "Low dose", "High dose", "Combination")
MEASURES = (
    "Relative mRNA level",
    "Cell viability (%)",
    "Serum level (ng/mL)",
    "Prevalence (%)",
    "Apoptotic cells (%)",
    "Lesion count",
)


def render(draw: Callable[[Axes], str], size: tuple[float, float], serif: bool = False) -> tuple[Image.Image, str]:
    """Draw on fresh axes of ``size`` inches at 100 dpi, with matplotlib's defaults and not the user's settings."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({"font.size": 8, "font.family": "DejaVu Serif" if serif else "DejaVu Sans"})
        figure = Figure(figsize=size, dpi=100, layout="constrained")
        says = draw(figure.subplots())
        buffer = io.BytesIO()
        figure.savefig(buffer, format="rgba")
        width, height = figure.canvas.get_width_height()
        return Image.frombytes("RGBA", (width, height), buffer.getvalue()).convert("RGB"), says


def _open(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def _palette(rng: np.random.Generator) -> Sequence[str]:
    return PALETTES[int(rng.integers(len(PALETTES)))]


def bar_plot(rng: np.random.Generator) -> tuple[Image.Image, str]:
    """Grouped or simple bars with error bars and stars of significance."""

    def draw(axes: Axes) -> str:
        colours, measure = _palette(rng), str(rng.choice(MEASURES))
        groups, series = int(rng.integers(3, 6)), int(rng.integers(1, 4))
        heights = rng.uniform(15, 90, (series, groups))
        for number, row in enumerate(heights):
            place = np.arange(groups) + (number - (series - 1) / 2) * 0.8 / series
            tints = colours[number] if series > 1 else list(colours[:groups])
            axes.bar(
                place,
                row,
                0.75 / series,
                yerr=row * 0.1,
                capsize=2,
                color=tints,
                edgecolor="black",
                linewidth=0.7,
                error_kw={"linewidth": 0.8},
                label=f"Day {7 * number}",
            )
        best = int(heights[0].argmax())
        axes.text(best, heights.max() * 1.14, "**", ha="center")
        axes.set_ylim(0, heights.max() * 1.3)
        axes.set_xticks(np.arange(groups), ARMS[:groups], rotation=30 if groups > 3 else 0)
        axes.set_ylabel(measure)
        _open(axes)
        if series > 1:
            axes.legend(frameon=False, fontsize=7, ncols=series, loc="upper left")
        times = f" at {series} time points" if series > 1 else ""
        name = measure.split(" (", maxsplit=1)[0]
        name = name if name.startswith("Relative mRNA") else name.lower()
        return f"Bars give {name[0].lower()}{name[1:]} of {groups} groups{times}."

    return render(draw, (float(rng.choice([3.2, 3.8, 4.2])), 2.9), serif=bool(rng.random() < 0.2))


def heatmap_plot(rng: np.random.Generator) -> tuple[Image.Image, str]:
    """Gene-by-sample matrix in two blocks, or a correlation matrix."""

    def draw(axes: Axes) -> str:
        if rng.random() < 0.35:
            values = np.corrcoef(
                rng.standard_normal((10, 14)) + rng.choice([-1, 1], (10, 1)) * rng.standard_normal((1, 14))
            )
            names, says = list(GENES[:10]), "Pairwise correlation of ten genes, from -1 (blue) to 1 (red)."
            image = axes.imshow(values, cmap="coolwarm", vmin=-1, vmax=1)
            axes.set_xticks(range(10), names, rotation=90)
        else:
            rows, columns = int(rng.integers(12, 15)), int(rng.integers(12, 22))
            sign = np.where(np.arange(rows) < rows // 2, 1.0, -1.0)[:, None]
            values = sign * np.where(np.arange(columns) < columns // 2, -1.0, 1.0) + rng.normal(0, 0.7, (rows, columns))
            image = axes.imshow(values, cmap=str(rng.choice(["RdBu_r", "viridis", "PiYG_r", "magma"])), aspect="auto")
            names = list(GENES[:rows])
            axes.set_xticks([columns / 4, 3 * columns / 4], ["Control", "Disease"])
            axes.axvline(columns // 2 - 0.5, color="white", linewidth=1.5)
            says = f"Rows are {rows} genes, columns {columns} samples; colour is the z-score of expression."
        axes.set_yticks(range(len(names)), names, style="italic", fontsize=7)
        axes.tick_params(length=0)
        axes.figure.colorbar(image, ax=axes, shrink=0.6)
        return says

    return render(draw, (float(rng.choice([3.4, 4.0])), 3.2))


def survival_curve(rng: np.random.Generator) -> tuple[Image.Image, str]:
    """Kaplan-Meier curves of two groups with censoring marks."""
    count, end = int(rng.integers(20, 90)), float(rng.choice([36, 60, 120]))

    def draw(axes: Axes) -> str:
        colours, factor = _palette(rng), rng.uniform(0.6, 3.0)
        for number, (name, scale) in enumerate(
            (("Low expression", end * factor), ("High expression", end * factor / 3))
        ):
            times = np.sort(rng.exponential(scale, count))
            alive = 100 * (1 - np.arange(1, count + 1) / count)[times < end]
            times = times[times < end]
            label = f"{name} (n = {count})"
            axes.step([0, *times, end], [100, *alive, alive[-1]], where="post", color=colours[number], label=label)
            axes.plot(times[4::7], alive[4::7], "|", color=colours[number])
        axes.set(xlabel="Time (months)", ylabel="Overall survival (%)", ylim=(0, 103), xlim=(0, end))
        axes.set_title(f"log-rank P = {rng.uniform(0.001, 0.02):.3f}", fontsize=8)
        axes.legend(frameon=False, fontsize=7, loc="upper right" if rng.random() < 0.5 else "lower left")
        if rng.random() < 0.6:
            _open(axes)
        return f"Patients with high expression (n = {count}) died earlier than those with low expression (n = {count})."

    return render(draw, (float(rng.choice([3.0, 3.6, 4.2])), 2.8))


def scatter_plot(rng: np.random.Generator) -> tuple[Image.Image, str]:
    """Cloud of points with the line of linear regression."""

    def draw(axes: Axes) -> str:
        slope = float(rng.choice([-0.8, 0.7, 1.2]))
        x = rng.normal(50, 12, 70)
        y = 40 + slope * x + rng.normal(0, 9, 70)
        axes.scatter(x, y, s=12, alpha=0.7, color=_palette(rng)[0])
        line = np.polyfit(x, y, 1)
        axes.plot(np.sort(x), np.polyval(line, np.sort(x)), color="black", linewidth=1)
        axes.set(xlabel="Age (years)", ylabel="Measured value (a.u.)")
        axes.set_title(f"r = {np.corrcoef(x, y)[0, 1]:.2f}", loc="left", fontsize=8)
        _open(axes)
        trend = "rising" if slope > 0 else "falling"
        return f"Each of the 70 dots is one participant; the {trend} line is the linear fit."

    return render(draw, (3.4, 2.9))


def box_plot(rng: np.random.Generator) -> tuple[Image.Image, str]:
    """Boxes of four groups with single points over them."""

    def draw(axes: Axes) -> str:
        groups = [rng.normal(mean, 6, 25) for mean in rng.uniform(30, 60, 4)]
        boxes = axes.boxplot(groups, patch_artist=True, widths=0.6, medianprops={"color": "black"})
        for box, colour in zip(boxes["boxes"], _palette(rng), strict=False):
            box.set_facecolor(colour)
        for number, group in enumerate(groups):
            axes.scatter(rng.normal(number + 1, 0.06, 25), group, s=5, color="black", alpha=0.5)
        axes.set_xticks(range(1, 5), ["Healthy", "Mild", "Moderate", "Severe"])
        axes.set_ylabel("Thickness (µm)")
        _open(axes)
        return "Boxes span the quartiles of 25 observations in each of four grades of severity; lines are medians."

    return render(draw, (3.4, 2.8))


def line_plot(rng: np.random.Generator) -> tuple[Image.Image, str]:
    """Monthly course of three series with error bars."""

    def draw(axes: Axes) -> str:
        months = np.arange(1, 13)
        for number, colour in enumerate(_palette(rng)[:3]):
            course = 40 + 25 * np.sin((months - rng.uniform(2, 8)) / 12 * 2 * np.pi) + rng.normal(0, 3, 12)
            axes.errorbar(
                months, course, yerr=4, color=colour, marker="os^"[number], capsize=2, label=f"{2018 + number}"
            )
        axes.set(xlabel="Month", ylabel="Cases per 100 000")
        axes.legend(frameon=False, fontsize=7)
        _open(axes)
        return "Three years, 2018 to 2020, by month, with their 95% confidence intervals."

    return render(draw, (4.0, 2.8))


def table(rng: np.random.Generator) -> tuple[Image.Image, str]:
    """Printed table of baseline characteristics with horizontal rules only."""

    def draw(axes: Axes) -> str:
        typical: dict[str, float] = {"Age (years)": 54, "Female (%)": 48, "BMI (kg/m²)": 26, "Smokers (%)": 21}
        typical |= {"Systolic BP (mmHg)": 131, "HbA1c (%)": 6.4, "eGFR (mL/min)": 82, "Haemoglobin (g/L)": 138}
        rows = []
        for name in rng.permutation(list(typical))[: int(rng.integers(4, 9))]:
            value = typical[str(name)]
            cases, controls = value * rng.uniform(0.9, 1.1, 2)
            rows.append((name, f"{cases:.1f}", f"{controls:.1f}", f"{rng.uniform(0.01, 0.9):.2f}"))
        axes.axis("off")
        axes.set(xlim=(0, 1), ylim=(-len(rows) - 0.8, 0.8))
        for line, cells in enumerate([("Characteristic", "Cases", "Controls", "P"), *rows]):
            for place, cell in zip((0.0, 0.5, 0.7, 0.92), cells, strict=True):
                axes.text(place, -line, cell, weight="bold" if line == 0 else "normal", va="center")
        for height, width in ((0.6, 1.2), (-0.5, 0.7), (-len(rows) - 0.6, 1.2)):
            axes.axhline(height, color="black", linewidth=width)
        return "Values are means or percentages of cases and controls, with the P value of their difference."

    return render(draw, (4.4, float(rng.choice([1.9, 2.6]))), serif=True)


def equation(rng: np.random.Generator) -> tuple[Image.Image, str]:
    """Displayed formula, as publishers keep it as an image."""
    formula = str(rng.choice([r"$R_0 = \frac{\beta}{\gamma}$", r"$\hat{y} = \sum_i w_i x_i + b$"]))

    def draw(axes: Axes) -> str:
        axes.axis("off")
        axes.text(0.5, 0.5, formula, ha="center", va="center", fontsize=15)
        return "A formula."

    return render(draw, (2.4, 0.7), serif=True)
