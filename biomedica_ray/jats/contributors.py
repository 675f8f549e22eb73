"""Authors and their affiliations."""

from __future__ import annotations

import re

from biomedica_ray.jats import identifiers
from biomedica_ray.jats.article import Author
from biomedica_ray.jats.text import readable
from biomedica_ray.jats.tree import Element, all_text, href, lang

_LINE_BREAK = re.compile(r"\s*\n\s*")
# Who has a role beside the authors, where nothing else says what he is.
_NO_AUTHOR = re.compile(r"\b(?:editor|reviewer|translator)s?\b", re.IGNORECASE)
_PARTS = ("institution", "institution-wrap", "addr-line", "city", "state", "country", "postal-code", "named-content")


def read_authors(meta: Element, language: str | None = None) -> list[Author]:
    """The authors of an article in order, with the affiliations that they point at or that stand with them.

    Where nobody points at an affiliation, those of the author's own group count, else all of the article.
    """
    texts = {node: text for node in meta.iter("aff") if (text := _affiliation(node))}
    affiliations = {id_: text for node, text in texts.items() if (id_ := node.get("id"))}
    for variants in meta.iter("aff-alternatives"):
        # The same place in several languages, or in parts and in a line: the first stands for all.
        said = [texts.pop(node) for node in variants.iterchildren("aff") if node in texts]
        names = [id_ for node in (variants, *variants.iterchildren("aff")) if (id_ := node.get("id"))]
        affiliations.update((id_, said[0]) for id_ in names if said)
        if said:
            texts[next(variants.iterchildren("aff"))] = said[0]
    authors: list[Author] = []
    for group in meta.iterfind("contrib-group"):
        shared = [texts[node] for node in _shared(group, meta) if node in texts]
        for contrib in group.iterchildren("contrib"):
            if (contrib.get("contrib-type") or "author") not in ("author", "collab", "group"):
                continue
            if not contrib.get("contrib-type") and _NO_AUTHOR.search(readable(contrib.find("role")) or ""):
                continue
            name = _name(contrib, language)
            if name is None:
                continue
            rids = [rid for xref in _own(contrib, "xref") for rid in (xref.get("rid") or "").split()]
            own = [affiliations[rid] for rid in rids if rid in affiliations]
            own += [texts[node] for node in _own(contrib, "aff") if node in texts]
            authors.append(Author(name, _orcid(contrib), list(dict.fromkeys(own or shared))))
    return authors


def _own(contrib: Element, *tags: str) -> list[Element]:
    """Elements of an author, without those of the members of a group."""
    return [node for node in contrib.iter(*tags) if next(node.iterancestors("contrib"), None) is contrib]


def _shared(group: Element, meta: Element) -> list[Element]:
    if any(xref.get("ref-type") == "aff" for xref in group.iter("xref")):
        return []
    for home in (group, meta):
        if found := [*home.iterchildren("aff"), *home.iterfind("aff-alternatives/aff")]:
            return found
    return []


def _name(contrib: Element, language: str | None) -> str | None:
    """An author's name; of several forms of it the one in the article's language, or the western one."""
    name = next(contrib.iter("name", "string-name", "collab", "anonymous"), None)
    around = None if name is None else name.getparent()
    if around is not None and around.tag == "name-alternatives":
        forms = list(around.iterchildren("name", "string-name"))
        western = [form for form in forms if form.get("name-style") == "western"]
        spoken = [form for form in forms if language is not None and lang(form) == language]
        name = (spoken or western or forms)[0]
    if name is None:
        return None
    if name.tag == "anonymous":
        return "Anonymous"
    parts = [readable(name.find(tag)) for tag in ("given-names", "surname", "suffix")]
    if any(parts) and name.tag != "collab":
        return " ".join(part for part in parts if part)
    return readable(name, skip=("contrib-group", "xref", "fn"))


def _orcid(contrib: Element) -> str | None:
    for node in _own(contrib, "contrib-id", "uri", "ext-link"):
        found = identifiers.orcid(all_text(node)) or identifiers.orcid(href(node))
        if found:
            return found
    return None


def _affiliation(node: Element) -> str | None:
    """An affiliation in one line, without its mark, its parts set off by commas."""
    skip = ["label", "email", "fax", "phone"]
    first = next(node.iterchildren("*"), None)
    if first is not None and first.tag == "sup" and not (node.text or "").strip():
        skip.append("sup")
    if (node.text or "").strip() or any((part.tail or "").strip() for part in node if part.tag in _PARTS):
        text = readable(node, skip)
    else:
        text = ", ".join(text for part in node.iterchildren("*") if part.tag not in skip and (text := readable(part)))
        text = text or readable(node, skip)
    return _LINE_BREAK.sub(", ", text).strip(" ,;") or None if text else None
