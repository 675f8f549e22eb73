"""Other ways of marking panels than those of :mod:`tests.jats.test_panels`, and letters that mark none."""

from __future__ import annotations

import pytest

from biomedica_ray.jats.panels import split_panels

# As in test_panels: ‖ where a part begins, and its panels behind that.
MARKED = [
    "‖A‖(A, left) Cells. ‖B‖(B, right) Mice.",
    "‖A‖(A: left) Cells. ‖B‖(B: right) Mice.",
    "‖a‖[a] Cells. ‖b‖[b] Mice.",
    "‖A‖A: Cells; ‖B‖B: Mice.",
    "Growth. ‖A‖A – Cells. ‖B‖B – Mice.",
    "Growth. ‖A‖A.- Cells. ‖B‖B.- Mice.",
    "‖A‖A.) Cells. ‖B‖B.) Mice.",
    "‖A‖(A.) Cells. ‖B‖(B.) Mice.",
    "‖a‖(a.) Cells. ‖b‖(b.) Mice.",
    "‖A‖A: Cells ‖B‖B: Mice ‖C‖C: Rats",
    "‖A‖Panel A. Cells. ‖B‖Panel B. Mice.",
    "‖A‖Panel (A): Cells. ‖B‖Panel (B): Mice.",
    "‖A‖Figure 1A: Cells. ‖B‖Figure 1B: Mice.",
    "‖A‖Fig. 1(A) Cells. ‖B‖Fig. 1(B) Mice.",
    "‖a‖Fig. 1a Cells. ‖b‖Fig. 1b Mice.",
    "‖A‖Part A: Cells. ‖B‖Part B: Mice.",
    "‖A‖Graph A shows cells. ‖B‖Graph B shows mice.",
    "‖A‖Image A: Cells. ‖B‖Image B: Mice.",
    "‖a‖Subfigure (a) shows cells. ‖b‖Subfigure (b) shows mice.",
    "‖a‖Subplot (a): cells. ‖b‖Subplot (b): mice.",
    "‖A‖Survival of mice (A) ‖B‖and rats (B).",
    "‖A, B‖Survival of mice (A and B) ‖C‖and rats (C).",
    "‖A, B‖Survival of mice (A+B) ‖C, D‖and rats (C+D).",
    "‖A, B‖Survival of mice (A/B) ‖C, D‖and rats (C/D).",
    "‖A, B‖(A) + (B) Mice. ‖C‖(C) Rats.",
    "‖A, B‖(A & B) Mice. ‖C‖(C) Rats.",
    "‖A, B, C‖(A to C) Mice; ‖D, E, F‖(D through F) rats.",
    "‖A, B, C‖Panels A–C: Mice. ‖D‖Panel D: Rats.",
    "‖A, B, C‖A through C, Mice. ‖D‖D, Rats.",
    "‖A, B‖A and B, Mice. ‖C‖C, Rats.",
    "‖A, B‖A & B: Mice. ‖C‖C: Rats.",
    "‖A1, A2‖(A1, A2) Mice. ‖B1‖(B1) Rats. ‖B2‖(B2) Cats.",
    "‖A‖(A) Mice: (i) black, (ii) white. ‖B‖(B) Rats: (i) black, (ii) white.",
    "‖a‖Mice (a, arrow), ‖b‖rats (b, arrowhead).",
    "‖a‖Mice (a; arrow), ‖b‖rats (b; arrowhead).",
    "‖A‖Mice (Fig. A), ‖B‖rats (Fig. B).",
    "‖A‖A. Mice ‖B‖B. Rats ‖C‖C. Cats",
    "‖a‖a. Mice ‖b‖b. Rats ‖c‖c. Cats",
    "‖a‖a Mice, n = 3. ‖b‖b Rats, n = 4. ‖c‖c Cats",
    "Growth of animals. ‖a‖a, Mice. ‖b‖b, Rats. ‖c‖c, Cats. Bars, 1 mm.",
    "Growth of animals. ‖a‖a Mice. ‖b, c‖b, c Rats. ‖d‖d Cats.",
    "Growth of animals. ‖a‖a Mice. ‖b, c‖b–c Rats. ‖d‖d Cats.",
    "Growth of animals. ‖a‖a Mice. ‖b, c‖b and c Rats. ‖d‖d Cats.",
    "‖A‖A) Mice; ‖B‖B) rats; ‖C‖C) cats.",
    "‖a‖a) Mice ‖b‖b) rats ‖c, d‖c, d) cats",
    "‖A‖A/ Mice. ‖B‖B/ Rats.",
    "‖I‖I. Mice. ‖II‖II. Rats. ‖III‖III. Cats.",
    "‖Left‖Left panel, mice. ‖Right‖Right panel, rats.",
    "‖Left‖(Left) Mice. ‖Middle‖(Middle) Rats. ‖Right‖(Right) Cats.",
    "‖Top‖Top: mice. ‖Middle‖Middle: rats. ‖Bottom‖Bottom: cats.",
    "‖Top‖Top row: mice. ‖Bottom‖Bottom row: rats.",
    "‖Upper left‖Upper left: mice. ‖Upper right‖Upper right: rats. ‖Lower left‖Lower left: cats.",
    "‖A‖（A）Mice；‖B‖（B）Rats。",
    "‖A‖（Ａ）Mice ‖B‖（Ｂ）Rats",
    "‖A‖【A】Mice. ‖B‖【B】Rats.",
    "‖A‖A：细胞。‖B‖B：组织。",
    "‖A-i‖(A-i) Mice. ‖A-ii‖(A-ii) Rats. ‖B-i‖(B-i) Hearts.",
    "‖A‖(A) E. coli. ‖B‖(B) C. elegans. ‖C‖(C) B. subtilis.",
    "Paciente. ‖A‖A: antes; ‖B‖B: después.",
    "‖A‖En A, antes. ‖B‖En B, después.",
    "‖A‖In A, mice. ‖B‖In B, rats.",
    "‖A‖In (A), mice are shown. ‖B‖In (B), rats are shown.",
    "‖A, B, C, D‖Mice (A–D) ‖E, F, G, H‖and rats (E–H).",
    "‖A, C, E‖Mice (A, C, E) ‖B, D, F‖and rats (B, D, F).",
    "‖A, C, E‖Mice (A,C and E) ‖B, D, F‖and rats (B,D and F).",
    "Animals. ‖A‖A, Mice. ‖B‖B, Rats. ‖C‖Weight of voles (C) ‖D‖or shrews (D) by age (n = 3).",
    "Animals. ‖A‖A, Mice. ‖B‖B, Rats. ‖C, E‖Voles (C, E) ‖D, F‖and shrews (D, F) at rest (C, D) and awake (E, F).",
    "‖A‖(A) Mice. ‖B‖(B) Rats. ‖C‖Survival of voles (C).",
    "‖A‖Animals of the farm. ‖B‖B, Weight of rats. ‖C‖Index (H12) of voles (C) ‖D‖and of shrews (D) by age.",
    "‖a‖a Axial CT and ‖b‖b coronal CT show consolidation in the right lower lobe.",
    "‖A‖Pre- (A) ‖B‖and post-treatment (B) photographs.",
    "Phylogenetic relationships. ‖A‖A Maximum-likelihood tree ‖B‖B Bayesian tree ‖C‖C Network.",
    "Meromyza aberrans sp. n. ‖A‖A habitus, lateral view ‖B‖B head, dorsal view ‖C‖C wing ‖D‖D male genitalia.",
    "Images of Arabidopsis grown on ‖A‖(A) control medium (C) or ‖B‖(B) medium with 100 mM NaCl.",
    "Forest plot of the effect on ‖A‖A: pain; ‖B‖B: function; ‖C‖C: quality of life. CI: confidence interval.",
    "‖A‖Panel A shows the primary end point, and ‖B‖Panel B the secondary end point.",
    "Electrocardiograms. ‖A‖In Panel A, sinus rhythm is seen; ‖B‖in Panel B, atrial fibrillation.",
    "‖A‖A A 3D reconstruction of the nucleus. ‖B‖B A cross section of it. ‖C‖C Volume of all nuclei.",
    "Photos of the seedlings ‖a‖(a) at day 7, ‖b‖(b) at day 14, and ‖c‖(c) at day 21 after sowing.",
    "‖A‖Gel filtration profile is shown in (A) ‖B‖and SDS-PAGE in (B).",
]

