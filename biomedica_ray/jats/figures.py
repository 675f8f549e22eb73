"""The images of an article, each with the element that holds its label and caption."""

from __future__ import annotations

import re
from dataclasses import dataclass

from biomedica_ray.jats.text import Span, readable, readable_with_spans
from biomedica_ray.jats.tree import Element, child, href, preferred

_CARRIERS = frozenset({"fig", "table-wrap", "chem-struct-wrap", "supplementary-material", "fig-group"})
_GROUPS = frozenset({"fig-group", "table-wrap-group"})
_FORMULAS = frozenset({"inline-formula", "disp-formula", "disp-formula-group"})
_ABSTRACTS = frozenset({"abstract", "trans-abstract"})
_SCOPES = frozenset({"article", "sub-article", "response"})
_GRAPHICAL = re.compile(r"\W*(?:graphical|visual)\s+abstract|\W*(?:toc|table of contents)\s+(?:graphic|figure)", re.I)
_SCHEME = re.compile(r"\W*(?:scheme|esquema)\b", re.I)


@dataclass(frozen=True, slots=True)
class Image:
    """One image that the XML names, and where its words are.

    Attributes:
        graphic: The graphic element; of alternatives the first.
        hrefs: Its names; more than one for alternatives.
        carrier: The float around it, or the graphic itself where it stands alone.
        wording: The element that holds label and caption: the carrier, or a fig beside the image in its group.
        group: The group around the carrier.
        scope: The article, sub-article or response it belongs to.
        in_abstract: Whether it stands in an abstract.
    """

    graphic: Element
    hrefs: list[str]
    carrier: Element
    wording: Element
    group: Element | None
    scope: Element
    in_abstract: bool

    @property
    def ids(self) -> list[str]:
        """Ids by which the text may refer to it."""
        elements = [self.graphic, self.carrier, self.wording]
        elements += [] if self.group is None else [self.group]
        elements += list(self.carrier.iterchildren("fig")) if self.carrier.tag == "fig-group" else []
        return list(dict.fromkeys(id_ for element in elements if (id_ := element.get("id"))))


@dataclass(frozen=True, slots=True)
class Images:
    """All images of an article in document order, and counts of the graphics that are no figures."""

    images: list[Image]
    n_inline_graphics: int
    n_formula_graphics: int
    n_figures_without_image: int


@dataclass(frozen=True, slots=True)
class Wording:
    """Label, title and caption of a float, and the emphasised parts of the caption."""

    label: str | None
    title: str | None
    caption: str | None
    emphasised: list[Span]


def find_images(article: Element, language: str | None) -> Images:
    """Every image of an article, its sub-articles and responses, in document order.

    A graphic in a formula or in running text is only counted. The graphics of one ``alternatives`` are one image,
    except beside the table that they picture page by page.
    """
    images: list[Image] = []
    done: set[Element] = set()
    n_inline = n_formula = 0
    for graphic in article.iter("graphic", "inline-graphic"):
        if graphic in done:
            continue
        around = list(graphic.iterancestors())
        tags = {str(element.tag) for element in around}
        renditions = _renditions(graphic, in_table="table-wrap" in tags)
        done.update(renditions)
        named = [rendition for rendition in renditions if href(rendition)]
        if tags & _FORMULAS:
            n_formula += 1
        elif graphic.tag == "inline-graphic" or "caption" in tags:
            n_inline += 1
        elif named:
            images.append(_image(named, around, tags, language))
    pictured = {figure for image in images for figure in _pictured(image)}
    n_without = sum(figure not in pictured for figure in article.iter("fig"))
    return Images(images, n_inline, n_formula, n_without)


def kind_of(image: Image, wording: Wording) -> str:
    """figure, table, scheme, chemical-structure or graphical-abstract."""
    fig_type = (image.wording.get("fig-type") or "").lower()
    names = [name for name in (wording.label, wording.title) if name]
    if image.in_abstract or "graphical" in fig_type or any(_GRAPHICAL.match(name) for name in names):
        return "graphical-abstract"
    if image.carrier.tag in ("table-wrap", "chem-struct-wrap"):
        return "table" if image.carrier.tag == "table-wrap" else "chemical-structure"
    if "scheme" in fig_type or (wording.label and _SCHEME.match(wording.label)):
        return "scheme"
    return "figure"


def read_wording(element: Element, language: str | None) -> Wording:
    """Label, title and caption of a float; its own paragraphs where it has no caption element."""
    label = readable(element.find("label"))
    caption = preferred(list(element.iterchildren("caption")), language)
    if caption is None:
        paragraphs = [text for node in element.iterchildren("p") if (text := readable(node))]
        return Wording(label, readable(element.find("title")), "\n".join(paragraphs) or None, [])
    text, spans = readable_with_spans(caption, ("bold", "italic"))
    return Wording(label, readable(caption.find("title")), text or None, spans)


def read_alt_text(image: Image) -> str | None:
    """Alternative text of the figure or of its graphic."""
    candidates = [child(home, tag) for tag in ("alt-text", "long-desc") for home in (image.graphic, image.carrier)]
    return next((text for node in candidates if (text := readable(node))), None)


def _renditions(graphic: Element, *, in_table: bool) -> list[Element]:
    """The graphics that are the same image: those of one ``alternatives``, unless these picture a table in parts."""
    parent = graphic.getparent()
    if parent is None or parent.tag != "alternatives" or (in_table and parent.find("table") is not None):
        return [graphic]
    return list(parent.iterchildren("graphic", "inline-graphic"))


def _image(renditions: list[Element], around: list[Element], tags: set[str], language: str | None) -> Image:
    graphic = renditions[0]
    scope = next(element for element in around if element.tag in _SCOPES)
    inside = around[: around.index(scope)]
    carrier = next((element for element in inside if element.tag in _CARRIERS), graphic)
    outside = inside[inside.index(carrier) + 1 :] if carrier is not graphic else inside
    group = next((element for element in outside if element.tag in _GROUPS), None)
    wording = carrier
    if carrier.tag == "fig-group":
        # The image beside its figs: one image with its words in several languages.
        bare = [figure for figure in carrier.iterchildren("fig") if next(figure.iter("graphic"), None) is None]
        figure = preferred(bare, language)
        if figure is not None:
            wording, group = figure, carrier
    hrefs = [str(href(rendition)) for rendition in renditions]
    return Image(graphic, hrefs, carrier, wording, group, scope, bool(tags & _ABSTRACTS))


def _pictured(image: Image) -> list[Element]:
    if image.carrier.tag == "fig-group":
        return [figure for figure in image.carrier.iterchildren("fig") if image.wording is not image.carrier]
    return [image.carrier]
