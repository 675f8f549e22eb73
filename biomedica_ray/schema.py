"""The pyarrow schema of every table: the one place where a column is defined and described.

A table is a set of Parquet files under ``<store>/<table>/``; see :mod:`biomedica_ray.store`.
``docs/schema.md`` is generated from this file (``python -m biomedica_ray.schema``).
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa


def _field(name: str, type_: pa.DataType, description: str, *, null: bool = False) -> pa.Field:
    return pa.field(name, type_, nullable=null, metadata={"description": description})


_STRINGS = pa.list_(pa.string())
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""An image as Hugging Face `datasets` has it: the bytes of a file, and its name.

It takes a column for images only where the type is this one and may be null.
"""
_PANELS = pa.list_(
    pa.struct([("label", pa.string()), ("text", pa.string()), ("start", pa.int32()), ("end", pa.int32())])
)

LISTING = pa.schema(
    [
        _field("article_id", pa.string(), "pmcid and version: PMC123.2"),
        _field("pmcid", pa.string(), "PMC accession id; for an article from outside PMC, its package's name"),
        _field("version", pa.int32(), "version of the article, from 1"),
        _field("source_uri", pa.string(), "where the package lies: a folder, an archive or an s3:// prefix"),
        _field("etag", pa.string(), "changes when the content changes: the S3 ETag, or size and mtime of files"),
        _field("last_modified", pa.timestamp("us", "UTC"), "when the source last changed it", null=True),
        _field("license_code", pa.string(), "licence as the source gives it; null where it does not say", null=True),
        _field("is_retracted", pa.bool_(), "retracted; null where the source does not say", null=True),
        _field(
            "is_open_access", pa.bool_(), "in the Open Access Subset; null where the source does not say", null=True
        ),
    ]
)

CATALOG = pa.schema(
    [
        *LISTING,
        _field(
            "skipped",
            pa.string(),
            "why it was left out as the config says: not-open-access, retracted, license; null where it was taken",
            null=True,
        ),
        _field("xml", pa.string(), "name of the JATS XML within the package", null=True),
        _field(
            "files",
            pa.list_(pa.struct([("name", pa.string()), ("md5", pa.string())])),
            "the package's other files, with md5 where the source gives one",
        ),
    ]
)

