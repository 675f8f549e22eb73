"""A figure with its article and labels as a sample: the fields of the published BIOMEDICA dataset, and some of our own.

Names and meaning follow the authors' serializer; types are what they should have been: dates in ISO 8601, sizes and
counts as numbers, null for what is not known, journal and references from the XML itself. Every field has one shape in
all samples, a list of objects where the published dataset has objects keyed by names, so that tables can hold them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from biomedica_ray.panels.sure import edges, panel_confidence
from biomedica_ray.serialize import credit
from biomedica_ray.serialize.jpeg import Picture

Row = Mapping[str, Any]

SINGLE = "single panel"
"""Subtype of an image of one panel, as the taxonomy has it."""
_EDGES = ("left", "top", "right", "bottom")

ARTICLE_COLUMNS = [
    "article_id",
    "abstract",
    "journal",
    "published",
    "subjects",
    "keywords",
    "mesh",
    "references",
    "sections",
    *credit.ARTICLE_COLUMNS,
]
SET_COLUMNS = ["article_id", "figure_id", "file_name", "sha256", "caption", "mentions"]
LABEL_COLUMNS = ["figure_id", "cluster_id", "panel_type", "panel_subtype", "primary_label", "secondary_label"]
PUBMED_COLUMNS = ["published", "mesh_headings"]
PANEL_COLUMNS = ["figure_id", "panel_type", "n_panels", "context", "panel_boxes"]
FIGURE_COLUMNS = [
    "article_id",
    "file_name",
    "caption",
    "panels",
    "sha256",
    "image",
    "format",
    "mode",
    "width",
    "height",
    "orientation",
    *credit.FIGURE_COLUMNS,
]


@dataclass(frozen=True)
class ArticleFields:
    """What all samples of an article share, made once.

    Attributes:
        article: Columns :data:`ARTICLE_COLUMNS` of the article.
        figures: Columns :data:`SET_COLUMNS` of all its figures, in order.
        pubmed: Columns :data:`PUBMED_COLUMNS` of its row of the pubmed table, if there is one.
    """

    article: Row
    figures: tuple[Row, ...]
    pubmed: Row | None = None

    def panel_mentions(self, figure_id: str, names: Collection[str]) -> list[str]:
        """The paragraphs that refer to panels of a figure by name, in capitals or not."""
        wanted = {name.casefold() for name in names}
        found = (figure["mentions"] for figure in self.figures if figure["figure_id"] == figure_id)
        return list(
            dict.fromkeys(
                mention["text"]
                for mentions in found
                for mention in mentions
                if not wanted.isdisjoint(name.casefold() for name in mention["panels"])
            )
        )

    @cached_property
    def fields(self) -> dict[str, Any]:
        """image_set, image_context and the fields that begin with article_."""
        article = self.article
        references = article["references"]
        published = article["published"] or (self.pubmed and self.pubmed["published"])
        headings = self.pubmed["mesh_headings"] if self.pubmed else []
        return {
            "image_set": [
                {
                    "figure_id": figure["figure_id"],
                    "image_id": image_id(figure["file_name"]),
                    "image_file_name": figure["file_name"],
                    "hash": figure["sha256"],
                    "caption": figure["caption"],
                }
                for figure in self.figures
            ],
            "image_context": _context(self.figures),
            "article_accession_id": article["pmcid"],
            "article_title": article["title"],
            "article_journal": article["journal"],
            "article_date": str(published) if published else None,
            "article_abstract": article["abstract"],
            "article_mesh_terms": [heading["descriptor"] for heading in headings] or article["mesh"],
            "article_keywords": article["keywords"],
            "article_reference_ids": [reference["pmid"] for reference in references if reference["pmid"]],
            "article_reference_count": len(references),
            "article_reference_list": [reference["raw"] for reference in references if reference["raw"]],
            "article_subject": article["subjects"],
            "article_citation": article["citation"],
            "article_license": article["license_code"],
            "article_text": _text(article["sections"]),
        }


def sample_key(figure_id: str, number: int = 0) -> str:
    """The name of a sample, another one for each figure and panel.

    WebDataset takes what follows the first '.' for the extension. '-' is written for '.', '~1' for '-' and '~0' for
    '~'; ids of PMC have neither '-' nor '~'. A panel's ends in '~p' and its number, as no figure's does.
    """
    key = figure_id.replace("~", "~0").replace("-", "~1").replace(".", "-")
    return f"{key}~p{number}" if number else key


def image_id(file_name: str) -> str:
    """The name of an image file without folder and extension."""
    return PurePosixPath(file_name).stem


def sample_fields(
    figure: Row,
    shared: ArticleFields,
    label: Row | None,
    picture: Picture,
    also_captioned: Sequence[str] = (),
    *,
    panels: Row | None = None,
    shown: Row | None = None,
) -> dict[str, Any]:
    """The JSON fields of a sample that is a whole figure.

    Args:
        figure: Columns :data:`FIGURE_COLUMNS` of the figure; the bytes are not used.
        shared: What the samples of its article share.
        label: Columns :data:`LABEL_COLUMNS` of its row of the labels table, if there is one.
        picture: The JPEG, and what it was made of.
        also_captioned: Other captions of the same picture.
        panels: Its row of the panels table, if there is one.
        shown: Its row of the image_labels table, if there is one.
    """
    return {
        **_image(figure, shared, label, picture),
        **({name: shown[name] for name in _NOT_CLASSIFIED} if shown else {}),
        **(_seen(panels, label) if panels else {}),
        "also_captioned": list(also_captioned),
        "panels": figure["panels"],
        **_NO_PANEL,
        **(_panels(panels, picture) if panels else {}),
        **credit.credit_fields(figure, shared.article),
    }


def panel_fields(
    figure: Row, shared: ArticleFields, picture: Picture, panels: Row, number: int, *, shown: Row | None = None
) -> dict[str, Any]:
    """The JSON fields of a sample that is a panel of a figure; what is known of the cluster is the whole figure's.

    Args:
        figure: As of :func:`sample_fields`.
        shared: What the samples of its article share.
        picture: As of :func:`sample_fields`.
        panels: The figure's row of the panels table.
        number: The panel's, from 1.
        shown: Its row of the image_labels table, if there is one; it counts where the panel is still the same.
    """
    box = panels["panel_boxes"][number - 1]
    is_same = shown is not None and shown["panel_box"] == list(edges(box))
    names = (box["label"] or "").split(", ")
    return {
        **_image(figure, shared, None, picture),
        **({name: shown[name] for name in _NOT_CLASSIFIED} if shown and is_same else {}),
        "image_panel_type": "single",
        "image_panel_subtype": SINGLE,
        "also_captioned": [],
        "panels": [part for part in figure["panels"] if not set(part["label"].split(", ")).isdisjoint(names)],
        **_NO_PANEL,
        "n_panels": 1,
        "panel_number": number,
        "panel_label": box["label"],
        "panel_box": list(edges(box)),
        "panel_context": panels["context"],
        "panel_mentions": shared.panel_mentions(figure["figure_id"], names),
        "panel_how": box["how"],
        "panel_confidence": panel_confidence(box),
        "panel_alignment_confidence": box["alignment_confidence"],
        **credit.credit_fields(figure, shared.article, f"panel {box['label']}"),
    }


def _image(figure: Row, shared: ArticleFields, label: Row | None, picture: Picture) -> dict[str, Any]:
    """What is told of the image and its article; nothing of panels."""
    return {
        "image_file_name": figure["file_name"],
        "image_cluster_id": image_id(figure["file_name"]),
        "image_hash": figure["sha256"],
        "image_label_id": str(label["cluster_id"]) if label else None,
        "image_panel_type": None,
        "image_panel_subtype": None,
        "image_primary_label": label["primary_label"] if label else [],
        "image_secondary_label": label["secondary_label"] if label else [],
        "image_concept": next(iter(label["primary_label"]), None) if label else None,
        "image_size": list(picture.size),
        "image_converted": (f"{figure['format']} {figure['width']}x{figure['height']}" if picture.converted else None),
        **shared.fields,
        **_NOT_CLASSIFIED,
        "cluster_panel_type": label["panel_type"] if label else None,
        "cluster_panel_subtype": label["panel_subtype"] if label else None,
    }


def _seen(panels: Row, label: Row | None) -> dict[str, Any]:
    """Panel type and subtype of a figure, by its image."""
    seen = panels["panel_type"]
    of_cluster = label["panel_subtype"] if label and label["panel_type"] == seen else None
    return {"image_panel_type": seen, "image_panel_subtype": SINGLE if seen == "single" else of_cluster}


def _panels(panels: Row, picture: Picture) -> dict[str, Any]:
    """How many panels a figure's image shows, and where they are in its JPEG."""
    boxes = [
        {
            **{name: box.get(name) for name in ("label", "words", "how")},
            **{edge: round(box[edge] * picture.size[i % 2] / picture.of[i % 2]) for i, edge in enumerate(_EDGES)},
            "confidence": panel_confidence(box),
            "alignment_confidence": box.get("alignment_confidence"),
        }
        for box in panels["panel_boxes"]
    ]
    return {"n_panels": len(boxes), "panel_boxes": boxes if len(boxes) > 1 else []}


