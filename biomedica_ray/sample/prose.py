"""Titles, abstracts and paragraphs of the invented articles, in JATS markup; English, and Spanish for one article."""

from __future__ import annotations

from dataclasses import asdict

from biomedica_ray.sample.studies import Study

HEADINGS = {
    "en": ("Introduction", "Methods", "Results", "Discussion", "References", "Participants and material", "Statistics"),
    "es": ("Introducción", "Métodos", "Resultados", "Discusión", "Referencias", "Material", "Análisis estadístico"),
}
ABSTRACT = {
    "en": (
        (
            "Background",
            "The course of {disease} is hard to predict, and the part that {marker} plays in it is not settled.",
        ),
        ("Methods", "We studied {subjects} from {region} and examined the {tissue} before and after {compound}."),
        (
            "Results",
            "{marker} differed between groups (<italic>P</italic> &lt; 0.01), and {compound} changed the outcome in "
            "most cases.",
        ),
        ("Conclusions", "Measuring {marker} may help to recognise {disease} early."),
    ),
    "es": (
        ("Objetivo", "Describir la distribución del {disease} en {region} y el efecto de {compound}."),
        ("Métodos", "Se estudiaron {subjects} notificados durante diez años; {marker} se determinó en {tissue}."),
        ("Resultados", "La incidencia fue mayor en los meses cálidos y en los municipios de menor altitud."),
        ("Conclusiones", "La vigilancia del {disease} debe extenderse a municipios de clima templado."),
    ),
}
INTRODUCTION = {
    "en": (
        "Interest in {disease} has grown as more of its causes came to light {cites}. Much of what is known "
        "comes from small series, "
        "and reports on {marker} disagree.",
        "Here we ask whether {marker} in the {tissue} follows the course of {disease}, and whether {compound} "
        "alters it.",
    ),
    "es": (
        "El {disease} es un problema creciente de salud pública {cites}. En {region} los registros son todavía "
        "escasos.",
        "El objetivo de este trabajo fue describir su distribución y su tendencia.",
    ),
}
METHODS = {
    "en": (
        "The study comprised {subjects} in {region}. The local ethics committee approved the protocol, and the "
        "work followed the "
        "Declaration of Helsinki. Material from the {tissue} was examined within 24 h of collection at 4 °C.",
        "Groups were compared by two-sided <italic>t</italic> tests; <italic>P</italic> &lt; 0.05 was taken as "
        "significant. "
        "Analyses were done in R version 4.3.",
    ),
    "es": (
        "Se incluyeron {subjects} de {region}. El comité de ética aprobó el protocolo.",
        "Las tasas se compararon con la prueba de χ<sup>2</sup>; se consideró significativo <italic>p</italic> "
        "&lt; 0.05.",
    ),
}
DISCUSSION = {
    "en": (
        "Our findings link {marker} to {disease} and agree with most earlier work {cites}. They suggest "
        "that {compound} acts on the "
        "{tissue} earlier than was thought.",
        "The study has limits: it was done in one region, {region}, and the number of observations was modest.",
    ),
    "es": (
        "Los resultados coinciden con lo observado en otras regiones {cites} y sugieren un desplazamiento "
        "del {disease}.",
        "Entre las limitaciones están el subregistro y los cambios en la definición de caso.",
    ),
}
MENTIONS = {
    "en": (
        "The main finding is shown in {figure}: {says}",
        "In line with this, the next analysis pointed the same way ({figure}). It held after adjustment for age "
        "and sex.",
        "{figure} gives the details; the difference was seen in each of the replicates, and {compound} "
        "strengthened it.",
        "No such change was found in controls. When we looked at {marker} alone the picture was the same "
        "(see {figure}).",
    ),
    "es": (
        "La distribución se presenta en la {figure}.",
        "Como muestra la {figure}, hubo diferencias entre los grupos.",
        "La {figure} resume el resto de los resultados.",
    ),
}


def fill(template: str, study: Study, **more: str) -> str:
    """The template with the study's facts, and ``more``, put in."""
    return template.format(**asdict(study), **more)


def paragraphs(templates: tuple[str, ...], study: Study, cites: str) -> list[str]:
    """One ``p`` element a template."""
    return [f"<p>{fill(template, study, cites=cites)}</p>" for template in templates]
