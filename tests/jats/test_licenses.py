"""Licences."""

from __future__ import annotations

import pytest

from biomedica_ray.jats import licenses
from tests.jats.test_parse import article

BY = "https://creativecommons.org/licenses/by/4.0/"


@pytest.mark.parametrize(
    ("url", "code"),
    [
        (BY, "CC BY"),
        ("http://www.creativecommons.org/licenses/BY-NC-ND/3.0/igo", "CC BY-NC-ND"),
        ("http://creativecommons.org/licenses/by-nc-sa/2.0/uk/", "CC BY-NC-SA"),
        ("creativecommons.org/publicdomain/zero/1.0", "CC0"),
        ("http://creativecommons.org/publicdomain/mark/1.0/", "other"),
        ("https://example.org/licenses/by/", "other"),
        ("http://creativecommons.org/licenses/by-ncnd/4.0", "CC BY-NC-ND"),
        ("http://creativecommons.org/licenses/by_nc_nd/4.0", "CC BY-NC-ND"),
        ("http://creativecommons.org/licenses/by%2Dnc/4.0/", "CC BY-NC"),
        ("http://creativecommons.org/licenses/by–nc/4.0/", "CC BY-NC"),
        ("http://creativecommons.org/licenses/by/nc/4.0/", "CC BY-NC"),
        ("http://creativecommons.org/licenses/by/3.0/igo/legalcode", "CC BY"),
        ("http://creativecommons.org/licenses/by/4.0/deed.en", "CC BY"),
        ("http://creativecommons.org/licenses/by-ncc/4.0/", "other"),
        ("http://creativecommons.org/licenses/by-nc-nd-sa/4.0/", "other"),
        ("http://creativecommons.org/licenses/nc/4.0/", "other"),
    ],
)
def test_urls(url: str, code: str) -> None:
    assert licenses.code_of_url(url) == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("under the terms of the Creative Commons Attribution License, which permits unrestricted use", "CC BY"),
        ("Creative Commons Attribution-NonCommercial 4.0 International License", "CC BY-NC"),
        ("the CC BY-NC-ND license", "CC BY-NC-ND"),
        ("Creative Commons Attribution Non-Commercial No Derivatives License", "CC BY-NC-ND"),
        ("Creative Commons Attribution–ShareAlike", "CC BY-SA"),
        ("Creative Commons Attribution, for commercial and non-commercial use", "CC BY"),
        ("Creative Commons Attribution. The Creative Commons Public Domain Dedication applies to data", "CC BY"),
        ("Creative Commons CC0 public domain dedication", "CC0"),
        ("All rights reserved.", "other"),
        ("made available under Creative Commons Zero", "CC0"),
        ("Creative Commons Attribution, adaptations under the same or similar licence", "CC BY-SA"),
        ("Creative Commons Attribution, provided no modifications or adaptations are made", "CC BY-ND"),
        ("Creative Commons Attribution. Changes must be indicated, and no changes were made", "CC BY"),
        ("CC BY. Commercial use is not permitted", "CC BY-NC"),
        ("CC BY. Commercial reuse and resale are strictly prohibited", "CC BY-NC"),
        ("CC BY; excluding any commercial use", "CC BY-NC"),
        ("CC BY, which does not permit commercial exploitation without permission", "CC BY-NC"),
        ("CC BY. For commercial re-use, please contact us", "CC BY-NC"),
        ("CC BY, not for profit, and the work is not altered", "CC BY-NC-ND"),
        ("CC BY, for any use, including commercial, without restriction", "CC BY"),
        ("CC BY. Permission is not required for commercial use", "CC BY"),
        ("CC BY, no permission is needed, even for commercial purposes", "CC BY"),
        ("http://creativecommons.org/licenses/by/4.0/ Use for commercial purposes is excluded", "CC BY-NC"),
        ("for non-commercial use", "other"),
        ("licensed under a Creative Commons by license holder", "other"),
        ("under a Creative Commons by licence from the publisher", "other"),
        ("the Creative Commons BY License, which permits unrestricted use", "CC BY"),
    ],
)
def test_texts(text: str, code: str) -> None:
    assert licenses.code_of_text(text) == code


