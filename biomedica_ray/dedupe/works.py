"""What an article says of itself as a work: its title as compared, whether it is a preprint, and its relations."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

from biomedica_ray.jats import identifiers
from biomedica_ray.units import stable_hash

RELATIONS = {
    # JATS 1.3, @related-article-type, and the names that PubMed gives the same (CommentsCorrections, @RefType).
    "preprint": "preprint",
    "version-of-record": "preprint",
    "UpdateIn": "update",
    "UpdateOf": "update",
    "corrected-article": "corrects",
    "ErratumFor": "corrects",
    "correction-forward": "corrected-by",
    "ErratumIn": "corrected-by",
    "retracted-article": "retracts",
    "RetractionOf": "retracts",
    "retraction-forward": "retracted-by",
    "retracted-by": "retracted-by",
    "RetractionIn": "retracted-by",
}
"""Relation as written -> what it means here. PubMed's updates are preprints and new editions of reviews alike."""

_PREPRINT_SERVERS = frozenset(
    ("arxiv", "biorxiv", "chemrxiv", "medrxiv", "preprints", "psyarxiv", "res sq", "research square", "ssrn")
)

_MIN_WORDS, _MIN_LETTERS = 4, 20
"""A title of less says too little: "Editorial", "Case report", "Quiz: answer"."""

_GENERIC_TITLE = re.compile(
    r"(author |publisher )?(addend|comment|correction|corrigend|editorial|errat|expression of concern|foreword|"
    r"in memoriam|letter|obituary|preface|reply|response|retract|supplement)"
)
_GENERIC_TYPES = frozenset(
    (
        "abstract",
        "addendum",
        "announcement",
        "article-commentary",
        "book-review",
        "calendar",
        "correction",
        "discussion",
        "editorial",
        "expression-of-concern",
        "in-brief",
        "introduction",
        "letter",
        "news",
        "obituary",
        "partial-retraction",
        "reply",
        "retraction",
    )
)
"""JATS article types whose titles repeat from issue to issue, or repeat that of the article that they speak of."""


class Relation(NamedTuple):
    """A relation to another article, named by one of its ids: doi, pmid or pmcid."""

    relation: str
    id_type: str
    id: str


def relations(related: Iterable[tuple[str | None, str | None, str | None]]) -> list[Relation]:
    """The relations that matter here, each once.

    Args:
        related: Kind, id and type of the id, as in the column related of articles; those of PubMed likewise.
    """
    found = []
    for kind, id_, id_type in related:
        if kind and kind in RELATIONS and (named := _identifier(id_, id_type)):
            found.append(Relation(RELATIONS[kind], *named))
    return list(dict.fromkeys(found))


def _identifier(id_: str | None, id_type: str | None) -> tuple[str, str] | None:
    if doi := identifiers.doi(id_):
        return "doi", doi
    if id_type in {"pmid", "pubmed"} and (pmid := identifiers.pmid(id_)):
        return "pmid", pmid
    if id_type in {"pmc", "pmcid"} and (pmcid := identifiers.pmcid(id_)):
        return "pmcid", pmcid
    return None


def is_preprint(article_type: str | None, journal: str | None) -> bool:
    """Whether an article is a preprint: by its type, or as its journal is a preprint server."""
    server = _words(journal or "").split(" the preprint server")[0]
    return article_type == "preprint" or server in _PREPRINT_SERVERS


def work_key(title: str | None, first_author: str | None, article_type: str | None) -> int | None:
    """A number that is the same for articles with the same title and first author.

    Letters and digits of the title count, not case, accents or marks; of the author the last word of the name, since
    given names are written in many ways.

    Returns:
        A 64-bit hash; None where the title is too short or too common to tell works apart, or there is no author.
    """
    words, author = _words(title or ""), _words(first_author or "")
    if article_type in _GENERIC_TYPES or _GENERIC_TITLE.match(words) or not author:
        return None
    if len(words.split()) < _MIN_WORDS or len(words) < _MIN_LETTERS:
        return None
    return stable_hash(f"{words}|{author.split()[-1]}")


def _words(text: str) -> str:
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return " ".join(re.findall(r"[^\W_]+", plain.casefold()))