ARTICLES = pa.schema(
    [
        _field("article_id", pa.string(), "pmcid and version: PMC123.2"),
        _field("pmcid", pa.string(), "PMC accession id, as in catalog"),
        _field("version", pa.int32(), "version of the article, from 1"),
        _field("pmid", pa.string(), "PubMed id", null=True),
        _field("doi", pa.string(), "DOI, lower case, without resolver", null=True),
        _field("publisher_id", pa.string(), "the publisher's own article id", null=True),
        _field("title", pa.string(), "article title", null=True),
        _field("subtitle", pa.string(), "article subtitle", null=True),
        _field(
            "translated_titles",
            pa.list_(pa.struct([("language", pa.string()), ("title", pa.string())])),
            "titles in other languages, subtitle included",
        ),
        _field("abstract", pa.string(), "main abstract; labelled sections as 'Label: text' paragraphs", null=True),
        _field(
            "other_abstracts",
            pa.list_(pa.struct([("kind", pa.string()), ("language", pa.string()), ("text", pa.string())])),
            "abstracts beside it: graphical, teaser, plain-language, translated; written as the main one",
        ),
        _field("journal", pa.string(), "journal title", null=True),
        _field("journal_abbreviation", pa.string(), "journal's abbreviated title", null=True),
        _field("issns", _STRINGS, "ISSNs of the journal"),
        _field("publisher", pa.string(), "publisher's name", null=True),
        _field("volume", pa.string(), "volume", null=True),
        _field("issue", pa.string(), "issue", null=True),
        _field("pages", pa.string(), "first-last page, or the electronic location id", null=True),
        _field(
            "published",
            pa.date32(),
            "earliest publication date, by the finest of the dates that agree; a missing month or day counts as 1",
            null=True,
        ),
        _field("published_precision", pa.string(), "what of published is known: day, month or year", null=True),
        _field(
            "dates",
            pa.list_(pa.struct([("kind", pa.string()), ("date", pa.string())])),
            "every date of the article with its kind, ISO 8601 at the precision given (2020, 2020-05, 2020-05-07)",
        ),
        _field("article_type", pa.string(), "article/@article-type", null=True),
        _field("language", pa.string(), "article/@xml:lang, lower case", null=True),
        _field("subjects", _STRINGS, "subject headings, nested ones joined by ' > '"),
        _field("keywords", _STRINGS, "author keywords"),
        _field(
            "keyword_groups",
            pa.list_(pa.struct([("kind", pa.string()), ("language", pa.string()), ("keywords", _STRINGS)])),
            "all keywords by group, abbreviations and other languages too",
        ),
        _field("mesh", _STRINGS, "MeSH headings, where the XML has any; most are in pubmed"),
        _field(
            "authors",
            pa.list_(pa.struct([("name", pa.string()), ("orcid", pa.string()), ("affiliations", _STRINGS)])),
            "authors in order",
        ),
        _field(
            "funding",
            pa.list_(pa.struct([("sources", _STRINGS), ("awards", _STRINGS)])),
            "funders and the numbers of their awards, one entry an award group",
        ),
        _field("funding_statement", pa.string(), "what the article says of its funding", null=True),
        _field("license_url", pa.string(), "licence URL", null=True),
        _field(
            "license_code", pa.string(), "CC0, CC BY, CC BY-SA, CC BY-ND, CC BY-NC, CC BY-NC-SA, CC BY-NC-ND, other"
        ),
        _field("license_group", pa.string(), "commercial, noncommercial, other"),
        _field("copyright", pa.string(), "copyright statement", null=True),
        _field("is_retracted", pa.bool_(), "the article has been retracted"),
        _field(
            "related",
            pa.list_(pa.struct([("kind", pa.string()), ("id", pa.string()), ("id_type", pa.string())])),
            "related articles: corrections, retractions, preprints",
        ),
        _field(
            "references",
            pa.list_(
                pa.struct(
                    [
                        ("id", pa.string()),
                        ("pmid", pa.string()),
                        ("pmcid", pa.string()),
                        ("doi", pa.string()),
                        ("title", pa.string()),
                        ("year", pa.string()),
                        ("raw", pa.string()),
                    ]
                )
            ),
            "the reference list in order",
        ),
        _field(
            "sections",
            pa.list_(pa.struct([("path", _STRINGS), ("paragraphs", _STRINGS)])),
            "full text: each section's path of titles and its own paragraphs, in order",
        ),
        _field("citation", pa.string(), "journal, year, volume, pages and DOI in one line"),
        _field("n_figures_without_image", pa.int32(), "fig elements that name no graphic"),
        _field("n_inline_graphics", pa.int32(), "inline graphics in the text, which are not figures"),
        _field("n_formula_graphics", pa.int32(), "formulas given as graphics, which are not figures"),
    ]
)

_MESH_FIELDS = [("ui", pa.string()), ("major", pa.bool_())]

