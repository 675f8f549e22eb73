from __future__ import annotations

from pathlib import Path

from biomedica_ray.schema import TABLES, embeddings, markdown


def test_the_page_on_the_tables_is_current() -> None:
    page = Path(__file__).parents[1] / "docs" / "schema.md"
    assert page.read_text().strip() == markdown().strip(), "run: python -m biomedica_ray.schema > docs/schema.md"


def test_every_column_is_described() -> None:
    for schema in TABLES.values():
        for field in schema:
            assert field.metadata[b"description"]


def test_embeddings_have_a_fixed_size() -> None:
    assert embeddings(384).field("vector").type.list_size == 384