UNMARKED = [
    "Animals of the farm. B, Weight of rats given drug (C) or drug (D).",
    "A: adenine; G: guanine.",
    "A. thaliana and B. napus were grown.",
    "Hepatitis A: cases. Hepatitis B: cases.",
    "Vitamin A and vitamin B levels.",
    "A map of the region. B cells are in red.",
    "A comparison of models. In A, we trust.",
    "Type A: blue. Type B: red.",
    "Grade A: good. Grade B: bad.",
    "A patient with (a) pain and fever.",
    "Mice were given (a) drug.",
    "Site A, site B and site C.",
    "Factor A: time. Factor B: dose.",
    "Box plots (A = age, B = body weight).",
    "T, temperature; P, pressure.",
    "a, b and c are constants.",
    "Different letters (a, b, c) indicate significant differences.",
    "Values with a, b differ (P < 0.05).",
    "Means followed by the same letter (a–c) are not different.",
    "Part A of the survey. Part B of the survey.",
    "Chart of A: age",
    "Image A1 of the atlas.",
    "Plot of a: length against b: width.",
    "Schematic of (A) the cell.",
    "A: arrow.",
    "N: north; E: east; S: south; W: west.",
    "A/B testing of pages.",
    "Map: A, airport; B, bridge; C, church.",
    "Abbreviations: A, artery; B, bone; C, cartilage.",
    "Key: A, anterior; B, basal; C, caudal.",
    "(a) Significantly different from control. ",
    "a P < 0.05; b P < 0.01.",
    "aP < 0.05 vs control; bP < 0.05 vs drug.",
    "A and B alleles; C, control.",
    "Point A. Point B.",
    "Patients in group A (n = 10) and group B (n = 12).",
    "Top 10 genes. Left ventricle. Right ventricle.",
    "Left: right ratio.",
    "Left ventricular mass, right ventricular mass.",
    "The left panel is blue.",
    "Upper lobe: cyst. Lower lobe: mass.",
    "Right coronary artery (left) is seen.",
    "Protein A: blue; protein B: red.",
    "Class A. Class B.",
    "Model A: age; model B: age, sex.",
    "Lane A: marker. Lane B: sample. Lane C: control.",
    "Step (1) weigh. Step (2) mix.",
    "Compounds (1) and (2) in water.",
    "x-axis: time; y-axis: dose.",
    "E. coli; B. subtilis; C. albicans.",
    "A. J. Smith and B. K. Doe.",
    "C: control; D: drug.",
    "A: Anterior; B: Basal; C: Caudal",
    "A = albumin; B = bilirubin.",
    "In a, b denotes the slope.",
    "Sketch of the mandible. a, angle; b, body; c, condyle; d, coronoid process.",
    "Inclusion criteria were (a) age over 18 years, (b) signed consent, and (c) normal vision.",
    "Model with random effects for (i) subject and (ii) item.",
    "The reaction proceeds via (i) oxidation, (ii) hydrolysis.",
    "Site locations: A, Lake Tana; B, Lake Ziway; C, Lake Abaya.",
]


@pytest.mark.parametrize("caption", MARKED)
def test_captions_are_cut_at_their_markers(caption: str) -> None:
    preamble, *pieces = caption.split("‖")
    labels, parts = pieces[::2], pieces[1::2]
    panels = split_panels(preamble + "".join(parts))
    assert [(panel.label, panel.text) for panel in panels] == [
        (label, part.strip()) for label, part in zip(labels, parts, strict=True)
    ]


@pytest.mark.parametrize("caption", UNMARKED)
def test_letters_of_other_things_mark_no_panels(caption: str) -> None:
    assert split_panels(caption) == []


@pytest.mark.parametrize(
    "caption",
    [
        "A) Cells. B) Mice given vitamin (C).",
        "A, Mice. B, Rats. (C)",
    ],
)
def test_letters_in_the_last_panels_sentence_are_no_further_panels(caption: str) -> None:
    assert [panel.label for panel in split_panels(caption)] == ["A", "B"]
