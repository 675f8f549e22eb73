"""Defects of the published extraction code, each shown to be absent here.

Those of fetching and storing have their tests where fetching and storing are tested: an article that is there already,
retries, resuming and the safety of archives in tests/extract/test_extract.py and tests/sources, one write a unit in
tests/test_store.py.
"""

from __future__ import annotations

import random

import pytest

from biomedica_ray.images import resolve
from biomedica_ray.jats import Article, JatsError, parse_article
from tests.jats.test_parse import article


def graphic(name: str) -> str:
    return f'<graphic xlink:href="{name}"/>'


@pytest.mark.parametrize(
    "inside",
    ["<alternatives>{}</alternatives>", "<p>{}</p>", "<p><alternatives>{}</alternatives></p>", "<fig>{}</fig>"],
)
def test_a_caption_is_found_however_deep_its_graphic_stands(inside: str) -> None:
    (figure,) = article(body=f"<fig><caption><p>Mice.</p></caption>{inside.format(graphic('a'))}</fig>").figures
    assert figure.caption == "Mice."


def test_the_caption_of_a_group_is_not_lost() -> None:
    group = f"<fig-group><caption><p>Mice.</p></caption><fig>{graphic('a')}</fig><fig>{graphic('b')}</fig></fig-group>"
    assert [figure.caption for figure in article(body=group).figures] == ["Mice.", "Mice."]


@pytest.mark.parametrize("href", ["f1", "f1.jpg", "F1.JPG", "images/f1.jpg", "f1.tif"])
def test_an_image_is_found_with_and_without_extension_and_in_any_case(href: str) -> None:
    assert resolve([href], ["f1.gif", "f1.jpg"]) == "f1.jpg"


def test_files_other_than_jpeg_are_images() -> None:
    assert [resolve(["a"], [name]) for name in ("a.png", "a.tif", "a.GIF")] == ["a.png", "a.tif", "a.GIF"]


def test_a_missing_value_is_none_and_never_its_name() -> None:
    read = article(body=f"<p>{graphic('loose')}<inline-graphic xlink:href='i'/></p><fig>{graphic('bare')}</fig>")
    assert [figure.href for figure in read.figures] == ["loose", "bare"]
    for figure in read.figures:
        assert (figure.caption, figure.label, figure.title, figure.alt_text, figure.permissions) == (None,) * 5
    assert (read.title, read.abstract, read.license_url, read.copyright) == (None,) * 4


def test_equations_and_inline_images_become_no_figures() -> None:
    read = article(body=f"<p>a<inline-graphic xlink:href='i'/></p><disp-formula>{graphic('e')}</disp-formula>")
    assert (read.figures, read.n_inline_graphics, read.n_formula_graphics) == ([], 1, 1)


@pytest.mark.parametrize("href", ["a", "a.jpg", "x/a.tif"])
def test_mentions_do_not_depend_on_how_the_image_is_named(href: str) -> None:
    (figure,) = article(body=f'<p>See <xref rid="f">1</xref>.</p><fig id="f">{graphic(href)}</fig>').figures
    assert [mention.text for mention in figure.mentions] == ["See 1."]


@pytest.mark.parametrize("tag", ["bold", "italic", "sup", "named-content"])
def test_cross_references_within_inline_markup_are_mentions(tag: str) -> None:
    text = f'<p>As <{tag}><xref rid="f">Fig. 1</xref></{tag}> shows</p>'
    (figure,) = article(body=f'{text}<fig id="f"><label>Figure 1</label>{graphic("a")}</fig>').figures
    assert len(figure.mentions) == 1


def test_a_cross_reference_to_several_figures_mentions_each_of_their_images() -> None:
    figs = f'<fig id="f1">{graphic("a")}{graphic("b")}</fig><fig id="f2">{graphic("c")}</fig>'
    read = article(body=f'<p>See <xref rid="f1 f2">Figs. 1, 2</xref>.</p>{figs}')
    assert [(figure.href, len(figure.mentions)) for figure in read.figures] == [("a", 1), ("b", 1), ("c", 1)]


def test_positions_come_from_the_document_and_not_from_a_directory() -> None:
    read = article(body="".join(f"<fig>{graphic(name)}</fig>" for name in "cab"))
    assert [(figure.position, figure.href) for figure in read.figures] == [(1, "c"), (2, "a"), (3, "b")]
    names = [f"{name}.{extension}" for name in "abc" for extension in ("gif", "jpg")]
    for seed in range(10):
        random.Random(seed).shuffle(names)
        assert [resolve([figure.href], names) for figure in read.figures] == ["c.jpg", "a.jpg", "b.jpg"]


@pytest.mark.parametrize("title", ["3D Print Med", "Cells &amp; Tissues", "J. Am. Chem. Soc.", "eLife"])
def test_the_journal_is_read_and_not_guessed_from_a_citation(title: str) -> None:
    xml = (
        f"<article><front><journal-meta><journal-title>{title}</journal-title></journal-meta><article-meta>"
        "<pub-date><month>September</month><day>1</day><year>2020</year></pub-date></article-meta></front></article>"
    )
    read: Article = parse_article(xml.encode())
    assert read.journal == title.replace("&amp;", "&")
    assert str(read.published) == "2020-09-01"


def test_pmid_and_mesh_headings_are_those_in_the_articles_own_record() -> None:
    mesh = '<kwd-group kwd-group-type="MeSH"><kwd>Mice</kwd></kwd-group>'
    read = article(f"<abstract><sec><title>Aim</title><p>To see.</p></sec></abstract>{mesh}")
    assert (read.pmid, read.mesh, read.abstract) == ("99", ["Mice"], "Aim: To see.")


def test_an_article_that_cannot_be_read_is_an_error_and_no_empty_article() -> None:
    with pytest.raises(JatsError, match="not well-formed"):
        parse_article(b"<article><front></article>")
