"""What figures are known to show, to compare clusters with."""

from __future__ import annotations

import csv
import io

from biomedica_ray import files
from biomedica_ray.files import GivenFile, given_file
from biomedica_ray.store import Store

_COLUMNS = ("figure_id", "primary_label")


def load_truth(store: Store, uri: str | None) -> dict[str, str]:
    """figure_id -> global concept, from the file that a config names, else the store's own; empty without one.

    Raises:
        ConfigError: As in :func:`parse_truth`, or it cannot be read.
    """
    file = given_file(store, "truth", uri, files.TRUTH)
    return parse_truth(file) if file else {}


def parse_truth(file: GivenFile) -> dict[str, str]:
    """figure_id -> global concept, from a file with a header line; tab-separated if its name ends with ``.tsv``.

    Raises:
        ConfigError: It lacks a column, or has a figure twice.
    """
    truth: dict[str, str] = {}
    try:
        lines = io.StringIO(file.data.decode(), newline="")
        reader = csv.DictReader(lines, delimiter="\t" if file.uri.endswith(".tsv") else ",")
        if missing := [name for name in _COLUMNS if name not in (reader.fieldnames or ())]:
            raise file.fault(f"expected columns {' and '.join(_COLUMNS)}, there is no {missing[0]}")
        for row in reader:
            if row["figure_id"] in truth:
                raise file.fault(f"line {reader.line_num}: {row['figure_id']} appears more than once")
            truth[row["figure_id"]] = row["primary_label"]
    except (UnicodeDecodeError, csv.Error) as error:
        raise file.fault(error) from None
    return truth
