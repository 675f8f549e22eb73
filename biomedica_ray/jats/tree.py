"""XML bytes to an element tree with plain local names, and the article element in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

from lxml import etree

from biomedica_ray.jats.article import JatsError
from biomedica_ray.jats.repair import is_misdeclared, repaired

Element = etree._Element

# Namespaced attributes that JATS knows by one name; a document that forgets to declare the prefix has them as written.
_HREF = ("{http://www.w3.org/1999/xlink}href", "href", "xlink:href")
_LANG = ("{http://www.w3.org/XML/1998/namespace}lang", "lang", "xml:lang")
# Prefixes that stand before attributes only, so that the search for elements with them is saved.
_ATTRIBUTES_ONLY = frozenset({b"xlink", b"xsi", b"xml"})
_NAMESPACE = re.compile(rb"""xmlns(?::([^\s=]+))?\s*=\s*(?:"([^"]*)"|'([^']*)')""")


def parse_tree(xml: bytes) -> Element:
    """Parse bytes and return the first ``article`` element, all tags reduced to their local names.

    Namespaces and their prefixes differ between JATS versions, PMC's wrappers and OAI-PMH; after this, ``p`` is ``p``.
    Entities are not expanded and nothing is fetched. Bytes that are not well-formed are read once more as
    :func:`biomedica_ray.jats.repair.repaired` makes them.

    Raises:
        JatsError: The bytes are not well-formed XML even so, or hold no article element.
    """
    if is_misdeclared(xml):
        xml = repaired(xml)
    document = _read(xml)
    if document.fault:
        fault, xml = document.fault, repaired(xml)
        document = _read(xml)
        if document.fault:
            # A name that HTML knows is no fault any more; the one that is unknown is.
            raise JatsError(f"not well-formed XML: {document.fault if 'Entity' in fault else fault}")
    root = document.root
    if root is None:
        raise JatsError("not well-formed XML: no root element")
    for element in _namespaced(root, xml, document.has_undeclared_prefixes):
        element.tag = _local(str(element.tag))
    article: Element | None = next(root.iter("article"), None)
    if article is None:
        raise JatsError(f"no article element: the root is <{root.tag}>")
    return article


@dataclass(frozen=True, slots=True)
class _Document:
    root: Element | None
    fault: str | None = None
    has_undeclared_prefixes: bool = False


def _read(xml: bytes) -> _Document:
    """Parse bytes; undeclared prefixes are common and harmless, all else that the parser recovers from is a fault."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=True)
    try:
        root = etree.fromstring(xml, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        return _Document(None, str(error))
    errors = [entry for entry in parser.error_log if entry.level >= etree.ErrorLevels.ERROR]
    for entry in errors:
        if entry.domain != etree.ErrorDomains.NAMESPACE:
            return _Document(root, f"{entry.message}, line {entry.line}, column {entry.column}")
    return _Document(root, None, bool(errors))


def _namespaced(root: Element, xml: bytes, has_undeclared_prefixes: bool) -> Iterable[Element]:
    """The elements that may not have their local name as tag, found without a look at the many that have."""
    declared = set(_declared_namespaces(xml))
    if has_undeclared_prefixes or b"\0" in xml[:4] or any(b"&" in uri for _, uri in declared):
        return root.iter("*")
    uris = {uri for prefix, uri in declared if uri and prefix not in _ATTRIBUTES_ONLY}
    return root.iter(*(f"{{{uri.decode('utf-8', 'replace')}}}*" for uri in uris)) if uris else ()


def _declared_namespaces(xml: bytes) -> Iterator[tuple[bytes | None, bytes]]:
    """Prefix and URI of each declaration of a namespace; a search for the word is many times quicker than a pattern."""
    start = xml.find(b"xmlns")
    while start >= 0:
        if match := _NAMESPACE.match(xml, start):
            yield match[1], match[2] or match[3] or b""
        start = xml.find(b"xmlns", start + 5)


@lru_cache(maxsize=1024)
def _local(name: str) -> str:
    """A name without its namespace, or without its prefix where the document forgot to declare that."""
    return name.rpartition("}")[2].rpartition(":")[2]


def href(element: Element) -> str | None:
    """What an element links to: ``xlink:href``, or None where it has none or an empty one."""
    return _attribute(element, _HREF)


def lang(element: Element) -> str | None:
    """The language of an element as its ``xml:lang`` says, lower case."""
    value = _attribute(element, _LANG)
    return value.strip().lower() or None if value else None


def _attribute(element: Element, names: tuple[str, ...]) -> str | None:
    for name in names:
        value = element.get(name)
        if value:
            return value
    local = names[1]
    return next((str(value) for key, value in element.items() if value and _local(str(key)) == local), None)


def all_text(element: Element) -> str:
    """All text inside an element as it stands."""
    return "".join(cast("Iterator[str]", element.itertext()))


def child(element: Element | None, *path: str) -> Element | None:
    """The first element down a path of tags, or None where a step is missing."""
    for tag in path:
        if element is None:
            return None
        element = element.find(tag)
    return element


def preferred(elements: list[Element], language: str | None) -> Element | None:
    """Of variants of one text in several languages, the one in the given language, else the first."""
    if language:
        for element in elements:
            if lang(element) == language:
                return element
    return elements[0] if elements else None
