"""Compound figures from pictures of one panel, with the boxes of their panels and printed letters: labels at no cost.

Layouts are those of real figures; how a figure looks (its gutters, fonts, where letters stand, what is drawn) is drawn
once for a figure, as articles are consistent in it. What one panel is follows the rule by which people count: what has
one letter is one panel, also where it is several plots; without letters each plot and picture is one.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from biomedica_ray.panels.drawn import Paint, Rng, any_kind, photograph, text_font, words
from biomedica_ray.panels.fonts import NAMES, font
from biomedica_ray.panels.layouts import Layout, Place, Spot
from biomedica_ray.panels.letters import LETTERS

PixelBox = tuple[int, int, int, int]
"""left, top, right, bottom; the last two are the first that are outside."""


class Printed(NamedTuple):
    """A letter that stands in a figure: which, in upper case, and the box of its ink without brackets."""

    letter: str
    box: PixelBox


@dataclass(frozen=True)
class Composed:
    """A figure with its labels.

    Attributes:
        pixels: (height, width, 3).
        panels: A box for each panel.
        letters: The printed letters of panels.
    """

    pixels: npt.NDArray[np.uint8]
    panels: tuple[PixelBox, ...]
    letters: tuple[Printed, ...]


@dataclass(frozen=True)
class _Style:
    """How a figure is lettered and spaced.

    Attributes:
        paper: Colour between panels.
        gutter: Pixels by which the sides of each panel move inwards, or outwards if negative.
        lettered: Whether letters are printed.
        upper: Whether they are capitals.
        template: What is printed for a letter, as "({})".
        face: Name of their font.
        bold: Pixels by which strokes are made wider.
        size: Height of a line in pixels.
        corner: Shares of the panel's width and height where a letter stands if the layout does not say; None: as the
            layout says.
        backed: Whether a letter on a picture stands on a patch of paper.
    """

    paper: tuple[int, int, int]
    gutter: float
    lettered: bool
    upper: bool
    template: str
    face: str
    bold: int
    size: int
    corner: tuple[float, float] | None
    backed: bool


def compose(rng: Rng, layout: Layout | None, pictures: Sequence[Image.Image] = (), share: float = 0.5) -> Composed:
    """A figure of that layout, or of one panel where it is None. The same generator and arguments give the same figure.

    Args:
        rng: Draws everything.
        layout: Where panels and letters are.
        pictures: Pictures of one panel, which are used beside drawn ones.
        share: Of the panels that show one of them.
    """
    side = int(rng.integers(420, 1101))
    if layout is None:
        layout = (Spot(_single_place(rng, pictures), None, ""),)
    style = _style(rng, layout, side)
    right, bottom = (max(spot.panel[n] for spot in layout) * side for n in (2, 3))
    margin = round(side * rng.choice([0, 0, rng.uniform(0, 0.06)]))
    page = Image.new("RGB", (max(40, round(right) + 2 * margin), max(40, round(bottom) + 2 * margin)), style.paper)
    paints = _paints(rng, pictures, share)
    panels, letters = [], []
    for spot in layout:
        outer = _moved(spot.panel, side, margin, style.gutter)
        box = _fill(rng, page, outer, paints, style)
        if style.lettered and spot.text:
            printed = _print_letter(page, spot, outer, style, side=side, margin=margin)
            letters.append(printed)
            box = _union(box, printed.box)
        panels.append(box)
    _distract(rng, page, len(layout))
    return Composed(_published(rng, page), tuple(panels), tuple(letters))


def lettered_grid(rng: Rng) -> Layout:
    """A layout of many small panels with any letters, from which the reader of letters learns most at least cost."""
    across, down = (int(each) for each in rng.integers(3, 7, 2))
    pitch, ratio, height = 1 / max(across, down), rng.uniform(0.6, 1), rng.uniform(0.011, 0.05)
    gap = rng.choice([0.0, rng.uniform(0, 0.25)])
    inset = rng.uniform(0, 0.2, 2)
    spots = []
    for n in range(across * down):
        left, top = n % across * pitch, n // across * pitch * ratio
        panel = Place(left, top, left + pitch * (1 - gap), top + pitch * ratio * (1 - gap))
        at = (left + inset[0] * pitch, top + inset[1] * pitch * ratio)
        letter = Place(*at, at[0] + height, at[1] + height)
        spots.append(Spot(panel, letter, LETTERS[int(rng.integers(len(LETTERS)))]))
    return tuple(spots)


def _single_place(rng: Rng, pictures: Sequence[Image.Image]) -> Place:
    ratio = math.exp(rng.normal(0, 0.35))
    if pictures:
        width, height = pictures[int(rng.integers(len(pictures)))].size
        ratio = width / height
    return Place(0, 0, min(1.0, ratio), min(1.0, 1 / ratio))


def _style(rng: Rng, layout: Layout, side: int) -> _Style:
    texts = [spot.text for spot in layout]
    heights = [spot.letter.bottom - spot.letter.top for spot in layout if spot.letter]
    height = float(np.median(heights)) * side if heights else side * rng.uniform(0.02, 0.06)
    corners = (
        (-0.02, -0.04),
        (0.02, 0.02),
        (0.0, 0.0),
        (0.02, 0.9),
        (0.9, 0.02),
        (0.9, 0.9),
        (0.45, -0.06),
        (-0.06, 0),
    )
    moved = rng.random() < 0.4
    shade = 255 if rng.random() < 0.94 else int(rng.choice([0, 20, 235]))
    return _Style(
        paper=(shade, shade, shade),
        gutter=float(rng.choice([0, 0, rng.uniform(-0.012, 0.0), rng.uniform(0, 0.02)])) * side,
        lettered=any(texts) and rng.random() < 0.85,
        upper=rng.random() < 0.68,
        template=str(rng.choice(["{}", "{}", "{}", "{}", "{}", "{}", "({})", "({})", "{})", "{}."])),
        face=str(rng.choice(NAMES)),
        bold=int(rng.random() < 0.5),
        size=max(10, round(height * rng.uniform(1.0, 1.5))),
        corner=corners[int(rng.choice(len(corners), p=[0.3, 0.3, 0.15, 0.07, 0.05, 0.03, 0.03, 0.07]))]
        if moved
        else None,
        backed=rng.random() < 0.3,
    )


def _paints(rng: Rng, pictures: Sequence[Image.Image], share: float) -> Callable[[], Paint]:
    """What draws the panels of a figure: mostly one kind, now and then another."""
    main, mixed = any_kind(rng), rng.random() < 0.5

    def choose() -> Paint:
        if pictures and rng.random() < share:
            picture = pictures[int(rng.integers(len(pictures)))]
            return lambda _, width, height: _fitted(picture, width, height)
        return any_kind(rng) if mixed and rng.random() < 0.6 else main

    return choose


def _fitted(picture: Image.Image, width: int, height: int) -> Image.Image:
    """A picture made to fit: stretched by 1.4 at most, so that its text stays text, and cut beyond that."""
    stretch = math.sqrt(1.4)
    scale = max(width / picture.width, height / picture.height) / stretch
    wide, high = min(picture.width, round(width / scale)), min(picture.height, round(height / scale))
    return picture.crop((0, 0, max(1, wide), max(1, high))).resize((width, height), Image.Resampling.BILINEAR)


def _moved(place: Place, side: int, margin: int, gutter: float) -> PixelBox:
    left, top, right, bottom = (round(each * side) + margin for each in place)
    inwards = round(min(gutter, (right - left) / 4, (bottom - top) / 4))
    return left + inwards, top + inwards, right - inwards, bottom - inwards


def _fill(rng: Rng, page: Image.Image, box: PixelBox, paints: Callable[[], Paint], style: _Style) -> PixelBox:
    """Draw a panel; returns the box of what is drawn."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    if width < 16 or height < 16:
        page.paste((90, 90, 90), box)
        return max(0, left), max(0, top), min(page.width, right), min(page.height, bottom)
    many = style.lettered and min(width, height) > 120 and rng.random() < 0.25
    across, down = (int(each) for each in rng.integers(1, 4, 2)) if many else (1, 1)
    gap = round(rng.choice([0, 2, rng.uniform(0, 0.05) * width])) if many else 0
    paint = paints()
    for row in range(down):
        for column in range(across):
            wide, high = (width - gap * (across - 1)) // across, (height - gap * (down - 1)) // down
            picture = paint(rng, max(16, wide), max(16, high))
            page.paste(picture, (left + column * (wide + gap), top + row * (high + gap)))
    if rng.random() < 0.06 and min(width, height) > 100:
        _inset(rng, page, box)
    if rng.random() < 0.1:
        ImageDraw.Draw(page).rectangle((left, top, right - 1, bottom - 1), outline="black", width=1)
    return _inked(page, (max(0, left), max(0, top), min(page.width, right), min(page.height, bottom)), style)


