"""Figures made from the free biomedical and natural images that scikit-image ships in its wheel.

Every function takes a random generator and returns the picture and a sentence that says what this one shows.
The licence of each source image is recorded in ``README.md``.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageOps
from skimage import color, data

RETINA_DISC = (250, 650)
RETINA_MACULA = (700, 700)


@cache
def _shipped(name: str) -> Image.Image:
    return Image.fromarray(getattr(data, name)())


def _crop(image: Image.Image, rng: np.random.Generator, side: int) -> Image.Image:
    left = int(rng.integers(0, image.width - side + 1))
    top = int(rng.integers(0, image.height - side + 1))
    return image.crop((left, top, left + side, top + side))


def _turned(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    image = image.rotate(90 * int(rng.integers(4)))
    return ImageOps.mirror(image) if rng.random() < 0.5 else image


def scale_bar(image: Image.Image, colour: str) -> Image.Image:
    """Draw a scale bar into the lower right corner of ``image`` and return it."""
    length, margin = image.width // 6, image.width // 25
    right, bottom = image.width - margin, image.height - margin
    ImageDraw.Draw(image).rectangle((right - length, bottom - 4, right, bottom), fill=colour)
    return image


def immunohistochemistry(rng: np.random.Generator) -> tuple[Image.Image, str]:
    """Colonic glands stained with DAB and haematoxylin; the strength of either stain varies.

    Stains are separated and mixed again by colour deconvolution (Ruifrok and Johnston 2001).
    """
    stains = color.rgb2hed(np.asarray(_shipped("immunohistochemistry")))
    brown = float(rng.choice([0.25, 0.6, 1.0, 1.35]))
    stains[..., 0] *= rng.uniform(0.8, 1.3)
    stains[..., 2] *= brown
    mixed = Image.fromarray((color.hed2rgb(stains) * 255).astype(np.uint8))
    side = int(rng.choice([220, 300, 400]))
    picture = _turned(_crop(mixed, rng, side), rng).resize((340, 340), Image.Resampling.LANCZOS)
    strength = {0.25: "almost no", 0.6: "weak", 1.0: "moderate", 1.35: "strong"}[brown]
    view = {220: "High-power field", 300: "Representative field", 400: "Low-power overview"}[side]
    return scale_bar(picture, "black"), f"{view} with {strength} brown (DAB) reaction of the glandular epithelium."


def _lesions(picture: Image.Image, rng: np.random.Generator, kind: str) -> Image.Image:
    layer = Image.new("L", picture.size, 0)
    draw = ImageDraw.Draw(layer)
    for _ in range(int(rng.integers(14, 30))):
        radius = rng.uniform(1.5, 6.0) if kind == "haemorrhages" else rng.uniform(2.5, 5.0)
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.38) * picture.width
        x, y = picture.width / 2 + distance * np.cos(angle), picture.height / 2 + distance * np.sin(angle)
        draw.ellipse((x - radius, y - radius * rng.uniform(0.6, 1.0), x + radius, y + radius), fill=210)
    fill = {"haemorrhages": (70, 8, 4), "hard exudates": (250, 225, 130)}[kind]
    paint = Image.new("RGB", picture.size, fill)
    return Image.composite(paint, picture, layer.filter(ImageFilter.GaussianBlur(1.2)))


def fundus(rng: np.random.Generator) -> tuple[Image.Image, str]:
    """Photograph of a human ocular fundus: whole field, disc or macula; colour or red-free; with or without lesions."""
    retina = _shipped("retina")
    view = str(rng.choice(["whole", "whole", "disc", "macula"]))
    if view == "whole":
        turned = retina.rotate(float(rng.uniform(-70, 70)), Image.Resampling.BICUBIC)
        says = "The field covers the optic disc, the macula and the vascular arcades"
    else:
        half = int(rng.integers(250, 360))
        x, y = RETINA_DISC if view == "disc" else RETINA_MACULA
        x, y = x + int(rng.integers(-80, 81)), y + int(rng.integers(-80, 81))
        x = max(x, half)
        turned = retina.crop((x - half, y - half, x + half, y + half))
        says = f"Magnified view centred on the {'optic disc' if view == 'disc' else 'macula'}"
    picture = turned.resize((360, 360), Image.Resampling.LANCZOS)
    eye = "left"
    if rng.random() < 0.5:
        picture, eye = ImageOps.mirror(picture), "right"
    finding = str(rng.choice(["none", "haemorrhages", "hard exudates"]))
    if finding != "none":
        picture = _lesions(picture, rng, finding)
    if rng.random() < 0.25:
        picture = ImageOps.autocontrast(picture.getchannel("G"), cutoff=1).convert("RGB")
        says = f"Red-free image; {says[0].lower()}{says[1:]}"
    else:
        gains = rng.uniform(0.8, 1.15, 3)
        picture = Image.fromarray(np.clip(np.asarray(picture) * gains, 0, 255).astype(np.uint8))
    return (
        picture,
        f"{says} of the {eye} eye, with {'no visible lesion' if finding == 'none' else 'scattered ' + finding}.",
    )


def microaneurysms(rng: np.random.Generator) -> tuple[Image.Image, str]:
    """Detail of a diabetic retina in the green channel, with microaneurysms."""
    side = int(rng.integers(76, 102))
    detail = _turned(_crop(_shipped("microaneurysms"), rng, side), rng)
    picture = ImageOps.autocontrast(detail.resize((300, 300), Image.Resampling.BICUBIC))
    return picture, "Green-channel detail of the retina with microaneurysms, seen as small dark dots."


def phase_cell(rng: np.random.Generator) -> tuple[Image.Image, str]:
    """Quantitative phase image of a single cell in saline."""
    picture = _shipped("cell").crop((250, 225, 550, 525))
    picture = ImageOps.autocontrast(_turned(picture, rng).resize((320, 320)), cutoff=0.5)
    return scale_bar(
        picture.convert("RGB"), "white"
    ), "A single rounded cell stands out bright from the saline around it."


def nature(rng: np.random.Generator) -> tuple[Image.Image, str]:
    """Ground at a sampling site: grass or gravel, toned in colour."""
    kind = str(rng.choice(["grass", "gravel"]))
    grey = _crop(_shipped(kind), rng, 380).resize((320, 320), Image.Resampling.LANCZOS)
    dark, light = ((16, 36, 8), (190, 214, 130)) if kind == "grass" else ((40, 32, 26), (214, 202, 186))
    says = "dense grass cover" if kind == "grass" else "bare gravel without vegetation"
    return ImageOps.colorize(grey, dark, light), f"The plot shows {says}."


def montage(pictures: list[Image.Image], columns: int) -> Image.Image:
    """Put pictures side by side, ``columns`` to a row, with letters A, B, C in their upper left corners."""
    side = 480 // columns
    cells = [
        ImageOps.pad(picture.convert("RGB"), (side, side), Image.Resampling.LANCZOS, "white") for picture in pictures
    ]
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (side * columns + 4 * (columns - 1), side * rows + 4 * (rows - 1)), "white")
    for number, cell in enumerate(cells):
        draw = ImageDraw.Draw(cell)
        draw.rectangle((0, 0, 20, 22), fill="white")
        draw.text((4, 2), chr(ord("A") + number), fill="black", font_size=17)
        sheet.paste(cell, ((number % columns) * (side + 4), (number // columns) * (side + 4)))
    return sheet


def grey_levels(picture: Image.Image) -> NDArray[np.uint16]:
    """The picture's luminance spread over 12 of 16 bits, as a microscope's camera stores it."""
    return np.asarray(picture.convert("L"), dtype=np.uint16) * np.uint16(16)
