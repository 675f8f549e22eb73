"""Real articles against counts that were taken by plain XPath."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import pytest
from lxml import etree

from biomedica_ray.jats import Article, parse_article
from biomedica_ray.jats.figures import find_images
from biomedica_ray.jats.licenses import CODES, NONCOMMERCIAL
from biomedica_ray.jats.sections import read_full_text
from biomedica_ray.jats.tree import parse_tree

pytestmark = pytest.mark.corpus

# Where a plain count of elements differs from ours, by file and column: our count, and why.
NAMELESS = "one of two renditions has an empty name"
EXPLAINED = {
    ("PMC6336352.xml", "n_graphic_in_fig"): (6, "31 are formulas in captions"),
    ("PMC6336352.xml", "max_graphic_per_fig"): (1, "the others are formulas in the caption"),
    ("PMC6336352.xml", "n_tablewrap_graphic"): (2, "12 are formulas"),
    ("PMC4031984.xml", "n_graphic_in_fig"): (23, "a figure within a figure counts for both"),
    ("PMC4031984.xml", "max_graphic_per_fig"): (1, "a figure within a figure counts for both"),
    ("10.1590_1518-8345.2927.3231.xml", "n_graphic_in_fig"): (12, NAMELESS),
    ("10.1590_1518-8345.2927.3231.xml", "max_graphic_per_fig"): (1, NAMELESS),
    ("10.1590_1982-2554201729575.xml", "n_graphic_in_fig"): (27, NAMELESS),
    ("10.1590_1982-2554201729575.xml", "max_graphic_per_fig"): (1, NAMELESS),
    ("10.1590_0034-7167.2015680110p.xml", "n_graphic_in_fig"): (2, NAMELESS),
    ("10.1590_0034-7167.2015680110p.xml", "max_graphic_per_fig"): (1, NAMELESS),
}
# The licence text is stricter than the URL here too: by-nc, but "Attribution-Noncommercial-Share Alike".
STRICTER_TEXT = {"PMC5728008.xml": "CC BY-NC-SA"}


@pytest.fixture(scope="module")
def rows(corpus: Path) -> list[dict[str, str]]:
    with (corpus / "SOURCES.tsv").open(encoding="utf-8") as table:
        return list(csv.DictReader(table, delimiter="\t"))


@pytest.fixture(scope="module")
def articles(corpus: Path, rows: list[dict[str, str]]) -> dict[str, Article]:
    return {row["file"]: parse_article((corpus / row["file"]).read_bytes()) for row in rows}


def plain_tree(path: Path) -> etree._Element:
    return etree.parse(str(path), etree.XMLParser(resolve_entities=False)).getroot()


def count(root: etree._Element, path: str) -> int:
    """Number of elements on a path of local names; ``!formula`` leaves out those in formulas and captions."""
    path, _, excluded = path.partition("!")
    steps = re.sub(r"[a-z-]+", lambda name: f"*[local-name()='{name.group()}']", path)
    where = "[not(ancestor::*[contains(local-name(), '-formula') or local-name()='caption'])]" if excluded else ""
    return int(root.xpath(f"count({steps}{where})"))


def displayed(root: etree._Element) -> int:
    """Number of inline graphics that are all that there is in their paragraph."""
    alone = "[count(*)=1][not(normalize-space())][not(parent::*[local-name()='bio'])]"
    path = f"//*[local-name()='p']{alone}/*[local-name()='inline-graphic'][@*[local-name()='href'][string()]]"
    return int(root.xpath(f"count({path})"))


def counts(xml: bytes) -> dict[str, int]:
    """What find_images finds, in the terms of SOURCES.tsv."""
    article = parse_tree(xml)
    found = find_images(article, None)
    in_figs = [image for image in found.images if image.carrier.tag == "fig"]
    n_graphics = Counter({image.carrier: 0 for image in in_figs})
    for image in in_figs:
        n_graphics[image.carrier] += len(image.hrefs)
    # Figs that share an image beside them, a language each.
    sharing = {
        fig
        for image in found.images
        if image.carrier.tag == "fig-group" and image.wording is not image.carrier
        for fig in image.carrier.iterchildren("fig")
    }
    # Figs beside the one with the image, a language each.
    sharing |= {
        fig
        for image in in_figs
        if image.group is not None and image.wording is not image.carrier and image.wording.getparent() is image.group
        for fig in image.group.iterchildren("fig")
        if fig not in n_graphics
    }
    groups = {
        element
        for image in found.images
        for element in (image.carrier, *image.carrier.iterancestors())
        if element.tag == "fig-group"
    }
    scopes = {paragraph.scope for paragraph in read_full_text(article).paragraphs}
    return {
        "n_fig": len(n_graphics) + len(sharing) + found.n_figures_without_image,
        "n_fig_with_graphic": len(n_graphics),
        "n_graphic_in_fig": n_graphics.total(),
        "max_graphic_per_fig": max(n_graphics.values(), default=0),
        "n_figgroup": len(groups),
        "n_tablewrap_graphic": sum(len(image.hrefs) for image in found.images if "table-wrap" in image.around),
        "n_subarticle": sum(scope.tag == "sub-article" for scope in scopes),
    }


def test_counts_are_those_of_xpath(corpus: Path, rows: list[dict[str, str]]) -> None:
    explained = set()
    for row in rows:
        file = Path(row["file"]).name
        for column, n in counts((corpus / row["file"]).read_bytes()).items():
            expected = int(row[column])
            if (file, column) in EXPLAINED and n != expected:
                explained.add((file, column))
                expected = EXPLAINED[file, column][0]
            assert n == expected, (row["file"], column)
    assert explained == set(EXPLAINED)


def test_every_graphic_is_an_image_or_counted(
    corpus: Path, rows: list[dict[str, str]], articles: dict[str, Article]
) -> None:
    for row in rows:
        root = plain_tree(corpus / row["file"])
        named = sum(1 + len(figure.alternatives) for figure in articles[row["file"]].figures)
        nameless = len(root.xpath("//*[local-name()='graphic'][not(@*[local-name()='href'][string()])]"))
        assert named + nameless == count(root, "//graphic!formula") + displayed(root), row["file"]


def test_alternatives_are_single_images(corpus: Path, rows: list[dict[str, str]], articles: dict[str, Article]) -> None:
    for row in rows:
        root = plain_tree(corpus / row["file"])
        expected = 0
        for alternatives in root.xpath("//*[local-name()='alternatives']"):
            tags = [etree.QName(node).localname for node in alternatives.iterchildren("*")]
            around = {etree.QName(node).localname for node in alternatives.iterancestors()}
            hrefs = alternatives.xpath("*[local-name()='graphic']/@*[local-name()='href'][string()]")
            if not around & {"inline-formula", "disp-formula"} and "table" not in tags:
                expected += max(0, len(hrefs) - 1)
        assert sum(len(figure.alternatives) for figure in articles[row["file"]].figures) == expected, row["file"]


def test_inline_and_formula_graphics(corpus: Path, rows: list[dict[str, str]], articles: dict[str, Article]) -> None:
    for row in rows:
        article, root = articles[row["file"]], plain_tree(corpus / row["file"])
        formulas = count(root, "//inline-formula//graphic") + int(row["n_dispformula_graphic"])
        counted = article.n_inline_graphics + article.n_formula_graphics + displayed(root)
        assert counted == formulas + int(row["n_inline_graphic"]), row["file"]


def test_licenses(rows: list[dict[str, str]], articles: dict[str, Article]) -> None:
    for row in rows:
        code = articles[row["file"]].license_code
        said = re.sub(r" [\d.]+$", "", row["license"]).replace("PDM", "other")
        if row["license_conflict"]:
            assert CODES.index(code) > CODES.index(said), row["file"]
            assert code in NONCOMMERCIAL, row["file"]
        else:
            assert code == STRICTER_TEXT.get(Path(row["file"]).name, said), row["file"]


def test_metadata(rows: list[dict[str, str]], articles: dict[str, Article]) -> None:
    for row in rows:
        article = articles[row["file"]]
        assert article.title, row["file"]
        assert article.published and article.published <= article.published.replace(
            year=int(row["year"]), month=12, day=31
        )
        assert row["year"] in {date.date[:4] for date in article.dates}, row["file"]
        assert article.journal if row["journal"] else True, row["file"]
        assert article.doi == row["doi"].lower() if row["doi"] else True, row["file"]
        assert article.pmcid == row["pmcid"] if row["pmcid"] else True, row["file"]


def test_texts_are_clean(articles: dict[str, Article]) -> None:
    for name, article in articles.items():
        texts = [
            article.title,
            article.abstract,
            article.copyright,
            *(reference.raw for reference in article.references),
        ]
        texts += [text for section in article.sections for text in section.paragraphs]
        for figure in article.figures:
            texts += [figure.caption, figure.title, figure.label, figure.permissions, figure.group_caption]
            texts += [mention.text for mention in figure.mentions]
        for text in texts:
            assert text is None or text == "\n".join(" ".join(line.split()) for line in text.splitlines()), name
            assert text is None or text, name
            assert text is None or not re.search(r"\n\n|\\usepackage|[\x00-\x09]", text), name


def test_panels_cover_their_captions(articles: dict[str, Article]) -> None:
    for name, article in articles.items():
        for figure in article.figures:
            caption = figure.caption or ""
            end = figure.panels[0].start if figure.panels else 0
            for panel in figure.panels:
                assert caption[panel.start : panel.end] == panel.text, name
                assert panel.text and panel.label, name
                assert end <= panel.start and not caption[end : panel.start].strip(), name
                end = panel.end
            assert not figure.panels or end == len(caption), name


def test_cross_references_become_mentions(articles: dict[str, Article]) -> None:
    figures = [figure for article in articles.values() for figure in article.figures if figure.kind == "figure"]
    assert sum(bool(figure.mentions) for figure in figures) / len(figures) > 0.9
    assert all(mention.text for figure in figures for mention in figure.mentions)