PUBMED = pa.schema(
    [
        _field("article_id", pa.string(), "the article"),
        _field("pmid", pa.string(), "PubMed id"),
        _field("kind", pa.string(), "article or book"),
        _field("pmcid", pa.string(), "PMC accession id, as PubMed has it", null=True),
        _field("doi", pa.string(), "DOI, lower case, as PubMed has it", null=True),
        _field("status", pa.string(), "MEDLINE once indexed; In-Process, PubMed-not-MEDLINE, Publisher...", null=True),
        _field("indexing_method", pa.string(), "Automated or Curated, where NLM says so", null=True),
        _field("publication_status", pa.string(), "ppublish, epublish, aheadofprint", null=True),
        _field(
            "published",
            pa.date32(),
            "earliest date of the issue or the article; a missing month or day counts as 1",
            null=True,
        ),
        _field(
            "dates",
            pa.list_(pa.struct([("kind", pa.string()), ("date", pa.string())])),
            "every date of the record, ISO 8601 at the precision given: issue, electronic, completed, revised, "
            "and PubMed's history (received, accepted, entrez, pubmed, medline...)",
        ),
        _field("journal_nlm_id", pa.string(), "the journal's id in NLM's catalogue", null=True),
        _field("journal_abbreviation", pa.string(), "the journal's abbreviated title in MEDLINE", null=True),
        _field("journal_country", pa.string(), "where the journal is published", null=True),
        _field("publication_types", _STRINGS, "MeSH publication types: Review, Randomized Controlled Trial..."),
        _field("is_retracted", pa.bool_(), "one of them is Retracted Publication"),
        _field(
            "mesh_headings",
            pa.list_(
                pa.struct(
                    [
                        ("descriptor", pa.string()),
                        *_MESH_FIELDS,
                        ("qualifiers", pa.list_(pa.struct([("name", pa.string()), *_MESH_FIELDS]))),
                    ]
                )
            ),
            "MeSH headings with their qualifiers and MeSH ids; a major topic where one of them is marked so",
        ),
        _field(
            "supplementary_concepts",
            pa.list_(pa.struct([("name", pa.string()), ("ui", pa.string()), ("kind", pa.string())])),
            "diseases, protocols, organisms that MeSH has no heading for",
        ),
        _field(
            "chemicals",
            pa.list_(pa.struct([("name", pa.string()), ("ui", pa.string()), ("registry_number", pa.string())])),
            "substances, with CAS, UNII or EC number where they have one",
        ),
        _field("keywords", _STRINGS, "keywords of the authors and of others"),
        _field(
            "grants",
            pa.list_(pa.struct([("id", pa.string()), ("agency", pa.string()), ("country", pa.string())])),
            "grants as NLM names them",
        ),
        _field(
            "accessions",
            pa.list_(pa.struct([("databank", pa.string()), ("accession", pa.string())])),
            "entries of data banks and trial registries",
        ),
        _field(
            "related",
            pa.list_(pa.struct([("kind", pa.string()), ("pmid", pa.string()), ("citation", pa.string())])),
            "comments, corrections, retractions: ErratumIn, RetractionOf...",
        ),
        _field("reference_pmids", _STRINGS, "PubMed ids of the references"),
    ]
)

FIGURES = pa.schema(
    [
        _field("figure_id", pa.string(), "article_id and position: PMC123.2_007"),
        _field("article_id", pa.string(), "the article it belongs to"),
        _field("position", pa.int32(), "ordinal of the image among all images that the XML names, from 1"),
        _field("image_number", pa.int32(), "ordinal among the images with the same label and caption, from 1"),
        _field("xml_id", pa.string(), "@id of the fig element", null=True),
        _field("kind", pa.string(), "figure, table, scheme, chemical-structure, graphical-abstract"),
        _field("label", pa.string(), "label as printed: Figure 2", null=True),
        _field("title", pa.string(), "title of the caption", null=True),
        _field("caption", pa.string(), "the caption, title included, or else its group's; null if none", null=True),
        _field(
            "has_formula_images",
            pa.bool_(),
            "formulas or symbols of the caption are images; their alternative text, or [formula], is in their place",
        ),
        _field("figure_doi", pa.string(), "the figure's own DOI, lower case, without resolver", null=True),
        _field("alt_text", pa.string(), "alternative text", null=True),
        _field("group_label", pa.string(), "label of the fig-group around it", null=True),
        _field("group_title", pa.string(), "title of the caption of the fig-group around it", null=True),
        _field("group_caption", pa.string(), "caption of the fig-group around it, title included", null=True),
        _field(
            "panels",
            _PANELS,
            "the caption cut at its panel markers; text == caption[start:end], offsets in characters",
        ),
        _field(
            "mentions",
            pa.list_(pa.struct([("section", _STRINGS), ("text", pa.string()), ("panels", _STRINGS)])),
            "paragraphs that refer to the figure, with section path and the panels they name",
        ),
        _field("permissions", pa.string(), "licence, copyright or attribution of the figure itself", null=True),
        _field(
            "license_code",
            pa.string(),
            "licence of the figure itself, by its permissions or its caption, as in articles; null: the article's",
            null=True,
        ),
        _field("license_url", pa.string(), "URL of the figure's own licence", null=True),
        _field("copyright", pa.string(), "copyright statement of the figure itself", null=True),
        _field("third_party", pa.bool_(), "reproduced from elsewhere: the article's licence may not cover it"),
        _field("sub_article", pa.string(), "type of the sub-article that contains it: translation, reply", null=True),
        _field("language", pa.string(), "language of the part of the article that contains it, lower case", null=True),
        _field("href", pa.string(), "graphic/@xlink:href as written in the XML"),
        _field("file_name", pa.string(), "name of the image file in the package"),
        _field("is_thumbnail", pa.bool_(), "the file is a thumbnail; the package lacks the image itself"),
        _field("format", pa.string(), "format by magic bytes, Pillow's name: JPEG, PNG, GIF, TIFF"),
        _field("mode", pa.string(), "Pillow's pixel mode: RGB, L, P, CMYK, I;16"),
        _field("n_frames", pa.int32(), "frames or pages of the file; the first is used"),
        _field("width", pa.int32(), "pixels, as stored"),
        _field("height", pa.int32(), "pixels, as stored"),
        _field("orientation", pa.int8(), "EXIF orientation, 1 is upright; from 5 on, upright swaps width and height"),
        _field("dpi_x", pa.float32(), "pixels per inch across, as stored", null=True),
        _field("dpi_y", pa.float32(), "pixels per inch down, as stored", null=True),
        _field("sha256", pa.string(), "SHA-256 of the bytes, hex"),
        _field("pixel_sha256", pa.string(), "SHA-256 of the first frame, RGB and upright, as a binary PPM file, hex"),
        _field("phash", pa.uint64(), "64-bit perceptual hash of the same, ImageHash's phash; int(str(hash), 16)"),
        _field("thumbnail", pa.binary(), "the same as 32 x 32 grey values, a byte each"),
    ]
)

