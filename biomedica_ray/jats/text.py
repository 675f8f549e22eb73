"""Readable text of an element: nothing glued, nothing lost, whitespace and Unicode normalised once.

Blocks (paragraphs, titles, list items) become lines. Subscripts and superscripts become Unicode's where it has them,
else ``_x`` and ``^x``; formulas become linear text (:mod:`biomedica_ray.jats.formula`). Figures, tables and other
floats inside a paragraph are not part of its text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from html.entities import html5

from lxml import etree

from biomedica_ray.jats.formula import mathml_text, tex_text
from biomedica_ray.jats.tree import Element, all_text

FLOATS = frozenset(
    {"fig", "fig-group", "table-wrap", "table-wrap-group", "supplementary-material", "media", "graphic"}
    | {"inline-graphic", "floats-group", "floats-wrap", "chem-struct-wrap", "boxed-text"}
)
_NO_TEXT = (
    FLOATS
    | {"object-id", "permissions", "index-term", "target", "alt-text", "long-desc"}
    | {"institution-id", "processing-meta"}
)
_BLOCKS = frozenset(
    {"p", "title", "subtitle", "sec", "list", "list-item", "def-list", "def-item", "disp-quote", "verse-group"}
    | {"verse-line", "speech", "statement", "preformat", "caption", "attrib", "fn", "tr", "array", "table", "license-p"}
)
_SPACED = frozenset({"label", "break", "disp-formula", "disp-formula-group", "td", "th", "term", "def", "kwd", "hr"})

_SUPERSCRIPTS = str.maketrans("0123456789+-−–=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁻⁼⁽⁾ⁿ")
_SUBSCRIPTS = str.maketrans("0123456789+-−–=()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₋₌₍₎")
# Letters and digits of which Unicode has no such form.
_NO_SUPERSCRIPT = re.compile(r"[^\W_0-9n]")
_NO_SUBSCRIPT = re.compile(r"[^\W_0-9]")
_ORDINAL = re.compile(r"st|nd|rd|th")
_SPACE = re.compile(r"\s")
_INVISIBLE = ("\u200b", "\u2060", "\ufeff", "\u00ad")
FORMULA = "[formula]"
"""What stands in a caption for a formula or symbol that is given as an image without alternative text."""
_FORMULAS = ("inline-formula", "disp-formula")
# Tags whose text is not simply their content.
_ATTENDED: frozenset[object] = frozenset(
    {*_NO_TEXT, *_BLOCKS, *_SPACED, "sub", "sup", "math", "tex-math", "alternatives"}
    | {*_FORMULAS}
    | {etree.Entity, etree.Comment, etree.ProcessingInstruction}
)

# XML cannot carry these control characters, so they mark places in a text while it is put together.
_OPEN, _CLOSE, _BREAK = "\x01", "\x02", "\x03"
_MARK = re.compile(f"([{_OPEN}{_CLOSE}{_BREAK}])")
_ASIDE = f"{_OPEN}{_CLOSE}{_BREAK} \n\t"


@dataclass(slots=True)
class Span:
    """Where an element's own text lies in the text around it: ``text[start:end]``."""

    start: int
    end: int
    element: Element


def readable(element: Element | None, skip: Collection[str] = ()) -> str | None:
    """The readable text of an element, or None if it has none.

    Args:
        element: The element; None gives None.
        skip: Tags whose elements are left out, besides floats and identifiers.
    """
    if element is None:
        return None
    if len(element) == 0:
        text = element.text
        return _one_line(mended(text)) or None if text else None
    out: list[str] = []
    _Collector(skip).content(element, out)
    return normalise(mended("".join(out)))


@dataclass(slots=True)
class MarkedText:
    """What one walk over an element finds: its text, and where some of the elements in it lie.

    Attributes:
        raw: The text before it is normalised, with control characters around the marked elements.
        elements: The marked elements in document order.
        floats: The outermost floats in it, which are no part of its text.
        n_formula_images: Formulas and symbols in a caption that are images.
    """

    raw: str
    elements: list[Element]
    floats: list[Element]
    n_formula_images: int = 0

    @property
    def text(self) -> str | None:
        """What :func:`readable` gives."""
        return normalise(self.raw.replace(_OPEN, "").replace(_CLOSE, "") if self.elements else self.raw)

    @property
    def spans(self) -> list[Span]:
        """Where the marked elements lie in the text."""
        return _place(self.raw, self.elements) if self.elements else []


def mark(element: Element, tags: Collection[str]) -> MarkedText:
    """The readable text of an element with the elements of the given tags marked in it."""
    out: list[str] = []
    collector = _Collector((), tags)
    collector.content(element, out)
    return MarkedText(mended("".join(out)), collector.found, collector.floats)


