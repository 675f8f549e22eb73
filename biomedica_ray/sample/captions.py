"""Captions: a lead that names the kind of figure, what this picture shows, and a closing remark."""

from __future__ import annotations

from dataclasses import asdict

from biomedica_ray.sample.concepts import CONCEPTS
from biomedica_ray.sample.outline import Plate
from biomedica_ray.sample.studies import Study

SPANISH = {
    "map": (
        "Mapa de {region} con los municipios del estudio y la tasa anual de {disease}. La intensidad del color "
        "indica casos por "
        "100 000 habitantes.",
        "Distribución espacial de {subjects} de {disease} en {region}, por municipio. Elaboración propia a "
        "partir de los registros.",
    ),
    "bar": (
        "Gráfica de barras del efecto de {compound} sobre el {disease}. Las barras de error indican el error estándar.",
    ),
    "flow": ("Diagrama de flujo de la selección de {subjects} de {disease}. Se indican las exclusiones y su motivo.",),
    "line": ("Incidencia mensual del {disease} en {region}, 2018 a 2020, con intervalos de confianza de 95%.",),
}


def caption(study: Study, plate: Plate, says: tuple[str, ...], turn: int, language: str) -> str:
    """The caption's JATS markup, a ``caption`` element, or nothing where the plate has none.

    Args:
        study: What the article is about.
        plate: The image.
        says: One sentence a panel, saying what the picture shows.
        turn: How many figures of the same concept came before; chooses the wording.
        language: ``en`` or ``es``.
    """
    if not plate.has_caption:
        return ""
    concept, facts = CONCEPTS[plate.concept], asdict(study)
    if language == "es":
        variants = SPANISH[plate.concept]
        return f"<caption><p>{variants[turn % len(variants)].format(**facts)}</p></caption>"
    lead = concept.leads[turn % len(concept.leads)].format(**facts)
    lead = lead[0].upper() + lead[1:]
    closing = concept.closings[(turn // 2) % len(concept.closings)].format(**facts)
    if len(says) > 1:
        told = " ".join(f"(<bold>{'ABCD'[number]}</bold>) {sentence}" for number, sentence in enumerate(says))
    else:
        told = says[0]
    source = f" Reproduced with permission from the Example Society of {study.subject}." if plate.reproduced else ""
    rest = f"{told} {plate.note} {closing}{source}".replace("  ", " ")
    return (
        f"<caption><title>{lead}</title><p>{rest}</p></caption>"
        if turn % 3
        else f"<caption><p>{lead} {rest}</p></caption>"
    )
