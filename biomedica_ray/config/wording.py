"""What is wrong with a config, in one line that names the key and what was expected."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from datetime import date
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

NAME = r"^[\w-]+(\.[\w-]+)*$"
"""Names that become a part of a path, and lead nowhere else: no slash, and no two dots in succession."""

BUCKETS = "s3://, gs:// or az://"
"""What a file or folder may be at, in words: all of store/filesystem.py's OBJECT_STORAGE."""
A_PLACE = "a local path, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"
"""What a store or a dataset may be at."""

_MOST_WORDS = 20

_EXPECTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "list_type": "a list, as in [a, b]",
    "dict_type": "keys and values",
    "date_type": "a date, as in 2026-01-31",
    "date_parsing": "a date, as in 2026-01-31",
    "date_from_datetime_parsing": "a date, as in 2026-01-31",
    "date_from_datetime_inexact": "a date without a time, as in 2026-01-31",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "literal_error": "one of {expected}",
    "too_short": "at least {min_length}",
}
"""Type of an error of pydantic -> what was expected, with the error's own numbers."""


def explain(model: type[BaseModel], error: ErrorDetails, prefix: str) -> str:
    """The line for an error that pydantic found.

    Args:
        model: The config's class.
        error: The error.
        prefix: Goes in front of the key: the section of a pipeline.
    """
    kind, where, context = error["type"], error["loc"], error.get("ctx", {})
    if not where or kind == "value_error":
        text = error["msg"].removeprefix("Value error, ")
        return prefix + text if not where else f"{prefix}{where[0]}: {text}"
    field = model.model_fields.get(str(where[0]))
    key = prefix + _key(where, field.annotation if field else None)
    if field is not None and len(where) > 1 and (inner := _model_in(field.annotation)):
        model, field = inner, inner.model_fields.get(str(where[-1]), field)
    if kind in {"extra_forbidden", "invalid_key"}:
        return f"{key}: unknown key; {suggest(str(where[-1]), model.model_fields)}"
    description = field.description if field else None
    if kind == "missing":
        return f"{key}: missing; expected {description}"
    if kind == "string_pattern_mismatch":
        is_name = context.get("pattern") == NAME
        expected = "letters, digits, - and _, with single dots between them" if is_name else str(description)
    else:
        expected = _EXPECTED.get(kind, error["msg"]).format(**context)
    return f"{key}: expected {expected}, got {as_typed(error['input'])}"


def suggest(word: str, known: Iterable[str]) -> str:
    """The known word that was probably meant, or all of them where they are not too many for a line."""
    known = list(known)
    if close := difflib.get_close_matches(word, known, 1):
        return f"did you mean {close[0]}?"
    return f"expected one of {', '.join(known)}" if len(known) <= _MOST_WORDS else "--help lists them all"


def kind_of(annotation: Any) -> str:
    """What kind of value a field takes, in words."""
    words = {int: "a whole number", float: "a number", date: "a date, as in 2026-01-31", str: "text"}
    kinds = [words[part] for part in (annotation, *get_args(annotation)) if part in words]
    return kinds[0] if kinds else "another kind of value"


def as_typed(value: Any) -> str:
    """A value as one writes it in a config."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{', '.join(as_typed(part) for part in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {as_typed(part)}' for key, part in value.items())}}}"
    if isinstance(value, str) and (value != value.strip() or not value.isprintable() or not value):
        return json.dumps(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _is_type(part: str) -> bool:
    """Whether a part of an error's place is the alternative of a union, as ``str`` or ``list[str]``."""
    return part in {"str", "int", "float", "bool"} or "[" in part


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The class of the values with keys of their own that a field takes, where it takes any."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def _key(where: tuple[int | str, ...], annotation: Any) -> str:
    """The key as one writes it: pydantic adds the alternative of a union that it tried, and a mark for keys."""
    is_union = get_origin(annotation) in {Union, UnionType}
    alternatives = [part for part in get_args(annotation) if part is not type(None)] if is_union else []
    parts = [part for part in where if part != "[key]"]
    if len(alternatives) > 1:
        parts = [parts[0], *(part for part in parts[1:] if isinstance(part, int) or not _is_type(part))]
    return ".".join(str(part) for part in parts)
