"""The plan of the sample: which article has which figures, publisher, licence and oddities."""

from __future__ import annotations

from dataclasses import dataclass

MATHML = (
    "The fit explained <inline-formula><mml:math><mml:msup><mml:mi>r</mml:mi><mml:mn>2</mml:mn></mml:msup>"
    "<mml:mo>=</mml:mo><mml:mn>0.61</mml:mn></mml:math></inline-formula> of the variance."
)
TEX = (
    'The threshold was <inline-formula><tex-math id="M1">'
    r"\documentclass{minimal}\begin{document}$$\alpha \le 0.05$$\end{document}</tex-math></inline-formula>."
)
GREEK = "TGF-&#x003b2;<sub>1</sub> (5 ng mL<sup>&#x2212;1</sup>) induced NF-κB and IFN-γ within 24 h at 37 °C."


@dataclass(frozen=True, slots=True)
class Plate:
    """One image of an article.

    Attributes:
        concept: Code of what it shows, see :mod:`biomedica_ray.sample.concepts`.
        where: ``body``, ``boxed``, ``floats``, ``back``, ``sub-article``, ``group`` (neighbours share a fig-group),
            ``same`` (a further graphic of the figure before), ``abstract`` (graphical abstract), ``table``, ``chem``
            (chem-struct), ``formula`` or ``inline`` (no figure at all).
        oddity: How the file departs from a plain picture: ``truncated``, ``html``, ``missing``, ``spacer``, ``cmyk``,
            ``alpha``, ``palette``, ``16-bit``, ``small`` (half the width), ``recoded`` (lower JPEG quality),
            ``alternatives`` (a TIFF beside it).
        panels: Pictures in it, lettered from A where there are several.
        like: Article number and index of the plate whose drawing it repeats.
        note: JATS markup appended to the caption.
        has_caption: Whether there is a caption at all.
        reproduced: It comes from elsewhere, with the permission of others.
    """

    concept: str
    where: str = "body"
    oddity: str = ""
    panels: int = 1
    like: tuple[int, int] | None = None
    note: str = ""
    has_caption: bool = True
    reproduced: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One article: its number, publisher, licence and images.

    Attributes:
        number: Article ``n`` has the accession id ``PMC9900000 + n``.
        publisher: Code of the publisher, see :mod:`biomedica_ray.sample.publishers`.
        licence: Code of the licence, see :mod:`biomedica_ray.sample.licences`.
        plates: Images in order.
        version: Version; from 2 on it is part of the package's name.
        archive: Packed as ``.tar.gz``.
        is_broken: The XML is cut in its middle.
        is_retracted: The article has been retracted.
        doi_of: Number of the article whose DOI it carries.
        language: ``xml:lang`` of the article.
    """

    number: int
    publisher: str
    licence: str
    plates: tuple[Plate, ...]
    version: int = 1
    archive: bool = False
    is_broken: bool = False
    is_retracted: bool = False
    doi_of: int = 0
    language: str = "en"

    @property
    def pmcid(self) -> str:
        """PMC accession id."""
        return f"PMC{9900000 + self.number}"

    @property
    def article_id(self) -> str:
        """Accession id and version."""
        return f"{self.pmcid}.{self.version}"

    @property
    def package(self) -> str:
        """Name of the package's folder."""
        return self.pmcid if self.version == 1 else self.article_id


def _plates(codes: str) -> tuple[Plate, ...]:
    return tuple(Plate(code) for code in codes.split())


