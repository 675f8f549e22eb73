"""Fonts that come with libraries: Aileron with Pillow, DejaVu, STIX and Computer Modern with matplotlib."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

AILERON = ""
"""Pillow's own, which looks like the Helvetica and Arial of most figures."""
NAMES = (
    AILERON,
    AILERON,
    AILERON,
    "DejaVuSans.ttf",
    "DejaVuSans-Bold.ttf",
    "DejaVuSans-Bold.ttf",
    "DejaVuSans-BoldOblique.ttf",
    "DejaVuSerif.ttf",
    "DejaVuSerif-Bold.ttf",
    "STIXGeneral.ttf",
    "STIXGeneralBol.ttf",
    "STIXGeneralBol.ttf",
    "STIXGeneralBolIta.ttf",
    "cmb10.ttf",
    "cmr10.ttf",
    "cmss10.ttf",
)
"""What figures are lettered in, the commoner ones several times."""


@cache
def font(name: str, size: int) -> Font:
    """A font of :data:`NAMES` whose letters have about ``size`` pixels from the foot of one line to the next."""
    if name == AILERON:
        return ImageFont.load_default(size)
    import matplotlib  # noqa: PLC0415 - it takes a second, and only training draws

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)
