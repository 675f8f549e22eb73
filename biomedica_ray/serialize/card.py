"""The dataset card: Markdown with the YAML header that the Hugging Face Hub and `datasets` read."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import yaml

from biomedica_ray.serialize.croissant import CITATION
from biomedica_ray.serialize.features import parquet_features, webdataset_features
from biomedica_ray.serialize.profiles import schema_of

TITLE = "Biomedical figures and captions from PubMed Central"
SUMMARY = "Figures of open-access articles, each with its caption, what is known of its article, and whom to credit."
_WIDTH = 118
"""Characters of a line of the card."""
_WORKERS = 8
"""Workers of open_clip_train in the card's command, where there are as many shards."""
_DIGITS = 6
"""Digits at the end of a shard's name."""
_LICENSES = {
    "commercial": "CC0, CC BY, CC BY-SA, CC BY-ND",
    "noncommercial": "CC BY-NC, CC BY-NC-SA, CC BY-NC-ND",
    "other": "no machine-readable Creative Commons licence, or another one",
}


_OF_PANELS = (
    "A sample whose `panel_number` is not null is a panel, cut out of the figure at `panel_box`: `txt` is what the "
    "caption says of it alone, `panel_context` what it says of all panels, `panel_mentions` are the paragraphs that "
    "name it; `panel_confidence` and `panel_alignment_confidence` say how sure it is that it is a panel, and that the "
    "words are its own. `image_label`, `image_confidence` and `image_local_concepts` are then the panel's own, null or "
    "empty where it was not labelled; `image_sure` is never true, as annotators are asked about figures. Labels of "
    "clusters are those of whole figures, and so unknown."
)
_PAIRS = {
    "figures": "Each sample is a whole figure.",
    "both": "Samples are figures, and panels of compound figures. " + _OF_PANELS,
    "panels": "Samples are panels, and figures: those of one panel, and those with a panel that is not sure. "
    + _OF_PANELS,
}
"""What the samples are."""


def _configs(document: dict[str, Any], files: str) -> list[dict[str, Any]]:
    """The configs of a card, one a licence group; ``files`` with {group} and {split} says where theirs lie."""
    kinds = sorted({(shard["license_group"], shard["split"]) for shard in document["shards"]})
    return [
        {
            "config_name": group,
            "data_files": [
                {"split": split, "path": files.format(group=group, split=split)} for of, split in kinds if of == group
            ],
        }
        for group in sorted({group for group, _ in kinds})
    ]


def _header(document: dict[str, Any], files: str, features: list[dict[str, Any]]) -> str:
    """The YAML header of a card that the Hugging Face Hub and `datasets` read."""
    configs = _configs(document, files)
    header = {
        "pretty_name": TITLE,
        "language": ["en"],
        "license": "other",
        "license_name": "creative-commons-by-figure",
        "license_link": "https://pmc.ncbi.nlm.nih.gov/about/copyright/",
        "size_categories": [size_category(document["samples"])],
        "source_datasets": ["original"],
        "annotations_creators": ["found"],
        "task_categories": ["zero-shot-image-classification", "image-to-text"],
        "tags": ["biology", "medical", "webdataset", "parquet"],
        "configs": configs,
        # Without features `datasets` would guess types from five samples, and fail where all of these lack something.
        "dataset_info": [{"config_name": config["config_name"], "features": features} for config in configs],
    }
    return yaml.dump(header, Dumper=_Dumper, sort_keys=False).strip()