def _inset(rng: Rng, page: Image.Image, box: PixelBox) -> None:
    left, top, right, bottom = box
    wide, high = ((right - left) * rng.uniform(0.2, 0.4), (bottom - top) * rng.uniform(0.2, 0.4))
    picture = photograph(rng, round(wide), round(high))
    at = (round(right - wide - rng.choice([0, 6])), round(top + rng.choice([0, 6])))
    page.paste(picture, at)
    ImageDraw.Draw(page).rectangle((*at, at[0] + picture.width, at[1] + picture.height), outline="white", width=2)


def _inked(page: Image.Image, box: PixelBox, style: _Style) -> PixelBox:
    """A box without the paper at its sides; the box itself where it is all paper."""
    pixels = np.asarray(page.crop(box)).astype(np.int16)
    ink = np.abs(pixels - np.array(style.paper, np.int16)).max(axis=2) > 40
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not len(rows):
        return box
    return box[0] + int(columns[0]), box[1] + int(rows[0]), box[0] + int(columns[-1]) + 1, box[1] + int(rows[-1]) + 1


def _print_letter(page: Image.Image, spot: Spot, outer: PixelBox, style: _Style, *, side: int, margin: int) -> Printed:
    text = spot.text.upper() if style.upper else spot.text.lower()
    face, draw = font(style.face, style.size), ImageDraw.Draw(page)
    bold = style.bold * max(1, style.size // 22)
    before, after = style.template.split("{}")
    ink = draw.textbbox((0, 0), text, font=face, stroke_width=bold)
    start = draw.textlength(before, font=face) if before else 0
    whole = draw.textbbox((0, 0), before + text + after, font=face, stroke_width=bold)
    if style.corner is None and spot.letter:
        x, y = spot.letter.left * side + margin - ink[0] - start, spot.letter.top * side + margin - ink[1]
    else:
        across, down = style.corner or (0.02, 0.02)
        x = outer[0] + across * (outer[2] - outer[0]) - whole[0]
        y = outer[1] + down * (outer[3] - outer[1]) - whole[1]
    x = float(np.clip(x, 1 - whole[0], max(1 - whole[0], page.width - whole[2] - 1)))
    y = float(np.clip(y, 1 - whole[1], max(1 - whole[1], page.height - whole[3] - 1)))
    x, y = round(x), round(y)
    left, top, right, bottom = (math.floor(each) for each in whole)
    area = (x + left - 2, y + top - 2, x + right + 2, y + bottom + 2)
    under = np.asarray(page.crop(area))
    dark = under.mean() < 128
    busy = under.std() > 30
    if style.backed or (busy and under.mean() > 60):
        draw.rectangle(area, fill=style.paper if max(style.paper) > 128 or not dark else "white")
        dark = max(style.paper) <= 128 and dark
    draw.text((x, y), before + text + after, fill="white" if dark else "black", font=face, stroke_width=bold)
    edges = (x + start + ink[0], y + ink[1], x + start + ink[2], y + ink[3])
    return Printed(
        spot.text.upper(), (math.floor(edges[0]), math.floor(edges[1]), math.ceil(edges[2]), math.ceil(edges[3]))
    )


def _union(one: PixelBox, other: PixelBox) -> PixelBox:
    low = (max(0, min(one[n], other[n])) for n in (0, 1))
    high = (max(one[n], other[n]) for n in (2, 3))
    left, top = low
    right, bottom = high
    return left, top, right, bottom


def _distract(rng: Rng, page: Image.Image, panels: int) -> None:
    """Things that belong to no panel, or to all: a title, a shared legend, a frame around everything."""
    draw = ImageDraw.Draw(page)
    size = max(8, page.height * 0.025)
    if rng.random() < 0.08:
        at = (page.width / 2, 1 if rng.random() < 0.5 else page.height - size - 1)
        draw.text(at, words(rng, 2, 6), fill="black", font=text_font(rng, size), anchor="ma")
    if rng.random() < 0.04:
        draw.rectangle((0, 0, page.width - 1, page.height - 1), outline="black", width=int(rng.integers(1, 4)))
    if panels > 1 and rng.random() < 0.04:
        y = page.height // 2
        draw.line((0, y, page.width, y), fill="black")


def _published(rng: Rng, page: Image.Image) -> npt.NDArray[np.uint8]:
    """As journals publish it: some are grey, most are JPEGs."""
    if rng.random() < 0.25:
        page = page.convert("L").convert("RGB")
    if rng.random() < 0.7:
        buffer = io.BytesIO()
        page.save(buffer, "JPEG", quality=int(rng.integers(45, 96)))
        page = Image.open(buffer).convert("RGB")
    return np.asarray(page)
