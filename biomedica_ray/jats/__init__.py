"""JATS XML bytes to an Article: pure functions, no files, no network, no Ray."""

from biomedica_ray.jats.article import Article, Figure, JatsError, Mention, Panel
from biomedica_ray.jats.parse import parse_article

__all__ = ["Article", "Figure", "JatsError", "Mention", "Panel", "parse_article"]