IMAGES = pa.schema(
    [
        _field("figure_id", pa.string(), "the figure; the rows are those of figures, in the same order"),
        _field("article_id", pa.string(), "the article it belongs to"),
        _field("image", pa.large_binary(), "the image file's bytes, as published"),
    ]
)

ERRORS = pa.schema(
    [
        _field("what", pa.string(), "the input: an article_id, a figure_id or a file name"),
        _field("where", pa.string(), "URI at which it lies", null=True),
        _field("stage", pa.string(), "stage that met it"),
        _field("entity", pa.string(), "kind of row that is missing or incomplete: article, figure"),
        _field("kind", pa.string(), "reason in one word: bad-xml, missing-image, truncated-image, duplicate, ..."),
        _field("message", pa.string(), "reason in words, naming what was expected and what was there"),
        _field("attempts", pa.int32(), "number of tries"),
        _field("article_id", pa.string(), "the article that it belongs to", null=True),
        _field("file", pa.string(), "file of the article's package, or the name that the XML gives it", null=True),
        _field("retryable", pa.bool_(), "whether a later run may succeed; null where the stage cannot say", null=True),
    ]
)


def error_row(
    stage: str,
    what: str,
    kind: str,
    message: str,
    *,
    entity: str = "figure",
    where: str | None = None,
    attempts: int = 1,
) -> dict[str, Any]:
    """A row of the errors table; the arguments are its columns, and columns that are not among them are null."""
    return {
        "what": what,
        "where": where,
        "stage": stage,
        "entity": entity,
        "kind": kind,
        "message": message,
        "attempts": attempts,
    }


def panel_id(figure_id: str, number: int) -> str:
    """The id of a panel: its figure's, and its number in reading order, from 1."""
    return f"{figure_id}/{number}"


ARTICLE_REPEATS = ("version", "same-doi", "same-pmid", "preprint")
"""Kinds of duplicates: how an article repeats another, the surest first."""
FIGURE_REPEATS = ("exact", "same-pixels", "near", "semantic")
"""Kinds of duplicates: how a figure repeats another."""

DUPLICATES = pa.schema(
    [
        _field("id", pa.string(), "article_id or figure_id of the one that repeats; of a panel figure_id/number"),
        _field("of", pa.string(), "the kept one; for against, the picture of the other set; see docs/dedupe.md"),
        _field("entity", pa.string(), "article, figure or panel"),
        _field(
            "kind",
            pa.string(),
            f"how it repeats it: {', '.join(ARTICLE_REPEATS)}; {', '.join(FIGURE_REPEATS)}; "
            "or what else is known of it: retracted, correction; boilerplate, against",
        ),
        _field(
            "distance",
            pa.float32(),
            "near and against: bits in which the perceptual hashes differ, or, where how is not exact, same-pixels or "
            "near, 1 - correlation of the pixels; semantic: 1 - cosine; else 0",
        ),
        _field(
            "how",
            pa.string(),
            "how a figure occurs in the picture of another set (against): exact, same-pixels, near; altered, crop, "
            "part, larger, and whether flipped, rotated, or with margins; else null",
            null=True,
        ),
    ]
)

