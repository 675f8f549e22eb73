"""The images of an article, each with the element that holds its label and caption."""

from __future__ import annotations

import re
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase

from biomedica_ray.jats.markers import Hint
from biomedica_ray.jats.text import Span, mark, readable
from biomedica_ray.jats.tree import Element, href, lang, preferred

_CARRIERS = frozenset({"fig", "table-wrap", "chem-struct-wrap", "supplementary-material", "fig-group"})
_GROUPS = frozenset({"fig-group", "table-wrap-group"})
_FORMULAS = frozenset({"inline-formula", "disp-formula", "disp-formula-group"})
_ABSTRACTS = frozenset({"abstract", "trans-abstract"})
_SCOPES = frozenset({"article", "sub-article", "response"})
_GRAPHICAL = re.compile(r"\W*(?:graphical|visual)\s+abstract|\W*(?:toc|table of contents)\s+(?:graphic|figure)", re.I)
_SCHEME = re.compile(r"\W*(?:scheme|esquema)\b", re.I)
_PICTURE = re.compile(r"\.(?:png|tiff?|jpe?g|gif|webp|bmp|svg|eps)$", re.I)
_HINTS = ("bold", "italic", "list-item")
_SERIES = {"alpha-upper": ascii_uppercase, "alpha-lower": ascii_lowercase}


@dataclass(frozen=True, slots=True)
class Image:
    """One image that the XML names, and where its words are.

    Attributes:
        graphic: The graphic element; of alternatives the first.
        hrefs: Its names; more than one for alternatives.
        carrier: The float around it, or the graphic itself where it stands alone.
        wording: The element that holds label and caption: the carrier, a float around that where it has no words, the
            graphic where it has words of its own, or a fig beside the image in its group.
        group: The group, or the figure with words of its own, around these words.
        scope: The article, sub-article or response it belongs to.
        around: Tags of the elements around it.
    """

    graphic: Element
    hrefs: list[str]
    carrier: Element
    wording: Element
    group: Element | None
    scope: Element
    around: frozenset[str]

    @property
    def homes(self) -> list[Element]:
        """The elements in which its words and its rights may stand, each once."""
        homes = [self.wording, self.carrier, self.graphic, *([] if self.group is None else [self.group])]
        return list(dict.fromkeys(homes))

    @property
    def ids(self) -> list[str]:
        """Ids by which the text may refer to it."""
        elements = [self.graphic, self.carrier, self.wording, *([] if self.group is None else [self.group])]
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
    """Label, title and caption of an image and of the group around it, and what the caption's markup says of panels."""

    label: str | None
    title: str | None
    caption: str | None
    hints: list[Hint]
    group_label: str | None
    group_title: str | None
    group_caption: str | None


def find_images(article: Element, language: str | None) -> Images:
    """Every image of an article, its sub-articles and responses, in document order.

    A graphic in a formula or in running text is only counted. The graphics of one ``alternatives`` are one image,
    except beside the table that they picture page by page. A translated sub-article prints the article's figures again
    with its own words; each is an image of its own there, and that both show the same is for deduplication to find.
    """
    images: list[Image] = []
    done: set[Element] = set()
    n_inline = n_formula = 0
    figs: list[Element] = []
    for graphic in article.iter("graphic", "inline-graphic", "media", "fig"):
        if graphic.tag == "fig":
            figs.append(graphic)
            continue
        if graphic in done:
            continue
        is_media = graphic.tag == "media"
        if is_media and not _is_picture(graphic):
            continue
        around = list(graphic.iterancestors())
        tags = frozenset(str(element.tag) for element in around)
        if is_media and "fig" not in tags:
            continue
        renditions = _renditions(graphic, in_table="table-wrap" in tags)
        done.update(renditions)
        named = [rendition for rendition in renditions if href(rendition)]
        if not tags.isdisjoint(_FORMULAS):
            n_formula += 1
        elif graphic.tag == "inline-graphic" or "caption" in tags:
            n_inline += 1
        elif named:
            images.append(_image(named, around, tags, language))
    pictured = {figure for image in images for figure in _pictured(image)}
    n_without = sum(fig not in pictured for fig in figs)
    return Images(images, n_inline, n_formula, n_without)


def kind_of(image: Image, wording: Wording) -> str:
    """figure, table, scheme, chemical-structure or graphical-abstract."""
    fig_type = (image.wording.get("fig-type") or "").lower()
    names = [name for name in (wording.label, wording.title) if name]
    if (
        not image.around.isdisjoint(_ABSTRACTS)
        or "graphical" in fig_type
        or any(_GRAPHICAL.match(name) for name in names)
    ):
        return "graphical-abstract"
    if image.carrier.tag == "table-wrap":
        return "table"
    if "chem-struct" in image.around or "chem-struct-wrap" in image.around:
        return "chemical-structure"
    if "scheme" in fig_type or (wording.label and _SCHEME.match(wording.label)):
        return "scheme"
    return "figure"


