"""Captions cut into panels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_ray.jats.article import Panel
from biomedica_ray.jats.markers import Hint, expand_letters
from biomedica_ray.jats.panels import split_panels

# Captions in the styles of the literature, with ‖ where a part begins and the panels of each part behind it. What
# stands before the first ‖ is the preamble.
CAPTIONS = {
    "brackets": "Growth. ‖A‖(A) Wild type. ‖B, C‖(B, C) Mutants. ‖D, E, F‖(D–F) Rescue as in (A).",
    "lower-case brackets": "‖a‖(a) Front view; ‖b‖(b) back view; ‖c‖(c) both.",
    "square brackets": "Sections: ‖A‖[A] liver, ‖B‖[B] lung.",
    "brackets with spaces": "Blots. ‖A‖( A) Actin. ‖B‖( B ) Tubulin.",
    "brackets with colon": "‖A‖(A): overview ‖B‖(B): detail",
    "brackets with full stop": "‖A‖(A). Six spots were chosen. ‖B‖(B). Nine were stained.",
    "panels in brackets": "Mice. ‖A‖(Panel A) Before. ‖B‖(panel B) After.",
    "brackets in a sentence": "Structures of ‖a‖(a) the apo and ‖b‖(b) the bound form.",
    "brackets behind a preposition": "Body temperature after ‖a‖(a) saline or ‖b‖(b) 2 mg/kg of the drug.",
    "brackets without punctuation": "Effect ‖A‖(A) Effect of pH ‖B‖(B) Effect of time",
    "joined by and": "‖A, B‖(A and B) Cells. ‖C‖(C) Controls.",
    "brackets side by side": "‖A, B‖(A) and (B) Receptors in bulk. ‖C‖(C) Single molecules.",
    "joined by to": "‖A, B, C, D, E‖(A to E) Staining of mitochondria. ‖F‖(F) Ratio.",
    "tilde range": "Neurons. ‖A, B, C‖(A~C) Photographs. ‖D‖(D) Counts of A to C.",
    "rows and columns": "Rats. ‖A, C‖Phase (A, C), ‖B, D‖light (B, D) images.",
    "interleaved": "‖A, C‖(A, C) Wild type. ‖B, D‖(B, D) Mutant.",
    "primes": "Discs. ‖A, A′‖(A,A′) Control. ‖B, C′‖(B-C′) Mosaics.",
    "numbered letters": "‖A1‖(A1) Young leaf. ‖A2‖(A2) Old leaf. ‖B‖(B) Root.",
    "a header that names all": "(A–C) Images of the forest. ‖A‖(A) Floor. ‖B‖(B) Canopy. ‖C‖(C) Edge.",
    "details within a range": "‖A, B‖(A,B) Schematic of adult (A) and larva (B). ‖C‖(C) Eye.",
    "references to panels": "‖A‖(A) Gel. ‖B‖(B) Quantification of (A). ‖C‖(C) Same as in (B) but at 4 °C.",
    "a panel named early": "‖A‖(A) Scan, enlarged in (C). ‖B‖(B) Sketch. ‖C‖(C) Detail of (A).",
    "a missing letter": "‖A‖(A) One. ‖B‖(B) Two. ‖D‖(D) Four. ‖E‖(E) Five.",
    "a later part of a figure": "‖D‖(D) Four. ‖E‖(E) Five. ‖F‖(F) Six.",
    "one marker for all": "‖a, b‖(a, b) Radiographs of the arm, front and side.",
    "a figure's own number": "‖A‖Figure 2A. Uptake. ‖B‖Figure 2B. Release.",
    "colons": "‖A‖A: acquitted. ‖B‖B: on stage.",
    "colons in a list": "Symptoms. ‖A‖A: rash, ‖B‖B: oedema, and ‖C‖C: swelling.",
    "lower-case colons": "Wear of the tool. ‖a‖a: new; ‖b‖b: after 10 h; ‖c‖c: after 50 h.",
    "commas": "‖a‖a, Gel. ‖b‖b, Blot. ‖c, d‖c,d, Counts.",
    "comma ranges": "Polyps were seen. ‖A, B, C‖A–C, Many in the colon. ‖D‖D, The largest one.",
    "full stops": "Details of the flower. ‖A‖A. Sepal. ‖B, C‖B-C. Petals. ‖D‖D. Stamen.",
    "full stops in a list": "Asymmetry: ‖A‖A. small, ‖B‖B. moderate, and ‖C‖C. large.",
    "half brackets": "Views: ‖a‖a) front, ‖b‖b) back",
    "half brackets, and": "Histogram of ‖A‖A) all edits, ‖B‖B) reverts, and ‖C‖C) both.",
    "half brackets alone": "‖A‖A) Shoot ‖B‖B) Root ‖C‖C)Leaf",
    "bars": "‖a‖a| Timeline of the trial. ‖b‖b| Survival.",
    "dashes": "‖A‖A – Before surgery. ‖B‖B – After surgery.",
    "hyphens": "Gels. ‖a‖a-BGM1, ‖b‖b-BGM3, ‖c‖c-BGM4.",
    "mixed marks": "Markers over time. ‖A‖A, AFP, ‖B‖(B) CA125, ‖C‖(C) CA199, and ‖D‖(D) CEA.",
    "words": "‖A, B‖Panels A and B: dose. ‖C‖Panel C: time.",
    "words as subjects": "Survival. ‖A‖Panel A shows all patients. ‖B‖Panel B shows those with a response.",
    "words with commas": "Cells. ‖A‖Panel A, starved; ‖B‖panel B, grown.",
    "trailing": "‖A‖Supine (A) ‖B‖and 70° posture (B).",
    "trailing list": "‖A‖Effects on heart rate (A), ‖B‖pressure (B), ‖C‖and output (C). Means ± SD.",
    "trailing sentences": "Rats. ‖A‖Uptake by day (panel A). ‖B‖Release by night (panel B).",
    "trailing with words behind": "‖A‖Swelling (A) ‖B‖with erosion of the radius (B, arrow).",
    "trailing within a sentence": "Liver. ‖A‖Nucleus and vein were intact (A). ‖B‖Necrosis was seen (B).",
    "trailing ranges": "Eyes. ‖A‖Debris lies in the uninjected eye (A), ‖B, C‖none in the treated ones (B and C).",
    "trailing letters": "‖A‖Wild type, A; ‖B‖mutant, B; ‖C‖rescue, C.",
    "trailing, then leading": "‖A‖Cells with BCH (A) ‖B‖and BPG (B) were fixed. ‖C‖(C) Controls. ‖D‖(D) Counts.",
    "trailing, with words behind": "‖A‖Latency (A) ‖B‖and speed (B) of rats. ‖C‖Scores (C) ‖D‖and speed (D) of mice.",
    "trailing, then a factor": "‖A‖Cells with the receptor (A), ‖B‖and none of it in (B) (×100).",
    "trailing, then all": "‖A‖A single (A), ‖B‖a forked (B) ‖C‖and a branched (C) root. Bar: 1 mm (A–C).",
    "letters on lines of their own": "Title\n‖A‖A\nMap of it.\n‖B, C‖B, C\nSpectra of (B) one and of (C) two.",
    "lines": "Title\n‖A‖(A) One.\n‖B‖(B) Two.",
    "roman numerals": "Skin. ‖i‖(i) A section; ‖ii‖(ii) its detail; ‖iii‖(iii) a sketch.",
    "trailing roman numerals": "‖I‖Concentration of EGF (I), ‖II‖TGF (II), ‖III‖and VEGF (III).",
    "numerals with letters": "Gels. ‖Ia‖(Ia) Wild type; ‖Ib‖(Ib) mutant. ‖IIa‖(IIa) Rescue; ‖IIb‖(IIb) control.",
    "trailing numerals with letters": "‖Ia‖Growth of tumours (Ia) ‖Ib‖and spread (Ib); ‖II‖survival (II).",
    "numbers": "Lamp: ‖1‖(1) cover, ‖2‖(2) board, ‖3‖(3) wire.",
    "numbered sentences": "Models. ‖1‖(1) Simple ones. ‖2‖(2) Those with cohorts.",
    "positions": "‖Left‖Left: before. ‖Right‖Right: after.",
    "positions in brackets": "Scans. ‖Left‖(Left) CT ‖right‖(right) MRI",
    "trailing positions": "‖left‖CT scan (left); ‖right‖reconstruction (right)",
    "trailing positions, and": "‖left‖Maps of the old town (left) ‖right‖and of the new one (right).",
    "panels by position": "Rates. ‖Top‖Top panel: all cells. ‖Bottom‖Bottom panel: dead cells.",
    "positions as subjects": "‖Upper‖Upper panel shows the signal. ‖lower‖The lower panel shows the noise.",
    "doubled positions": "‖Top left‖Top left: raw. ‖Top right‖Top right: filtered. ‖Bottom‖Bottom: both.",
    # one set of dashes and of joining words
    "en dash between brackets": "‖A, B, C‖(A)–(C) Whole mounts. ‖D‖(D) Section.",
    "em dash": "‖a, b, c‖(a—c) Whole mounts. ‖d‖(d) Section.",
    "joined by e": "‖A, B‖(A e B) Folhas. ‖C‖(C) Raiz.",
    "joined by y": "‖A, B‖(A y B) Hojas. ‖C‖(C) Raíz.",
    "joined by und": "‖a, b‖(a und b) Blatt. ‖c‖(c) Wurzel.",
    "joined by bis": "‖a, b, c‖(a bis c) Blatt. ‖d‖(d) Wurzel.",
    "joined by et": "‖A, B‖(A et B) Feuille. ‖C‖(C) Racine.",
    "letters e in a list": "‖c, d, e‖(c, d and e) Roots. ‖f‖(f) Leaves.",
    # what else brackets hold
    "notes": "Notes: ‖A‖(A) Gel. ‖B‖(B) Blot.",
    "figures in brackets": "Mice. ‖A‖(Figure A) Before. ‖B‖(Figure B) After.",
    "images in brackets": "‖A, B‖Slides at 10× (image A and B) ‖C‖and at 40× (image C).",
    "a letter at the end of a bracket": "‖a‖Sections (H&E; a) ‖b‖and (Masson; b).",
    "full-width brackets": "‖A‖（A）Gel. ‖B‖（B）Blot.",
    "roman indices": "Cells. ‖Ai‖(Ai) Wild type and ‖Aii‖(Aii) mutant. ‖B‖(B) Counts.",
    "glued to a sentence": "Slides of lung cancer.‖A‖A) Primary tumour. ‖B‖B) Metastasis.",
    "glued to a word": "Markers of tumorigenesis‖a‖(a) H&E of lung. ‖b‖(b) H&E of liver. ‖c‖(c) Counts.",
    "at the end of its own sentence": "‖a‖Spleens are shown in (a). ‖b‖Livers are shown in (b).",
    "a range at the end": "Survey. ‖A, B, C‖Sites in spring (A–C).",
    "out of order": "‖A, C, E‖Light (A), (C), (E) ‖B, F, D‖and dark (B), (F), (D).",
    "a range over its members": "‖A‖(A) Map. (B–D) Sites: ‖B‖(B) north, ‖C‖(C) east, ‖D‖(D) west.",
    # places
    "places with more in the bracket": "‖left‖Mice (left panel; n = 240) ‖right‖and rats (right panel; n = 12).",
    "places behind more in the bracket": "‖top‖Mice (fed, top panel) ‖bottom‖and rats (fed, bottom panel).",
    "places with commas": "‖Left‖Left, before surgery. ‖Right‖Right, after surgery.",
    "above and below": "‖Above‖Above, the old town. ‖Below‖Below, the new one.",
    # letters and numerals that little sets off
    "roman numerals with commas": "Stages. ‖I‖I, Control. ‖II‖II, Treated. ‖III‖III, Washed.",
    "dotted indices": "‖a.1‖a.1 Map of the city. ‖a.2‖a.2 Map of the land. ‖b‖b. Legend.",
    "spaced bars": "‖a‖a | One tree. ‖b‖b | Two trees.",
    "and without punctuation": "‖A‖A, all patients; ‖B‖B, patients at risk and ‖C‖C, patients of age.",
    "a continuation": "‖D‖D, Four cells. ‖E‖E, Five cells.",
    "no first marker": "‖A‖Sorted cells. ‖B‖(B) Gel of the cells. ‖C‖(C) Blot of the cells.",
    "bare small letters": "‖a‖a Kaplan–Meier curves of cohort one. ‖b‖b Overall survival.",
    "bare capital letters": "Plates. ‖A‖A Body in dorsal view. ‖B‖B Head in dorsal view.",
    "capital letters in a row": "‖A‖A left ramus, ventral view ‖B‖B pore, ventral view ‖C‖C pore, dorsal view",
    "numbered capital letters": "‖A‖7A Body, dorsal ‖B‖7B Head, dorsal",
    "letters within parts": "‖A‖A, Gel of (a) liver and (b) lung. ‖B‖B, Blot of (a) liver and (b) lung.",
    "a letter of a series without its mark": "‖a‖a. Leaf. ‖b‖b. Root of Smithia ‖c‖c. Stem. ‖d‖d. Seed.",
    "parts of a letter": "‖A‖(A) Map. ‖B1‖(B1) North. ‖B2‖(B2) South. ‖C‖(C) Legend.",
    # where parts begin and end
    "initials end no sentence": "‖A‖Growth of C. elegans (A) ‖B‖and of E. coli (B).",
    "a sentence between": "‖A‖Wrist (A) in a splint. Fluid is seen. ‖B‖The hand swelled (B).",
    "a sentence within a bracket": "‖A‖Hunger (A), ‖B‖intake (mean of day. Total) (B), ‖C‖and weight (C).",
    "references behind trailing markers": "‖a‖Yield (a) ‖b‖and loss (b). The line in panel (a) is a fit.",
    "plots by name": "‖a‖(a) Gel. ‖b‖(b) Blot. ‖c, d‖Plots (c) and (d) show means.",
    "significantly": "‖A‖(A) significantly changed genes; ‖B‖(B) significantly changed proteins.",
    "Portuguese": "Número de ‖A‖(A) esporos, ‖B‖(B) raízes e ‖C‖(C) folhas.",
    "Spanish": "‖a‖(a) Hembra y ‖b‖(b) macho.",
}
# Captions in which letters, numbers and places mark no panels.
WHOLE = {
    "nothing": "",
    "plain": "A mouse.",
    "one letter": "Only one (A).",
    "a letter out of order": "Colony on a solid medium (C).",
    "references only": "Enlarged from Figure 1; see (A) and compare it with (B).",
    "levels of significance": "Yields. (a) p < 0.05 against control; (b) p < 0.01 against control.",
    "levels behind their values": "Yields; p < 0.05 (a), p < 0.01 (b).",
    "significance by letters": "Bars with different letters (a, b, c) differ.",
    "abbreviations": "Sketch. A, anterior; B, basal; C, caudal; D, dorsal.",
    "abbreviations in no order": "Seeds. Con: control; A: acute irradiation; C: chronic irradiation.",
    "units": "Rates (a.u.) at temperature (C) over time (h), in mass (g) and length (m).",
    "values": "Slopes by site (t = value: a = 3.47, b = 3.36, c = 3.11).",
    "initials": "A. Smith and B. Jones",
    "initials in a credit": "Map by A. Smith. Photographs courtesy of B. Jones.",
    "species": "Colonies of A. niger, B. subtilis and C. albicans.",
    "chlorophyll": "Content of chlorophyll a, chlorophyll b, and both.",
    "compounds": "Structures of hunteracine (1), its salt (2) and chloroquine (3).",
    "reaction conditions": "Synthesis of 6. Reagents and conditions: (a) NaOH, 24 °C; (b) HCl; (c) heat.",
    "references by number": "Tree after [1], [2] and [3].",
    "poly(A)": "Reads at poly(A) sites and poly(B) sites.",
    "stages": "Survival of patients with tumours of stage (Ib), (II) and (IIIa).",
    "a stain": "Photograph of the spleen with granuloma (H&E, 40X).",
    "lanes": "Gel. Lane 1, marker; Lane 2, wild type.",
    "places in passing": "The left panel shows a mouse, the right one a rat.",
    "one place": "Curves of the model (top) over time.",
    "footnotes": "Means. ^a Standard error. ^b Median.",
    "a range of a measure": "Photographs. Scale bar: 1 mm (A–C).",
    "a key": "Classes. " + "; ".join(f"{letter} = class {letter}" for letter in "ABCDEFGHIJKLMNOPQ"),
    "an article": "A mouse of strain B and a rat of strain C.",
    "an article before a letter": "A study of hepatitis B cases and C reactive protein.",
    "one bare letter": "A Map of the city.",
    "N.S.": "Means; N.S.—no difference; n.s.—none.",
    "numerals in a text": "Behaviours: i) one strategy; ii) two strategies; iii) both.",
    "blood groups": "Frequencies of blood groups A, B, AB and O.",
    "a place alone": "Left, a map of the city.",
    "steps": "Cells arrive (Step 1), bind (Step 2) and divide (Step 3).",
}


def cut(marked: str) -> tuple[str, list[tuple[str, str]]]:
    """A caption of :data:`CAPTIONS` without its marks, and the label and text of its parts."""
    preamble, *rest = marked.split("‖")
    parts = list(zip(rest[::2], rest[1::2], strict=True))
    return preamble + "".join(text for _, text in parts), [(label, text.strip()) for label, text in parts]


def covers(caption: str, panels: list[Panel]) -> bool:
    """Whether preamble and panels are the whole caption, in order, with nothing but whitespace between them."""
    end = panels[0].start if panels else 0
    for panel in panels:
        if not panel.text or panel.text != caption[panel.start : panel.end] or panel.start < end:
            return False
        if caption[end : panel.start].strip():
            return False
        end = panel.end
    return not panels or end == len(caption)


@pytest.mark.parametrize("style", CAPTIONS)
def test_captions_are_cut_at_their_markers(style: str) -> None:
    caption, parts = cut(CAPTIONS[style])
    panels = split_panels(caption)
    assert [(panel.label, panel.text) for panel in panels] == parts
    assert covers(caption, panels)


@pytest.mark.parametrize("case", WHOLE)
def test_captions_without_markers_stay_whole(case: str) -> None:
    assert split_panels(WHOLE[case]) == []


def bold(caption: str, *letters: str, style: str = "bold") -> list[Hint]:
    """Hints for letters, each sought behind the one before it."""
    hints: list[Hint] = []
    for letter in letters:
        start = caption.index(letter, hints[-1].end if hints else 0)
        hints.append(Hint(start, start + len(letter), style))
    return hints


def test_bold_letters_are_markers() -> None:
    caption = "Stains: a left, b right, and c, d both"
    hints = [Hint(8, 9, "bold"), Hint(16, 17, "bold"), Hint(29, 30, "bold"), Hint(32, 33, "bold")]
    assert [caption[hint.start : hint.end] for hint in hints] == ["a", "b", "c", "d"]
    assert [(p.label, p.text) for p in split_panels(caption, hints)] == [
        ("a", "a left,"),
        ("b", "b right, and"),
        ("c, d", "c, d both"),
    ]
    assert split_panels(caption) == []


def test_bold_letters_may_stand_behind_what_they_name() -> None:
    caption = "Seeds of May (harvest A), and June (harvest B)."
    panels = split_panels(caption, bold(caption, "A", "B"))
    assert [panel.text for panel in panels] == ["Seeds of May (harvest A),", "and June (harvest B)."]


def test_bold_letters_within_brackets_are_one_marker() -> None:
    caption = "(A and B) Blots. (C) Gels."
    assert [p.label for p in split_panels(caption, bold(caption, "A", "B", "C"))] == ["A, B", "C"]


def test_letters_in_italics_are_markers_at_the_start_of_a_sentence_only() -> None:
    caption = "a, Gel. b, Blot."
    hints = [Hint(0, 1, "italic"), Hint(8, 9, "italic")]
    assert [p.label for p in split_panels(caption, hints)] == ["a", "b"]
    caption = "Line of slope a and intercept b on the axis"
    assert split_panels(caption, [Hint(14, 15, "italic"), Hint(30, 31, "italic")]) == []


def test_items_of_a_lettered_list_are_panels() -> None:
    caption = "Binding\nStructure at 2 Å.\nSurface, as in (A)."
    panels = split_panels(caption, [Hint(8, 25, "A"), Hint(26, 45, "B")])
    assert [(p.label, p.text) for p in panels] == [("A", "Structure at 2 Å."), ("B", "Surface, as in (A).")]


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("A, C-E", "A C D E"),
        ("a and b", "a b"),
        ("D", "D"),
        ("E-B", "E B"),
        ("A to C", "A B C"),
        ("B1, B2", "B1 B2"),
        ("A-C′", "A B C′"),
    ],
)
def test_letters_are_expanded(text: str, letters: str) -> None:
    assert expand_letters(text) == tuple(letters.split())


_PIECES = st.sampled_from(
    ["(A) ", "(B) ", "(B, C)", "( A ) ", "A: ", "B, ", "a) ", "b) ", "c)", "(A–D) ", "Panel A ", ", A; ", "A", "(i) "]
) | st.sampled_from(
    ["(ii) ", "(1) ", "(2) ", "Left: ", "Right: ", "(right)", "text", ". ", "; ", "\n", "and ", "of ", " ", "p < 0.05 "]
)
_HINTS = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 8), st.sampled_from(["bold", "italic", "A", "B"])))


@given(st.lists(_PIECES, max_size=30).map("".join) | st.text(), _HINTS)
def test_preamble_and_panels_cover_the_caption(text: str, places: list[tuple[int, int, str]]) -> None:
    caption = text.strip()
    hints = [Hint(at, at + n, style) for at, n, style in sorted(places) if at + n <= len(caption)]
    assert covers(caption, split_panels(caption, hints))


def test_a_caption_of_thousands_of_markers_is_cut_once() -> None:
    caption = ("(A) x " * 5000).strip()
    assert split_panels(caption) == []