P = Plate
ENTRIES: tuple[Entry, ...] = (
    Entry(
        1,
        "plos",
        "CC BY",
        (P("ihc", panels=4), P("blot"), P("bar", note=MATHML), P("surv"), P("logo", has_caption=False, like=(1, 4))),
    ),
    Entry(2, "bmc", "CC BY", _plates("eye flow map bar")),
    Entry(3, "elsevier", "CC BY-NC", _plates("mri heat bar")),
    Entry(3, "elsevier", "CC BY-NC", _plates("mri heat bar flow"), version=2),
    Entry(
        4,
        "mdpi",
        "CC BY",
        (P("chem", where="abstract"), P("chem"), P("blot"), P("fluo", panels=2, note=GREEK), P("bar")),
    ),
    Entry(
        5,
        "plos-png",
        "CC0",
        (
            P("map"),
            P("flow", oddity="alpha"),
            P("bar"),
            P("line"),
            P("table", where="table"),
            P("equation", where="formula", has_caption=False),
        ),
    ),
    Entry(
        6,
        "frontiers",
        "CC BY",
        (P("mri", panels=2), P("flow"), P("heat"), P("surv"), P("mri"), P("logo", like=(1, 4), has_caption=False)),
    ),
    Entry(7, "elsevier", "CC BY-NC-ND", (P("ihc"), P("ihc"), P("heat"), P("surv"), P("flow"))),
    Entry(8, "springer", "text", (P("chem"), P("scheme"), P("chem", where="chem"), P("bar"), P("chem"))),
    Entry(9, "springer", "CC BY-SA", (P("eye"), P("box"), P("scat", note=TEX), P("flow"), P("eye"))),
    Entry(
        10,
        "elife",
        "CC BY",
        (P("fluo"), P("blot"), P("fluo", where="group"), P("fluo", where="group", oddity="16-bit"), P("bar")),
    ),
    Entry(11, "pensoft", "CC BY", (P("nature"), P("map"), P("heat"), P("bar"), P("nature", where="same"))),
    Entry(12, "jose", "none", (P("mri"), P("flow"), P("map"), P("mri"), P("bar"), P("eye"))),
    Entry(13, "scielo", "CC BY", _plates("map bar flow line map"), language="es"),
    Entry(14, "frontiers", "CC BY", (P("ihc"), P("chem"), P("blot", panels=2), P("heat"))),
    Entry(
        15,
        "nihms",
        "TDM",
        (P("ihc", oddity="small", like=(14, 0)), P("blot", oddity="recoded", panels=2, like=(14, 2))),
        doi_of=14,
    ),
    Entry(16, "hindawi", "CC BY", (P("blot"), P("fluo"), P("blot"), P("bar"), P("gel")), is_retracted=True),
    Entry(
        17, "elsevier", "CC BY-NC", (P("ihc", where="group"), P("ihc", where="group"), P("fluo"), P("heat"), P("surv"))
    ),
    Entry(
        18,
        "plos",
        "CC BY",
        (P("eye"), P("micro"), P("chem"), P("box"), P("eye", panels=2), P("logo", like=(1, 4), has_caption=False)),
    ),
    Entry(19, "mdpi", "CC BY", _plates("eye bar"), is_broken=True),
    Entry(20, "bmc", "CC BY", ()),
    Entry(21, "oup", "TDM", (P("map"), P("chem"), P("bar", oddity="palette"), P("flow"), P("map"))),
    Entry(22, "elife", "CC BY", (P("fluo"), P("phase"), P("box"), P("heat", oddity="cmyk"))),
    Entry(23, "elsevier", "CC BY-NC", (P("mri"), P("mri"), P("table", where="table"), P("flow", oddity="cmyk"))),
    Entry(
        24,
        "springer",
        "CC BY",
        (P("ihc", reproduced=True), P("chem", reproduced=True), P("flow"), P("ihc", where="boxed")),
    ),
    Entry(25, "frontiers", "CC BY", _plates("ihc blot fluo bar eye"), archive=True),
    Entry(26, "plos", "CC BY", (P("map"), P("flow"), P("heat"), P("map", like=(5, 0), oddity="recoded")), archive=True),
    Entry(27, "bmc", "CC BY", _plates("mri ihc blot heat"), archive=True),
    Entry(
        28,
        "mdpi",
        "CC BY-NC",
        (P("chem"), P("chem", oddity="alternatives"), P("heat"), P("blot"), P("chem", like=(8, 0))),
    ),
    Entry(
        29,
        "pensoft",
        "CC BY",
        (P("eye", where="floats"), P("bar", where="floats"), P("scat", where="floats"), P("map", where="floats")),
    ),
    Entry(
        30,
        "biorxiv",
        "CC BY-NC-ND",
        (P("fluo"), P("mri"), P("blot"), P("heat", where="back"), P("fluo", where="sub-article")),
    ),
    Entry(31, "frontiers", "conflict", (P("eye"), P("fluo"), P("chem"), P("ihc", has_caption=False), P("eye"))),
    Entry(
        32,
        "hindawi",
        "CC0",
        (
            P("mri", oddity="truncated"),
            P("flow", oddity="html"),
            P("eye", oddity="missing"),
            P("logo", oddity="spacer", has_caption=False),
            P("eye"),
            P("map"),
            P("mri"),
            P("equation", where="inline", has_caption=False),
        ),
    ),
)
"""The articles in the order of their accession ids."""
