"""Whose picture a figure is, and under which licence of its own."""

from __future__ import annotations

import pytest

from biomedica_ray.jats import Figure
from tests.jats.test_parse import article

AUTHORS = (
    "<contrib-group><contrib><name><surname>Roe</surname><given-names>Ann B.</given-names></name></contrib>"
    "</contrib-group>"
)
BY = "https://creativecommons.org/licenses/by/4.0/"
META = (
    f"{AUTHORS}<permissions><copyright-statement>© 2020 The Authors, Wiley</copyright-statement>"
    f'<license xlink:href="{BY}"/></permissions>'
)


def figure(caption: str, permissions: str = "", meta: str = META) -> Figure:
    body = f"<fig><caption><p>{caption}</p></caption>{permissions}<graphic xlink:href='a'/></fig>"
    (read,) = article(meta=meta, body=body).figures
    return read


@pytest.mark.parametrize(
    "caption",
    [
        # a participle and its source
        "Skull. Modified from (Doe and Poe, 2004).",
        "Skull (Retrieved from [65]).",
        "Wing (enlarged from [31]).",
        "Wing (traced from Doe et al. 2001).",
        "Modified from <sup>12</sup>.",
        "Life cycle, modified from<sup><xref ref-type='bibr'>3</xref></sup>.",
        "Modified from the Allen Brain Atlas.",
        "Copied from Doe (1950).",
        "Reproduced, with permission, from Doe et al.",
        "Redrawn after Poe (1999).",
        "Pathway adapted by the authors from KEGG.",
        "Figure originally published in Nature.",
        "Parts A and B are from Doe et al. (2013).",
        "Map of the area (after Poe and Doe 1998).",
        # permission
        "Used by permission of Elsevier.",
        "Permission granted by the Museum.",
        "Scan, with kind permission of Springer.",
        # whose it is
        "A fly. Photo credit Jane Doe (USGS).",
        "A fly. Photo: Jane Doe.",
        "A fly. Photograph by J. Doe.",
        "A fly. Photos by Jane Q. Doe and Ann Roe",
        "A fly. Image credit NASA.",
        "A fly. Image credit: NASA/JPL.",
        "A fly. Image courtesy Field Museum.",
        "A fly (courtesy of J. Doe).",
        "A fly. Credit: Jane Doe.",
        "A fly. Image source: NOAA.",
        "A fly. Source [12].",
        "A fly. Source: WHO (2019).",
        "Illustration by Jane Doe",
        "A city generated using DALL-E by OpenAI.",
        "Ranges created using Range Atlas by BirdLife.",
        "Icons from Freepik.",
        # a caption that ends in a citation
        "Global distribution of all conifers [11].",
        "Micro controller [21]",
        "Profiles of zinc and cadmium (Doe, 1980).",
        # licences that are not the article's
        "Kidney by Jane Doe, licensed under CC BY-SA 4.0.",
        "Kidney by Jane Doe, licensed under CC BY 4.0.",
        "Kidney (CC BY-NC).",
        "Kidney, under a Creative Commons licence.",
        "Brain © 2019 Elsevier.",
        "(b) Brain © 2019 Elsevier.",
        # other languages
        "Adapté de Doe et al. (2010).",
        "Carte tirée de Doe (2010).",
        "Photo : Jeanne Doe.",
        "Carte reproduite avec l'aimable autorisation du Musée.",
        "Schema, modifiziert nach Doe (2010).",
        "Abdruck mit freundlicher Genehmigung von Springer.",
        "Karte entnommen aus Doe et al. 2010.",
        "Quelle: Statistisches Bundesamt.",
        "Mappa adattata da Doe et al.",
        "Foto di Gianni Doe.",
        "Per gentile concessione del Museo.",
        "Modificado de Doe y Poe (2001).",
        "Mapa tomado de Doe (2001).",
        "Fotografía: Juana Doe.",
        "Cortesía de Juana Doe.",
        "Con permiso de Elsevier.",
        "Fonte: IBGE (2010).",
        "Extraído de Doe et al. (2001).",
        "Com permissão da Editora.",
    ],
)
def test_a_picture_of_others_is_third_party(caption: str) -> None:
    assert figure(caption).third_party


@pytest.mark.parametrize(
    "caption",
    [
        "Sites in (a) 1990, (b) 2000 and (c) 2010.",
        "(A) 1990. (B) 2000. (C) 2010.",
        "Dark-adapted from the first hour on.",
        "Dark- and light‐adapted flies from the same line.",
        "Photograph shown with permission of the patient.",
        "Face of the child, published with the written permission of her parents.",
        "Published with permission from the family.",
        "Samples were collected with permission of the park.",
        "Electrodes were reused after washing.",
        "Results were reproduced three times from the same stock.",
        "Cells taken from mice after 3 days.",
        "Data obtained from three independent experiments.",
        "(calculated from [3])",
        "RNA (isolated from [3H]-labelled cells).",
        "Reproduced from Fig. 2 for clarity.",
        "Modified from panel A.",
        "Photo: Ann Roe.",
        "Photograph by A. B. Roe.",
        "Photos: AR.",
        "Photo credit Ann Roe (Wiley).",
        "Source: personal archive.",
        "Source: own work.",
        "Source: Authors' calculations with data of WHO.",
        "Fonte: acervo pessoal.",
        "Fuente: elaboración propia.",
        "Quelle: eigene Darstellung.",
        "Source : travail personnel.",
        "Image by Scanning Electron Microscopy.",
        "Images by MRI.",
        "Photographs by day and by night.",
        "Image: Merged.",
        "Spectra of a light source: xenon lamp",
        "Tree generated using MEGA 7 by maximum likelihood.",
        "Figure created with BioRender.",
        "Scan © 2020 The Authors.",
        "Kidney (CC BY 4.0).",
        "Correlation (CC 0.93).",
        "Spectrum with structures proposed in the literature [20].",
        "Expression in E. coli from a plasmid [12].",
        "Segmentation by the method of the first phase (a), and by the new model [3].",
    ],
)
def test_the_authors_own_picture_is_not(caption: str) -> None:
    assert not figure(caption).third_party


@pytest.mark.parametrize(
    ("caption", "permissions", "code", "url", "copyright_"),
    [
        ("A fly.", "", None, None, None),
        ("A fly, CC BY-SA 3.0.", "", "CC BY-SA", None, None),
        ("A fly, https://creativecommons.org/licenses/by-nc/4.0/.", "", "CC BY-NC", BY.replace("by", "by-nc"), None),
        (
            "A fly.",
            "<permissions><copyright-statement>© Doe</copyright-statement>"
            f'<license xlink:href="{BY.replace("by", "by-nd")}"/></permissions>',
            "CC BY-ND",
            BY.replace("by", "by-nd"),
            "© Doe",
        ),
        ("A fly.", "<permissions><license><p>On request.</p></license></permissions>", "other", None, None),
        (
            "A fly.",
            "<permissions><copyright-year>2001</copyright-year><copyright-holder>Doe</copyright-holder></permissions>",
            None,
            None,
            "© 2001 Doe",
        ),
    ],
)
def test_a_figure_has_a_licence_of_its_own(
    caption: str, permissions: str, code: str | None, url: str | None, copyright_: str | None
) -> None:
    read = figure(caption, permissions)
    assert (read.license_code, read.license_url, read.copyright) == (code, url, copyright_)
