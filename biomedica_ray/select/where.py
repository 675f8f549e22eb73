"""The language of queries: conditions on a figure's columns, as in SQL after WHERE, and nothing else of SQL.

    primary_label contains 'Microscopy' and license_group = 'commercial' and not width < 200

A query can name columns and values, compare and combine them; there is nothing in it that could open a file or run.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce
from typing import Any, TypeAlias, cast

import lark
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biomedica_ray.select.columns import Column, empty, find_column, is_texts

_GRAMMAR = r"""
?either: both | either "or"i both -> either
?both: term | both "and"i term -> both
?term: "not"i term -> negated
     | "(" either ")"
     | column -> flag
     | column COMPARISON value -> compared
     | column COMPARISON column -> compared_columns
     | column "in"i values -> among
     | column "not"i "in"i values -> not_among
     | column "contains"i value -> contains
     | column "contains"i "any"i values -> contains_any
     | column "icontains"i value -> icontains
     | column "icontains"i "any"i values -> icontains_any
     | column "is"i "null"i -> missing
     | column "is"i "not"i "null"i -> given
column: NAME
values: "(" value ("," value)* ")"
?value: TEXT -> text | NUMBER -> number | "true"i -> true | "false"i -> false
COMPARISON: "=" | "!=" | "<>" | "<=" | "<" | ">=" | ">"
NAME: /[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?/
TEXT: /'([^']|'')*'/
NUMBER: /[-+]?[0-9]+(\.[0-9]+)?/
%ignore /\s+/
"""

_COMPARE = {
    "=": pc.equal,
    "!=": pc.not_equal,
    "<>": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}

Mask: TypeAlias = pa.ChunkedArray
"""Booleans, null where it cannot be said."""

Value = str | int | float | bool


@dataclass(frozen=True)
class Condition:
    """A condition that a figure meets, or does not.

    Attributes:
        columns: The columns that it needs.
        test: From a table of :func:`biomedica_ray.select.columns.join` to booleans, null where that cannot be said.
    """

    columns: frozenset[Column]
    test: Callable[[pa.Table], Mask]

    def met(self, table: pa.Table) -> Mask:
        """For each row, whether the condition is met: False where that cannot be said, as in SQL."""
        return pc.fill_null(self.test(table), False)


def parse(text: str) -> Condition:
    """The condition that a query says.

    A comparison with null is neither true nor false, and a figure is taken where all in all it is true. Lists are
    empty rather than null: ``contains`` asks for an entry of a list or for a part of a text, ``is null`` holds for an
    empty list too.

    Raises:
        ValueError: It is not a query; one line that names the column or the place.
    """
    try:
        condition = cast("Condition", _PARSER.parse(text))
        condition.met(empty(condition.columns))  # what the types forbid shows on no rows as well
    except lark.exceptions.UnexpectedInput as error:
        raise ValueError(_place(text, error)) from None
    except RecursionError:
        raise ValueError("conditions are nested too deeply") from None
    return condition


def _place(text: str, error: lark.exceptions.UnexpectedInput) -> str:
    at = cast("int", error.pos_in_stream)
    if isinstance(error, lark.UnexpectedToken) and error.token.type == "$END":
        return "ends too early; expected a condition such as width >= 300"
    return f"{text[at:].split(maxsplit=1)[0][:30]!r} at character {at + 1}: unexpected"


@lark.v_args(inline=True)
class _Conditions(lark.Transformer[Any, Condition]):
    """Makes conditions of what the parser finds."""

    column = staticmethod(find_column)
    true = staticmethod(lambda: True)
    false = staticmethod(lambda: False)

    def text(self, token: str) -> str:
        return token[1:-1].replace("''", "'")

    def number(self, token: str) -> float | int:
        return float(token) if "." in token else int(token)

    def values(self, *values: Value) -> tuple[Value, ...]:
        return values

    def either(self, a: Condition, b: Condition) -> Condition:
        return Condition(a.columns | b.columns, lambda table: pc.or_kleene(a.test(table), b.test(table)))

    def both(self, a: Condition, b: Condition) -> Condition:
        return Condition(a.columns | b.columns, lambda table: pc.and_kleene(a.test(table), b.test(table)))

    def negated(self, a: Condition) -> Condition:
        return Condition(a.columns, lambda table: pc.invert(a.test(table)))

    def flag(self, column: Column) -> Condition:
        if not pa.types.is_boolean(column.type):
            raise ValueError(f"{column}: is {_kind(column.type)}; expected a comparison after it")
        return _on(column, lambda values: values)

    def compared(self, column: Column, sign: str, value: Value) -> Condition:
        scalar, compare = _scalar(column, value), _COMPARE[sign]
        return _on(column, lambda values: compare(values, scalar))

    def compared_columns(self, one: Column, sign: str, other: Column) -> Condition:
        if is_texts(one.type) or _kind(one.type) != _kind(other.type):
            raise ValueError(f"{one}: is {_kind(one.type)}, and cannot be compared with {other}, {_kind(other.type)}")
        read, compare = operator.itemgetter(str(one), str(other)), _COMPARE[sign]
        return Condition(frozenset({one, other}), lambda table: compare(*read(table)))

    def among(self, column: Column, wanted: Sequence[Value]) -> Condition:
        scalars = [_scalar(column, value) for value in wanted]
        type_ = next((scalar.type for scalar in scalars if scalar.type != column.type), column.type)
        among = pa.array([scalar.as_py() for scalar in scalars], type_)
        unknown = pa.scalar(None, pa.bool_())

        def test(values: pa.ChunkedArray) -> Mask:
            # To Arrow a null is not among anything; in SQL it is neither in nor not in.
            return pc.if_else(pc.is_valid(values), pc.is_in(values.cast(type_), among), unknown)

        return _on(column, test)

    def not_among(self, column: Column, wanted: Sequence[Value]) -> Condition:
        return self.negated(self.among(column, wanted))

    def contains(self, column: Column, value: Value) -> Condition:
        return self.contains_any(column, (value,))

    def contains_any(self, column: Column, wanted: Sequence[Value]) -> Condition:
        texts = [_text(column, value) for value in wanted]
        if is_texts(column.type):
            return _on(column, lambda values: _has_any(values, pa.array(texts, pa.string())))
        return self._has_part(column, texts, ignore_case=False)

    def icontains(self, column: Column, value: Value) -> Condition:
        return self.icontains_any(column, (value,))

    def icontains_any(self, column: Column, wanted: Sequence[Value]) -> Condition:
        texts = [_text(column, value) for value in wanted]
        if is_texts(column.type):
            folded = pa.array([text.lower() for text in texts], pa.string())
            return _on(column, lambda values: _has_any(values, folded, ignore_case=True))
        return self._has_part(column, texts, ignore_case=True)

    @staticmethod
    def _has_part(column: Column, texts: Sequence[str], *, ignore_case: bool) -> Condition:
        if not pa.types.is_string(column.type):
            raise ValueError(f"{column}: is {_kind(column.type)}; contains is for lists and text")
        return _on(
            column,
            lambda values: reduce(
                pc.or_kleene, [pc.match_substring(values, text, ignore_case=ignore_case) for text in texts]
            ),
        )

    def missing(self, column: Column) -> Condition:
        if is_texts(column.type):
            return _on(column, lambda values: pc.equal(pc.fill_null(pc.list_value_length(values), 0), 0))
        return _on(column, pc.is_null)

    def given(self, column: Column) -> Condition:
        return self.negated(self.missing(column))


_PARSER = lark.Lark(_GRAMMAR, parser="lalr", start="either", transformer=_Conditions())


def _on(column: Column, test: Callable[[pa.ChunkedArray], Mask]) -> Condition:
    read = operator.itemgetter(str(column))
    return Condition(frozenset({column}), lambda table: test(read(table)))


def _has_any(lists: pa.ChunkedArray, wanted: pa.Array, *, ignore_case: bool = False) -> pa.Array:
    """Which lists have one of the wanted entries (without regard to case in small letters); a null list has none."""
    whole = pa.concat_arrays(lists.chunks) if lists.num_chunks else pa.array([], lists.type)
    entries = pc.list_flatten(whole)
    entries = pc.utf8_lower(entries) if ignore_case else entries
    parents = pc.list_parent_indices(whole).filter(pc.is_in(entries, value_set=wanted))
    mask = np.zeros(len(whole), np.bool_)
    mask[parents.to_numpy(zero_copy_only=False)] = True
    return pa.array(mask)


def _scalar(column: Column, value: Value) -> pa.Scalar:
    """A value as what it is compared with; raises ValueError where the column holds other things."""
    type_ = column.type
    if is_texts(type_):
        raise ValueError(f"{column}: is a list; expected contains after it")
    if pa.types.is_string(type_):
        return pa.scalar(_text(column, value))
    if pa.types.is_date(type_) and isinstance(value, str):
        try:
            return pa.scalar(date.fromisoformat(value), type_)
        except ValueError:
            raise ValueError(f"{column}: expected a date such as '2020-05-31', got {value!r}") from None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if (pa.types.is_boolean(type_) and isinstance(value, bool)) or (_is_number(type_) and number):
        try:
            return pa.scalar(value, pa.float64() if isinstance(value, float) else type_)
        except (pa.ArrowInvalid, OverflowError):
            raise ValueError(f"{column}: {value} is not of type {type_}") from None
    raise ValueError(f"{column}: is {_kind(type_)}, got {value!r}")


def _text(column: Column, value: Value) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{column}: expected text in single quotes, got {value!r}")
    return value


def _is_number(type_: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_))


def _kind(type_: pa.DataType) -> str:
    if is_texts(type_):
        return "a list"
    if _is_number(type_):
        return "a number"
    return {"bool": "true or false", "string": "text"}.get(str(type_), "a date")
