"""A config from a YAML file and the command line."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import yaml
from pydantic.fields import FieldInfo

from biomedica_ray.config.base import ConfigError, StageConfig
from biomedica_ray.config.pipeline import CONFIGS, STAGES, PipelineConfig, validate


def load(stage: str, argv: Sequence[str]) -> StageConfig:
    """The config of ``stage`` from ``--config FILE`` and ``--key value``; the command line goes before the file.

    For the pipeline, ``--extract.limit 50`` sets a key of a section.

    Raises:
        ConfigError: As in :func:`validate`, or the file cannot be read.
        SystemExit: After ``--help``.
    """
    options, rest = parser(stage).parse_known_args(argv)
    values = _read(options.config) if options.config else {}
    for key, text in _pairs(rest):
        model, target = CONFIGS[stage], values
        *sections, name = key.split(".")
        for section in sections:
            if stage != "pipeline" or section not in STAGES:
                raise ConfigError(
                    f"{key}: unknown section {section}; expected one of {', '.join(STAGES)}, in a pipeline"
                )
            target[section] = target.get(section) or {}
            model, target = CONFIGS[section], target[section]
        target[name] = _value(model, name, text)
    config = validate(CONFIGS[stage], values)
    if isinstance(config, PipelineConfig):
        for section in config.stages:
            config.stage(section)
    return config


def parser(stage: str) -> argparse.ArgumentParser:
    """The parser of a stage's command line; its help lists every field with type, default and meaning."""
    model = CONFIGS[stage]
    rows = [f"  --{name} {_type_name(field)}\n      {_describe(field)}" for name, field in model.model_fields.items()]
    if stage == "pipeline":
        rows.append(
            "  --STAGE.KEY VALUE\n      a key of one stage, as in --extract.limit 50; see `biomedica STAGE --help`"
        )
    result = argparse.ArgumentParser(
        prog=f"biomedica {stage}",
        description=(model.__doc__ or "").strip(),
        usage=f"biomedica {stage} [--config FILE] [--key value ...]",
        epilog="keys:\n" + "\n".join(rows),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    result.add_argument("--config", metavar="FILE", help="YAML file with any of the keys below")
    return result


def _read(path: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(Path(path).read_text()) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"--config {path}: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"--config {path}: expected keys and values, got {type(values).__name__}")
    return values


def _pairs(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """``--key value`` and ``--key=value``."""
    rest = iter(arguments)
    for argument in rest:
        if not argument.startswith("--"):
            raise ConfigError(f"{argument}: expected --key value")
        key, equals, text = argument.removeprefix("--").partition("=")
        value = text if equals else next(rest, None)
        if value is None:
            raise ConfigError(f"{key}: expected a value after it")
        yield key.replace("-", "_"), value


def _value(model: type[StageConfig], name: str, text: str) -> Any:
    """Text of the command line as the field wants it: text for text fields, else YAML (numbers, true, [a, b])."""
    if text in {"null", "none"}:
        return None
    field = model.model_fields.get(name)
    if field is None or _takes_text(field.annotation):
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _takes_text(annotation: Any) -> bool:
    if get_origin(annotation) is Literal:
        return True
    if get_origin(annotation) in {Union, UnionType}:
        return any(_takes_text(part) for part in get_args(annotation))
    return annotation is str


def _type_name(field: FieldInfo) -> str:
    name = field.annotation.__name__ if isinstance(field.annotation, type) else str(field.annotation)
    return name.replace("typing.", "").replace("NoneType", "none").replace("None", "none")


def _describe(field: FieldInfo) -> str:
    default = "required" if field.is_required() else f"default: {field.get_default(call_default_factory=True)}"
    return f"{field.description} ({default})"
