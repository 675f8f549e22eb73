"""What lies beside the shards: dataset.json, which names them all, and the dataset card."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import pyarrow.fs as pafs
import yaml

from biomedica_ray.ahead import map_in_threads
from biomedica_ray.reading.place import Place
from biomedica_ray.store import Store

_FORMS = ("webdataset", "parquet")
_DIGITS = 6
"""Digits at the end of a shard's name."""

_LICENSES = {
    "commercial": "CC0, CC BY, CC BY-SA, CC BY-ND",
    "noncommercial": "CC BY-NC, CC BY-NC-SA, CC BY-NC-ND",
    "other": "no machine-readable Creative Commons licence, or another one",
}


def withdraw(store: Store, place: Place) -> None:
    """Remove dataset.json, so that nobody takes the dataset for complete while its shards change."""
    store.delete(place.document)


def publish(store: Store, place: Place, shards: Sequence[dict[str, Any]], settings: dict[str, Any]) -> None:
    """Remove files that belong to no shard, then write the card, then dataset.json; do nothing if nothing changed.

    Args:
        store: The store.
        place: Where it lies.
        shards: Rows of the shards table, in order.
        settings: Further entries of dataset.json.
    """
    document = {**settings, "samples": sum(shard["samples"] for shard in shards), "shards": list(shards)}
    try:
        if store.read_json(place.document) == document:
            return
    except FileNotFoundError:
        pass
    folder = place.folder("dataset")
    _remove_others(store, folder, {shard[key] for shard in shards for key in ("path", "parquet")})
    store.write_bytes(f"{folder}/README.md", card(document).encode())
    store.write_json(place.document, document)


def _remove_others(store: Store, folder: str, kept: set[str]) -> None:
    root = store.path(folder) + "/"
    selectors = (pafs.FileSelector(root + form, allow_not_found=True, recursive=True) for form in _FORMS)
    infos = (info for selector in selectors for info in store.filesystem.get_file_info(selector))
    found = (info.path.removeprefix(root) for info in infos if info.type == pafs.FileType.File)
    list(map_in_threads(store.delete, [f"{folder}/{path}" for path in found if path not in kept]))


def card(document: dict[str, Any]) -> str:
    """The dataset card of a dataset.json: Markdown with the YAML header that the Hugging Face Hub reads."""
    kinds = sorted({(shard["license_group"], shard["split"]) for shard in document["shards"]})
    groups = sorted({group for group, _ in kinds})
    header = {
        "pretty_name": "Biomedical figures and captions from PubMed Central",
        "license": "other",
        "task_categories": ["zero-shot-image-classification", "image-to-text"],
        "tags": ["biology", "medical", "webdataset", "parquet"],
        "configs": [
            {
                "config_name": group,
                "data_files": [
                    {"split": split, "path": f"parquet/{group}/{split}/*.parquet"} for of, split in kinds if of == group
                ],
            }
            for group in groups
        ],
    }
    lines = []
    for group, split in kinds:
        shards = [s for s in document["shards"] if (s["license_group"], s["split"]) == (group, split)]
        samples, size = sum(s["samples"] for s in shards), sum(s["bytes"] for s in shards)
        lines.append(f"| {group} | {split} | {samples:,} | {len(shards):,} | {size / 1e9:,.3f} |")
    group = groups[0] if groups else "commercial"
    training = [s for s in document["shards"] if (s["license_group"], s["split"]) == (group, "train")]
    return _CARD.format(
        header=yaml.safe_dump(header, sort_keys=False).strip(),
        samples=f"{document['samples']:,}",
        table="\n".join(lines),
        licenses="\n".join(f"- **{name}**: {_LICENSES[name]}" for name in groups),
        validation=f"{document['validation_fraction']:.0%}",
        test=f"{document['test_fraction']:.0%}",
        group=group,
        shards=braces([PurePosixPath(shard["path"]).stem for shard in training]),
        training_samples=sum(shard["samples"] for shard in training),
        settings=json.dumps({key: value for key, value in document.items() if key != "shards"}, indent=1),
    )


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
# Biomedical figures and captions from PubMed Central

{samples} figures of open-access articles, each with its caption, what is known of its article, and, where it has been
annotated, labels of what it shows. Articles whose accession id begins with PMC come from the PubMed Central Open Access
Subset, courtesy of the U.S. National Library of Medicine (NLM), which does not endorse this dataset; the newest state
of each is at `https://pmc.ncbi.nlm.nih.gov/articles/<article_accession_id>`.

| licence group | split | samples | shards | GB (WebDataset) |
|---|---|---|---|---|
{table}

## Licences

Each figure is under the licence of its article, which `article_license` names; `article_citation` is whom to credit.

{licenses}

Take only the groups whose terms fit your use. Articles may be corrected or retracted after this dataset was made.

## Splits

About {test} of the articles are held out as `test`, for a final score, and {validation} as `validation`, to choose by;
a stable hash says which. All versions and copies of an article, and all its figures, are in the same split.

## Loading

```python
from datasets import Image, load_dataset

data = load_dataset("parquet", data_files={{"train": "parquet/{group}/train/*.parquet"}}, split="train", streaming=True)
data = data.cast_column("jpg", Image())
```

```python
import webdataset as wds

data = wds.WebDataset("webdataset/{group}/train/{shards}.tar", shardshuffle=100).shuffle(1000).decode("pil")
for image, caption, fields in data.to_tuple("jpg", "txt", "json"):
    ...
```

```sh
python -m open_clip_train.main --dataset-type webdataset --train-num-samples {training_samples} \\
    --train-data 'webdataset/{group}/train/{shards}.tar' --model ViT-L-14
```

## Fields

`jpg` (as published where it was a plain, upright RGB JPEG, else encoded once), `txt` (the caption) and `json` with the
fields of the BIOMEDICA dataset (Lozano et al., CVPR 2025), and two more: `also_captioned`, other captions of the same
picture, and `panels`, the caption cut at its panel markers (label, text and its place in the caption). The paragraphs
that refer to the figure are `image_context[image_cluster_id]`. What is unknown is null; dates are ISO 8601. In Parquet
the same fields are columns, and `image_context` is a list of (image_id, references).

`dataset.json` lists all shards with sizes and SHA-256. Settings:

```json
{settings}
```
"""