class _Dumper(yaml.SafeDumper):
    """Writes what occurs twice twice, as no reader of cards expects anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def webdataset_card(document: dict[str, Any]) -> str:
    """The card of the folder of WebDataset shards, which `datasets` reads as a dataset of its own."""
    features = webdataset_features(schema_of(document))
    return _WEBDATASET.format(header=_header(document, "{group}/{split}/*.tar", features))


def card(document: dict[str, Any], statistics: str = "") -> str:
    """The dataset card of a dataset.json: Markdown with the YAML header that the Hugging Face Hub reads.

    Args:
        document: The dataset.json.
        statistics: Its section of statistics.
    """
    kinds = sorted({(shard["license_group"], shard["split"]) for shard in document["shards"]})
    groups = sorted({group for group, _ in kinds})
    lines = []
    for group, split in kinds:
        shards = [s for s in document["shards"] if (s["license_group"], s["split"]) == (group, split)]
        samples, size = sum(s["samples"] for s in shards), sum(s["bytes"] for s in shards)
        lines.append(f"| {group} | {split} | {samples:,} | {len(shards):,} | {size / 1e9:,.3f} |")
    group = groups[0] if groups else "commercial"
    training = [s for s in document["shards"] if (s["license_group"], s["split"]) == (group, "train")]
    return _CARD.format(
        header=_header(document, "parquet/{group}/{split}/*.parquet", parquet_features(schema_of(document))),
        title=TITLE,
        citation=CITATION,
        samples=f"{document['samples']:,}",
        table="\n".join(lines),
        licenses="\n".join(f"- **{name}**: {_LICENSES[name]}" for name in groups),
        validation=f"{document['validation_fraction']:.0%}",
        test=f"{document['test_fraction']:.0%}",
        group=group,
        shards=braces([PurePosixPath(shard["path"]).stem for shard in training]),
        training_samples=sum(shard["samples"] for shard in training),
        largest=max((shard["samples"] for shard in training), default=1),
        # open_clip_train wants a shard a worker, and stops where there are fewer.
        workers=min(max(len(training), 1), _WORKERS),
        listed=_listed(document.get("listing")),
        statistics=statistics,
        annotation=_annotation(document.get("annotation")),
        profile=textwrap.fill(_profile(document), _WIDTH),
        pairs=textwrap.fill(_PAIRS[document.get("pairs", "figures")], _WIDTH),
        settings=json.dumps({key: value for key, value in document.items() if key != "shards"}, indent=1),
    )


def _listed(date: str | None) -> str:
    """Of what day the articles are."""
    return f"\nThe articles are those that their source listed on {date}." if date else ""


def _annotation(found: dict[str, Any] | None) -> str:
    """How labels came about, and how good they are, in Markdown; empty where annotators said nothing."""
    if found is None:
        return ""
    images = f", and in {found['image_answers']:,} what single images do" if found.get("image_answers") else ""
    states = ", ".join(f"{count:,} {state}" for state, count in found["clusters"].items())
    text = (
        f"Figures were clustered by what they look like, and {found['annotators']} annotators said in "
        f"{found['answers']:,} answers what clusters show{images}."
    )
    if states:
        text += f" Of the clusters are, by their votes: {states}."
    if found["proposed"]:
        text += (
            f" In {found['against_proposal']:,} of {found['proposed']:,} clusters that were put before them with a "
            "proposal of a model they decided against it."
        )
    if found["purity"] is not None:
        text += f" Of figures whose content is known, {found['purity']:.1%} show what most of their cluster do."
    rows = [
        f"| {each['field']} | {each['clusters']:,} | {each['votes']:,} | "
        + " | ".join("" if each[name] is None else f"{each[name]:.3f}" for name in ("observed", "alpha", "kappa"))
        + " |"
        for each in found["agreement"]
    ]
    table = [
        "| question | clusters | votes | agreeing pairs | Krippendorff's alpha | Fleiss' kappa |",
        "|---|---|---|---|---|---|",
        *rows,
    ]
    return "## Annotation\n\n" + textwrap.fill(text, _WIDTH) + "\n\n" + "\n".join(table) + "\n\n"


def _profile(document: dict[str, Any]) -> str:
    """What the pictures and the fields are, by the profile."""
    quality, side = document.get("jpeg_quality"), document.get("longest_side")
    if document.get("profile", "archive") == "train":
        return (
            f"This is the profile `train`, for training: `jpg` is at most {side} pixels long and wide. A plain, "
            "upright RGB JPEG in sRGB that is no larger has the published pixels; anything else was made smaller "
            f"(Lanczos), converted to sRGB and encoded once (quality {quality}, 4:4:4), and `image_converted` has the "
            "format and the size that it was published in. `image_context` has the paragraphs that refer to the "
            "figure. Full text, abstract, references and the other figures of the article are in the profile `archive`."
        )
    return (
        "This is the profile `archive`, pictures as published: `jpg` has the published pixels where they were a plain, "
        "upright RGB JPEG in sRGB, and is else converted to sRGB and encoded once"
        + (f" (quality {quality}, 4:4:4)" if quality else "")
        + "; `image_converted` has the format and the size that it was published in. `image_set` and `image_context`, "
        "the paragraphs that refer to each figure, are of all figures of the article, which `figure_id` tells apart."
    )


def size_category(samples: int) -> str:
    """What the Hugging Face Hub calls a dataset of this size: ``n<1K``, ``1K<n<10K``, ... ``n>1T``."""
    steps = ["1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T"]
    below = next((number for number in range(len(steps)) if samples < 1000 * 10**number), len(steps))
    if below in {0, len(steps)}:
        return f"n<{steps[0]}" if below == 0 else f"n>{steps[-1]}"
    return f"{steps[below - 1]}<n<{steps[below]}"


def braces(names: Sequence[str]) -> str:
    """Names that end in numbers, in order, as a pattern that shells and webdataset expand: ``a-{000000..000002}``.

    Numbers may be missing: ``a-{{000000..000002},{000004..000007}}``.
    """
    prefix = names[0][:-_DIGITS] if names else ""
    numbers = [int(name[-_DIGITS:]) for name in names] or [0]
    starts = [number for number, before in zip(numbers, [-2, *numbers], strict=False) if number != before + 1]
    stops = [number for number, after in zip(numbers, [*numbers[1:], -2], strict=True) if number != after - 1]
    runs = [f"{{{start:06d}..{stop:06d}}}" for start, stop in zip(starts, stops, strict=True)]
    return prefix + (runs[0] if len(runs) == 1 else f"{{{','.join(runs)}}}")


_CARD = """\
---
{header}
---
# {title}

