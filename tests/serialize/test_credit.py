from __future__ import annotations

from typing import Any

import pytest

from biomedica_ray.serialize.credit import AUTHORS, credit_fields, license_name

URL = "https://creativecommons.org/licenses/by/4.0/"
ARTICLE: dict[str, Any] = {
    "pmcid": "PMC7",
    "version": 2,
    "doi": "10.1/seven",
    "title": "What is seen",
    "authors": [{"name": f"A{n} Doe"} for n in range(12)],
    "citation": "J Tests. 2021;1:1. doi:10.1/seven",
    "language": "en",
    "license_code": "CC BY",
    "license_url": URL,
    "copyright": "© 2021 The Authors",
}
FIGURE: dict[str, Any] = {
    "figure_id": "PMC7.2_003",
    "kind": "graphical-abstract",
    "label": "Figure 3.",
    "alt_text": "A cell",
    "language": None,
    "license_code": None,
    "license_url": None,
    "copyright": None,
}


def test_credit_by_the_article() -> None:
    fields = credit_fields(FIGURE, ARTICLE)
    assert fields.pop("article_authors") == [f"A{n} Doe" for n in range(AUTHORS)]
    assert fields == {
        "figure_id": "PMC7.2_003",
        "figure_label": "Figure 3.",
        "figure_kind": "graphical-abstract",
        "figure_language": "en",
        "figure_alt_text": "A cell",
        "article_version": 2,
        "article_author_count": 12,
        "article_doi": "10.1/seven",
        "article_url": "https://pmc.ncbi.nlm.nih.gov/articles/PMC7.2/",
        "license_name": "CC BY 4.0",
        "license_url": URL,
        "license_is_own": False,
        "copyright": "© 2021 The Authors",
        "attribution": "Figure 3 from: A0 Doe, A1 Doe, A2 Doe, et al. What is seen. J Tests. 2021;1:1. doi:10.1/seven. "
        f"https://pmc.ncbi.nlm.nih.gov/articles/PMC7.2/ CC BY 4.0 ({URL}). © 2021 The Authors.",
    }


def test_a_figure_under_terms_of_its_own() -> None:
    own = {"license_code": "CC BY-NC", "license_url": None, "copyright": "© Elsewhere", "label": None}
    fields = credit_fields({**FIGURE, **own}, {**ARTICLE, "pmcid": "mine", "title": "Seen?", "authors": []})
    assert (fields["license_name"], fields["license_url"], fields["license_is_own"]) == ("CC BY-NC", None, True)
    assert fields["attribution"] == (
        "Graphical abstract from: Seen? J Tests. 2021;1:1. doi:10.1/seven. https://doi.org/10.1/seven CC BY-NC. "
        "© Elsewhere."
    )


def test_a_url_of_more_than_the_text_permits_is_not_the_licence_s() -> None:
    fields = credit_fields(FIGURE, {**ARTICLE, "license_code": "CC BY-NC"})
    assert (fields["license_name"], fields["license_url"]) == ("CC BY-NC", None)
    assert URL not in fields["attribution"]


def test_other_terms() -> None:
    fields = credit_fields(FIGURE, {**ARTICLE, "license_code": "other", "license_url": "https://publisher.org/terms"})
    assert fields["license_url"] == "https://publisher.org/terms"
    assert "see the article for its terms (https://publisher.org/terms). ©" in fields["attribution"]


@pytest.mark.parametrize(
    ("code", "url", "name"),
    [
        ("CC BY", "http://creativecommons.org/licenses/by/3.0/de", "CC BY 3.0"),
        ("CC BY-NC-ND", "https://creativecommons.org/licenses/by-nc-nd/4.0", "CC BY-NC-ND 4.0"),
        ("CC0", "https://creativecommons.org/publicdomain/zero/1.0/", "CC0 1.0"),
        ("CC BY", "https://creativecommons.org/licenses/by/", "CC BY"),
        ("CC BY", None, "CC BY"),
    ],
)
def test_names_of_licences(code: str, url: str | None, name: str) -> None:
    assert license_name(code, url) == name