CAPTIONS = pa.schema(
    [
        _field("figure_id", pa.string(), "the kept figure"),
        _field("caption", pa.string(), "another caption of the same picture"),
        _field("source", pa.string(), "figure_id of the figure that repeats it and has this caption"),
    ]
)

LABELS = pa.schema(
    [
        _field("figure_id", pa.string(), "the figure"),
        _field("cluster_id", pa.int32(), "k-means cluster, from 0"),
        _field("distance", pa.float32(), "Euclidean distance to the cluster's centre, in PCA space"),
        _field("panel_type", pa.string(), "single or multiple", null=True),
        _field("panel_subtype", pa.string(), "what a multi-panel figure is made of", null=True),
        _field("primary_label", _STRINGS, "global concepts; empty while the cluster has no labels"),
        _field("secondary_label", _STRINGS, "local concepts"),
        _field("how", pa.string(), "propagated (from the cluster) or none"),
        _field("confidence", pa.float32(), "0 to 1: share of the cluster's members lying at least as far out"),
        _field(
            "uncertain", pa.bool_(), "so far out that its cluster's labels may not apply: confidence < min_confidence"
        ),
    ]
)

_PANEL_BOX = "left, top, right and bottom of the panel in the upright figure, in pixels"

IMAGE_LABELS = pa.schema(
    [
        _field("figure_id", pa.string(), "the figure"),
        _field("panel", pa.int32(), "number of its panel, from 1; 0 for the whole figure"),
        _field(
            "panel_box",
            pa.list_(pa.int32()),
            f"{_PANEL_BOX}, as it was when it was embedded; empty for the whole figure, null by earlier versions",
            null=True,
        ),
        _field("image_label", pa.string(), "the global concept that the image, or the panel, itself shows"),
        _field(
            "image_confidence",
            pa.float32(),
            "probability that this is right; the report shows how far it holds, of panels nobody has measured it",
        ),
        _field(
            "image_sure",
            pa.bool_(),
            "confident enough for the precision that classify was asked for, by what was said of single images; no "
            "panel is, as nobody is asked about panels",
        ),
        _field(
            "image_local_concepts",
            _STRINGS,
            "local concepts that the image shows, each more probably than not by a probability that is calibrated",
        ),
        _field(
            "image_how",
            pa.string(),
            "classifier (fitted on what annotators said), zero-shot (a CLIP model's prompts) or expert (an annotator "
            "said it of this figure)",
        ),
    ]
)

MEMBERS = pa.schema(
    [
        _field("cluster_id", pa.int64(), "k-means cluster, or the number of an image that is asked about by itself"),
        _field("cluster_size", pa.int64(), "figures in it"),
        _field("place", pa.string(), "nearest (to the centre), random or farthest; or of an image alone"),
        _field("rank", pa.int32(), "order within the place, from 0"),
        _field("figure_id", pa.string(), "the figure; it has one place only"),
        _field("distance", pa.float32(), "as in labels"),
    ]
)

_BOX = [(edge, pa.int32()) for edge in ("left", "top", "right", "bottom")]

PANELS = pa.schema(
    [
        _field("figure_id", pa.string(), "the figure"),
        _field("panel_type", pa.string(), "single or multiple, by what is seen in the image itself"),
        _field("n_panels", pa.int32(), "number of panel_boxes"),
        _field("least_confidence", pa.float32(), "the least confidence that one of them is there; 1 for a single one"),
        _field("caption_panels", pa.int32(), "panels that the caption names; (A, B) are two"),
        _field("aligned_panels", pa.int32(), "panel_boxes that have words of the caption"),
        _field(
            "context",
            pa.string(),
            "what the caption says of all its panels: title, scale bars, abbreviations",
            null=True,
        ),
        _field(
            "panel_boxes",
            pa.list_(
                pa.struct(
                    [
                        ("label", pa.string()),
                        *_BOX,
                        ("confidence", pa.float32()),
                        ("model_confidence", pa.float32()),
                        ("printed", pa.string()),
                        ("printed_confidence", pa.float32()),
                        ("how", pa.string()),
                        ("alignment_confidence", pa.float32()),
                        ("words", pa.string()),
                    ]
                )
            ),
            "panels in reading order, upright pixels; confidence 0 to 1, by the width of the gutters; model_confidence "
            "is a detector's, null without one; printed is the letter seen in the image; label and words are what the "
            "caption calls the panel and says of it alone, null where it does not say; how they were found: letter, "
            "position, order or none; see docs/panels.md",
        ),
        _field(
            "phashes", pa.list_(pa.uint64()), "phash of each panel_box of a compound figure, as in figures; else empty"
        ),
        _field("thumbnails", pa.list_(pa.binary()), "thumbnail of each of them, as in figures"),
    ]
)

