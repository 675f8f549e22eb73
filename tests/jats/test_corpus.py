"""Real articles against counts that were taken by plain XPath."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from lxml import etree

from biomedica_ray.jats import Article, parse_article
from biomedica_ray.jats.licenses import CODES, NONCOMMERCIAL

pytestmark = pytest.mark.corpus

# Figures within figures, which a count by fig//graphic per fig takes twice.
NESTED = frozenset({"xml/PMC4031984.xml", "packages/10.7554_eLife.02866/elife-02866-v1.xml"})
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


def test_images_are_those_that_xpath_counts(
    corpus: Path, rows: list[dict[str, str]], articles: dict[str, Article]
) -> None:
    for row in rows:
        root = plain_tree(corpus / row["file"])
        named = sum(1 + len(figure.alternatives) for figure in articles[row["file"]].figures)
        nameless = len(root.xpath("//*[local-name()='graphic'][not(@*[local-name()='href'][string()])]"))
        assert named + nameless == count(root, "//graphic!formula"), row["file"]
        loose = count(root, "//graphic!formula") - count(root, "//fig//graphic!formula")
        loose -= count(root, "//table-wrap//graphic!formula")
        both = count(root, "//table-wrap//fig//graphic!formula")
        in_formulas = count(root, "//fig//graphic") - count(root, "//fig//graphic!formula")
        in_formulas += count(root, "//table-wrap//graphic") - count(root, "//table-wrap//graphic!formula")
        if row["file"] not in NESTED:
            counted = int(row["n_graphic_in_fig"]) + int(row["n_tablewrap_graphic"])
            assert named + nameless == counted + loose + both - in_formulas, row["file"]


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


def test_figs_without_image(rows: list[dict[str, str]], articles: dict[str, Article]) -> None:
    for row in rows:
        # In one article pairs of figs, a language each, share an image beside them.
        shared = 16 if row["file"] == "xml/10.1590_0366-69132021673843037.xml" else 0
        expected = int(row["n_fig"]) - int(row["n_fig_with_graphic"]) - shared
        assert articles[row["file"]].n_figures_without_image == expected, row["file"]


def test_inline_and_formula_graphics(corpus: Path, rows: list[dict[str, str]], articles: dict[str, Article]) -> None:
    for row in rows:
        article, root = articles[row["file"]], plain_tree(corpus / row["file"])
        formulas = count(root, "//inline-formula//graphic") + int(row["n_dispformula_graphic"])
        counted = article.n_inline_graphics + article.n_formula_graphics
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