def read_wording(image: Image, language: str | None) -> Wording:
    """The words of an image; where it has no caption of its own, its group's is its caption too."""
    label, title, caption, hints = _read_words(image.wording, language)
    if image.group is None:
        return Wording(label, title, caption, hints, None, None, None)
    group_label, group_title, group_caption, group_hints = _read_words(image.group, language)
    if caption is None:
        title, caption, hints = group_title, group_caption, group_hints
    return Wording(label, title, caption, hints, group_label, group_title, group_caption)


def language_of(image: Image, language: str | None) -> str | None:
    """Language of the part of the article that an image stands in, of the article itself where that says nothing."""
    return (lang(image.scope) or "").lower() or language


def sub_article_of(image: Image) -> str | None:
    """Type of the sub-article or response that an image stands in, None in the article itself."""
    scope = image.scope
    if scope.tag == "article":
        return None
    return scope.get("article-type") or scope.get("response-type") or str(scope.tag)


def _read_words(element: Element, language: str | None) -> tuple[str | None, str | None, str | None, list[Hint]]:
    """Label, title, caption and hints of a float; its own paragraphs where it has no caption element."""
    label = readable(next(element.iterchildren("label"), None))
    caption = preferred(list(element.iterchildren("caption")), language)
    if caption is None:
        paragraphs = [text for node in element.iterchildren("p") if (text := readable(node))]
        title = readable(next(element.iterchildren("title"), None))
        return label, title, "\n".join(paragraphs) or None, []
    marked = mark(caption, _HINTS)
    return label, readable(next(caption.iterchildren("title"), None)), marked.text, _hints(marked.spans)


def _hints(spans: list[Span]) -> list[Hint]:
    """Emphasis in a caption, and the items of lists whose letters are left to the printer."""
    hints = []
    for span in spans:
        style = str(span.element.tag)
        if style == "list-item":
            listed = span.element.getparent()
            series = _SERIES.get((listed.get("list-type") or "") if listed is not None else "")
            if series is None or listed is None or span.element.find("label") is not None:
                continue
            place = list(listed.iterchildren("list-item")).index(span.element)
            if place >= len(series):
                continue
            style = series[place]
        hints.append(Hint(span.start, span.end, style))
    return hints


def read_alt_text(image: Image) -> str | None:
    """Alternative text of the figure or of its graphic."""
    homes = dict.fromkeys((image.graphic, image.carrier))
    candidates = [node for tag in ("alt-text", "long-desc") for home in homes for node in home.iterchildren(tag)]
    return next((text for node in candidates if (text := readable(node))), None)


def _is_picture(media: Element) -> bool:
    """Whether a media object is a still image by its type, or by its name where it has no type."""
    kind = media.get("mimetype")
    return kind.startswith("image") if kind else bool(_PICTURE.search(href(media) or ""))


def _renditions(graphic: Element, *, in_table: bool) -> list[Element]:
    """The graphics that are the same image: those of one ``alternatives``, unless these picture a table in parts."""
    parent = graphic.getparent()
    if parent is None or parent.tag != "alternatives" or (in_table and parent.find("table") is not None):
        return [graphic]
    renditions = list(parent.iterchildren("graphic", "inline-graphic", "media"))
    return [rendition for rendition in renditions if rendition.tag != "media" or _is_picture(rendition)]


def _image(renditions: list[Element], around: list[Element], tags: frozenset[str], language: str | None) -> Image:
    graphic = renditions[0]
    depth = next(n for n, element in enumerate(around) if element.tag in _SCOPES)
    floats = [element for element in around[:depth] if element.tag in _CARRIERS or element.tag in _GROUPS]
    carrier = next((element for element in floats if element.tag in _CARRIERS), graphic)
    wording, group = carrier, next((element for element in floats if element.tag in _GROUPS), None)
    if carrier.tag == "fig-group":
        group = next((element for element in floats if element is not carrier and element.tag in _GROUPS), None)
        # The image beside its figs: one image with its words in several languages.
        bare = [figure for figure in carrier.iterchildren("fig") if next(figure.iter("graphic"), None) is None]
        figure = preferred(bare, language)
        if figure is not None:
            wording, group = figure, carrier
    elif carrier is not graphic:
        worded = [element for element in (graphic, *floats) if element.tag not in _GROUPS and _has_words(element)]
        wording = worded[0] if worded else carrier
        group = worded[1] if group is None and len(worded) > 1 else group
    hrefs = [str(href(rendition)) for rendition in renditions]
    return Image(graphic, hrefs, carrier, wording, group, around[depth], tags)


def _has_words(element: Element) -> bool:
    """Whether an element has a label or caption of its own; a file offered for download is called by its label only."""
    return any(node.tag in ("label", "caption", "title", "p") for node in element.iterchildren("*"))


def _pictured(image: Image) -> list[Element]:
    if image.carrier.tag == "fig-group":
        return [figure for figure in image.carrier.iterchildren("fig") if image.wording is not image.carrier]
    return [image.carrier]