SELECTIONS = pa.schema(
    [
        _field("figure_id", pa.string(), "the figure"),
        _field(
            "rank",
            pa.uint64(),
            "hash of seed and figure_id; of a group over its cap, those of the lowest rank are taken",
        ),
        _field("groups", _STRINGS, "its values in the balanced column; one empty text where it has none"),
    ]
)

SAMPLES = pa.schema(
    [
        _field("row", pa.int32(), "row of the figure in the unit's file of figures, from 0"),
        _field("panel", pa.int32(), "number of its panel that the sample shows, from 1; 0 for the whole figure"),
        _field("figure_id", pa.string(), "the figure"),
        _field("article_id", pa.string(), "the article it belongs to"),
        _field("article_whole", pa.bool_(), "no figure of the article is left out as third-party or against"),
        _field("license_group", pa.string(), "commercial, noncommercial, other"),
        _field("split", pa.string(), "train, validation or test"),
        _field("also_captioned", _STRINGS, "other captions of the same picture, as in captions"),
    ]
)

MATERIAL = pa.schema(
    [
        _field("row", pa.int32(), "as in samples, ascending within licence group and split"),
        _field("license_group", pa.string(), "as in samples"),
        _field("split", pa.string(), "as in samples"),
        _field("article_id", pa.string(), "the article that the figure belongs to"),
        _field(
            "figure",
            pa.string(),
            "JSON: columns of its row in figures, labels, panels and image_labels, and also_captioned as in samples",
        ),
        _field(
            "article",
            pa.string(),
            "JSON: columns of the article, of all its figures, and of its row in pubmed; null but in the first row of "
            "the article in a licence group and split",
            null=True,
        ),
    ]
)
"""There only while shards are written."""

SHARDS = pa.schema(
    [
        _field("path", pa.string(), "the WebDataset shard, relative to dataset/"),
        _field("parquet", pa.string(), "the same samples as Parquet, relative to dataset/"),
        _field("license_group", pa.string(), "commercial, noncommercial, other"),
        _field("split", pa.string(), "train, validation or test"),
        _field("samples", pa.int64(), "samples in it"),
        _field("bytes", pa.int64(), "size of the WebDataset shard"),
        _field("sha256", pa.string(), "SHA-256 of the WebDataset shard, hex"),
        _field("parquet_bytes", pa.int64(), "size of the Parquet file"),
        _field("parquet_sha256", pa.string(), "SHA-256 of the Parquet file, hex"),
    ]
)

