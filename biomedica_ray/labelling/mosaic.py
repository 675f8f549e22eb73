"""All pictures of a cluster joined into one, for tools that show one picture per task."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

from PIL import Image, ImageDraw

from biomedica_ray.annotate.members import PLACES
from biomedica_ray.labelling.html_sheet import ShownMember

_WIDTH, _HEIGHT, _GAP, _TITLE = 200, 170, 10, 24
"""Pixels of a picture's cell, between cells, and of the line above each row."""

_QUALITY = 85
_INK, _FAINT = (29, 33, 38), (223, 227, 230)


def mosaic(members: Sequence[ShownMember]) -> str:
    """A JPEG as a data URI: a row for each place, its members numbered from 1 in the order given.

    Args:
        members: Members of one cluster, by place.
    """
    rows = {place: [pair for pair in enumerate(members, 1) if pair[1].place == place] for place in PLACES}
    rows = {place: row for place, row in rows.items() if row}
    most = max(len(row) for row in rows.values())
    sheet = Image.new("RGB", (most * (_WIDTH + _GAP) + _GAP, len(rows) * (_TITLE + _HEIGHT + _GAP)), "white")
    draw = ImageDraw.Draw(sheet)
    for line, (place, row) in enumerate(rows.items()):
        top = line * (_TITLE + _HEIGHT + _GAP)
        draw.text((_GAP, top + 4), place, _INK, font_size=14)
        for column, (number, member) in enumerate(row):
            left = _GAP + column * (_WIDTH + _GAP)
            _place(sheet, member, left, top + _TITLE)
            draw.rectangle((left - 1, top + _TITLE - 1, left + _WIDTH, top + _TITLE + _HEIGHT), outline=_FAINT)
            draw.text(
                (left + 4, top + _TITLE + 2), str(number), _INK, font_size=14, stroke_width=2, stroke_fill="white"
            )
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _place(sheet: Image.Image, member: ShownMember, left: int, top: int) -> None:
    """Paste a member's picture into the middle of its cell, scaled down to fit, or say why there is none."""
    if not member.src:
        ImageDraw.Draw(sheet).text((left + 24, top + 60), member.problem, _INK, font_size=14)
        return
    picture = Image.open(io.BytesIO(base64.b64decode(member.src.partition(",")[2]))).convert("RGB")
    picture.thumbnail((_WIDTH, _HEIGHT), Image.Resampling.LANCZOS)
    sheet.paste(picture, (left + (_WIDTH - picture.width) // 2, top + (_HEIGHT - picture.height) // 2))