def mark_caption(elements: Iterable[Element], tags: Collection[str]) -> MarkedText:
    """The text of the elements that are a caption, one behind the other, as :func:`mark` gives it.

    Boxes are part of a caption, and where formulas are images it has their alternative text or :data:`FORMULA`.
    """
    out: list[str] = []
    collector = _Collector((), tags, is_caption=True)
    for element in elements:
        out.append(_BREAK)
        collector.element(element, out)
    return MarkedText(mended("".join(out)), collector.found, collector.floats, collector.n_formula_images)


# Markup of HTML that was escaped once more than the rest; elements that JATS has for the same purpose.
_ESCAPED = re.compile(r"&(#\d{1,7};|#x[\da-fA-F]{1,6};|(?:lt|gt|amp|quot|apos);)")
_HTML = re.compile(r"</?(?:i|em|b|strong|u|italic|bold|span|p|sup|sub)>|<br\s?/?>")
_HTML_SCRIPT = re.compile(r"<(su[bp])>([^<>]*)</\1>")


def mended(raw: str) -> str:
    """A text with what went wrong in making it put right, where no doubt is left what was meant.

    HTML that was escaped twice is read. A soft hyphen between letters is where a printer may break a word; elsewhere
    somebody wrote it for a hyphen or a minus, without which ``\u00ad 8.94`` would change its sign.
    """
    if "&" in raw:
        raw = _ESCAPED.sub(_unescaped, raw)
    if "</" in raw:
        raw = _HTML_SCRIPT.sub(lambda tag: _script(tag[2], tag[1] == "sup", []), raw)
        raw = _HTML.sub("", raw)
    return _soft_hyphens(raw) if "\u00ad" in raw else raw


def _unescaped(reference: re.Match[str]) -> str:
    name = reference[1]
    if name.startswith("#"):
        code = int(name[2:-1], 16) if name[1] in "xX" else int(name[1:-1])
        return chr(code) if 32 <= code < 0xD800 or 0xE000 <= code <= 0x10FFFF else ""
    return html5.get(name, reference[0])


def _soft_hyphens(raw: str) -> str:
    bare = [(place, letter) for place, letter in enumerate(raw) if letter not in (_OPEN, _CLOSE)]
    fixed = list(raw)
    for n, (place, letter) in enumerate(bare):
        if letter == "\u00ad":
            around = [bare[at][1] for at in (n - 1, n + 1) if 0 <= at < len(bare)]
            fixed[place] = "" if len(around) == 2 and all(map(str.isalpha, around)) else "-"
    return "".join(fixed)


def normalise(raw: str) -> str | None:
    """Unicode NFC, runs of whitespace as one space, blocks as lines, invisible characters gone; None if empty."""
    if _BREAK not in raw:
        return _one_line(raw) or None
    return "\n".join([line for block in raw.split(_BREAK) if (line := _one_line(block))]) or None


def _one_line(raw: str) -> str:
    """A text without blocks, normalised. Most have nothing to mend, and to see that is quicker than to mend them."""
    if raw.isascii():
        if "  " in raw or "\n" in raw or "\t" in raw or "\r" in raw:
            return " ".join(raw.split())
        return raw.strip()
    if "  " in raw or not raw.isprintable():
        # Whatever is white but the space, and whatever is invisible, is not printable (str.isprintable).
        for sign in _INVISIBLE:
            if sign in raw:
                raw = raw.replace(sign, "")
        return " ".join(unicodedata.normalize("NFC", raw).split())
    return unicodedata.normalize("NFC", raw).strip()


@lru_cache(maxsize=64)
def _attended(tags: tuple[str, ...]) -> frozenset[object]:
    return _ATTENDED.union(tags)


