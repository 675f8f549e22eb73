"""XML bytes to an element tree with plain local names, and the article element in it."""

from __future__ import annotations

from lxml import etree

from biomedica_ray.jats.article import JatsError

Element = etree._Element

# Attributes that JATS takes from the xlink and xml namespaces; others keep their namespace, since publishers' own
# (hwp:id) would otherwise pass for JATS ones.
_NAMESPACED_ATTRIBUTES = frozenset({"href", "lang"})


def parse_tree(xml: bytes) -> Element:
    """Parse bytes and return the first ``article`` element, all tags reduced to their local names.

    Namespaces and their prefixes differ between JATS versions, PMC's wrappers and OAI-PMH; after this, ``p`` is ``p``.
    Entities are not expanded and nothing is fetched.

    Raises:
        JatsError: The bytes are not well-formed XML, or hold no article element.
    """
    # Undeclared prefixes are common and harmless; every other fault that the parser could recover from is an error.
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=True)
    try:
        root: Element | None = etree.fromstring(xml, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise JatsError(f"not well-formed XML: {error}") from error
    for fault in parser.error_log:
        if fault.level >= etree.ErrorLevels.ERROR and fault.domain != etree.ErrorDomains.NAMESPACE:
            raise JatsError(f"not well-formed XML: {fault.message}, line {fault.line}, column {fault.column}")
    if root is None:
        raise JatsError("not well-formed XML: no root element")
    for element in root.iter("*"):
        element.tag = _local(str(element.tag))
        for key, value in element.items():
            name = _local(str(key))
            if name in _NAMESPACED_ATTRIBUTES and name not in element.attrib:
                element.set(name, value)
    article: Element | None = next(root.iter("article"), None)
    if article is None:
        raise JatsError(f"no article element: the root is <{root.tag}>")
    return article


def _local(name: str) -> str:
    """A name without its namespace, or without its prefix where the document forgot to declare that."""
    return name.rpartition("}")[2].rpartition(":")[2]


def all_text(element: Element) -> str:
    """All text inside an element as it stands."""
    return "".join(map(str, element.itertext()))


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
            if (element.get("lang") or "").lower() == language:
                return element
    return elements[0] if elements else None
