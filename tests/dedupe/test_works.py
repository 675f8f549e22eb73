from __future__ import annotations

import pytest

from biomedica_ray.dedupe.works import Relation, is_preprint, relations, work_key

TITLE = "Deep learning of mouse kidneys from histology"


@pytest.mark.parametrize(
    ("title", "author"),
    [
        ("Deep Learning of Mouse Kidneys, from Histology.", "J. Doe"),
        ("DEEP LEARNING OF MOUSE KIDNEYS\u2014FROM HISTOLOGY", "Jane Mary DOE"),
        ("De\u0301ep learning of mouse kidneys from histology", "D\u00f6e"),
    ],
)
def test_case_marks_accents_and_given_names_do_not_count(title: str, author: str) -> None:
    assert work_key(title, author, "research-article") == work_key(TITLE, "Jane Doe", None) is not None


@pytest.mark.parametrize(
    ("title", "author"), [(TITLE + " 2", "Jane Doe"), (TITLE, "Jane Roe"), (TITLE.replace("mouse", "rat"), "Jane Doe")]
)
def test_other_words_and_other_authors_do(title: str, author: str) -> None:
    assert work_key(title, author, None) != work_key(TITLE, "Jane Doe", None)


@pytest.mark.parametrize(
    ("title", "author", "type_"),
    [
        ("Editorial", "Jane Doe", None),
        ("Editorial: what is new in the journal this year", "Jane Doe", None),
        ("Erratum", "Jane Doe", None),
        (f"Correction to: {TITLE}", "Jane Doe", None),
        (f"Author Correction: {TITLE}", "Jane Doe", None),
        (f"Corrigendum: {TITLE}", "Jane Doe", None),
        (f"RETRACTED: {TITLE}", "Jane Doe", None),
        (f"Reply to {TITLE}", "Jane Doe", None),
        ("A case report", "Jane Doe", None),
        (TITLE, "Jane Doe", "correction"),
        (TITLE, None, None),
        (None, "Jane Doe", None),
    ],
)
def test_titles_that_say_too_little(title: str | None, author: str | None, type_: str | None) -> None:
    assert work_key(title, author, type_) is None


def test_preprints() -> None:
    assert is_preprint("preprint", None)
    assert is_preprint("research-article", "bioRxiv")
    assert is_preprint("research-article", "medRxiv : the preprint server for health sciences")
    assert is_preprint(None, "Research Square")
    assert not is_preprint("research-article", "PLoS ONE")
    assert not is_preprint(None, None)


def test_relations_of_jats_and_pubmed_are_one() -> None:
    related = [
        ("preprint", "https://doi.org/10.1101/2020.01.02.345", "uri"),
        ("UpdateOf", "123", "pmid"),
        ("corrected-article", "10.1234/ABC", "doi"),
        ("ErratumFor", "5", "pmid"),
        ("retraction-forward", "PMC77", "pmc"),
        ("companion", "10.1234/x", "doi"),
        ("preprint", "https://preprints.scielo.org/3860", "uri"),
        ("corrected-article", "10.1234/abc", "doi"),
        ("RetractionIn", None, "pmid"),
    ]
    assert relations(related) == [
        Relation("preprint", "doi", "10.1101/2020.01.02.345"),
        Relation("update", "pmid", "123"),
        Relation("corrects", "doi", "10.1234/abc"),
        Relation("corrects", "pmid", "5"),
        Relation("retracted-by", "pmcid", "PMC77"),
    ]