_NOT_CLASSIFIED: dict[str, Any] = {
    "image_label": None,
    "image_confidence": None,
    "image_sure": None,
    "image_local_concepts": [],
    "image_how": None,
}
"""What is told of an image that nobody has classified."""

_NO_PANEL: dict[str, Any] = {
    "n_panels": None,
    "panel_boxes": [],
    "panel_number": None,
    "panel_label": None,
    "panel_box": [],
    "panel_context": None,
    "panel_mentions": [],
    "panel_how": None,
    "panel_confidence": None,
    "panel_alignment_confidence": None,
}
"""What is told of panels where nobody looked."""


def parquet_row(key: str, jpg: bytes, caption: str, fields: Row) -> dict[str, Any]:
    """The sample as a row of the dataset's Parquet files."""
    return {"key": key, "jpg": {"bytes": jpg, "path": f"{key}.jpg"}, "txt": caption, **fields}


def _context(figures: Iterable[Row]) -> list[dict[str, Any]]:
    return [
        {
            "figure_id": figure["figure_id"],
            "image_id": image_id(figure["file_name"]),
            "references": list(dict.fromkeys(mention["text"] for mention in figure["mentions"])),
        }
        for figure in figures
    ]


def _text(sections: Iterable[Row]) -> str:
    """Each section's own title, if it is new, and its paragraphs; a line each."""
    lines: list[str] = []
    open_path: list[str] = []
    for section in sections:
        path = section["path"]
        common = next((i for i, pair in enumerate(zip(path, open_path, strict=False)) if pair[0] != pair[1]), None)
        start = min(len(path), len(open_path)) if common is None else common
        lines += [title for title in path[start:] if title]
        lines += section["paragraphs"]
        open_path = path
    return "\n".join(lines)
