"""Rights in a single figure: its own permissions, and whether it comes from elsewhere."""

from __future__ import annotations

import re

from biomedica_ray.jats.licenses import OTHER, code_of_text, code_of_url
from biomedica_ray.jats.text import readable
from biomedica_ray.jats.tree import Element, href

_TAKEN = re.compile(
    r"\b(?:reproduced|reprinted|adapted|redrawn|modified|republished|reused|excerpted)\s+"
    r"(?:\(?(?:here|in part|directly|slightly|and \w+|or \w+)\)?,?\s+)*"
    r"(?:(?:and\s+)?(?:used\s+)?(?:with|by|under|w/)\s+(?:\w+\s+){0,3}?permissions?|from|after|courtesy)\b"
    r"|\b(?:used|included|shown|taken|published|reuse[sd]?)\s+(?:with|by)\s+(?:\w+\s+){0,2}?permission"
    r"|\bwith\s+(?:\w+\s+){0,2}?permission\s+(?:from|of|by)\b"
    r"|\b(?:by|through)\s+courtesy\b|\bcourtesy\s+(?:of|to)\b|\bcourtesy:"
    r"|\b(?:adaptad|reproduzid|reproducid|modificad)[oa]s?\s+(?:de|do|da|con|com|a partir)\b",
    re.IGNORECASE,
)
_COPYRIGHT = re.compile(r"©|\(c\)\s*(?=(?:19|20)\d\d)|\bcopyright\b", re.IGNORECASE)


def read_permissions(carrier: Element, graphic: Element) -> str | None:
    """What a figure says of its own licence, copyright and attribution, or None."""
    holders = [node for home in (carrier, graphic) for node in home.iterchildren("permissions")]
    parts = [text for holder in holders for node in holder.iterchildren("*") if (text := readable(node))]
    parts += [text for node in carrier.iter("attrib") if (text := readable(node))]
    return " ".join(dict.fromkeys(parts)) or None


def is_third_party(
    carrier: Element, caption: str | None, permissions: str | None, article_rights: str, article_code: str
) -> bool:
    """Whether a figure comes from elsewhere, so that the article's licence may not cover it.

    It does where its caption or attribution says reproduced, reprinted, adapted or with permission (from a source),
    or courtesy of somebody, or where it has a copyright or a licence that are not the article's.

    Args:
        carrier: The element that holds label and caption.
        caption: The caption.
        permissions: What :func:`read_permissions` gives.
        article_rights: Text of the article's own permissions.
        article_code: Code of the article's licence.
    """
    if any(text and _TAKEN.search(text) for text in (caption, permissions)):
        return True
    if caption and any(not _names(article_rights, claim) for claim in _claims(caption)):
        return True
    for holder in carrier.iterchildren("permissions"):
        statements = holder.iter("copyright-statement", "copyright-holder")
        if any(not _names(article_rights, text) for node in statements if (text := readable(node))):
            return True
        for license_ in holder.iterchildren("license"):
            code = code_of_url(href(license_) or "")
            code = code if code != OTHER else code_of_text(readable(license_) or "")
            if code not in (OTHER, article_code):
                return True
    return False


def article_rights(article: Element) -> str:
    """Text of the article's own permissions."""
    meta = article.find("front/article-meta")
    return "" if meta is None else " ".join(readable(node) or "" for node in meta.iterchildren("permissions"))


def _claims(caption: str) -> list[str]:
    """The copyright lines in a caption: from the sign to the end of the sentence."""
    return [caption[match.start() :].split(". ", maxsplit=1)[0] for match in _COPYRIGHT.finditer(caption)]


def _names(rights: str, claim: str) -> bool:
    """Whether a copyright line names a holder that the article's own permissions name too."""
    words = [word for word in re.findall(r"[^\W\d_]{3,}", claim.lower()) if word not in _PHRASE]
    return bool(words) and set(words) <= set(re.findall(r"[^\W\d_]{3,}", rights.lower()))


# Words of the phrase itself, which name nobody.
_PHRASE = frozenset({"copyright", "the", "and", "all", "rights", "reserved", "author", "authors"})