class _Collector:
    """Gathers the raw text of an element, with control characters where blocks and marked elements begin and end."""

    def __init__(self, skip: Collection[str], marked: Collection[str] = (), *, is_caption: bool = False) -> None:
        self.skip = skip
        self.is_caption = is_caption
        self.n_formula_images = 0
        self.marked = marked
        self.found: list[Element] = []
        self.floats: list[Element] = []
        self._attended = _attended((*skip, *marked)) if skip or marked else _ATTENDED

    def content(self, element: Element, out: list[str]) -> None:
        """Append what is inside an element."""
        attended = self._attended
        text = element.text
        if text:
            out.append(text)
        for node in element:
            tag = node.tag
            if tag in attended:
                self._attend(node, tag, out)
            elif len(node):
                self.content(node, out)
            else:
                text = node.text
                if text:
                    out.append(text)
            tail = node.tail
            if tail and not (tail == "\n" and _precedes_script(node)):
                out.append(tail)

    def _attend(self, node: Element, tag: object, out: list[str]) -> None:
        if tag in self.marked:
            self.found.append(node)
            out.append(_OPEN)
            self.element(node, out)
            out.append(_CLOSE)
        elif tag is etree.Entity:
            out.append(html5.get((node.text or "").strip("&"), node.text or ""))
        elif self.is_caption and tag in ("boxed-text", "inline-graphic"):
            if tag == "boxed-text":
                self.element(node, out)
            else:
                self._image(node, out)
        elif tag in FLOATS:
            self.floats.append(node)
            if tag != "inline-graphic":
                out.append(" ")
        elif isinstance(tag, str) and tag not in _NO_TEXT and tag not in self.skip:
            self.element(node, out)

    def element(self, node: Element, out: list[str]) -> None:
        """Append an element, set off as its tag demands."""
        tag = node.tag
        if tag in ("sub", "sup"):
            inner: list[str] = []
            self.content(node, inner)
            out.append(_script("".join(inner), tag == "sup", out))
        elif tag == "math":
            out.append(mathml_text(node))
        elif tag == "tex-math":
            around = node.getparent()
            # MathML beside it is the same formula.
            if around is None or around.find("math") is None:
                out.append(tex_text(all_text(node)))
        elif tag in _FORMULAS:
            self._formula(node, out)
        elif tag == "alternatives":
            chosen = _textual_alternative(node)
            if chosen is not None:
                self.element(chosen, out)
        else:
            edge = _BREAK if tag in _BLOCKS else " " if tag in _SPACED else ""
            out.append(edge)
            self.content(node, out)
            out.append(edge)

    def _formula(self, node: Element, out: list[str]) -> None:
        """Append a formula; in a caption also that it is an image, where it is nothing else."""
        inner: list[str] = []
        self.content(node, inner)
        raw = "".join(inner)
        if "\\begin{document}" in raw or "\\usepackage" in raw:
            raw = tex_text(raw)
        edge = " " if node.tag in _SPACED else ""
        if raw.strip(_ASIDE) or not self.is_caption:
            out += (edge, raw, edge)
            return
        picture = next(node.iter("graphic", "inline-graphic"), None)
        if picture is not None:
            self._image(picture, out)

    def _image(self, picture: Element, out: list[str]) -> None:
        """Append what stands for a formula or symbol that is an image."""
        self.n_formula_images += 1
        around = picture.getparent()
        words = [node for home in (picture, around) if home is not None for node in home.iterchildren("alt-text")]
        alternative = next((text for node in words if (text := readable(node))), None)
        out.append(alternative or FORMULA)


def _textual_alternative(alternatives: Element) -> Element | None:
    """Of several renditions of one thing, the one that reads best: MathML, then TeX, then any with text."""
    for tag in ("math", "tex-math"):
        chosen = alternatives.find(tag)
        if chosen is not None:
            return chosen
    return next((node for node in alternatives.iterchildren("*") if node.tag not in _NO_TEXT), None)


def _precedes_script(node: Element) -> bool:
    """Whether a bare line feed behind a node is followed by a subscript or superscript.

    PMC puts such line feeds between an italic letter and its index: ``<italic>F</italic>``, feed, ``<sub>o</sub>``.
    """
    following = node.getnext()
    return following is not None and following.tag in ("sub", "sup") and node.tag not in _BLOCKS


def _script(raw: str, superscript: bool, before: list[str]) -> str:
    bare = raw.strip(_ASIDE)
    if not bare:
        return raw
    if not (_NO_SUPERSCRIPT if superscript else _NO_SUBSCRIPT).search(bare):
        return raw.translate(_SUPERSCRIPTS if superscript else _SUBSCRIPTS)
    if superscript and _ORDINAL.fullmatch(bare) and "".join(before).rstrip(f"{_OPEN}{_CLOSE}")[-1:].isdigit():
        return raw
    sign = "^" if superscript else "_"
    # White space goes from between the sign, the marks and the text.
    opening, closing = ("".join(aside.split()) for aside in raw.split(bare, 1))
    inner = f"{opening}{bare.strip()}{closing}"
    return f"{sign}({inner})" if _SPACE.search(bare) else f"{sign}{inner}"


def script(node: Element) -> str:
    """The text of a subscript or superscript by itself."""
    return _script(all_text(node), node.tag == "sup", [])


def _place(raw: str, elements: list[Element]) -> list[Span]:
    """Where the open and close marks are once the text around them is normalised."""
    length = 0
    separator = ""
    opened: list[list[int]] = []
    spans: dict[int, Span] = {}
    count = 0
    for piece in _MARK.split(raw):
        if piece == _OPEN:
            opened.append([count, -1])
            count += 1
        elif piece == _CLOSE:
            index, begin = opened.pop()
            if begin >= 0:
                spans[index] = Span(begin, length, elements[index])
        elif piece == _BREAK:
            separator = "\n"
        elif piece:
            words = _one_line(piece)
            if piece[0].isspace():
                separator = separator or " "
            if not words:
                continue
            start = length + len(separator) if length else 0
            for mark_ in opened:
                if mark_[1] < 0:
                    mark_[1] = start
            length = start + len(words)
            separator = " " if piece[-1].isspace() else ""
    return [spans[index] for index in sorted(spans)]
