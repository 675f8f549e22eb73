"""Publishers' habits of naming files, references to them, labels and ids; the publishers themselves are invented."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Publisher:
    """Naming habits of a publisher; ``{n}`` stands for the article's number, ``{i}`` for the figure's.

    Attributes:
        name: Publisher's name.
        journal: Journal title.
        abbreviation: Journal's abbreviated title.
        href: What ``graphic/@xlink:href`` says.
        file: Name of the image file within the package.
        xml: Name of the XML file within the package.
        xml_id: ``@id`` of a figure.
        label: Label of a figure as printed.
        thumbnails: A small GIF lies beside each image.
        ali: The licence is given as ``ali:license_ref`` and not as ``license/@xlink:href``.
    """

    name: str
    journal: str
    abbreviation: str
    href: str
    file: str
    xml: str
    xml_id: str
    label: str
    thumbnails: bool = False
    ali: bool = False


PUBLISHERS: dict[str, Publisher] = {
    "plos": Publisher(
        "Sample Library of Science",
        "SLOS Any",
        "SLOS Any",
        "info:doi/10.1371/journal.pone.{n}.g{i:03d}",
        "pone.{n}.g{i:03d}.jpg",
        "pone.{n}.nxml",
        "pone-{n}-g{i:03d}",
        "Figure {i}",
    ),
    "plos-png": Publisher(
        "Sample Library of Science",
        "SLOS Epidemiology",
        "SLOS Epidemiol",
        "info:doi/10.1371/journal.pone.{n}.g{i:03d}",
        "journal.pone.{n}.g{i:03d}.png",
        "journal.pone.{n}.xml",
        "pone.{n}.g{i:03d}",
        "Fig {i}",
    ),
    "bmc": Publisher(
        "Sample Central Ltd",
        "Sample Central Health Services",
        "Sample Cent Health Serv",
        "1475-2859-24-{n}-{i}",
        "1475-2859-24-{n}-{i}.jpg",
        "1475-2859-24-{n}.nxml",
        "F{i}",
        "Figure {i}",
        thumbnails=True,
    ),
    "springer": Publisher(
        "Sample Nature",
        "Journal of Sample Research",
        "J Sample Res",
        "12900_2024_{n}_Fig{i}_HTML",
        "12900_2024_{n}_Fig{i}_HTML.jpg",
        "12900_2024_Article_{n}.nxml",
        "Fig{i}",
        "Fig. {i}",
    ),
    "elsevier": Publisher(
        "Samplevier",
        "Annals of Sampling",
        "Ann Sampl",
        "gr{i}",
        "gr{i}.jpg",
        "main.nxml",
        "fig{i}",
        "Fig. {i}",
        ali=True,
    ),
    "frontiers": Publisher(
        "Sample Frontiers Media S.A.",
        "Frontiers in Samples",
        "Front Sampl",
        "fsamp-15-{n}-g{i:03d}.jpg",
        "fsamp-15-{n}-g{i:03d}.jpg",
        "fsamp-15-{n}.nxml",
        "f{i}",
        "Figure {i}",
    ),
    "elife": Publisher(
        "eSample Publications",
        "eSample",
        "eSample",
        "elife-{n}-fig{i}-v1.tif",
        "elife-{n}-fig{i}-v1.tif",
        "elife-{n}-v1.xml",
        "fig{i}",
        "Figure {i}.",
        ali=True,
    ),
    "mdpi": Publisher(
        "Sample Digital Publishing Institute",
        "International Journal of Sample Sciences",
        "Int J Sampl Sci",
        "ijss-25-{n}-g{i:03d}.JPG",
        "ijss-25-{n}-g{i:03d}.jpg",
        "ijss-25-{n}.nxml",
        "ijss-25-{n}-f{i:03d}",
        "Figure {i}",
    ),
    "pensoft": Publisher(
        "Samplesoft Publishers",
        "SampleKeys",
        "SampleKeys",
        "SampleKeys-119-{n}-g{i:03d}",
        "SampleKeys-119-{n}-g{i:03d}.jpg",
        "SampleKeys-119-{n}.nxml",
        "F{i}",
        "Figure {i}.",
    ),
    "scielo": Publisher(
        "Instituto Muestral de Salud",
        "Revista Muestral de Salud",
        "Rev Muestral Salud",
        "/img/revistas/rms/v66n1/0036-rms-66-{n}-gf{i}.jpg",
        "0036-rms-66-{n}-gf{i}.jpg",
        "0036-rms-66-{n}.xml",
        "f{i}",
        "Figura {i}",
    ),
    "hindawi": Publisher(
        "Sample Publishing Corporation",
        "Samples International",
        "Sampl Int",
        "{n}.fig.{i:03d}",
        "{n}.fig.{i:03d}.jpg",
        "{n}.nxml",
        "fig{i}",
        "Figure {i}",
    ),
    "oup": Publisher(
        "Sample University Press",
        "Sample Medicine",
        "Sampl Med",
        "sample{n}f{i}",
        "sample{n}f{i}.jpg",
        "sample{n}.nxml",
        "sample{n}-F{i}",
        "Figure {i}.",
    ),
    "nihms": Publisher(
        "Sample Frontiers Media S.A.",
        "Frontiers in Samples",
        "Front Sampl",
        "nihms-{n}-f{i:04d}",
        "nihms-{n}-f{i:04d}.jpg",
        "nihms-{n}.nxml",
        "F{i}",
        "Figure {i}",
    ),
    "jose": Publisher(
        "Open Samples",
        "Journal of Open Samples",
        "J Open Sampl",
        "media/figure {i}.jpg".replace(" ", "%20"),
        "media/figure {i}.jpg",
        "10.5555.{n}.jats.xml",
        "fig:{i}",
        "Figure {i}:",
    ),
    "biorxiv": Publisher(
        "Sample Harbor Laboratory",
        "sampleRxiv",
        "sampleRxiv",
        "{n}v1_fig{i}",
        "{n}v1_fig{i}",
        "{n}.xml",
        "fig{i}",
        "Fig. {i}.",
    ),
}
"""Publishers by the code that the plan of the articles uses."""
