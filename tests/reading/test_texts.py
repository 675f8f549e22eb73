from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biomedica_ray.reading.shards import RawSample
from biomedica_ray.reading.texts import TextChoice, sentence_window

FIELDS = {
    "figure_id": "PMC1.1_001",
    "image_cluster_id": "fig1",
    "image_file_name": "fig1.tif",
    "image_context": [
        {"figure_id": "PMC1.1_002", "image_id": "fig1", "references": ["Figure 2 shows another."]},
        {"figure_id": "PMC1.1_001", "image_id": "fig1", "references": ["Figure 1 shows it.", "See Figure 1."]},
    ],
    "panels": [{"label": "A", "text": "(A) Left."}, {"label": "B", "text": "(B) Right."}],
    "also_captioned": ["In other words."],
}
WEIGHTS = {"caption": 0.4, "part": 0.3, "mention": 0.2, "also_captioned": 0.1}
CLIP = open_clip.get_tokenizer("ViT-B-32", context_length=16)


def sample(fields: Any, key: str = "PMC1-1_001") -> RawSample:
    return RawSample(key, b"", "The caption.", json.dumps(fields).encode())


def drawn(weights: dict[Any, float], fields: Any, n: int = 2000) -> Counter[str]:
    choice = TextChoice(weights)
    return Counter(choice.draw(sample(fields), f"0/{epoch}") for epoch in range(n))


def test_texts_come_as_often_as_their_weights_say() -> None:
    counts = drawn(WEIGHTS, FIELDS)
    shares = {
        "The caption.": 0.4,
        "(A) Left.": 0.15,
        "(B) Right.": 0.15,
        "Figure 1 shows it.": 0.1,
        "See Figure 1.": 0.1,
        "In other words.": 0.1,
    }
    assert counts.keys() == shares.keys()
    for text, expected in shares.items():
        assert counts[text] / 2000 == pytest.approx(expected, abs=0.035)


def test_what_a_sample_lacks_leaves_its_weight_to_the_others() -> None:
    counts = drawn(WEIGHTS, {**FIELDS, "panels": [], "image_context": [], "also_captioned": [" "]}, 20)
    assert counts == {"The caption.": 20}
    counts = drawn(WEIGHTS, {"also_captioned": ["In other words."]})
    assert counts["In other words."] / 2000 == pytest.approx(0.2, abs=0.035)
    assert drawn({"part": 1}, {}, 5) == {"The caption.": 5}
    assert drawn({"caption": 0, "part": 1}, FIELDS, 50).keys() == {"(A) Left.", "(B) Right."}


def test_the_words_of_a_panel_go_with_its_own_picture_alone() -> None:
    assert drawn({"panel": 1, "mention": 1e-9}, FIELDS, 20).keys() == {"Figure 1 shows it.", "See Figure 1."}
    panel = {**FIELDS, "panel_number": 2, "panel_mentions": ["As B shows."], "also_captioned": []}
    assert drawn({"panel": 1}, panel, 20) == {"The caption.": 20}
    assert drawn({"part": 1, "mention": 1e-9}, panel, 20) == {"As B shows.": 20}
    assert drawn({"part": 1}, {**panel, "panel_mentions": []}, 20) == {"The caption.": 20}


@pytest.mark.parametrize(
    "metadata",
    [
        *(b"", b"not JSON", b"[1]", b'{"panels": 3, "also_captioned": "text", "image_context": ["x"]}'),
        b'{"panels": [3, {"label": "A"}], "also_captioned": [null], "image_cluster_id": [1], "image_context": {}}',
    ],
)
def test_json_that_tells_nothing_gives_the_caption(metadata: bytes) -> None:
    raw = RawSample("k", b"", "The caption.", metadata)
    assert {TextChoice(WEIGHTS).draw(raw, f"0/{epoch}") for epoch in range(10)} == {"The caption."}


def test_mentions_under_the_name_of_the_file_are_found() -> None:
    fields = {**FIELDS, "image_context": {"fig1.tif": ["Under the file's name."]}}
    assert drawn({"mention": 1}, fields, 5) == {"Under the file's name.": 5}


def test_a_draw_follows_from_seed_pass_and_sample_alone() -> None:
    choice = TextChoice(WEIGHTS)
    texts = [choice.draw(sample(FIELDS), f"0/{epoch}") for epoch in range(50)]
    reordered = TextChoice(dict(reversed(WEIGHTS.items())))
    assert [reordered.draw(sample(FIELDS), f"0/{epoch}") for epoch in range(50)] == texts
    assert [choice.draw(sample(FIELDS, "PMC2-1_001"), f"0/{epoch}") for epoch in range(50)] != texts


def test_the_json_is_needed_for_other_texts_than_captions_only() -> None:
    assert not TextChoice().needs_metadata
    assert not TextChoice({"caption": 1, "panel": 0}).needs_metadata
    assert TextChoice({"panel": 1}).needs_metadata


def words(texts: list[str], context_length: int = 8) -> torch.Tensor:
    """A tokenizer without an end mark: a token a word."""
    rows = torch.full((len(texts), context_length), 1)
    rows[:, 0] = 0
    for row, text in zip(rows, texts, strict=True):
        tokens = [2 + len(word) for word in text.split()][: context_length - 1]
        row[1 : len(tokens) + 1] = torch.tensor(tokens, dtype=torch.long)
    return rows


class Draws(random.Random):
    """A generator that draws one number, for all that may be drawn."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        return self.number % start


def windows(text: str, tokenize: Any) -> set[str]:
    """Every window that can be drawn."""
    return {sentence_window(text, tokenize, Draws(number)) for number in range(len(text.split()))}


def numbered(sentences: list[list[str]]) -> str:
    """A text in which no word comes twice."""
    text = " ".join(f"The {' '.join(words)}." for words in sentences)
    return " ".join(f"{word[:-1]}{number}{word[-1]}" for number, word in enumerate(text.split()))


TEXTS = st.lists(
    st.lists(st.sampled_from(["Cells", "of", "mice", "0.5", "alpha-actinin", "grew"]), min_size=1, max_size=25),
    min_size=1,
    max_size=6,
).map(numbered)


@settings(max_examples=25)
@given(TEXTS, st.sampled_from([CLIP, words]))
def test_windows_fit_are_contiguous_and_cover_the_text(text: str, tokenize: Any) -> None:
    room = tokenize([""]).shape[1]
    seen: set[int] = set()
    for window in windows(text, tokenize):
        assert window in text
        assert torch.equal(tokenize([window], context_length=4 * room)[:, : room - 1], tokenize([window])[:, :-1])
        seen.update(range(text.index(window), text.index(window) + len(window)))
    assert "".join(text[place] for place in range(len(text)) if place not in seen).strip() == ""


def test_windows_are_whole_sentences_where_they_can_be() -> None:
    text = "One two three. Four five six. Seven eight nine. Ten."
    assert windows(text, words) == {
        "One two three. Four five six.",
        "Four five six. Seven eight nine.",
        "Seven eight nine. Ten.",
    }


def test_a_text_that_fits_stays_whole() -> None:
    text = "One two. Three four five."
    assert windows(text, words) == {text}
    long = TextChoice(long_text="first").cut("x " * 100, "0/0/k", words)
    assert long == "x " * 100


def test_a_window_follows_from_the_seed() -> None:
    choice = TextChoice(long_text="sentences")
    text = "One two three four. Five six seven eight. Nine ten eleven twelve."
    found = [choice.cut(text, f"0/{epoch}/k", words) for epoch in range(20)]
    assert [choice.cut(text, f"0/{epoch}/k", words) for epoch in range(20)] == found
    assert len(set(found)) == 3