@pytest.mark.parametrize(
    ("inside", "code", "group"),
    [
        (f'<license xlink:href="{BY}"/>', "CC BY", "commercial"),
        (
            f"<license><ali:license_ref xmlns:ali='a'>{BY.replace('by', 'by-nc')}</ali:license_ref></license>",
            "CC BY-NC",
            "noncommercial",
        ),
        ("<license><license-p>Under CC BY-SA 4.0.</license-p></license>", "CC BY-SA", "commercial"),
        (
            f'<license xlink:href="{BY}"><p>Creative Commons Attribution-NonCommercial</p></license>',
            "CC BY-NC",
            "noncommercial",
        ),
        (f'<license xlink:href="{BY.replace("by", "by-nc")}"><p>CC BY</p></license>', "CC BY-NC", "noncommercial"),
        ("<copyright-statement>Published under CC BY-ND</copyright-statement>", "CC BY-ND", "commercial"),
        ("<copyright-statement>Creative Commons BY-NC 4.0 licence</copyright-statement>", "CC BY-NC", "noncommercial"),
        ("<copyright-statement>Creative Commons BY 4.0 licence</copyright-statement>", "CC BY", "commercial"),
        ('<license license-type="cc-by-nc-nd"><p>Open access.</p></license>', "CC BY-NC-ND", "noncommercial"),
        (f'<license license-type="cc-by-nc" xlink:href="{BY}"/>', "CC BY-NC", "noncommercial"),
        ('<license license-type="cc-by"><p>Open access, without restriction.</p></license>', "CC BY", "commercial"),
        *(
            (f'<license license-type="cc-by"><p>{text}</p></license>', "other", "other")
            for text in (
                "All rights reserved. No part may be reproduced without permission.",
                "For personal research only.",
                "Reuse requires the permission of the publisher.",
            )
        ),
        (
            '<copyright-statement>© House. All rights reserved.</copyright-statement><license license-type="cc-by"/>',
            "other",
            "other",
        ),
        ('<license license-type="cc-by" xlink:href="https://example.org/terms"/>', "other", "other"),
        ('<license license-type="open-access"><p>Open access.</p></license>', "other", "other"),
        (
            '<license><p>See <inline-graphic xlink:href="https://licensebuttons.net/l/by-sa/4.0/88x31.png"/></p></license>',
            "CC BY-SA",
            "commercial",
        ),
        ('<license xlink:href="https://example.org/terms"/>', "other", "other"),
        ("", "other", "other"),
    ],
)
def test_the_stricter_of_url_and_text_counts(inside: str, code: str, group: str) -> None:
    read = article(f"<permissions>{inside}</permissions>")
    assert (read.license_code, read.license_group) == (code, group)


def test_license_url_is_kept() -> None:
    assert article(f'<permissions><license xlink:href="{BY}"/></permissions>').license_url == BY


def test_license_url_may_stand_in_the_text_only() -> None:
    read = article(f"<permissions><license><p>Under a licence ({BY.upper()}).</p></license></permissions>")
    assert (read.license_url, read.license_code) == (BY.upper(), "CC BY")


@pytest.mark.parametrize(("value", "code"), [("CC BY-NC", "CC BY-NC"), ("CC BY", "CC BY"), ("NO-CC CODE", "CC BY")])
def test_the_note_of_pmc_is_one_more_witness(value: str, code: str) -> None:
    note = f"<custom-meta><meta-name>pmc-license-ref</meta-name><meta-value>{value}</meta-value></custom-meta>"
    meta = f'<permissions><license xlink:href="{BY}"/></permissions><custom-meta-group>{note}</custom-meta-group>'
    assert article(meta).license_code == code


def test_strictness_is_an_order_of_the_codes() -> None:
    assert licenses.stricter("CC BY", "CC0") == "CC BY"
    assert licenses.stricter("CC BY-NC", "CC BY-SA") == "CC BY-NC"
    assert licenses.stricter("CC BY-NC-ND", "other") == "other"
    with pytest.raises(ValueError, match="not in"):
        licenses.stricter("CC BY", "MIT")


def test_which_licences_permit_parts() -> None:
    assert [code for code in licenses.CODES if licenses.permits_parts(code)] == [
        "CC0",
        "CC BY",
        "CC BY-SA",
        "CC BY-NC",
        "CC BY-NC-SA",
    ]
    assert not licenses.permits_parts(None)
