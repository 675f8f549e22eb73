"""What figures are known to show, to hold clusters against."""

from __future__ import annotations

import csv
from pathlib import Path

from biomedica_ray.config import ConfigError

_COLUMNS = ("figure_id", "primary_label")


def load_truth(path: str | Path) -> dict[str, str]:
    """figure_id -> global concept, from a file with a header line; tab-separated if its name ends with ``.tsv``.

    Raises:
        ConfigError: It cannot be read, lacks a column, or has a figure twice.
    """
    truth: dict[str, str] = {}
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t" if Path(path).suffix == ".tsv" else ",")
            if missing := [name for name in _COLUMNS if name not in (reader.fieldnames or ())]:
                raise ConfigError(f"truth: {path}: expected columns {' and '.join(_COLUMNS)}, there is no {missing[0]}")
            for row in reader:
                if row["figure_id"] in truth:
                    raise ConfigError(
                        f"truth: {path}: line {reader.line_num}: {row['figure_id']} stands more than once"
                    )
                truth[row["figure_id"]] = row["primary_label"]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"truth: {path}: {error}") from None
    return truth
