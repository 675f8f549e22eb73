"""What Hugging Face `datasets` calls features: types of columns, which it else guesses from five samples."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from biomedica_ray import schema

METADATA_KEY = "huggingface"
"""Key of the metadata of a Parquet file's schema under which `datasets` looks for features."""

_OF_SAMPLES = ("key", "jpg", "txt")
"""Columns of a Parquet file that are not in a sample's JSON."""


def with_features(table: pa.Schema) -> pa.Schema:
    """The schema, with its features in its metadata, as `datasets` writes and reads them."""
    features = {field.name: _as_json(field.type) for field in table}
    return table.with_metadata({METADATA_KEY: json.dumps({"info": {"features": features}})})


def parquet_features(columns: pa.Schema) -> list[dict[str, Any]]:
    """The columns of the dataset's Parquet files, as the YAML header of a card lists them."""
    return [_named(field) for field in columns]


def webdataset_features(columns: pa.Schema) -> list[dict[str, Any]]:
    """The same of the files of a sample of WebDataset shards, and what `datasets` adds: its key and its shard."""
    fields = [_named(field) for field in columns if field.name not in _OF_SAMPLES]
    text = {"dtype": "string"}
    return [
        {"name": "jpg", "dtype": "image"},
        {"name": "json", "struct": fields},
        {"name": "txt", **text},
        {"name": "__key__", **text},
        {"name": "__url__", **text},
    ]


def _named(field: pa.Field) -> dict[str, Any]:
    return {"name": field.name, **_as_yaml(field.type)}


def _as_yaml(type_: pa.DataType) -> dict[str, Any]:
    """A type in the words of a card: ``dtype: string``, ``list: string``, ``list: [{name: a, dtype: string}]``."""
    if type_ == schema.IMAGE:
        return {"dtype": "image"}
    if pa.types.is_list(type_):
        of = _as_yaml(type_.value_type)
        return {"list": of.get("struct") or of.get("dtype", of)}
    if pa.types.is_struct(type_):
        return {"struct": [_named(field) for field in type_]}
    return {"dtype": str(type_)}


def _as_json(type_: pa.DataType) -> Any:
    """A type in the words of a schema's metadata; a list is that of its one element, which all versions read."""
    if type_ == schema.IMAGE:
        return {"_type": "Image"}
    if pa.types.is_list(type_):
        return [_as_json(type_.value_type)]
    if pa.types.is_struct(type_):
        return {field.name: _as_json(field.type) for field in type_}
    return {"dtype": str(type_), "_type": "Value"}
