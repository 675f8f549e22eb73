"""The help of a stage: its keys in groups, with plain types, and defaults as one types them."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from datetime import date
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from biomedica_ray.config.base import StageConfig
from biomedica_ray.config.wording import as_typed

_PLAIN = {str: "TEXT", int: "INTEGER", float: "NUMBER", bool: "true|false", date: "YYYY-MM-DD"}
_SIZES = {"num_cpus", "num_gpus", "memory_gb", "fit_cpus", "use_gpu", "cpus_per_worker", "reader_cpus", "max_actors"}
"""Keys of any stage that say what it takes of the machines."""
_LEAST_WIDTH, _MOST_WIDTH = 60, 110
_LONGEST_TYPE = 40


def stage_help(stage: str, model: type[StageConfig], *, sections: bool) -> str:
    """The help of a stage, wrapped at the terminal's width.

    Args:
        stage: Its name.
        model: Its config's class.
        sections: Whether its keys are those of other stages, as a pipeline's are.
    """
    width = min(max(shutil.get_terminal_size((100, 24)).columns, _LEAST_WIDTH), _MOST_WIDTH)
    lines = [f"usage: biomedica {stage} [--config FILE] [--key value ...]", ""]
    for paragraph in textwrap.dedent(f"    {model.__doc__ or ''}").strip().split("\n\n"):
        lines += [*textwrap.wrap(" ".join(paragraph.split()), width), ""]
    if model.example:
        lines += ["example:", f"  biomedica {stage} {model.example}", ""]
    for heading, fields in _groups(model):
        lines.append(f"{heading}:")
        for name, field in fields:
            kind, text = type_name(field.annotation), _describe(field)
            if len(kind) > _LONGEST_TYPE:
                kind, text = "CHOICE", f"{text}; CHOICE is {kind.replace('|', ', ')}"
            lines += _key(f"--{name} {kind}", text, width)
        lines.append("")
    if sections:
        lines += ["keys of one stage:"]
        lines += _key("--STAGE.KEY VALUE", "as in --extract.limit 50; `biomedica STAGE --help` lists them", width)
        lines.append("")
    lines += [
        "also:",
        *_key("--config FILE", "YAML file with any of these keys; the command line takes precedence", width),
    ]
    return "\n".join(lines) + "\n"


def type_name(annotation: Any) -> str:
    """What one types for a value of a type: TEXT, INTEGER, a|b, [INTEGER, ...]."""
    origin, parts = get_origin(annotation), [part for part in get_args(annotation) if part is not type(None)]
    if origin is Annotated:
        return type_name(parts[0])
    if origin in {Union, UnionType}:
        return "|".join(type_name(part) for part in parts)
    if origin is Literal:
        return "|".join(f"'{part}'" if " " in str(part) else str(part) for part in parts)
    if origin is list:
        return f"[{type_name(parts[0])}, ...]"
    if origin is dict:
        return f"{{{type_name(parts[0])}: {type_name(parts[1])}}}" if parts[1] is not Any else "{KEY: VALUE}"
    has_keys = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    name = "{KEY: VALUE}" if has_keys else getattr(annotation, "__name__", str(annotation)).upper()
    return _PLAIN.get(annotation, name)


def _groups(model: type[StageConfig]) -> Iterator[tuple[str, list[tuple[str, FieldInfo]]]]:
    common = set(StageConfig.model_fields)
    fields = model.model_fields.items()
    required = [(name, field) for name, field in fields if field.is_required()]
    own = [(name, f) for name, f in fields if not f.is_required() and name not in common | _SIZES]
    yield "required", required
    heading, group = "what to do", list[tuple[str, FieldInfo]]()
    for name, field in own:
        if name in model.headings and group:
            yield heading, group
            group = []
        heading = model.headings.get(name, heading)
        group.append((name, field))
    if group:
        yield heading, group
    yield "size", [(name, field) for name, field in fields if name in _SIZES]
    yield "where", [(name, f) for name, f in fields if name in common - _SIZES and not f.is_required()]


def _key(option: str, text: str, width: int) -> list[str]:
    first = textwrap.wrap(option, width - 2, subsequent_indent="      ", break_long_words=False)
    return [f"  {line}" for line in first] + textwrap.wrap(
        text, width, initial_indent=" " * 6, subsequent_indent=" " * 6, break_on_hyphens=False
    )


def _describe(field: FieldInfo) -> str:
    if field.is_required():
        return str(field.description)
    return f"{field.description} (default: {as_typed(field.get_default(call_default_factory=True))})"
