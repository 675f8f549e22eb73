"""The dataset in Croissant, the vocabulary in which catalogues and loaders of machine learning describe datasets.

https://docs.mlcommons.org/croissant/docs/croissant-spec.html, version 1.0. `mlcroissant` reads the records from the
Parquet files beside it, wherever the folder lies.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from biomedica_ray import schema

FILE = "croissant.json"

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataBiases": "cr:dataBiases",
    "dataCollection": "cr:dataCollection",
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "personalSensitiveInformation": "cr:personalSensitiveInformation",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""As the specification's appendix has it."""

_TYPES = {
    pa.string(): "sc:Text",
    pa.int32(): "sc:Integer",
    pa.int64(): "sc:Integer",
    pa.float32(): "sc:Float",
    pa.bool_(): "sc:Boolean",
}

_LICENSES = {
    "commercial": [
        "https://creativecommons.org/publicdomain/zero/1.0/",
        "https://creativecommons.org/licenses/by/4.0/",
        "https://creativecommons.org/licenses/by-sa/4.0/",
        "https://creativecommons.org/licenses/by-nd/4.0/",
    ],
    "noncommercial": [
        "https://creativecommons.org/licenses/by-nc/4.0/",
        "https://creativecommons.org/licenses/by-nc-sa/4.0/",
        "https://creativecommons.org/licenses/by-nc-nd/4.0/",
    ],
    "other": ["https://pmc.ncbi.nlm.nih.gov/about/copyright/"],
}
"""The newest versions of the licences in a group; each record names its own."""


def croissant(
    name: str, description: str, version: str, kinds: Iterable[tuple[str, str]], columns: pa.Schema
) -> dict[str, Any]:
    """The document.

    A record set for each licence group and split, as they are in folders of their own. Fields are the columns whose
    values Croissant has types for: not the lists of structs.

    Args:
        name: Title of the dataset.
        description: What it is, in a sentence or two.
        version: Of the program that wrote it.
        kinds: (licence group, split) that there are shards of.
        columns: Those of the Parquet files.
    """
    kinds = sorted(kinds)
    groups = sorted({group for group, _ in kinds})
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": name,
        "description": description,
        "version": version,
        "license": [url for group in groups for url in _LICENSES[group]],
        "citeAs": CITATION,
        "isLiveDataset": False,
        "distribution": [_files(group, split) for group, split in kinds],
        "recordSet": [_records(group, split, columns) for group, split in kinds],
    }


CITATION = """@inproceedings{lozano2025biomedica,
  title = {BIOMEDICA: An Open Biomedical Image-Caption Archive, Dataset, and Vision-Language Models
           Derived from Scientific Literature},
  author = {Lozano, Alejandro and others},
  booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  year = {2025}
}"""
"""Of the paper that the dataset follows."""


def _files(group: str, split: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"files-{group}-{split}",
        "name": f"files-{group}-{split}",
        "description": f"Parquet files of the licence group {group}, {split} split.",
        "encodingFormat": "application/x-parquet",
        "includes": f"parquet/{group}/{split}/*.parquet",
    }


def _records(group: str, split: str, columns: pa.Schema) -> dict[str, Any]:
    name = f"{group}-{split}"
    fields = (_field(name, field) for field in columns)
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": f"Figures of the licence group {group}, {split} split, a record each.",
        "key": {"@id": f"{name}/key"},
        "field": [field for field in fields if field is not None],
    }


def _field(records: str, column: pa.Field) -> dict[str, Any] | None:
    """A column as a field; None where Croissant has no type for it."""
    is_list = pa.types.is_list(column.type)
    type_ = column.type.value_type if is_list else column.type
    if column.type != schema.IMAGE and type_ not in _TYPES:
        return None
    source: dict[str, Any] = {"fileSet": {"@id": f"files-{records}"}, "extract": {"column": column.name}}
    if column.type == schema.IMAGE:
        source["transform"] = {"jsonPath": "bytes"}
    return {
        "@type": "cr:Field",
        "@id": f"{records}/{column.name}",
        "name": column.name,
        "description": column.metadata[b"description"].decode(),
        "dataType": "sc:ImageObject" if column.type == schema.IMAGE else _TYPES[type_],
        **({"repeated": True} if is_list else {}),
        "source": source,
    }
