"""A small corpus that ships with the package: invented articles with drawn and free images, packed as in PMC."""

from __future__ import annotations

from pathlib import Path

PACKAGES: Path = Path(__file__).parent / "packages"
"""Folder of the article packages: folders and ``.tar.gz`` archives."""

TRUTH: Path = Path(__file__).parent / "truth.tsv"
"""What each image shows: tab-separated article_id, file_name, primary_label, secondary_label, with a header."""
