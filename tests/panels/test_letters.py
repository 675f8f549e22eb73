"""Patches that may be letters, and the runs that letters of panels make."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from biomedica_ray.panels.letters import CROP, LETTERS, Candidate, candidates, crops, reduced, run_of_letters


def page(*texts: tuple[tuple[int, int], str], ground: str = "white", ink: str = "black", size: int = 24) -> Image.Image:
    image = Image.new("RGB", (800, 500), ground)
    for at, text in texts:
        ImageDraw.Draw(image).text(at, text, fill=ink, font=ImageFont.load_default(size))
    return image


@pytest.mark.parametrize(("ground", "ink", "light"), [("white", "black", False), ("black", "white", True)])
def test_single_letters_are_candidates_and_words_are_none(ground: str, ink: str, light: bool) -> None:
    image = page(
        ((20, 20), "A"), ((400, 20), "B"), ((100, 300), "Control"), ((400, 300), "(c)"), ground=ground, ink=ink
    )
    found = [each for each in candidates(np.asarray(image)) if each.light == light]
    places = sorted((each.left // 100, each.top // 100) for each in found if each.right - each.left > 8)
    assert places == [(0, 0), (4, 0), (4, 3)]


def test_a_patch_as_large_as_a_panel_or_as_small_as_a_dot_is_no_candidate() -> None:
    image = page()
    ImageDraw.Draw(image).rectangle((100, 100, 300, 300), fill="black")
    ImageDraw.Draw(image).rectangle((500, 100, 504, 104), fill="black")
    assert candidates(np.asarray(image)) == []


def test_images_are_looked_at_in_one_size() -> None:
    large, scale = reduced(Image.new("RGB", (2200, 1100)))
    assert (large.size, scale) == ((1100, 550), 2)
    small, scale = reduced(Image.new("RGB", (220, 110)))
    assert (small.size, scale) == ((330, 165), 1 / 1.5)


def test_a_candidate_is_seen_as_ink_whichever_its_colour() -> None:
    seen = []
    for ground, ink in (("white", "black"), ("black", "white")):
        pixels = np.asarray(page(((20, 20), "H"), ground=ground, ink=ink))
        (found,) = [each for each in candidates(pixels) if each.light == (ink == "white")]
        seen.append(crops(pixels, [found])[0])
    assert seen[0].shape == (2, CROP, CROP)
    assert np.abs(seen[0][0] - seen[1][0]).max() < 0.02
    assert seen[0][0].mean() > seen[0][1].mean() > 0  # the wider view has more ground


def patches(*letters: tuple[str, int, float]) -> tuple[list[Candidate], np.ndarray]:
    """Candidates of a height that are a letter with a probability."""
    chances = np.zeros((len(letters), len(LETTERS)))
    found = []
    for n, (letter, height, chance) in enumerate(letters):
        chances[n, LETTERS.index(letter)] = chance
        found.append(Candidate(100 * n, 0, 100 * n + height, height, light=False))
    return found, chances


@pytest.mark.parametrize(
    ("read", "run"),
    [
        ([("A", 20, 0.9), ("B", 20, 0.9), ("C", 20, 0.8)], "ABC"),
        ([("C", 20, 0.8), ("A", 20, 0.9), ("B", 20, 0.9)], "ABC"),
        ([("A", 20, 0.9), ("B", 20, 0.9), ("D", 20, 0.9), ("E", 20, 0.9)], "ABDE"),  # C was not read
        ([("B", 20, 0.9), ("C", 20, 0.9), ("D", 20, 0.9)], "BCD"),
        ([("A", 14, 0.9), ("B", 19, 0.9)], "AB"),  # lower case: a is lower than b
        ([("A", 20, 0.9), ("B", 20, 0.9), ("X", 20, 0.9)], "AB"),
        ([("A", 20, 0.9)], ""),
        ([("C", 20, 0.9), ("T", 20, 0.9)], ""),  # control and treated
        ([("A", 20, 0.2), ("B", 20, 0.2)], ""),
        ([("A", 8, 0.9), ("B", 60, 0.9)], ""),
        ([], ""),
    ],
)
def test_letters_of_panels_run_on_from_a(read: list[tuple[str, int, float]], run: str) -> None:
    assert "".join(letter.letter for letter in run_of_letters(*patches(*read))) == run


def test_of_two_that_may_be_a_letter_the_likelier_is_it() -> None:
    found, chances = patches(("A", 20, 0.9), ("B", 20, 0.4), ("B", 20, 0.8))
    letters = run_of_letters(found, chances, scale=2)
    assert [(each.letter, each.left, each.right, each.confidence) for each in letters] == [
        ("A", 0, 40, 0.9),
        ("B", 400, 440, 0.8),
    ]