DATASET = pa.schema(
    [
        _field(
            "key",
            pa.string(),
            "figure_id with '-' for '.' (~1 for '-', ~0 for '~'), and ~p and its number for a panel: the sample's name "
            "in the WebDataset shard",
        ),
        _field("jpg", IMAGE, "the bytes of the JPEG, and its name in the WebDataset shard; never null", null=True),
        _field("txt", pa.string(), "caption; of a panel what the caption says of it alone"),
        _field("image_file_name", pa.string(), "name of the image file in the article's package"),
        _field("image_cluster_id", pa.string(), "the same without folder and extension"),
        _field("image_hash", pa.string(), "SHA-256 of the image file as published, hex"),
        _field("image_label_id", pa.string(), "k-means cluster", null=True),
        _field("image_panel_type", pa.string(), "single or multiple, by what is seen in the image itself", null=True),
        _field(
            "image_panel_subtype",
            pa.string(),
            "single panel; or what its cluster's figures are made of, where these are of several panels too",
            null=True,
        ),
        _field("image_primary_label", _STRINGS, "global concepts"),
        _field("image_secondary_label", _STRINGS, "local concepts"),
        _field(
            "image_concept",
            pa.string(),
            "the first of the global concepts, by which rows of a Parquet file are sorted; null where there is none",
            null=True,
        ),
        _field("image_size", pa.list_(pa.int32()), "width and height of the JPEG in pixels"),
        _field(
            "image_converted",
            pa.string(),
            "format and size of the published file that the JPEG was converted or made smaller from: PNG 2000x1500; "
            "null where it has the published pixels",
            null=True,
        ),
        _field(
            "image_set",
            pa.list_(
                pa.struct(
                    [(name, pa.string()) for name in ("figure_id", "image_id", "image_file_name", "hash", "caption")]
                )
            ),
            "all figures of the article",
        ),
        _field(
            "image_context",
            pa.list_(pa.struct([("figure_id", pa.string()), ("image_id", pa.string()), ("references", _STRINGS)])),
            "for all figures of the article, the paragraphs that refer to them",
        ),
        _field("article_accession_id", pa.string(), "PMC accession id"),
        _field("article_title", pa.string(), "article title", null=True),
        _field("article_journal", pa.string(), "journal title", null=True),
        _field("article_date", pa.string(), "earliest publication date, ISO 8601", null=True),
        _field("article_abstract", pa.string(), "abstract", null=True),
        _field("article_mesh_terms", _STRINGS, "MeSH headings, PubMed's where it has any"),
        _field("article_keywords", _STRINGS, "author keywords"),
        _field("article_reference_ids", _STRINGS, "PMIDs of the references that have one"),
        _field("article_reference_count", pa.int32(), "number of references"),
        _field("article_reference_list", _STRINGS, "the references as printed"),
        _field("article_subject", _STRINGS, "subject headings"),
        _field("article_citation", pa.string(), "journal, year, volume, pages and DOI in one line"),
        _field("article_license", pa.string(), "licence: CC BY, CC BY-NC, ..."),
        _field("article_text", pa.string(), "full text: section titles and paragraphs, a line each"),
        _field("image_label", pa.string(), "the global concept that the image, or the panel, itself shows", null=True),
        _field("image_confidence", pa.float32(), "0 to 1: probability that this is right", null=True),
        _field("image_sure", pa.bool_(), "right at the precision that classify was asked for; no panel is", null=True),
        _field("image_local_concepts", _STRINGS, "local concepts that the image itself shows"),
        _field("image_how", pa.string(), "who says so: classifier, zero-shot or expert", null=True),
        _field("cluster_panel_type", pa.string(), "single or multiple, by its cluster", null=True),
        _field("cluster_panel_subtype", pa.string(), "what its cluster's figures are made of", null=True),
        _field("also_captioned", _STRINGS, "captions of figures that are the same picture and were left out"),
        _field("panels", _PANELS, "the caption cut at its panel markers, as in figures; empty where it has none"),
        _field("n_panels", pa.int32(), "panels that the image shows; null where nobody looked", null=True),
        _field(
            "panel_boxes",
            pa.list_(
                pa.struct(
                    [
                        *((name, pa.string()) for name in ("label", "words", "how")),
                        *((edge, pa.int32()) for edge in ("left", "top", "right", "bottom")),
                        *((name, pa.float32()) for name in ("confidence", "alignment_confidence")),
                    ]
                )
            ),
            "of several panels, where each is in the JPEG, in pixels, and its words, as in table panels; else empty",
        ),
        _field("panel_number", pa.int32(), "of a sample that is a panel, its number in the figure, from 1", null=True),
        _field("panel_label", pa.string(), "what the caption calls the panel: A", null=True),
        _field("panel_box", pa.list_(pa.int32()), "left, top, right and bottom in the upright figure; else empty"),
        _field("panel_context", pa.string(), "what the caption says of all panels of the figure", null=True),
        _field("panel_mentions", _STRINGS, "the paragraphs that refer to the panel by its letter"),
        _field("panel_how", pa.string(), "how its words were found: letter, position or order", null=True),
        _field("panel_confidence", pa.float32(), "0 to 1: how sure it is that there is a panel", null=True),
        _field(
            "panel_alignment_confidence", pa.float32(), "0 to 1: how sure it is that these are its words", null=True
        ),
        _field("figure_id", pa.string(), "article_id and position: PMC123.2_007"),
        _field("figure_label", pa.string(), "label as printed: Figure 2", null=True),
        _field("figure_kind", pa.string(), "figure, table, scheme, chemical-structure, graphical-abstract"),
        _field("figure_language", pa.string(), "language of the caption, lower case", null=True),
        _field("figure_alt_text", pa.string(), "alternative text", null=True),
        _field("article_version", pa.int32(), "version of the article, from 1"),
        _field("article_authors", _STRINGS, "the first ten authors"),
        _field("article_author_count", pa.int32(), "number of authors"),
        _field("article_doi", pa.string(), "DOI, lower case, without resolver", null=True),
        _field("article_url", pa.string(), "where to read that version: at PMC, or by its DOI", null=True),
        _field("license_name", pa.string(), "licence of the figure with its version, where known: CC BY 4.0"),
        _field("license_url", pa.string(), "its URL; null where the article gives none of that licence", null=True),
        _field("license_is_own", pa.bool_(), "it is the figure's own; otherwise that of its article"),
        _field("copyright", pa.string(), "copyright statement of the figure, or else of its article", null=True),
        _field("attribution", pa.string(), "all of that as one line of credit"),
    ]
)


