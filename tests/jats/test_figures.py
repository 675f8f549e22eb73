"""Images, their words and their rights."""

from __future__ import annotations

import pytest

from biomedica_ray.jats import Figure
from tests.jats.test_parse import article


def graphic(name: str) -> str:
    return f'<graphic xlink:href="{name}"/>'


def figures(body: str, meta: str = "", after: str = "") -> list[Figure]:
    return article(meta, body, after=after).figures


def test_each_image_of_a_fig_is_a_figure_with_the_same_words() -> None:
    caption = "<caption><title>Mice.</title><p>(A) x. (B) y.</p></caption>"
    body = f'<fig id="f1"><label>Figure 1.</label>{caption}{graphic("a")}{graphic("b")}</fig>'
    first, second = figures(body)
    assert (first.href, first.position, second.href, second.position) == ("a", 1, "b", 2)
    assert (first.image_number, second.image_number) == (1, 2)
    assert (first.xml_id, first.label, first.title) == ("f1", "Figure 1.", "Mice.")
    assert first.caption == second.caption == "Mice.\n(A) x. (B) y."
    assert [panel.label for panel in first.panels] == ["A", "B"]


def test_alternatives_are_one_image_and_empty_names_none() -> None:
    body = f"<fig><alternatives>{graphic('')}{graphic('a.tif')}{graphic('a.png')}</alternatives></fig>"
    (figure,) = figures(body)
    assert (figure.href, figure.alternatives) == ("a.tif", ["a.png"])


def test_pictures_of_parts_of_a_table_are_several_images() -> None:
    pictures = f"<alternatives><table/>{graphic('1a')}{graphic('1b')}</alternatives>"
    body = f"<table-wrap><label>Table 1</label>{pictures}</table-wrap>"
    assert [(figure.href, figure.kind, figure.label) for figure in figures(body)] == [
        ("1a", "table", "Table 1"),
        ("1b", "table", "Table 1"),
    ]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("<fig>{}</fig>", "figure"),
        ("<fig><label>Scheme 1</label>{}</fig>", "scheme"),
        ('<fig fig-type="scheme">{}</fig>', "scheme"),
        ("<fig><caption><title>Graphical Abstract</title></caption>{}</fig>", "graphical-abstract"),
        ("<table-wrap>{}</table-wrap>", "table"),
        ("<chem-struct-wrap><chem-struct>{}</chem-struct></chem-struct-wrap>", "chemical-structure"),
        ("<p><chem-struct>{}</chem-struct></p>", "chemical-structure"),
        ("<p>{}</p>", "figure"),
    ],
)
def test_kinds(body: str, kind: str) -> None:
    assert [figure.kind for figure in figures(body.format(graphic("x")))] == [kind]


def test_images_of_an_abstract_are_graphical_abstracts() -> None:
    meta = f'<abstract abstract-type="graphical"><p><fig>{graphic("g")}</fig></p></abstract>'
    assert [figure.kind for figure in figures("", meta)] == ["graphical-abstract"]


def test_figs_are_found_wherever_they_stand_in_document_order() -> None:
    fig = "<fig>{}</fig>".format
    body = f"<sec><p>{fig(graphic('1'))}</p></sec><boxed-text>{fig(graphic('2'))}</boxed-text>"
    after = (
        f"<floats-group>{fig(graphic('3'))}</floats-group><sub-article><body>{fig(graphic('4'))}</body></sub-article>"
        f"<response><body>{fig(graphic('5'))}</body></response>"
    )
    found = figures(body, after=after)
    assert [(figure.href, figure.position) for figure in found] == [(str(n), n) for n in range(1, 6)]


def test_group_words_are_inherited_and_kept_apart() -> None:
    body = (
        "<fig-group><label>Fig. 1</label><caption><title>Both</title><p>Two mice.</p></caption>"
        f"<fig><label>A</label>{graphic('a')}</fig>"
        f"<fig><label>B</label><caption><p>Its own.</p></caption>{graphic('b')}</fig></fig-group>"
    )
    bare, captioned = figures(body)
    assert (bare.label, bare.title, bare.caption) == ("A", "Both", "Both\nTwo mice.")
    assert (captioned.label, captioned.title, captioned.caption) == ("B", None, "Its own.")
    for figure in (bare, captioned):
        group = (figure.group_label, figure.group_title, figure.group_caption)
        assert group == ("Fig. 1", "Both", "Both\nTwo mice.")


def test_words_are_sought_from_the_graphic_outwards() -> None:
    whole = "<label>Fig. 1</label><caption><p>All.</p></caption>"
    own = '<graphic xlink:href="a"><label>A</label><caption><p>Part.</p></caption></graphic>'
    (figure,) = figures(f"<fig>{whole}{own}</fig>")
    assert (figure.label, figure.caption, figure.group_label, figure.group_caption) == ("A", "Part.", "Fig. 1", "All.")
    structure = f"<chem-struct-wrap><chem-struct>{graphic('c')}</chem-struct></chem-struct-wrap>"
    (figure,) = figures(f"<fig>{whole}{structure}</fig>")
    assert (figure.label, figure.caption, figure.kind) == ("Fig. 1", "All.", "chemical-structure")
    (outer, inner) = figures(f"<fig>{whole}{graphic('o')}<fig><label>Fig. 1a</label>{graphic('i')}</fig></fig>")
    assert (outer.label, outer.group_label) == ("Fig. 1", None)
    assert (inner.label, inner.caption, inner.group_label) == ("Fig. 1a", "All.", "Fig. 1")


def test_still_images_may_be_media() -> None:
    read = article(
        body='<fig><media mimetype="image" xlink:href="a.jpg"/></fig><fig><media xlink:href="b.png"/></fig>'
        '<fig><media mimetype="video" xlink:href="c.mp4"/></fig><p><media mimetype="image" xlink:href="d.jpg"/></p>'
    )
    assert [figure.href for figure in read.figures] == ["a.jpg", "b.png"]
    assert read.n_figures_without_image == 1


