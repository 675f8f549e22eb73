"""Which text goes with a sample: its caption or another text about the picture, and which part of it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from biomedica_ray.reading.sentences import sentence_spans, word_spans

if TYPE_CHECKING:  # every command reads train's config, and with it this file; torch takes seconds to import
    import torch

    from biomedica_ray.reading.shards import RawSample

TextKind = Literal["caption", "panel", "part", "mention", "also_captioned"]
"""What a text of a sample can be."""

Tokenize = Callable[..., "torch.Tensor"]
"""A tokenizer of open_clip: of texts and, by name, ``context_length``; gives int64 tokens (n, context length)."""


@dataclass(frozen=True)
class TextChoice:
    """How texts are chosen; they are drawn again in each pass, with a generator per sample.

    Attributes:
        weights: Kind of text (caption, panel, part, mention, also_captioned) -> its weight.
        long_text: What is kept of a text longer than the model's context: its ``first`` tokens, or a random window of
            whole ``sentences``.
    """

    weights: Mapping[TextKind, float] = field(default_factory=lambda: {"caption": 1.0})
    long_text: Literal["first", "sentences"] = "first"

    @property
    def needs_metadata(self) -> bool:
        """Whether the samples' JSON has to be read."""
        return any(weight > 0 for kind, weight in self.weights.items() if kind != "caption")

    def draw(self, sample: RawSample, seed: str) -> str:
        """One of the sample's texts: first a kind by its weight, then one of that kind.

        The weight of kinds that a sample lacks goes to those that it has; a sample without any of the wanted kinds
        gives its caption. So does one whose JSON does not mention them, as in older datasets and those from elsewhere.
        """
        if not self.needs_metadata:
            return sample.caption
        texts = texts_by_kind(sample)
        kinds = [kind for kind, found in texts.items() if found and self.weights.get(kind, 0) > 0]
        if not kinds:
            return sample.caption
        generator = random.Random(f"text/{seed}/{sample.key}")
        (kind,) = generator.choices(kinds, [self.weights[kind] for kind in kinds])
        return generator.choice(texts[kind])

    def cut(self, text: str, seed: str, tokenize: Tokenize) -> str:
        """The part of a text to give to the tokenizer, which cuts off what is too long."""
        return text if self.long_text == "first" else sentence_window(text, tokenize, random.Random(f"window/{seed}"))


def texts_by_kind(sample: RawSample) -> dict[TextKind, list[str]]:
    """The texts of a sample by kind: its caption, and what its JSON holds of the others.

    A panel's own words go with its own picture alone: of a sample that is a panel they are its caption, and a whole
    figure has none. What a whole figure has are parts of its caption. Mentions are the paragraphs that image_context
    has for the figure, or of a panel those that name it.
    """
    fields = _object(sample.metadata)
    is_panel = fields.get("panel_number") is not None
    parts = [panel.get("text") for panel in _list(fields.get("panels")) if isinstance(panel, dict)]
    return {
        "caption": _texts([sample.caption]),
        "panel": _texts([sample.caption]) if is_panel else [],
        "part": [] if is_panel else _texts(parts),
        "mention": _texts(fields.get("panel_mentions") if is_panel else _mentions(fields)),
        "also_captioned": _texts(fields.get("also_captioned")),
    }


def _mentions(fields: dict[str, Any]) -> Any:
    """The entry of image_context that is the sample's.

    A list of objects that name their figures; in the published dataset, and in ours of earlier versions, an object by
    the name of the image, or of its file.
    """
    context = fields.get("image_context")
    if isinstance(context, dict):
        names = [str(fields.get(key)) for key in ("image_cluster_id", "image_file_name")]
        return next((context[name] for name in names if name in context), [])
    entries = [entry for entry in _list(context) if isinstance(entry, dict)]
    figure = fields.get("figure_id")
    return next((entry.get("references") for entry in entries if figure and entry.get("figure_id") == figure), [])


def sentence_window(text: str, tokenize: Tokenize, generator: random.Random) -> str:
    """A run of whole sentences, from a random one on, that fills the model's context; the text itself if it fits.

    Where the text ends before the context is full, the window reaches back. A sentence that is too long by itself is
    taken word by word, so that every part of a text has its chance; of a word that is too long, the first tokens.

    Args:
        text: The text.
        tokenize: The model's tokenizer.
        generator: Where the window is drawn from.
    """
    room = int(tokenize([""]).shape[1])
    if len(text.encode()) + _MARKS <= room:
        return text
    spans = sentence_spans(text)
    marks, *lengths = _lengths(tokenize, ["", *(text[start:end] for start, end in spans)])
    room -= marks
    lengths = [length - marks for length in lengths]
    if sum(lengths) <= room:
        return text
    spans, lengths = _pieces(text, spans, lengths, room, lambda texts: [n - marks for n in _lengths(tokenize, texts)])
    first = last = generator.randrange(len(spans))
    left = room - lengths[first]
    while last + 1 < len(spans) and lengths[last + 1] <= left:
        last += 1
        left -= lengths[last]
    while first and lengths[first - 1] <= left:
        first -= 1
        left -= lengths[first]
    return text[spans[first][0] : spans[last][1]]


_MARKS = 8
"""Places enough for what a tokenizer adds to a text, which has at most one token for each of its bytes."""


def _pieces(
    text: str,
    spans: list[tuple[int, int]],
    lengths: list[int],
    room: int,
    count: Callable[[list[str]], list[int]],
) -> tuple[list[tuple[int, int]], list[int]]:
    """The sentences, and in place of those that are too long their words."""
    pieces: list[tuple[int, int]] = []
    sizes: list[int] = []
    for span, length in zip(spans, lengths, strict=True):
        parts = [span] if length <= room else word_spans(text, *span)
        pieces += parts
        sizes += [length] if length <= room else count([text[start:end] for start, end in parts])
    return pieces, sizes


def _lengths(tokenize: Tokenize, texts: list[str]) -> list[int]:
    """Tokens of each text, marks included, and one more, as the end mark may be the same token as the padding."""
    longest = max(len(text.encode()) for text in texts) + _MARKS
    rows = tokenize(texts, context_length=longest)
    filled = (rows != rows[:, -1:]).flip(1)
    return [longest - int(row.argmax()) + 1 if row.any() else 1 for row in filled.int()]


def _object(metadata: bytes) -> dict[str, Any]:
    try:
        found = json.loads(metadata or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _texts(values: Any) -> list[str]:
    return [text for text in _list(values) if isinstance(text, str) and text.strip()]
