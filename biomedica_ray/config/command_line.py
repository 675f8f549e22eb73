"""A config from a YAML file and the command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import yaml

from biomedica_ray.config.base import ConfigError, StageConfig, validate
from biomedica_ray.config.wording import suggest


def load(model: type[StageConfig], argv: Sequence[str], sections: Mapping[str, type[StageConfig]]) -> StageConfig:
    """A config from ``--config FILE`` and ``--key value``; the command line takes precedence over the file.

    Args:
        model: The config's class.
        argv: The command line.
        sections: Of a pipeline, the class of each section, whose keys are set as in ``--extract.limit 50``.

    Raises:
        ConfigError: As in :func:`validate`, or the file cannot be read.
    """
    pairs = list(_pairs(argv))
    files = [text for key, text in pairs if key == "config"]
    values = _read(files[-1]) if files else {}
    for key, text in pairs:
        section, dot, name = key.rpartition(".")
        if key == "config":
            continue
        if not dot:
            values[name] = _value(model, name, text)
        elif section in sections:
            if not isinstance(values.setdefault(section, {}), dict | None):
                raise ConfigError(f"{section}: expected keys and values")
            values[section] = {**(values[section] or {}), name: _value(sections[section], name, text)}
        elif sections:
            raise ConfigError(f"{key}: unknown section {section}; {suggest(section, sections)}")
        else:
            raise ConfigError(f"{key}: sections are those of a pipeline; expected --{name}")
    return validate(model, values)


class _Loader(yaml.SafeLoader):
    """YAML in which a key that appears twice is an error: the first value would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping whose keys differ."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if twice := [key for number, key in enumerate(keys) if key in keys[:number] and key != "<<"]:
            raise yaml.MarkedYAMLError(problem=f"{twice[0]} appears twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def _read(path: str) -> dict[str, Any]:
    try:
        values = yaml.load(Path(path).read_text(), _Loader) or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"--config {path}: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"--config {path}: expected keys and values, got {type(values).__name__}")
    return values


def _pairs(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """``--key value`` and ``--key=value``."""
    rest = iter(arguments)
    for argument in rest:
        key, equals, text = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or not key:
            raise ConfigError(f"{argument}: expected --key value")
        value = text if equals else next(rest, None)
        if value is None or (not equals and value.startswith("--")):
            raise ConfigError(f"{key}: expected a value after it{f', got {value}' if value else ''}")
        yield key.replace("-", "_"), value


def _value(model: type[StageConfig], name: str, text: str) -> Any:
    """Text of the command line as the field wants it: text for text fields, else YAML (numbers, true, [a, b])."""
    if text in {"null", "none"}:
        return None
    field = model.model_fields.get(name)
    if field is None or _takes_text(field.annotation):
        return text
    try:
        value = yaml.load(text, _Loader)
    except (ValueError, yaml.YAMLError):
        return text
    return text if value is None else value


def _takes_text(annotation: Any) -> bool:
    if get_origin(annotation) is Literal:
        return True
    if get_origin(annotation) in {Union, UnionType}:
        return any(_takes_text(part) for part in get_args(annotation))
    return annotation is str
