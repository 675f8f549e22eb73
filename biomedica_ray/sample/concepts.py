"""What the figures show: each concept's terms in the taxonomy, its drawing and the ways its caption may begin.

A lead is a template over the fields of :class:`~biomedica_ray.sample.studies.Study`, in JATS markup.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from biomedica_ray.sample import diagrams, photographs, plots, simulated

Draw = Callable[[np.random.Generator], tuple[Image.Image, str]]


@dataclass(frozen=True, slots=True)
class Concept:
    """A kind of figure.

    Attributes:
        primary: Global term of the taxonomy.
        secondary: Local term of the taxonomy.
        draw: Makes a picture and the sentence that says what it shows.
        leads: First sentences of captions, as templates.
        closings: Last sentences of captions, as templates.
    """

    primary: str
    secondary: str
    draw: Draw
    leads: tuple[str, ...]
    closings: tuple[str, ...]


_MICROGRAPH = (
    "Scale bar, 50 &#x003bc;m.",
    "Scale bar: 100 μm. Images are representative of at least three independent preparations.",
    "Bar = 20 μm; original magnification ×400.",
    "One of five fields examined in each section is shown (scale bar 50 μm).",
)
_STATISTICS = (
    "Error bars, s.e.m. of <italic>n</italic> = 6; **<italic>P</italic> &lt; 0.01.",
    "Data are mean ± SD of three independent experiments; significance by one-way ANOVA.",
    "<italic>P</italic> values are two-sided and adjusted for multiple testing (Benjamini&#x2013;Hochberg).",
    "Values at 10<sup>6</sup> cells mL<sup>&#x2212;1</sup>; **<italic>p</italic> &lt; 0.01 against control.",
)
_IMAGING = (
    "Written consent to publish was given.",
    "Images were read by two observers blinded to the clinical data.",
    "See Methods for acquisition parameters.",
    "The same settings were used at every visit.",
)
_COUNTS = (
    "Source data are in the supplementary file.",
    "Numbers refer to the period from January 2018 to December 2020.",
    "Full definitions are given in the Methods section.",
    "The analysis followed the protocol registered before the study.",
)
_CHEMISTRY = (
    "IC<sub>50</sub> values are given in the text.",
    "Compounds were characterised by <sup>1</sup>H and <sup>13</sup>C NMR.",
    "Log&#x2009;<italic>P</italic> was computed for each compound; R groups differ at C-4 and C-6.",
    "Purity exceeded 95% by HPLC in every case.",
)
_PLOTS = "Plots and Charts"

CONCEPTS: dict[str, Concept] = {
    "ihc": Concept(
        "Immuno Assays",
        "immunohistochemistry",
        photographs.immunohistochemistry,
        (
            "Immunohistochemical staining of {marker} in {tissue} from {subjects}.",
            "Immunohistochemistry for {marker} in {disease}.",
            "Representative immunohistochemistry of {tissue} sections probed with anti-{marker} antibody.",
            "{marker} immunostaining (DAB, brown; haematoxylin, blue) of {tissue}.",
            "Expression of {marker} protein in {disease} shown by immunohistochemical staining.",
            "Tissue sections immunostained for {marker}; {tissue}, {disease}.",
        ),
        _MICROGRAPH,
    ),
    "eye": Concept(
        "Clinical Imaging",
        "eye",
        photographs.fundus,
        (
            "Fundus photograph of one of the {subjects}.",
            "Colour fundus photography of the eye in {disease}.",
            "Retinal fundus image taken at the first visit in a case of {disease}.",
            "Ocular fundus of a participant from {region}, photographed with a 45° camera.",
            "Fundus photograph showing the retina before treatment with {compound}.",
            "Eye examination in {disease}: retinal photograph.",
        ),
        _IMAGING,
    ),
    "mri": Concept(
        "Clinical Imaging",
        "magnetic resonance",
        simulated.magnetic_resonance,
        (
            "Brain magnetic resonance imaging in {disease}.",
            "Magnetic resonance image of the brain of one of the {subjects}.",
            "Brain MRI at 3 T before {compound} was started.",
            "MRI of the head in a case of {disease}.",
            "Follow-up magnetic resonance imaging (MRI) of the brain in {disease}.",
            "Representative brain MR image from the cohort of {region}.",
        ),
        _IMAGING,
    ),
    "fluo": Concept(
        "Microscopy",
        "fluorescence microscopy",
        simulated.fluorescence,
        (
            "Fluorescence microscopy of cells stained for {marker} and DNA.",
            "Immunofluorescence of {marker} after treatment with {compound}.",
            "Fluorescence micrograph of cultured cells in a model of {disease}.",
            "Localisation of {marker} by fluorescence microscopy.",
            "Fluorescent staining of filaments and nuclei in cells exposed to {compound}.",
            "Fluorescence images show the distribution of {marker} in cells derived from {tissue}.",
        ),
        _MICROGRAPH,
    ),
    "blot": Concept(
        "Immuno Assays",
        "immunoblot",
        simulated.immunoblot,
        (
            "Western blot analysis of lysates from {tissue}.",
            "Immunoblot of signalling proteins downstream of {marker}.",
            "Effect of {compound} on protein levels, by immunoblotting.",
            "Western blots of cells with and without {marker}.",
            "Immunoblots of whole-cell extracts in {disease}.",
            "Protein expression after {compound} was assessed by Western blot.",
        ),
        (*_STATISTICS[:2], "Uncropped blots are in the supplementary material."),
    ),
    "gel": Concept(
        "Immuno Assays",
        "gel electrophoresis",
        simulated.gel,
        ("Agarose gel electrophoresis of <italic>{marker}</italic> PCR products.",),
        _COUNTS,
    ),
    "bar": Concept(
        _PLOTS,
        "bar plot",
        plots.bar_plot,
        (
            "Bar plot of the response to {compound} in {subjects}.",
            "Bar graph comparing groups of {subjects}.",
            "Effect of {compound} on {disease}, as a bar plot.",
            "Bar chart of outcomes in {disease} by treatment group.",
            "Quantification of {marker}; bars show group means.",
            "Bar plot of the main outcome in {region}.",
        ),
        _STATISTICS,
    ),
    "heat": Concept(
        _PLOTS,
        "heatmap plot",
        plots.heatmap_plot,
        (
            "Heat map of gene expression in {tissue}.",
            "Heatmap of transcripts that differ in {disease}.",
            "Expression heat map of {subjects}.",
            "Heatmap of genes co-regulated with <italic>{marker}</italic>.",
            "Heat map of the genes most altered by {compound}.",
            "Transcript levels in {disease} displayed as a heat map.",
        ),
        _STATISTICS[2:],
    ),
    "chem": Concept(
        "Chemical Structures",
        "2D chemical structure",
        diagrams.chemical_structure,
        (
            "Chemical structures of {compound} and related compounds.",
            "Structures of the molecules tested against {marker}.",
            "Chemical structure of the compounds used in {disease}.",
            "Two-dimensional structural formulae of ligands of {marker}.",
            "Molecular structures of the lead compounds compared with {compound}.",
            "Chemical structures of derivatives selected from the library.",
        ),
        _CHEMISTRY,
    ),
    "scheme": Concept(
        "Chemical Structures",
        "2D chemical reaction",
        diagrams.chemical_reaction,
        ("Synthesis of {compound}: chemical reaction of the last step.",),
        _CHEMISTRY,
    ),
    "map": Concept(
        "Maps",
        "map",
        diagrams.area_map,
        (
            "Map of {region} with the study area.",
            "Geographic distribution of {disease} in {region}.",
            "Map showing districts of {region} and rates of {disease}.",
            "Study area: map of {region}.",
            "Choropleth map of {disease} by district.",
            "Spatial distribution of {subjects} across {region}.",
        ),
        _COUNTS,
    ),
    "flow": Concept(
        "Illustrative Diagrams",
        "flowchart",
        diagrams.flowchart,
        (
            "Flowchart of the study of {subjects}.",
            "Flow diagram of selection and exclusion in the study of {disease}.",
            "Flow chart of recruitment in {region}.",
            "Study flowchart: {subjects}.",
            "Flowchart showing how {subjects} were selected.",
            "Flow diagram of the trial of {compound}.",
        ),
        _COUNTS,
    ),
    "surv": Concept(
        _PLOTS,
        "survival curve",
        plots.survival_curve,
        (
            "Kaplan&#x2013;Meier survival curves by {marker} expression.",
            "Overall survival in {disease} by level of {marker}.",
        ),
        _COUNTS,
    ),
    "scat": Concept(
        _PLOTS,
        "scatter plot",
        plots.scatter_plot,
        (
            "Scatter plot of age and measured value in {subjects}.",
            "Correlation of age with severity of {disease} (scatter plot).",
        ),
        _STATISTICS[2:],
    ),
    "box": Concept(
        _PLOTS,
        "box plot",
        plots.box_plot,
        ("Box plots of thickness by grade of {disease}.", "Thickness of {tissue} in four groups, as box plots."),
        _STATISTICS[1:],
    ),
    "line": Concept(
        _PLOTS,
        "line plot",
        plots.line_plot,
        ("Line plot of monthly incidence of {disease} in {region}.", "Seasonal course of {disease}."),
        _COUNTS,
    ),
    "table": Concept(
        "Tables",
        "table",
        plots.table,
        ("Baseline characteristics of {subjects}.", "Characteristics of cases of {disease} and of controls."),
        _COUNTS,
    ),
    "nature": Concept(
        "Natural Images",
        "nature",
        photographs.nature,
        ("Photograph of a plot in {region}.", "View of the ground at a sampling site in {region}."),
        _COUNTS,
    ),
    "equation": Concept("Scientific Formulae and Equations", "algorithm", plots.equation, (), ()),
    "micro": Concept(
        "Clinical Imaging",
        "eye",
        photographs.microaneurysms,
        ("Microaneurysms in the fundus of the eye in {disease}.",),
        _IMAGING,
    ),
    "phase": Concept(
        "Microscopy",
        "phase contrast microscopy",
        photographs.phase_cell,
        ("Phase image of an isolated cell from {tissue}.",),
        ("Scale bar, 5 μm.",),
    ),
    "logo": Concept("Ambiguous", "ambiguous", diagrams.logo, (), ()),
}
"""The concepts by the code that the plan of the articles uses."""
