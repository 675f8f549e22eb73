"""Figures simulated with numpy: fluorescent cells, Western blots, gels and magnetic resonance slices.

Every function takes a random generator and returns the picture and a sentence that says what this one shows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter, map_coordinates

from biomedica_ray.sample.photographs import scale_bar

Array = NDArray[np.float64]
LANES = (
    ("Ctrl", "TGF", "TGF+L", "TGF+H"),
    ("WT", "KO", "WT", "KO"),
    ("siNC", "si-1", "si-2"),
    ("0 h", "6 h", "12 h", "24 h", "48 h"),
    ("N1", "T1", "N2", "T2", "N3", "T3"),
)
PROTEINS = (
    ("p-AKT", 60),
    ("AKT", 60),
    ("ERK1/2", 43),
    ("BAX", 21),
    ("BCL2", 26),
    ("LC3", 15),
    ("p53", 53),
    ("STAT3", 88),
)


def _noise(rng: np.random.Generator, shape: tuple[int, int], sigma: float) -> Array:
    field = gaussian_filter(rng.standard_normal(shape), sigma, mode="wrap")
    return np.asarray(field / field.std())


def _to_image(levels: Array) -> Image.Image:
    return Image.fromarray((np.clip(levels, 0, 1) * 255).astype(np.uint8))


def fluorescence(rng: np.random.Generator) -> tuple[Image.Image, str]:
    """Adherent cells on black: blue nuclei, a cytoplasmic stain with filaments, and puncta in some."""
    size = 320
    y, x = np.mgrid[0:size, 0:size].astype(float)
    number = int(rng.choice([5, 12, 28]))
    radius = {5: 26.0, 12: 17.0, 28: 11.0}[number]
    nuclei, bodies, centres = np.zeros((size, size)), np.zeros((size, size)), list[tuple[float, float]]()
    for _ in range(4000):
        cx, cy = rng.uniform(0.5 * radius, size - 0.5 * radius, 2)
        if len(centres) == number:
            break
        if all(np.hypot(cx - a, cy - b) > 2.3 * radius for a, b in centres):
            centres.append((cx, cy))
            angle, stretch = rng.uniform(0, np.pi), rng.uniform(1.05, 1.6)
            u = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
            v = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
            distance = np.hypot(u / stretch, v) / radius
            nuclei = np.maximum(nuclei, (distance < 1) * rng.uniform(0.6, 1.0))
            spread = distance + 0.25 * _noise(rng, (size, size), radius / 2)
            bodies = np.maximum(bodies, np.clip(2.3 - spread, 0, 1) * rng.uniform(0.5, 1.0))
    nuclei = gaussian_filter(nuclei, 1.5) * (0.8 + 0.15 * _noise(rng, (size, size), 2.5))
    filaments = np.clip(1 - np.abs(_noise(rng, (size, size), 3.2)) * 2.2, 0, 1)
    cytoplasm = gaussian_filter(bodies, 2) * (0.25 + 0.75 * filaments) * (1 - 0.7 * np.clip(nuclei, 0, 1))
    puncta = gaussian_filter((rng.random((size, size)) < 0.006) * bodies, 1.1) * 12
    stain = str(rng.choice(["green", "red", "magenta"]))
    colours = {"green": (0.05, 1.0, 0.15), "red": (1.0, 0.12, 0.05), "magenta": (0.95, 0.05, 0.9)}
    levels = np.stack([cytoplasm * weight for weight in colours[stain]], axis=-1)
    levels += np.stack([0.12 * nuclei, 0.2 * nuclei, nuclei], axis=-1)
    has_puncta = bool(rng.random() < 0.5)
    if has_puncta:
        levels += np.stack([puncta, 0.8 * puncta, 0.1 * puncta], axis=-1)
    levels += rng.normal(0.02, 0.015, levels.shape)
    density = {5: "A few large cells", 12: "Cells at moderate density", 28: "A dense layer of cells"}[number]
    extra = " and yellow puncta in the cytoplasm" if has_puncta else ""
    return scale_bar(_to_image(levels), "white"), f"{density} with {stain} filaments, blue nuclei (DAPI){extra}."


def _strip(rng: np.random.Generator, amounts: Array, width: int, height: int) -> Array:
    y, x = np.mgrid[0:height, 0:width].astype(float)
    pitch = width / len(amounts)
    bend = height * rng.uniform(-0.06, 0.06)
    strip: Array = 0.12 + 0.02 * _noise(rng, (height, width), 6) + 0.015 * rng.standard_normal((height, width))
    for lane, amount in enumerate(amounts):
        centre = (lane + 0.5) * pitch
        along = np.clip((pitch * 0.40 - np.abs(x - centre)) / 3.5, 0, 1)
        middle = height / 2 + bend * ((x - width / 2) / width * 2) ** 2 + rng.uniform(-1, 1)
        strip += amount * along * np.exp(-(((y - middle) / (height * (0.11 + 0.06 * amount))) ** 2))
    blurred: Array = gaussian_filter(strip, 0.8)
    return 1 - blurred


def immunoblot(rng: np.random.Generator) -> tuple[Image.Image, str]:
    """Western blot: one strip a protein, the loading control last, with lane labels and molecular masses."""
    lanes = LANES[int(rng.integers(len(LANES)))]
    names = [PROTEINS[int(i)] for i in rng.choice(len(PROTEINS), size=int(rng.integers(2, 5)), replace=False)]
    width, height, left, top = int(rng.integers(200, 320)), int(rng.integers(28, 50)), 62, 30
    sheet = Image.new("L", (left + width + 62, top + (height + 8) * (len(names) + 1) + 4), 255)
    draw = ImageDraw.Draw(sheet)
    for lane, label in enumerate(lanes):
        draw.text((left + (lane + 0.5) * width / len(lanes), top - 12), label, fill=0, anchor="mm", font_size=12)
    for row, (name, mass) in enumerate([*names, ("GAPDH", 37)]):
        slope = 0.0 if name == "GAPDH" else float(rng.choice([-1, 1]))
        ramp = np.linspace(-0.38, 0.38, len(lanes)) * slope
        amounts = np.clip(0.62 + ramp + rng.normal(0, 0.06, len(lanes)), 0.05, 1)
        y = top + row * (height + 8)
        sheet.paste(_to_image(_strip(rng, amounts, width, height)), (left, y))
        draw.rectangle((left, y, left + width - 1, y + height - 1), outline=60)
        draw.text((left - 6, y + height / 2), name, fill=0, anchor="rm", font_size=12)
        draw.text((left + width + 6, y + height / 2), f"{mass} kDa", fill=0, anchor="lm", font_size=11)
    listed = ", ".join(name for name, _ in names)
    return sheet, f"Bands of {listed} in {len(lanes)} lanes ({', '.join(lanes)}); GAPDH served as loading control."


def gel(rng: np.random.Generator) -> tuple[Image.Image, str]:
    """Agarose gel under ultraviolet light: a ladder and bright bands on a dark ground."""
    width, height, lanes = 340, 260, 8
    y, x = np.mgrid[0:height, 0:width].astype(float)
    levels = 0.12 + 0.05 * y / height + 0.01 * rng.standard_normal((height, width))
    pitch = width / lanes
    for lane in range(lanes):
        along = np.clip((pitch * 0.38 - np.abs(x - (lane + 0.5) * pitch)) / 3, 0, 1)
        steps = np.linspace(40, 230, 9) if lane == 0 else rng.choice([80.0, 130.0, 165.0], 2, replace=False)
        for middle in steps:
            levels += along * np.exp(-(((y - middle) / 3.0) ** 2)) * (0.5 if lane == 0 else rng.uniform(0.4, 0.9))
    return _to_image(gaussian_filter(levels, 0.8)), "Lane 1, DNA ladder; lanes 2 to 8, PCR products of single samples."


def magnetic_resonance(rng: np.random.Generator) -> tuple[Image.Image, str]:
    """Slice through a head: scalp, skull, folded cortex, white matter and ventricles, in one of three contrasts."""
    size = 300
    y, x = np.mgrid[-1.12 : 1.12 : size * 1j, -1.12 : 1.12 : size * 1j]
    plane = str(rng.choice(["Axial", "Axial", "Coronal"]))
    width, height = (0.78, 0.98) if plane == "Axial" else (0.86, 0.88)
    bend = 0.035 * _noise(rng, (size, size), 28)
    radius = np.hypot(x / width, y / height) + bend * 0.2
    folds = _noise(rng, (size, size), 4.2)
    depth = radius + 0.055 * folds + bend
    contrast = str(rng.choice(["T1-weighted", "T2-weighted", "FLAIR"]))
    white, grey, fluid, fat = {
        "T1-weighted": (0.72, 0.5, 0.1, 0.9),
        "T2-weighted": (0.34, 0.5, 0.95, 0.6),
        "FLAIR": (0.42, 0.55, 0.06, 0.6),
    }[contrast]
    levels = np.where(depth < 0.66, white, grey)
    levels = np.where((depth > 0.74) & (np.abs(folds) < 0.35), fluid, levels)
    levels = np.where((np.abs(x) < 0.014) & (radius > 0.3), fluid, levels)
    levels = np.where(radius > 0.84, fluid, levels)
    levels = np.where(radius > 0.87, 0.05, levels)
    levels = np.where(radius > 0.93, fat, levels)
    levels = np.where(radius > 1.0, 0.0, levels)
    spread, openness = rng.uniform(0.10, 0.16), rng.uniform(0.07, 0.12)
    for side in (-1, 1):
        curve = side * (0.08 + 0.35 * (y + 0.05) ** 2)
        horn = ((x - curve - side * 0.03) / openness) ** 2 + ((y + 0.02) / (spread + 0.2)) ** 2 < 1
        levels = np.where(horn, fluid, levels)
        nucleus = ((x - side * 0.27) / 0.1) ** 2 + ((y + 0.03) / 0.17) ** 2 < 1
        levels = np.where(nucleus & ~horn, grey, levels)
    lesions = int(rng.choice([0, 1, 6]))
    for _ in range(lesions):
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0.35, 0.55)
        lesion = np.hypot(x - width * distance * np.cos(angle), y - height * distance * np.sin(angle))
        extent = rng.uniform(0.12, 0.2) if lesions == 1 else rng.uniform(0.025, 0.055)
        strength = np.clip((extent - lesion) / 0.03 + 0.3 * folds * (lesions == 1), 0, 1)
        levels = levels * (1 - strength) + strength * (0.25 if contrast == "T1-weighted" else 0.95)
    warp = np.mgrid[0:size, 0:size] + 3.0 * np.stack([_noise(rng, (size, size), 14) for _ in range(2)])
    levels = gaussian_filter(map_coordinates(levels, warp, order=1), 0.9) * (1 + 0.06 * _noise(rng, (size, size), 70))
    levels = np.hypot(levels + rng.normal(0, 0.02, levels.shape), rng.normal(0, 0.02, levels.shape))
    finding = {0: "no focal lesion", 1: "a single mass lesion", 6: "several small focal lesions"}[lesions]
    return _to_image(levels), f"{plane} {contrast} slice of the brain at the level of the ventricles with {finding}."
