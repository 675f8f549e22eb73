"""Figures of one panel of a store, to compose figures from."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from biomedica_ray.images import ImageError, decode
from biomedica_ray.store import Store

LONGEST, SHORTEST = 480, 80
"""Pixels of the longer side to which pictures are reduced, and of the shorter side below which one is not used."""


def single_pictures(store: Store, license_groups: list[str], most: int) -> list[Image.Image]:
    """Pictures of one panel, as the panels stage found them, of articles of those licence groups.

    They are taken in the order of units, until there are ``most``. Figures that do not decode are left out: extract and
    panels have them among their errors.

    Args:
        store: The store; its panels stage has run.
        license_groups: Of the articles.
        most: How many.
    """
    found: list[Image.Image] = []
    panels = store.commits("panels")
    for unit, extracted in sorted(store.extracted().items()):
        if len(found) >= most or unit not in panels:
            continue
        articles = store.read(extracted, "articles", ["article_id", "license_group"])
        free = set(
            articles.filter(pc.is_in(articles["license_group"], pa.array(license_groups, pa.string())))[
                "article_id"
            ].to_pylist()
        )
        rows = store.read(panels[unit], "panels", ["figure_id", "n_panels"])
        single = set(rows.filter(pc.equal(rows["n_panels"], 1))["figure_id"].to_pylist())
        for batch in store.batches(extracted, "figures", ["figure_id", "article_id", "image"], batch_size=16):
            for row in batch.to_pylist():
                if len(found) < most and row["figure_id"] in single and row["article_id"] in free:
                    found += _reduced(row["image"])
    return found


def _reduced(data: bytes) -> list[Image.Image]:
    try:
        picture = decode(data).convert("RGB")
    except ImageError:
        return []
    if min(picture.size) < SHORTEST:
        return []
    picture.thumbnail((LONGEST, LONGEST))
    return [picture]
