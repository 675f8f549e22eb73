"""A config from a YAML file and the command line."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import yaml
from pydantic.fields import FieldInfo

from biomedica_ray.config.base import ConfigError, StageConfig, validate


def load(
    stage: str, model: type[StageConfig], argv: Sequence[str], sections: Mapping[str, type[StageConfig]]
) -> StageConfig:
    """The config of ``stage`` from ``--config FILE`` and ``--key value``; the command line goes before the file.

    Args:
        stage: Name of the stage.
        model: Its config's class.
        argv: The command line.
        sections: Of a pipeline, the class of each section, whose keys are set as in ``--extract.limit 50``.

    Raises:
        ConfigError: As in :func:`validate`, or the file cannot be read.
        SystemExit: After ``--help``.
    """
    options, rest = parser(stage, model, sections).parse_known_args(argv)
    values = _read(options.config) if options.config else {}
    for key, text in _pairs(rest):
        section, dot, name = key.rpartition(".")
        if not dot:
            values[name] = _value(model, name, text)
        elif section in sections:
            values[section] = values.get(section) or {}
            values[section][name] = _value(sections[section], name, text)
        else:
            known = f"one of {', '.join(sections)}" if sections else "a key without a section, as this is no pipeline"
            raise ConfigError(f"{key}: unknown section {section}; expected {known}")
    return validate(model, values)


def parser(stage: str, model: type[StageConfig], sections: Mapping[str, type[StageConfig]]) -> argparse.ArgumentParser:
    """The parser of a stage's command line; its help lists every field with type, default and meaning."""
    rows = [f"  --{name} {_type_name(field)}\n      {_describe(field)}" for name, field in model.model_fields.items()]
    if sections:
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
    except (
        OSError,
        ValueError,
        yaml.YAMLError,
    ) as error:  # a ValueError of the 13th month, or of bytes that are no text
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
    except (yaml.YAMLError, ValueError):  # YAML reads 2026-13-01 as a date, and fails
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
