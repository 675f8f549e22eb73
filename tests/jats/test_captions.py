"""Captions wherever they stand, and which graphics are images."""

from __future__ import annotations

import pytest

from biomedica_ray.jats import Article, Figure
from tests.jats.test_parse import article

IMAGE = '<graphic xlink:href="a"/>'


LABELS = (
    *("Figure 1", "Supplementary Fig. S2a", "(A)", "figs1", "Figure 3—figure supplement 1.", "Graphical abstract"),
    *("Compound 1", "Reaction scheme 2b.", "Structure IV", "Estructura 3"),
)
TWICE = "&amp;lt;i&amp;gt;E. coli&amp;lt;/i&amp;gt; &amp;amp; CO&amp;lt;sub&amp;gt;2&amp;lt;/sub&amp;gt;"
SOFT = "from 3 and \u00ad8.94 kcal/<bold>mol\u00ad</bold>ecule, T\u00ad3, a\u00ad b"


def figure(inside: str) -> Figure:
    (read,) = article(body=f"<fig>{inside}</fig>").figures
    return read


def hrefs(read: Article) -> list[str]:
    return [each.href for each in read.figures]


@pytest.mark.parametrize(
    ("inside", "caption"),
    [
        (f"<caption><p>Cells.</p></caption>{IMAGE}<p>A. Live.</p><p>B. Dead.</p>", "Cells.\nA. Live.\nB. Dead."),
        (f"{IMAGE}<caption><title>Cells</title></caption><list><list-item><p>One</p></list-item></list>", "Cells\nOne"),
        (f"<caption><p>Cells.</p></caption>{IMAGE}<disp-quote><p>Said.</p></disp-quote>", "Cells.\nSaid."),
        (
            "<caption><p>Cells.</p></caption><def-list><def-item><term>N</term><def><p>none</p></def></def-item></def-list>"
            + IMAGE,
            "Cells.\nN\nnone",
        ),
        (f"<p>{IMAGE}</p><caption><p>Cells.</p></caption>", "Cells."),
        (f"<caption><p>Cells.</p><boxed-text><p>In a box.</p></boxed-text></caption>{IMAGE}", "Cells.\nIn a box."),
        (f"<caption><p>.</p></caption>{IMAGE}", None),
        (f"<caption><title>Fig 1.</title></caption>{IMAGE}", None),
        (f"<caption><p>Supplementary Figure S1</p></caption>{IMAGE}", None),
        (f"<caption><p>Extended Data Fig. 1</p></caption>{IMAGE}", None),
        (f"<caption><p>Figure 1(A)</p></caption>{IMAGE}", None),
        (f"<caption><p>Fig. 1, continued</p></caption>{IMAGE}", None),
        (f"<caption><p>(continued)</p></caption>{IMAGE}", None),
        (f"<caption><p>Image 1</p></caption>{IMAGE}", None),
        (f"<caption><p>Gráfico 1</p></caption>{IMAGE}", None),
        (f"<caption><p>Foto 2.</p></caption>{IMAGE}", None),
        (f"<caption><p>Map of the city</p></caption>{IMAGE}", "Map of the city"),
        (f"<caption><p>Photo</p></caption>{IMAGE}", "Photo"),
        (f"<caption><p>Figura 2</p></caption>{IMAGE}", None),
        (f"<caption><p>Figure 1. Cells.</p></caption>{IMAGE}", "Figure 1. Cells."),
        (f"<label>Figure 1. Map of the study area</label>{IMAGE}", "Figure 1. Map of the study area"),
        (f"<label>Distribution of species</label><caption/>{IMAGE}", "Distribution of species"),
        *((f"<label>{label}</label>{IMAGE}", label) for label in ("Confusion matrix", "Cells on day 5", "Phylogeny")),
        *((f"<label>{label}</label>{IMAGE}", None) for label in LABELS),
        # what was escaped twice, and soft hyphens that are none
        (f"<caption><p>{TWICE}</p></caption>{IMAGE}", "E. coli & CO₂"),
        (f"<caption><p>{SOFT}</p></caption>{IMAGE}", "from 3 and -8.94 kcal/molecule, T-3, a- b"),
    ],
)
def test_captions(inside: str, caption: str | None) -> None:
    assert figure(inside).caption == caption


def test_hints_lie_where_the_emphasis_is_in_a_legend_beside_the_caption() -> None:
    legend = "<p><bold>a</bold> Live <bold>b</bold> dead</p>"
    read = figure(f"<caption><p>Cells.</p></caption>{IMAGE}{legend}")
    assert [(panel.label, panel.text) for panel in read.panels] == [("a", "a Live"), ("b", "b dead")]


