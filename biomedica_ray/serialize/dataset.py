"""What lies beside the shards: dataset.json, which names them all, and the dataset card."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

import pyarrow.fs as pafs
import yaml

from biomedica_ray.ahead import map_in_threads
from biomedica_ray.reading.place import Place
from biomedica_ray.serialize import attribution
from biomedica_ray.serialize.features import parquet_features, webdataset_features
from biomedica_ray.serialize.shard_plan import KINDS
from biomedica_ray.store import Store

_FORMS = ("webdataset", "parquet")
_INDICES = ("sizes.json", "wids.json")
_WEBDATASET_CARD = "webdataset/README.md"
_WORKERS = 8
"""Workers of open_clip_train in the card's command, where there are as many shards."""
_DIGITS = 6
"""Digits at the end of a shard's name."""

_LICENSES = {
    "commercial": "CC0, CC BY, CC BY-SA, CC BY-ND",
    "noncommercial": "CC BY-NC, CC BY-NC-SA, CC BY-NC-ND",
    "other": "no machine-readable Creative Commons licence, or another one",
}


def withdraw(store: Store, place: Place) -> None:
    """Remove dataset.json, so that nobody takes the dataset for complete while its shards change, and indices."""
    store.delete(place.document)
    for group, split in KINDS:
        for name in _INDICES:
            store.delete(f"{place.folder('dataset')}/webdataset/{group}/{split}/{name}")


def publish(store: Store, place: Place, shards: Sequence[dict[str, Any]], settings: dict[str, Any]) -> None:
    """Remove files that belong to no shard, then write cards and indices, then dataset.json, if anything changed.

    Beside the shards of each licence group and split lie `sizes.json`, from which open_clip_train reads their numbers
    of samples, and `wids.json`, by which the library wids reads any sample without those before it.

    Args:
        store: The store.
        place: Where it lies.
        shards: Rows of the shards table, in order.
        settings: Further entries of dataset.json.
    """
    samples = sum(shard["samples"] for shard in shards)
    document = {**settings, "samples": samples, "attribution": attribution.FILE, "shards": list(shards)}
    try:
        if store.read_json(place.document) == document:
            return
    except FileNotFoundError:
        pass
    folder = place.folder("dataset")
    beside = {_WEBDATASET_CARD: webdataset_card(document), **dict(_indices(shards))}
    _remove_others(store, folder, {*beside, *(shard[key] for shard in shards for key in ("path", "parquet"))})
    for path, text in {"README.md": card(document), **beside}.items():
        store.write_bytes(f"{folder}/{path}", text.encode())
    store.write_json(place.document, document)


def _remove_others(store: Store, folder: str, kept: set[str]) -> None:
    root = store.path(folder) + "/"
    selectors = (pafs.FileSelector(root + form, allow_not_found=True, recursive=True) for form in _FORMS)
    infos = (info for selector in selectors for info in store.filesystem.get_file_info(selector))
    found = (info.path.removeprefix(root) for info in infos if info.type == pafs.FileType.File)
    list(map_in_threads(store.delete, [f"{folder}/{path}" for path in found if path not in kept]))


def _indices(shards: Sequence[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Path and text of the indices of each licence group and split."""
    for group, split in KINDS:
        own = [shard for shard in shards if (shard["license_group"], shard["split"]) == (group, split)]
        if own:
            sizes = {PurePosixPath(shard["path"]).name: shard["samples"] for shard in own}
            listed = [
                {"url": name, "nsamples": samples, "filesize": shard["bytes"]}
                for (name, samples), shard in zip(sizes.items(), own, strict=True)
            ]
            wids = {"wids_version": 1, "name": f"{group}-{split}", "shardlist": listed}
            for name, index in zip(_INDICES, (sizes, wids), strict=True):
                yield f"webdataset/{group}/{split}/{name}", json.dumps(index, indent=1) + "\n"


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
        "pretty_name": "Biomedical figures and captions from PubMed Central",
        "license": "other",
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
    return _WEBDATASET.format(header=_header(document, "{group}/{split}/*.tar", webdataset_features()))


def card(document: dict[str, Any]) -> str:
    """The dataset card of a dataset.json: Markdown with the YAML header that the Hugging Face Hub reads."""
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
        header=_header(document, "parquet/{group}/{split}/*.parquet", parquet_features()),
        samples=f"{document['samples']:,}",
        table="\n".join(lines),
        licenses="\n".join(f"- **{name}**: {_LICENSES[name]}" for name in groups),
        validation=f"{document['validation_fraction']:.0%}",
        test=f"{document['test_fraction']:.0%}",
        group=group,
        shards=braces([PurePosixPath(shard["path"]).stem for shard in training]),
        training_samples=sum(shard["samples"] for shard in training),
        # open_clip_train wants a shard a worker, and stops where there are fewer.
        workers=min(max(len(training), 1), _WORKERS),
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

`license_name` and `license_url` are the licence of each figure, its own where `license_is_own`, else that of its
article; `attribution` is a line of credit with authors, title, source, licence and copyright notice. The file
`attribution.parquet` has these lines for the whole dataset.

{licenses}

Take only the groups whose terms fit your use. Articles may be corrected or retracted after this dataset was made.

## Splits

About {test} of the articles are held out as `test`, for a final score, and {validation} as `validation`, to choose by;
a stable hash says which. All versions and copies of an article, and all its figures, are in the same split.

## Loading

```python
from pathlib import Path

from datasets import load_dataset

here = Path.cwd()  # the folder of this card
data = load_dataset(str(here), "{group}", split="train", streaming=True)  # from Parquet
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

`jpg` has the published pixels where they were a plain, upright RGB JPEG in sRGB, and is else converted to sRGB and
encoded once (4:4:4); EXIF, comments and whatever else a file carries beside its picture is cut off unless
`keep_metadata` was set. `txt` is the caption. `json` has the fields of the BIOMEDICA dataset (Lozano et al., CVPR
2025), and some more: `also_captioned`, other captions of the same picture; `panels`, the caption cut at its panel
markers (label, text and its place in the caption); and what the figure is and whom to credit, from `figure_id` to
`attribution`. `image_set` and `image_context`, the paragraphs that refer to each figure, are of all figures of the
article, which `figure_id` tells apart. What is unknown is null; dates are ISO 8601. In Parquet the same fields are
columns.

`dataset.json` lists all shards and Parquet files with sizes and SHA-256, and says which version of biomedica_ray wrote
them; `biomedica verify FOLDER` compares a copy with it. Settings:

```json
{settings}
```
"""

_WEBDATASET = """\
---
{header}
---
# WebDataset shards

The shards of [the dataset](../README.md), with the types of their fields for `datasets`, which reads this folder as a
dataset of its own.
"""