{samples} figures of open-access articles, each with its caption, what is known of its article, and, where it has been
annotated, labels of what it shows. Articles whose accession id begins with PMC come from the PubMed Central Open Access
Subset, courtesy of the U.S. National Library of Medicine (NLM), which does not endorse this dataset; the newest state
of each is at `https://pmc.ncbi.nlm.nih.gov/articles/<article_accession_id>`.{listed}

| licence group | split | samples | shards | GB (WebDataset) |
|---|---|---|---|---|
{table}

## Licences

`license_name` and `license_url` are the licence of each figure, its own where `license_is_own`, else that of its
article; `attribution` is a line of credit with authors, title, source, licence and copyright notice. The file
`attribution.parquet` has these lines for the whole dataset, and `metadata.parquet` what each sample is and which shard
it is in, without pictures and texts.

{licenses}

Take only the groups whose terms fit your use. Articles may be corrected or retracted after this dataset was made.

## Splits

About {test} of the articles are held out as `test`, for a final score, and {validation} as `validation`, to choose by;
a stable hash says which. All versions and copies of an article, and all its figures, are in the same split.

## Loading

The rows of each Parquet file are sorted by `image_concept`, so that a part of it can be read alone. To train on them,
shuffle with a buffer as large as a file, or take the shards, whose order is that of a hash of the article.

```python
from pathlib import Path

from datasets import load_dataset

here = Path.cwd()  # the folder of this card
data = load_dataset(str(here), "{group}", split="train", streaming=True)  # from Parquet
data = data.shuffle(seed=0, buffer_size={largest})
data = load_dataset(str(here / "webdataset"), "{group}", split="train", streaming=True)  # the same from the shards
```

```python
import webdataset as wds

data = wds.WebDataset("webdataset/{group}/train/{shards}.tar", shardshuffle=100).shuffle(1000).decode("pil")
for image, caption, fields in data.to_tuple("jpg", "txt", "json"):
    ...
```

```sh
python -m open_clip_train.main --dataset-type webdataset --train-num-samples {training_samples} \\
    --train-data 'webdataset/{group}/train/{shards}.tar' --workers {workers} --model ViT-L-14
```

open_clip_train stops with `KeyError: 'fname'` where webdataset is newer than 0.2.86, as its own requirements say.

## Fields

{profile}

EXIF, comments and whatever else a file carries beside its picture is cut off unless `keep_metadata` was set. `txt` is
the caption. `json` has fields of the BIOMEDICA dataset (Lozano et al., CVPR 2025), and some more: `also_captioned`,
other captions of the same picture; `panels`, the caption cut at its panel markers (label, text and its place in the
caption); and what the figure is and whom to credit, from `figure_id` to `attribution`. What is unknown is null; dates
are ISO 8601. In Parquet the same fields are columns.

What annotators said of a figure's cluster is in `image_primary_label` (global concepts) and `image_secondary_label`
(local ones). What the image itself shows, as a classifier of its embedding or an annotator says, is in `image_label`:
`image_confidence` is how probably it is right, `image_sure` whether that is enough for the precision that was asked
for, by what annotators said of single images, and `image_how` who says so (`classifier`, `zero-shot` or `expert`). They
are null where nobody said anything.

`image_panel_type` and `n_panels` are by what is seen in the image, null where nobody looked; what annotators said of
its cluster is in `cluster_panel_type`. `panel_boxes` has where each panel of a compound figure is, in pixels of the
JPEG, with its words.

{pairs}

`CHANGES.md` says which shards were added, rewritten and removed each time that the dataset was written again, and why.
`dataset.json` lists all shards and Parquet files with sizes and SHA-256, and says which version of biomedica_ray wrote
them; `biomedica verify FOLDER` compares a copy with it. `croissant.json` describes the Parquet files to catalogues and
to `mlcroissant`. Settings:

```json
{settings}
```

{statistics}{annotation}## Use, and limits

For training and evaluating models of biomedical images and language. Not for diagnosis or treatment: nobody has checked
that a caption is right, and a figure of an article is chosen to show something, not drawn from patients.

- What is open access is not what is published: journals, countries, languages and years are represented unequally, and
  mostly by English text.
- Captions were written for readers of the article. Many speak of what the picture alone does not show.
- `image_primary_label` and `image_secondary_label`, where there are any, are those of a figure's cluster, and wrong for
  some of its members; `image_label` is of the image itself, and wrong the more often the lower its confidence is.
- Retracted articles are left out by what PubMed Central said of them when the dataset was made.

## Personal data

Figures may show people, and articles name their authors. What an article publishes of patients was published with
consent, as far as its journal asks for it. What image files carry beside their pictures, such as names and places, is
removed unless `keep_metadata` was set.

## Citation

```bibtex
{citation}
```

Cite the articles whose figures you show, with the line in `attribution`.
"""

_WEBDATASET = """\
---
{header}
---
# WebDataset shards

The shards of [the dataset](../README.md), with the types of their fields for `datasets`, which reads this folder as a
dataset of its own.
"""