@pytest.mark.parametrize(
    ("formula", "text"),
    [
        ("<inline-formula><inline-graphic xlink:href='f'/></inline-formula>", "[formula]"),
        ("<inline-graphic xlink:href='f'/>", "[formula]"),
        (
            "<inline-formula><inline-graphic xlink:href='f'><alt-text>x = 2</alt-text></inline-graphic>"
            "</inline-formula>",
            "x = 2",
        ),
    ],
)
def test_formulas_that_are_images_leave_a_trace_in_captions(formula: str, text: str) -> None:
    read = figure(f"<caption><p>It is designated as {formula}. The variable.</p></caption>{IMAGE}")
    assert (read.caption, read.has_formula_images) == (f"It is designated as {text}. The variable.", True)
    assert not figure(f"<caption><p>Cells.</p></caption>{IMAGE}").has_formula_images


@pytest.mark.parametrize(
    "formula",
    [
        "<tex-math>\\documentclass{a}\\usepackage{b}\\begin{document}$x$\\end{document}</tex-math><math><mi>x</mi></math>",
        "<tex-math>\\documentclass{a}\\usepackage{b}\\begin{document}$x$</tex-math>",
        "<tex-math>\\documentclass[12pt]{a}\\usepackage{b}\\setlength{\\c}{-69pt}$x$</tex-math>",
        "\\documentclass{a}\\usepackage{b}\\begin{document}$x$\\end{document}",
    ],
)
def test_formulas_are_read_once_and_without_preamble(formula: str) -> None:
    read = figure(f"<caption><p>Value of <inline-formula>{formula}</inline-formula>.</p></caption>{IMAGE}")
    assert read.caption == "Value of x."


def test_the_doi_of_a_figure_is_no_part_of_its_caption() -> None:
    line = "<p><bold>DOI:</bold> <ext-link>http://dx.doi.org/10.7554/eLife.1.002</ext-link></p>"
    read = figure(f"<caption><title>Cells</title><p><bold>a</bold> Live.</p>{line}</caption>{IMAGE}")
    assert (read.caption, read.figure_doi) == ("Cells\na Live.", "10.7554/elife.1.002")
    id_ = '<object-id pub-id-type="doi">10.1/A</object-id>'
    assert figure(f"{id_}<caption><p>Cells.</p></caption>{IMAGE}").figure_doi is None
    assert figure(f"{id_.replace('.1/', '.1000/')}{IMAGE}").figure_doi == "10.1000/a"


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (f"<fig><caption><p>Cells. {IMAGE}</p></caption></fig>", ["a"]),
        (f"<fig><caption><p>Cells. {IMAGE}</p></caption><graphic xlink:href='b'/></fig>", ["b"]),
        (f"<fig><caption><p>x</p><fig>{IMAGE}</fig></caption><graphic xlink:href='b'/></fig>", ["a", "b"]),
        ("<p>As <inline-graphic xlink:href='a'/> shows</p>", []),
        ("<p><inline-graphic xlink:href='a'/></p>", ["a"]),
        ("<fig><caption><p>x</p></caption><p> <inline-graphic xlink:href='a'/> </p></fig>", ["a"]),
    ],
)
def test_displayed_images(body: str, found: list[str]) -> None:
    assert hrefs(article(body=body)) == found


def test_boilerplate_of_a_graphic_does_not_hide_the_caption() -> None:
    own = '<graphic xlink:href="a"><caption><p>Click here for additional data file.</p></caption></graphic>'
    assert figure(f"<label>Fig. 1</label><caption><p>Cells.</p></caption>{own}").caption == "Cells."


@pytest.mark.parametrize(
    "attribute", ["specific-use='thumbnail'", "content-type='thumb'", "content-type='scielo-267x140'"]
)
def test_of_alternatives_the_thumbnail_comes_last(attribute: str) -> None:
    small = f'<graphic {attribute} xlink:href="small"/>'
    read = figure(f"<alternatives>{small}{IMAGE}</alternatives>")
    assert (read.href, read.alternatives, read.thumbnails) == ("a", ["small"], ["small"])


@pytest.mark.parametrize(("language", "words"), [("pt", "Ratos"), ("en", "Mice"), ("fr", "Ratos")])
def test_figs_of_one_image_give_the_words_in_the_articles_language(language: str, words: str) -> None:
    fig = '<fig xml:lang="{}"><caption><p>{}</p></caption>{}</fig>'.format
    body = f"<fig-group>{fig('pt', 'Ratos', '')}{fig('en', 'Mice', IMAGE)}</fig-group>"
    scope = f'<sub-article article-type="translation" xml:lang="{language}"><body>{body}</body></sub-article>'
    (read,) = article(after=scope).figures
    assert read.caption == words
    read_article = article(body=body)
    assert (read_article.figures[0].caption, read_article.n_figures_without_image) == ("Mice", 0)
