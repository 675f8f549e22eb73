"""Pictures of one panel that are drawn: plots, photographs, blots, diagrams and tables, of any size, in milliseconds.

They are what `train-panels` composes figures from beside the figures of a store. Nothing in them means anything: they
have what misleads a finder of panels (white space inside plots, legends, axis labels, touching bands), in all sizes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy import ndimage

from biomedica_ray.panels.fonts import NAMES, Font, font

Rng = np.random.Generator
Paint = Callable[[Rng, int, int], Image.Image]
"""Draws a picture of a width and a height."""

_TEXT = (
    "control treated mock vehicle time (h) cells (%) p < 0.05 relative expression fold change dose mg/kg "
    "days WT KO siRNA n = 12 actin GAPDH merge DAPI signal intensity a.u. log10 age group A B C sample I "
    "II III a b c x y kDa overall survival week 4 before after Frequency Number of sites ROC AUC = 0.91 "
    "T1 T2 FLAIR 20 um PC1 (34%) UMAP2 E. coli high low medium Gene Score ** * ns Figure model step 1 "
    "input output included excluded screened"
)
_WORDS = _TEXT.split()
_INKS = ("black", "#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#777777", "#e64b35", "#00a087", "#3c5488")


def words(rng: Rng, least: int = 1, most: int = 3) -> str:
    """A few words of those that stand in figures."""
    return " ".join(rng.choice(_WORDS, int(rng.integers(least, most + 1))))


def text_font(rng: Rng, size: float) -> Font:
    """A font for axis labels and the like."""
    return font(str(rng.choice(NAMES)), max(6, round(size)))


def plot(rng: Rng, width: int, height: int) -> Image.Image:
    """Axes with ticks and labels, and curves, bars, points, boxes, steps or a matrix in them."""
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    size = float(np.clip(min(width, height) * rng.uniform(0.035, 0.085), 6, 26))
    face = text_font(rng, size)
    left, bottom = round(size * rng.uniform(1.2, 4)), height - round(size * rng.uniform(1.2, 3.5))
    top, right = round(size * rng.uniform(0.3, 2)), width - round(size * rng.uniform(0.3, 1.5))
    if right - left < 12 or bottom - top < 12:
        return photograph(rng, width, height)
    line, ink = max(1, round(size / 9)), str(rng.choice(["black", "black", "#444444"]))
    if rng.random() < 0.35:
        draw.rectangle((left, top, right, bottom), outline=ink, width=line)
    elif rng.random() < 0.9:
        draw.line((left, top, left, bottom, right, bottom), fill=ink, width=line)
    if rng.random() < 0.2:
        for y in np.linspace(top, bottom, int(rng.integers(3, 7))):
            draw.line((left, y, right, y), fill="#dddddd")
    _ticks(rng, draw, (left, top, right, bottom), face=face, ink=ink, size=size)
    marks = (_bars, _curves, _points, _boxes, _matrix, _steps)
    marks[int(rng.choice(len(marks), p=[0.25, 0.25, 0.2, 0.1, 0.1, 0.1]))](rng, draw, (left, top, right, bottom))
    if rng.random() < 0.4 and top > size:
        draw.text(((left + right) / 2, top / 2), words(rng), fill="black", font=face, anchor="mm")
    if rng.random() < 0.6:
        draw.text(((left + right) / 2, height - 1), words(rng), fill="black", font=face, anchor="mb")
    if rng.random() < 0.6:
        _upright(image, words(rng), face, (top + bottom) // 2)
    if rng.random() < 0.3:
        _legend(rng, draw, (left, top, right, bottom), face, size)
    return image


Frame = tuple[int, int, int, int]


def _ticks(rng: Rng, draw: ImageDraw.ImageDraw, frame: Frame, *, face: Font, ink: str, size: float) -> None:
    left, top, right, bottom = frame
    for x in np.linspace(left, right, int(rng.integers(2, 8)))[1:]:
        draw.line((x, bottom, x, bottom + size / 4), fill=ink)
        draw.text((x, bottom + size / 3), _number(rng), fill="black", font=face, anchor="ma")
    for y in np.linspace(bottom, top, int(rng.integers(2, 7)))[1:]:
        draw.line((left - size / 4, y, left, y), fill=ink)
        draw.text((left - size / 3, y), _number(rng), fill="black", font=face, anchor="rm")


def _number(rng: Rng) -> str:
    if rng.random() < 0.15:
        return str(rng.choice(_WORDS))[:5]
    return str(rng.choice([f"{rng.integers(0, 12)}", f"{10 * rng.integers(0, 12)}", f"{rng.random():.1f}"]))


def _upright(image: Image.Image, text: str, face: Font, middle: int) -> None:
    left, top, right, bottom = (math.ceil(each) for each in ImageDraw.Draw(image).textbbox((0, 0), text, font=face))
    patch = Image.new("L", (max(1, right - left), max(1, bottom - top)), 0)
    ImageDraw.Draw(patch).text((-left, -top), text, fill=255, font=face)
    turned = patch.rotate(90, expand=True)
    image.paste("black", (0, middle - turned.height // 2), turned)


def _legend(rng: Rng, draw: ImageDraw.ImageDraw, frame: Frame, face: Font, size: float) -> None:
    left, top, right, _ = frame
    x, y = rng.uniform(left, max(left + 1, right - 5 * size)), top + size / 2
    for _ in range(int(rng.integers(2, 5))):
        draw.rectangle((x, y, x + size * 0.8, y + size * 0.6), fill=str(rng.choice(_INKS)))
        draw.text((x + size, y), words(rng, 1, 2), fill="black", font=face)
        y += size * 1.2


def _bars(rng: Rng, draw: ImageDraw.ImageDraw, frame: Frame) -> None:
    left, top, right, bottom = frame
    many, gap = int(rng.integers(2, 14)), rng.uniform(0.05, 0.7)
    pitch, inks = (right - left) / many, [str(rng.choice(_INKS)) for _ in range(int(rng.integers(1, 4)))]
    for n in range(many):
        high = bottom - rng.uniform(0.05, 0.9) * (bottom - top)
        x = left + (n + gap / 2) * pitch
        outline = "black" if rng.random() < 0.5 else None
        fill = inks[n % len(inks)] if rng.random() < 0.9 else "white"
        draw.rectangle((x, high, max(x + 1, x + pitch * (1 - gap)), bottom), fill=fill, outline=outline or fill)
        middle = x + pitch * (1 - gap) / 2
        draw.line((middle, high, middle, max(top, high - rng.uniform(0, 0.1) * (bottom - top))), fill="black")


def _curves(rng: Rng, draw: ImageDraw.ImageDraw, frame: Frame) -> None:
    left, top, right, bottom = frame
    for _ in range(int(rng.integers(1, 6))):
        x = np.linspace(left, right, int(rng.integers(4, 60)))
        rough = np.cumsum(rng.standard_normal(len(x))) + rng.uniform(-1, 1) * np.arange(len(x))
        y = (rough - rough.min()) / max(1e-6, float(np.ptp(rough))) * rng.uniform(0.3, 0.95) + rng.uniform(0, 0.05)
        points = list(zip(x, bottom - y * (bottom - top), strict=True))
        ink = str(rng.choice(_INKS))
        draw.line(points, fill=ink, width=int(rng.integers(1, 4)))
        if len(x) < 20 and rng.random() < 0.6:
            for at in points:
                draw.ellipse((at[0] - 3, at[1] - 3, at[0] + 3, at[1] + 3), fill=ink)


def _points(rng: Rng, draw: ImageDraw.ImageDraw, frame: Frame) -> None:
    left, top, right, bottom = frame
    radius = rng.uniform(1, 4)
    for _ in range(int(rng.integers(1, 5))):
        many, ink = int(rng.integers(10, 200)), str(rng.choice(_INKS))
        spread = rng.uniform(0.03, 0.25)
        xs = np.clip(rng.normal(rng.uniform(0.2, 0.8), spread, many), 0, 1) * (right - left) + left
        ys = np.clip(rng.normal(rng.uniform(0.2, 0.8), spread, many), 0, 1) * (bottom - top) + top
        for x, y in zip(xs, ys, strict=True):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=ink)


def _boxes(rng: Rng, draw: ImageDraw.ImageDraw, frame: Frame) -> None:
    left, top, right, bottom = frame
    many = int(rng.integers(2, 9))
    pitch = (right - left) / many
    for n in range(many):
        low, first, middle, third, high = np.sort(rng.uniform(top, bottom, 5))
        x, half = left + (n + 0.5) * pitch, pitch * rng.uniform(0.15, 0.4)
        draw.line((x, low, x, high), fill="black")
        draw.rectangle((x - half, first, x + half, third), fill=str(rng.choice(_INKS[1:])), outline="black")
        draw.line((x - half, middle, x + half, middle), fill="black", width=2)


def _matrix(rng: Rng, draw: ImageDraw.ImageDraw, frame: Frame) -> None:
    left, top, right, bottom = frame
    across, down = (int(each) for each in rng.integers(2, 24, 2))
    one, other = rng.integers(0, 256, (2, 3))
    for row in range(down):
        for column in range(across):
            shade = tuple(int(each) for each in one + (other - one) * rng.random())
            x, y = left + column * (right - left) / across, top + row * (bottom - top) / down
            corner = (x + (right - left) / across, y + (bottom - top) / down)
            draw.rectangle((x, y, *corner), fill=shade, outline="white" if rng.random() < 0.05 else shade)


def _steps(rng: Rng, draw: ImageDraw.ImageDraw, frame: Frame) -> None:
    left, top, right, bottom = frame
    for _ in range(int(rng.integers(1, 5))):
        x, y, points = float(left), float(top), [(float(left), float(top))]
        while x < right:
            x = min(right, x + rng.uniform(0.02, 0.15) * (right - left))
            points.append((x, y))
            y = min(bottom, y + rng.uniform(0, 0.12) * (bottom - top))
            points.append((x, y))
        draw.line(points, fill=str(rng.choice(_INKS)), width=int(rng.integers(1, 3)))


Grey = npt.NDArray[np.float64]


def photograph(rng: Rng, width: int, height: int) -> Image.Image:
    """A picture that fills its panel: tissue, cells on a dark ground, a scan, a gel; with a scale bar or arrows."""
    step = max(1, min(width, height) // 150)
    shape = (max(2, height // step), max(2, width // step))
    field = _tissue if rng.random() < 0.5 else _spots if rng.random() < 0.6 else _scan
    levels = np.clip(field(rng, shape), 0, 1)
    dark, light = rng.integers(0, 90, 3), rng.integers(120, 256, 3)
    tint = rng.random()
    if tint < 0.45:
        dark, light = np.full(3, dark[0]), np.full(3, light[0])
    elif tint < 0.7:
        dark, light = np.zeros(3, int), light * rng.integers(0, 2, 3)
    coloured = (dark + (light - dark) * levels[..., None]).astype(np.uint8)
    image = Image.fromarray(coloured).resize((width, height), Image.Resampling.BICUBIC)
    draw, ink = ImageDraw.Draw(image), "white" if coloured.mean() < 140 else "black"
    if rng.random() < 0.4:
        long, thick = width * rng.uniform(0.1, 0.3), max(2, height // 60)
        right, bottom = width * rng.uniform(0.9, 0.97), height * rng.uniform(0.9, 0.97)
        draw.rectangle((right - long, bottom - thick, right, bottom), fill=ink)
    if rng.random() < 0.25:
        size = float(np.clip(min(width, height) * 0.08, 7, 24))
        at = (width * rng.uniform(0.05, 0.6), height * rng.choice([0.03, 0.85]))
        draw.text(at, words(rng, 1, 2), fill=ink, font=text_font(rng, size))
    for _ in range(int(rng.integers(0, 3))):
        x, y = width * rng.uniform(0.1, 0.9), height * rng.uniform(0.1, 0.9)
        draw.line((x, y, x + width * 0.06, y + height * 0.06), fill=ink, width=3)
    return image


def _tissue(rng: Rng, shape: tuple[int, int]) -> Grey:
    levels = np.zeros(shape)
    for sigma in rng.uniform(0.5, 14, 3):
        noise = ndimage.gaussian_filter(rng.standard_normal(shape), sigma)
        levels += noise / max(1e-6, noise.std())
    return np.asarray(0.5 + levels * rng.uniform(0.05, 0.2) + rng.uniform(-0.3, 0.3))


def _spots(rng: Rng, shape: tuple[int, int]) -> Grey:
    levels = np.zeros(shape)
    many = int(rng.integers(3, 120))
    levels[rng.integers(0, shape[0], many), rng.integers(0, shape[1], many)] = 1
    levels = ndimage.gaussian_filter(levels, rng.uniform(1, 7))
    dark = levels / max(1e-6, float(levels.max())) + rng.normal(0, 0.02, shape)
    return np.asarray(dark if rng.random() < 0.75 else 1 - dark)


def _scan(rng: Rng, shape: tuple[int, int]) -> Grey:
    """A slice of a body on black, or lanes of a gel."""
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    if rng.random() < 0.5:
        inside = np.hypot(x / rng.uniform(0.6, 1.1), y / rng.uniform(0.6, 1.1)) < 1
        return np.asarray(inside * _tissue(rng, shape))
    lanes = np.sin((x + 1) * math.pi * int(rng.integers(3, 12))) ** 2
    bands = sum(np.exp(-(((y - at) / 0.04) ** 2)) for at in rng.uniform(-1, 1, int(rng.integers(1, 8))))
    dark = lanes * bands * rng.uniform(0.5, 1) + rng.normal(0.1, 0.02, shape)
    return np.asarray(dark if rng.random() < 0.4 else 1 - dark)


def blot(rng: Rng, width: int, height: int) -> Image.Image:
    """Strips of a western blot, one a protein, with names beside them: several strips, one panel."""
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    rows = int(rng.integers(1, 7))
    pitch = height / (rows + 0.8)
    size = float(np.clip(pitch * 0.4, 6, 20))
    face, left = text_font(rng, size), round(width * rng.uniform(0.1, 0.3))
    lanes = int(rng.integers(2, 10))
    for n in range(lanes):
        x = left + (n + 0.5) * (width - left) / lanes
        draw.text(
            (x, 0.4 * pitch), str(rng.choice(["+", "-", "1", "2", "C", "wt"])), fill="black", font=face, anchor="mm"
        )
    for row in range(rows):
        top, high = round((row + 0.8) * pitch), max(3, round(pitch * rng.uniform(0.75, 0.95)))
        wide = max(8, width - left - round(width * rng.uniform(0, 0.12)))
        y, x = np.mgrid[-1 : 1 : high * 1j, 0 : lanes : wide * 1j]
        amounts = rng.uniform(0, 1, lanes)[np.minimum(x.astype(int), lanes - 1)]
        bands = amounts * np.exp(-((y / 0.35) ** 2) - ((x % 1 - 0.5) / 0.33) ** 4)
        grey = (rng.uniform(190, 250) * (1 - bands) + rng.normal(0, 4, bands.shape)).clip(0, 255).astype(np.uint8)
        image.paste(Image.fromarray(grey), (left, top))
        if rng.random() < 0.8:
            draw.rectangle((left, top, left + wide - 1, top + high - 1), outline="black")
        draw.text((left - 4, top + high / 2), words(rng, 1, 1), fill="black", font=face, anchor="rm")
    return image


def diagram(rng: Rng, width: int, height: int) -> Image.Image:
    """Boxes of text joined by arrows, all of them apart or nearly: one panel."""
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    across, down = int(rng.integers(1, 5)), int(rng.integers(2, 6))
    wide, high = width / across, height / down
    size = float(np.clip(min(wide * 0.12, high * 0.22), 6, 22))
    face, inks = (
        text_font(rng, size),
        [str(rng.choice(["white", "#dbe7f5", "#fde9d9", "#e2f0d9", "#eeeeee"])) for _ in "ab"],
    )
    shape = draw.ellipse if rng.random() < 0.15 else draw.rectangle
    for row in range(down):
        for column in range(across):
            if rng.random() < 0.2:
                continue
            x, y = (column + 0.5) * wide, (row + 0.5) * high
            half = (wide * rng.uniform(0.3, 0.46), high * rng.uniform(0.25, 0.4))
            if row + 1 < down and rng.random() < 0.8:
                draw.line((x, y, x, y + high), fill="black", width=2)
            if column + 1 < across and rng.random() < 0.4:
                draw.line((x, y, x + wide, y), fill="black", width=2)
            corners = (x - half[0], y - half[1], x + half[0], y + half[1])
            shape(corners, fill=inks[(row + column) % 2], outline="black" if rng.random() < 0.8 else None)
            draw.text((x, y), words(rng, 1, 2), fill="black", font=face, anchor="mm")
    return image


def table(rng: Rng, width: int, height: int) -> Image.Image:
    """Columns of words and numbers with white space between them: one panel."""
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    size = float(np.clip(height * rng.uniform(0.03, 0.09), 7, 24))
    face, rows = text_font(rng, size), max(2, int(height / (size * rng.uniform(1.2, 2.2))))
    columns = int(rng.integers(2, 7))
    ruled = rng.random() < 0.5
    for row in range(rows):
        y = (row + 0.5) * height / rows
        if ruled or row in {0, 1}:
            draw.line((0, y - height / rows / 2, width, y - height / rows / 2), fill="black")
        for column in range(columns):
            text = words(rng, 1, 2) if column == 0 or row == 0 else _number(rng)
            draw.text((column * width / columns + 2, y), text, fill="black", font=face, anchor="lm")
    return image


KINDS: tuple[tuple[Paint, float], ...] = (
    (plot, 0.46),
    (photograph, 0.34),
    (blot, 0.07),
    (diagram, 0.08),
    (table, 0.05),
)
"""What is drawn, and how often: plots and photographs are most of what articles show."""


def any_kind(rng: Rng) -> Paint:
    """One of :data:`KINDS`."""
    return KINDS[int(rng.choice(len(KINDS), p=[share for _, share in KINDS]))][0]