def test_translated_figures_are_figures_in_their_own_language() -> None:
    captions = '<caption xml:lang="en"><p>Mice.</p></caption><caption xml:lang="pt"><p>Ratos.</p></caption>'
    fig = f"<fig>{captions}{graphic('a')}</fig>"
    first, translated = figures(
        fig, after=f'<sub-article article-type="translation" xml:lang="PT"><body>{fig}</body></sub-article>'
    )
    assert (first.caption, first.language, first.sub_article) == ("Mice.", "en", None)
    assert (translated.caption, translated.language, translated.sub_article) == ("Ratos.", "pt", "translation")


def test_an_image_beside_its_figs_takes_the_words_in_the_articles_language() -> None:
    body = (
        '<fig-group id="g"><fig id="p" xml:lang="pt"><label>Figura 1</label></fig>'
        f'<fig id="e" xml:lang="en"><label>Figure 1</label></fig>{graphic("a")}</fig-group>'
    )
    read = article(body=f"<p>See <xref rid='p'>Figura 1</xref></p>{body}")
    (figure,) = read.figures
    assert (figure.label, figure.xml_id, len(figure.mentions)) == ("Figure 1", "e", 1)
    assert read.n_figures_without_image == 0


def test_what_is_no_figure_is_counted() -> None:
    read = article(
        body="<p><inline-graphic xlink:href='i'/><inline-formula><inline-graphic xlink:href='f'/></inline-formula>"
        f"<disp-formula><alternatives><tex-math>x</tex-math>{graphic('g')}{graphic('h')}</alternatives></disp-formula></p>"
        "<fig><label>Video 1</label><media xlink:href='v.avi'/></fig>"
    )
    assert read.figures == []
    assert (read.n_inline_graphics, read.n_formula_graphics, read.n_figures_without_image) == (1, 2, 1)


def test_a_fig_without_caption_has_none() -> None:
    (figure,) = figures(f"<fig><alt-text>A mouse</alt-text><caption/>{graphic('x')}</fig>")
    assert (figure.caption, figure.title, figure.label, figure.alt_text, figure.panels) == (
        None,
        None,
        None,
        "A mouse",
        [],
    )


OWN = "<permissions><copyright-statement>© 2020 The Authors, Wiley</copyright-statement></permissions>"


@pytest.mark.parametrize(
    ("inside", "third_party", "permissions"),
    [
        ("<caption><p>Reproduced with permission from [3].</p></caption>", True, None),
        ("<caption><p>Adapted from Roe et al.</p></caption>", True, None),
        ("<caption><p>Results were reproduced three times.</p></caption>", False, None),
        ("<attrib>Photo courtesy of A. Roe</attrib>", True, "Photo courtesy of A. Roe"),
        ("<attrib>Source: own work</attrib>", False, "Source: own work"),
        (OWN.replace("2020 The Authors, Wiley", "Elsevier"), True, "© Elsevier"),
        (OWN, False, "© 2020 The Authors, Wiley"),
        ("<caption><p>Scan. © 2019 Nature. Used here.</p></caption>", True, None),
        ("<caption><p>Scan. © 2020 The Authors. Used here.</p></caption>", False, None),
        ("<caption><p>Scan. Copyright 2020 Wiley, all.</p></caption>", False, None),
        ("<caption><p>Reproduced from Fig. 2 for clarity.</p></caption>", False, None),
        ("<caption><p>Adapted from Figure 2 of Roe et al.</p></caption>", True, None),
        ("<caption><p>We adapted the data in B from the Atlas.</p></caption>", True, None),
        ("<caption><p>Levels of risk (after Roe et al. 2011).</p></caption>", True, None),
        ("<caption><p>Taken from Roe et al. (2013).</p></caption>", True, None),
        ("<caption><p>Cells taken from mice after 3 days.</p></caption>", False, None),
        ("<caption><p>Map (source: www.example.org).</p></caption>", True, None),
        ("<caption><p>Income by source: wages, rents. Source: Authors’ calculations.</p></caption>", False, None),
        ("<caption><p>Photograph credit: Geological Survey.</p></caption>", True, None),
        ("<caption><p>Imagery from Google Earth.</p></caption>", True, None),
        ("<caption><p>Fonte: Adaptado de Roe (2008).</p></caption>", True, None),
        ("<attrib>Illustration: Jane Doe</attrib>", True, "Illustration: Jane Doe"),
        ("<attrib>Abbreviations: MR, magnetic resonance.</attrib>", False, "Abbreviations: MR, magnetic resonance."),
        ("<permissions><license><p>Not covered by it.</p></license></permissions>", True, "Not covered by it."),
    ],
)
def test_third_party_figures(inside: str, third_party: bool, permissions: str | None) -> None:
    (figure,) = figures(f"<fig>{inside}{graphic('x')}</fig>", meta=OWN)
    assert (figure.third_party, figure.permissions) == (third_party, permissions)


def test_a_credit_to_an_author_is_no_third_party() -> None:
    author = "<contrib-group><contrib><name><surname>Roe</surname><given-names>Ann</given-names></name></contrib>"
    (figure,) = figures(f"<fig><attrib>Ann Roe</attrib>{graphic('x')}</fig>", meta=f"{OWN}{author}</contrib-group>")
    assert not figure.third_party


def test_the_rights_of_a_group_are_those_of_its_figures() -> None:
    group = f"<fig-group><attrib>Courtesy of Jane Doe</attrib><fig>{graphic('x')}</fig></fig-group>"
    assert [figure.third_party for figure in figures(group)] == [True]
