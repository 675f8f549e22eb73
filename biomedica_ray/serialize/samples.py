"""A figure with its article and labels as a sample: the fields of the published BIOMEDICA dataset, and some of our own.

Names and meaning follow the authors' serializer; types are what they should have been: dates in ISO 8601, sizes and
counts as numbers, null for what is not known, journal and references from the XML itself. Every field has one shape in
all samples, a list of objects where the published dataset has objects keyed by names, so that tables can hold them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from biomedica_ray.serialize import credit

Row = Mapping[str, Any]

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
        pubmed: Its row of the pubmed table, if there is one.
    """

    article: Row
    figures: tuple[Row, ...]
    pubmed: Row | None = None

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
            "article_date": published.isoformat() if published else None,
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


def sample_key(figure_id: str) -> str:
    """The name of a sample, another one for each figure: WebDataset takes what follows the first '.' for the extension.

    '-' is written for '.', '~1' for '-' and '~0' for '~'; ids of PMC have neither '-' nor '~'.
    """
    return figure_id.replace("~", "~0").replace("-", "~1").replace(".", "-")


def image_id(file_name: str) -> str:
    """The name of an image file without folder and extension."""
    return PurePosixPath(file_name).stem


def sample_fields(
    figure: Row, shared: ArticleFields, label: Row | None, size: tuple[int, int], also_captioned: Sequence[str] = ()
) -> dict[str, Any]:
    """The JSON fields of a sample.

    Args:
        figure: Columns :data:`FIGURE_COLUMNS` of the figure; the bytes are not used.
        shared: What the samples of its article share.
        label: Its row of the labels table, if there is one.
        size: Width and height of the JPEG.
        also_captioned: Other captions of the same picture.
    """
    return {
        "image_file_name": figure["file_name"],
        "image_cluster_id": image_id(figure["file_name"]),
        "image_hash": figure["sha256"],
        "image_label_id": str(label["cluster_id"]) if label else None,
        "image_panel_type": label["panel_type"] if label else None,
        "image_panel_subtype": label["panel_subtype"] if label else None,
        "image_primary_label": label["primary_label"] if label else [],
        "image_secondary_label": label["secondary_label"] if label else [],
        "image_size": list(size),
        **shared.fields,
        "also_captioned": list(also_captioned),
        "panels": figure["panels"],
        **credit.credit_fields(figure, shared.article),
    }


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
