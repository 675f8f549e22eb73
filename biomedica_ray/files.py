"""Small files that people give and get, on disks or in object storage, and the places in a store that they have.

A default is in the store, so that a job on a cluster finds it wherever it runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from biomedica_ray.config import ConfigError
from biomedica_ray.store import Store, StoreError, open_filesystem
from biomedica_ray.store.filesystem import OBJECT_STORAGE

ANSWERS = "answers"
"""Folder of what annotators sent back; this and the names below are relative to the store's root."""
LABELS = "labels.yaml"
"""What annotators say of clusters."""
VOTES = "votes.json"
"""Every vote, the verdicts and the agreement."""
TAXONOMY = "taxonomy.yaml"
"""The words that labels are made of."""
PROMPTS = "prompts.yaml"
"""What a CLIP model is asked about concepts."""
TRUTH = "truth.tsv"
"""What figures are known to show."""

_Document = TypeVar("_Document", bound=BaseModel)


@dataclass(frozen=True)
class GivenFile:
    """A file that a config names.

    Attributes:
        key: The config's key, for messages.
        uri: Where the file is.
        data: Its bytes.
    """

    key: str
    uri: str
    data: bytes

    def fault(self, message: object) -> ConfigError:
        """An error that names the key and the file, in one line."""
        return ConfigError(f"{self.key}: {self.uri}: {' '.join(str(message).split())}")


def given_file(store: Store, key: str, uri: str | None, default: str) -> GivenFile | None:
    """Read the file that a config names, or where it names none, the store's own; None where there is no such file.

    Args:
        store: The store; files in buckets are read from its endpoint.
        key: The config's key.
        uri: What the config says.
        default: The store's own, relative to its root.

    Raises:
        ConfigError: The named file does not exist, or a file cannot be read.
        StoreError: Object storage does not answer.
    """
    place = uri or store.uri(default)
    try:
        filesystem, path = open_filesystem(place, store.endpoint_url)
        with filesystem.open_input_stream(path) as stream:
            return GivenFile(key, place, stream.read())
    except FileNotFoundError:
        if uri is None:
            return None
        raise ConfigError(f"{key}: {uri}: no such file") from None
    except StoreError as error:
        raise ConfigError(f"{key}: {error}") from None
    except OSError as error:
        kind = StoreError if place.startswith(OBJECT_STORAGE) else ConfigError
        raise kind(f"{key}: {place}: {' '.join(str(error).split())}") from None


def write_file(uri: str, data: bytes, endpoint_url: str | None) -> None:
    """Write a file to a local path or a URI of object storage in one atomic step."""
    folder, slash, name = uri.rpartition("/")
    Store(folder or slash or ".", endpoint_url).write_bytes(name, data)


def parse_yaml(model: type[_Document], file: GivenFile) -> _Document:
    """A document from a YAML file.

    Raises:
        ConfigError: It is not YAML, or not such a document; names file, place and what is wrong. Entries of lists are
            counted from 1.
    """
    try:
        return model.model_validate(yaml.safe_load(file.data.decode()))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(f"entry {part + 1}" if isinstance(part, int) else part for part in first["loc"])
        raise file.fault(f"{place}{': ' if place else ''}{first['msg'].removeprefix('Value error, ')}") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise file.fault(error) from None