ATTRIBUTION = pa.schema(
    [
        DATASET.field(name)
        for name in ("key", "figure_id", "attribution", "license_name", "license_url", "article_doi", "article_url")
    ]
)


METADATA = pa.schema(
    [
        *(SHARDS.field(name) for name in ("path", "parquet", "license_group", "split")),
        *(
            DATASET.field(name)
            for name in (
                "key",
                "figure_id",
                "figure_label",
                "figure_kind",
                "figure_language",
                "image_hash",
                "image_size",
                "image_converted",
                "image_label_id",
                "image_panel_type",
                "image_primary_label",
                "image_secondary_label",
                "image_concept",
                "image_label",
                "image_confidence",
                "image_sure",
                "n_panels",
                "panel_number",
                "article_accession_id",
                "article_version",
                "article_title",
                "article_journal",
                "article_date",
                "article_doi",
                "license_name",
                "license_is_own",
            )
        ),
    ]
)


def embeddings(dim: int) -> pa.Schema:
    """Schema of the embeddings table for vectors of ``dim`` float16 numbers."""
    return pa.schema(
        [
            _field("figure_id", pa.string(), "the figure"),
            _field("model", pa.string(), "name of the model"),
            _field("vector", pa.list_(pa.float16(), dim), "L2-normalised embedding, float16, fixed size"),
            _field("sha256", pa.string(), "of the image's bytes, as in figures; earlier versions: null", null=True),
        ]
    )


def panel_embeddings(dim: int) -> pa.Schema:
    """Schema of the panel_embeddings table for vectors of ``dim`` float16 numbers."""
    return pa.schema(
        [
            _field("figure_id", pa.string(), "the figure"),
            _field("panel", pa.int32(), "number of its panel, from 1"),
            _field("panel_box", pa.list_(pa.int32()), f"{_PANEL_BOX}, as it was when it was embedded"),
            _field("model", pa.string(), "name of the model"),
            _field("vector", pa.list_(pa.float16(), dim), "L2-normalised embedding of the crop, float16, fixed size"),
            _field("sha256", pa.string(), "of the figure's bytes, as in figures"),
        ]
    )


TABLES: dict[str, pa.Schema] = {
    "listing": LISTING,
    "catalog": CATALOG,
    "articles": ARTICLES,
    "pubmed": PUBMED,
    "figures": FIGURES,
    "images": IMAGES,
    "errors": ERRORS,
    "duplicates": DUPLICATES,
    "captions": CAPTIONS,
    "embeddings": embeddings(1024),
    "panel_embeddings": panel_embeddings(1024),
    "labels": LABELS,
    "image_labels": IMAGE_LABELS,
    "members": MEMBERS,
    "panels": PANELS,
    "selections": SELECTIONS,
    "samples": SAMPLES,
    "material": MATERIAL,
    "shards": SHARDS,
    "dataset": DATASET,
    "attribution": ATTRIBUTION,
    "metadata": METADATA,
}


def markdown() -> str:
    """The tables and columns as a Markdown page."""
    lines = [
        "# Tables",
        "",
        "Generated by `python -m biomedica_ray.schema`; the source is `biomedica_ray/schema.py`.",
        "",
    ]
    for name, schema in TABLES.items():
        lines += [f"## {name}", "", "| column | type | null | meaning |", "|---|---|---|---|"]
        for field in schema:
            meaning = field.metadata[b"description"].decode()
            lines.append(f"| {field.name} | `{field.type}` | {'yes' if field.nullable else ''} | {meaning} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown())
