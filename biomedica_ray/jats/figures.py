"""The images of an article, each with the element that holds its label and caption."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import takewhile
from string import ascii_lowercase, ascii_uppercase

from biomedica_ray.jats import identifiers
from biomedica_ray.jats.markers import Hint
from biomedica_ray.jats.text import Span, mark_caption, readable
from biomedica_ray.jats.tree import Element, all_text, href, lang, preferred

_CARRIERS = frozenset({"fig", "table-wrap", "chem-struct-wrap", "supplementary-material", "fig-group"})
_GROUPS = frozenset({"fig-group", "table-wrap-group"})
_FORMULAS = frozenset({"inline-formula", "disp-formula", "disp-formula-group"})
_ABSTRACTS = frozenset({"abstract", "trans-abstract"})
_SCOPES = frozenset({"article", "sub-article", "response"})
_GRAPHICAL = re.compile(r"\W*(?:graphical|visual)\s+abstract|\W*(?:toc|table of contents)\s+(?:graphic|figure)", re.I)
_SCHEME = re.compile(r"\W*(?:scheme|esquema)\b", re.I)
_PICTURE = re.compile(r"\.(?:png|tiff?|jpe?g|gif|webp|bmp|svg|eps)$", re.I)
_THUMBNAIL = re.compile(r"thumb|preview|\b\d{2,4}x\d{2,4}\b", re.I)
# The legend of a figure may stand beside its caption.
_LEGENDS = frozenset({"p", "list", "def-list", "disp-quote"})
# What publishers write where a picture is only offered for download.
_BOILERPLATE = re.compile(
    r"\W*(?:click here|additional data file|(?:see )?(?:supplementary|supporting) (?:data|file))", re.I
)
# What a label is made of: "Fig. 1", "Supplementary Figure S2a", "Figure 3-figure supplement 1", "(A)".
_LABEL_WORDS = (
    r"supp\w*|extended|expanded|additional|online|appendix|web|e|data|view|material|file|fig(?:ure|ura|uras)?s?\d*[a-z]?|schem\w*"
    r"|esquema|tab(?:le|ela|la)?s?|charts?|gr[aá]fic[oa]s?|plates?|abb(?:ildung)?|box|panels?|quadro|mapa|рис\w*"
    r"|图|図|그림|[a-z]?\d+[a-z]?|[a-z]|[ivx]+"
)
# Runs of signs are taken whole, else a long one would be divided among three places in all ways.
_NUMBER = re.compile(
    r"\W*+(?:(?:supp\w*|extended\s+data|appendix|additional|online)[\W_]*+)?"
    r"(?:(?:fig(?:ure|ura|uras)?s?|schem\w*|esquema|tab(?:le|ela|la)?s?|charts?|plates?|abb(?:ildung)?|рис\w*|图|図|그림"
    r"|(?:images?|imagem|imagen|graphs?|gr[aá]fic[oa]|maps?|mapa|photos?|foto|slides?|pictures?|panels?)(?=[\W_]*\d))[\W_]*+)?"
    r"(?:[a-z]?\d+[a-z]?|[a-z]|[ivx]+)?(?:\s?\([a-z]\))?\W*+(?:cont(?:inued|['\u2019]?d|\.)?)?\W*+\Z",
    re.I,
)
# "Compound 1", "Reaction scheme 2b", "Structure IV": whatever is counted, that is a label.
_COUNTED = re.compile(r"\W*[^\W\d_]+(?:[\s-][^\W\d_]+)?(?:[\s.:-]*[a-z]?\d+[a-z]?|[\s.:-]+[ivx]+)\W*\Z", re.IGNORECASE)
_LABEL = re.compile(
    rf"\W*(?:(?:{_LABEL_WORDS}|graphical|visual|abstract|toc|pictures?|images?|imagem|imagen|bild|video|maps?|photo|foto)"
    r"\b[\W_]*)*",
    re.I,
)
_DOI_LINE = re.compile(r"(?:\A|\n)DOI:\s*(?P<doi>\S+)(?=\n|\Z)", re.I)
_HINTS = ("bold", "italic", "list-item")
_SERIES = {"alpha-upper": ascii_uppercase, "alpha-lower": ascii_lowercase}


@dataclass(frozen=True, slots=True)
class Image:
    """One image that the XML names, and where its words are.

    Attributes:
        graphic: The graphic element; of alternatives the first.
        hrefs: Its names; more than one for alternatives, thumbnails last.
        thumbnails: Those of them that are said to be thumbnails.
        carrier: The float around it, or the graphic itself where it stands alone.
        wording: The element that holds label and caption: the carrier, a float around that where it has no words, the
            graphic where it has words of its own, or a fig beside the image in its group.
        group: The group, or the figure with words of its own, around these words.
        scope: The article, sub-article or response it belongs to.
        around: Tags of the elements around it.
    """

    graphic: Element
    hrefs: list[str]
    thumbnails: list[str]
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
    """Label, title and caption of an image and of the group around it, and what the caption's markup says of panels.

    Attributes:
        label: Its label.
        title: Title of its caption.
        caption: Its caption, or else its group's.
        hints: What the markup of the caption says of panels.
        doi: Its own DOI.
        has_formula_images: Whether the caption has formulas that are images.
        group_label: Label of the group.
        group_title: Title of the group's caption.
        group_caption: Caption of the group.
    """

    label: str | None
    title: str | None
    caption: str | None
    hints: list[Hint]
    doi: str | None
    has_formula_images: bool
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
        elif not _is_displayed(graphic, around):
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
    own = _read_words(image.wording, language)
    around = _NOTHING if image.group is None else _read_words(image.group, language)
    said = own if own.caption is not None else around
    return Wording(
        own.label,
        own.title if said is own else around.title,
        said.caption,
        said.hints,
        own.doi,
        said.has_formula_images,
        around.label,
        around.title,
        around.caption,
    )


def language_of(image: Image, language: str | None) -> str | None:
    """Language of the part of the article that an image stands in, of the article itself where that says nothing."""
    return (lang(image.scope) or "").lower() or language


def sub_article_of(image: Image) -> str | None:
    """Type of the sub-article or response that an image stands in, None in the article itself."""
    scope = image.scope
    if scope.tag == "article":
        return None
    return scope.get("article-type") or scope.get("response-type") or str(scope.tag)


@dataclass(frozen=True, slots=True)
class _Words:
    """The words of one float; the fields are those of Wording."""

    label: str | None = None
    title: str | None = None
    caption: str | None = None
    hints: list[Hint] = field(default_factory=list)
    doi: str | None = None
    has_formula_images: bool = False


_NOTHING = _Words()


def _read_words(element: Element, language: str | None) -> _Words:
    """Label, title, caption and hints of a float: its caption, and its legend where that stands beside the caption.

    A float without either is called by its label, which is its caption where it says more than a number.
    """
    label = readable(next(element.iterchildren("label"), None))
    caption = preferred(list(element.iterchildren("caption")), language)
    legend = [
        node for node in element.iterchildren(*_LEGENDS) if lang(node) in (None, language) and node is not caption
    ]
    marked = mark_caption([*([] if caption is None else [caption]), *legend], _HINTS)
    text, hints = marked.text, _hints(marked.spans)
    title = readable(next((element if caption is None else caption).iterchildren("title"), None))
    doi = _own_doi(element)
    if text and "doi:" in text.lower() and (line := _DOI_LINE.search(text)):
        # eLife prints the figure's DOI below its caption.
        doi = identifiers.doi(line["doi"]) or doi
        cut = line.end() - line.start()
        hints = [hint if hint.end <= line.start() else _moved(hint, cut) for hint in hints if not _within(hint, line)]
        text = (text[: line.start()] + text[line.end() :]).strip("\n") or None
    if text is not None and _NUMBER.match(text):
        text = None
    if text is None and label is not None and _says_more(label):
        text = label
    return _Words(label, title, text, hints if text is not None else [], doi, marked.n_formula_images > 0)


def _within(hint: Hint, line: re.Match[str]) -> bool:
    return hint.end > line.start() and hint.start < line.end()


def _moved(hint: Hint, by: int) -> Hint:
    return Hint(hint.start - by, hint.end - by, hint.style)


def _says_more(label: str) -> bool:
    """Whether a label has a word that labels are not made of; one or two words and a number are one of a series."""
    if _COUNTED.match(label):
        return False
    usual = _LABEL.match(label)
    return re.search(r"[^\W\d_]{2,}", label[usual.end() if usual else 0 :]) is not None


def _own_doi(element: Element) -> str | None:
    ids = (node for node in element.iterchildren("object-id") if (node.get("pub-id-type") or "") == "doi")
    return next((doi for node in ids if (doi := identifiers.doi(all_text(node)))), None)


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


def _is_displayed(graphic: Element, around: list[Element]) -> bool:
    """Whether a graphic is a figure's image rather than a symbol in running text.

    An inline graphic is one where its paragraph has nothing else; a graphic in a caption where its figure has no other.
    """
    if graphic.tag == "inline-graphic":
        paragraph = around[0]
        if paragraph.tag != "p" or around[1].tag == "bio" or len(paragraph) != 1 or all_text(paragraph).strip():
            return False
    inner = list(takewhile(lambda element: element.tag not in _CARRIERS and element.tag not in _GROUPS, around))
    if all(element.tag != "caption" for element in inner):
        return True
    carrier = next(element for element in around[len(inner) :] if element.tag in (*_CARRIERS, *_GROUPS, "article"))
    if carrier.tag != "fig":
        return False
    renditions = [graphic] if around[0].tag != "alternatives" else list(around[0])
    others = (node for node in carrier.iter("graphic", "inline-graphic") if node not in renditions)
    return all(map(_is_formula, others))


def _is_formula(graphic: Element) -> bool:
    return any(element.tag in _FORMULAS for element in graphic.iterancestors())


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
    pictures = [rendition for rendition in renditions if rendition.tag != "media" or _is_picture(rendition)]
    return sorted(pictures, key=_is_thumbnail)


def _is_thumbnail(graphic: Element) -> bool:
    """Whether a graphic says that it is the small rendition of another."""
    return any(_THUMBNAIL.search(graphic.get(name) or "") for name in ("specific-use", "content-type"))


def _image(renditions: list[Element], around: list[Element], tags: frozenset[str], language: str | None) -> Image:
    graphic = renditions[0]
    depth = next(n for n, element in enumerate(around) if element.tag in _SCOPES)
    language = (lang(around[depth]) or "").lower() or language
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
    elif (translated := _in_language(carrier, group, language)) is not None:
        wording = translated
    elif carrier is not graphic:
        worded = [element for element in (graphic, *floats) if element.tag not in _GROUPS and _has_words(element)]
        wording = worded[0] if worded else carrier
        group = worded[1] if group is None and len(worded) > 1 else group
    hrefs = [str(href(rendition)) for rendition in renditions]
    thumbnails = [str(href(rendition)) for rendition in renditions if _is_thumbnail(rendition)]
    return Image(graphic, hrefs, thumbnails, carrier, wording, group, around[depth], tags)


def _in_language(carrier: Element, group: Element | None, language: str | None) -> Element | None:
    """Of figs that are one figure in several languages, with one image, the one in the article's language."""
    if group is None or carrier.tag != "fig" or carrier.getparent() is not group:
        return None
    figs = list(group.iterchildren("fig"))
    spoken = [lang(fig) for fig in figs]
    is_translated = len(figs) > 1 and None not in spoken and len(set(spoken)) == len(figs)
    pictured = sum(next(fig.iter("graphic"), None) is not None for fig in figs)
    return preferred(figs, language) if is_translated and pictured == 1 else None


def _has_words(element: Element) -> bool:
    """Whether an element has a label or caption of its own; a file for download has boilerplate."""
    if element.tag in ("graphic", "media") and _BOILERPLATE.match(readable(element.find("caption")) or ""):
        return False
    return any(node.tag in ("label", "caption", "title", "p") for node in element.iterchildren("*"))


def _pictured(image: Image) -> list[Element]:
    if image.group is not None and _in_language(image.carrier, image.group, None) is not None:
        return list(image.group.iterchildren("fig"))
    if image.carrier.tag == "fig-group":
        return [figure for figure in image.carrier.iterchildren("fig") if image.wording is not image.carrier]
    return [image.carrier]
