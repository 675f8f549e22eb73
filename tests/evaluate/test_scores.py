"""Scores against scikit-learn, open_clip and CLIP_benchmark on the same vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from clip_benchmark.metrics import zeroshot_classification, zeroshot_retrieval
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score, top_k_accuracy_score

from biomedica_ray.evaluate.comparisons import paired
from biomedica_ray.evaluate.layouts.base import BadDataError, Listing, readable
from biomedica_ray.evaluate.questions import Choice, Questions, ask, of_rows
from biomedica_ray.evaluate.scores import hits, reciprocal_ranks, score, standing
from biomedica_ray.evaluate.task_files import ClassSpec, TaskSpec
from biomedica_ray.evaluate.zero_shot import Vectors, normalised
from biomedica_ray.reading.shards import Unreadable


def vectors(n: int, seed: int, dim: int = 16) -> Vectors:
    return normalised(np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32))


def task(kind: Any, classes: int = 0) -> TaskSpec:
    names = [ClassSpec(name=str(number)) for number in range(classes)]
    return TaskSpec(id="some", title="Some", domain="pathology", kind=kind, set="some", classes=names, question="q")


def multiclass(n: int, classes: int, seed: int = 0) -> tuple[Questions, Vectors, Vectors]:
    """Images that lean towards their class, of classes of unequal sizes with two prompts each."""
    generator = np.random.default_rng(seed)
    truth = np.minimum(generator.geometric(0.3, n) - 1, classes - 1).astype(np.int64)
    truth[:classes] = np.arange(classes)
    prompts = [np.array([2 * number, 2 * number + 1]) for number in range(classes)]
    texts = vectors(2 * classes, seed + 1)
    images = normalised(0.4 * texts[2 * truth] + vectors(n, seed + 2))
    names = [str(number) for number in range(classes)]
    texts_named = [f"text {number}" for number in range(2 * classes)]
    return Questions(task("multiclass", classes), np.arange(n), texts_named, truth, names, prompts), images, texts


def test_multiclass_as_scikit_learn() -> None:
    questions, images, texts = multiclass(400, 8)
    found = score(questions, images, texts, 0, 0)
    classes = normalised(np.stack([texts[numbers].mean(axis=0) for numbers in questions.prompts]))
    logits = 100.0 * images @ classes.T
    predicted, truth = logits.argmax(axis=1), questions.truth
    chances = torch.tensor(logits).double().softmax(dim=1).numpy()
    assert 0.3 < found.scores["accuracy"] < 0.95
    assert found.scores["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, predicted))
    assert found.scores["macro_f1"] == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert found.scores["auroc"] == pytest.approx(roc_auc_score(truth, chances, multi_class="ovr"))
    assert found.scores["top5"] == pytest.approx(top_k_accuracy_score(truth, logits, k=5))
    assert np.array(found.confusion)[:, :8].sum() == 400
    assert np.mean(list(found.per_class.values())) == pytest.approx(found.scores["balanced_accuracy"])


class Fixed(torch.nn.Module):
    """A model that gives fixed vectors: CLIP_benchmark's own loops then run on them."""

    def __init__(self, texts: Vectors) -> None:
        super().__init__()
        self._texts = torch.tensor(texts)

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        return images

    def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
        return self._texts[tokens]


def test_zero_shot_as_clip_benchmark_evaluates_it() -> None:
    questions, images, texts = multiclass(300, 6)
    numbers = {f"a{name}": int(name) for name in questions.names} | {}
    model = Fixed(texts)

    def tokenize(sentences: list[str]) -> torch.Tensor:
        return torch.tensor([2 * numbers[s[:-1]] + (s[-1] == "!") for s in sentences])

    loader = torch.utils.data.DataLoader(list(zip(images, questions.truth.tolist(), strict=True)), batch_size=64)
    # Its own last step, accuracy(), fails with NumPy 2.4: the logits are counted by scikit-learn here.
    classifier = zeroshot_classification.zero_shot_classifier(
        model, tokenize, list(numbers), ["{c}.", "{c}!"], "cpu", amp=False
    )
    logits, truth = zeroshot_classification.run_classification(model, classifier, loader, "cpu", amp=False)
    found = score(questions, images, texts, 0, 0).scores
    assert found["accuracy"] == pytest.approx(top_k_accuracy_score(truth, logits, k=1), abs=1e-4)
    assert found["top5"] == pytest.approx(top_k_accuracy_score(truth, logits, k=5), abs=1e-4)
    theirs = balanced_accuracy_score(truth, logits.argmax(axis=1))
    assert found["balanced_accuracy"] == pytest.approx(theirs, abs=1e-4)


def retrieval(n_images: int, per_image: int) -> tuple[Questions, Vectors, Vectors]:
    pairs = np.repeat(np.arange(n_images), per_image)
    names = [f"text {number}" for number in range(len(pairs))]
    images = vectors(n_images, 3)
    texts = normalised(0.5 * images[pairs] + vectors(len(pairs), 4))
    return Questions(task("retrieval"), np.arange(n_images), names, np.arange(len(pairs)), pairs=pairs), images, texts


@pytest.mark.parametrize("per_image", [1, 3])
def test_retrieval_as_clip_benchmark_evaluates_it(per_image: int) -> None:
    questions, images, texts = retrieval(40, per_image)
    by_image = [[f"{number}" for number in np.flatnonzero(questions.pairs == image)] for image in range(40)]
    loader = torch.utils.data.DataLoader(
        list(zip(torch.tensor(images), by_image, strict=True)),
        16,
        collate_fn=lambda batch: tuple(zip(*batch, strict=True)),
    )
    loader = [(torch.stack(list(pictures)), list(captions)) for pictures, captions in loader]
    theirs = zeroshot_retrieval.evaluate(
        Fixed(texts),
        loader,
        lambda s: torch.tensor([int(each) for each in s]),
        "cpu",
        amp=False,
        recall_k_list=[1, 5, 10],
    )
    found = score(questions, images, texts, 0, 0).scores
    for k in (1, 5, 10):
        assert found[f"text_to_image_recall@{k}"] == pytest.approx(theirs[f"image_retrieval_recall@{k}"], abs=1e-4)
        assert found[f"image_to_text_recall@{k}"] == pytest.approx(theirs[f"text_retrieval_recall@{k}"], abs=1e-4)
    assert 0.1 < found["recall@1"] < 0.99
    assert found["recall@1"] <= found["mrr"] <= 1


@given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 500))
def test_ties_count_by_chance(n: int, m: int, seed: int) -> None:
    """Against orders drawn at random; vectors of few values tie often."""
    generator = np.random.default_rng(seed)
    queries, candidates = (generator.integers(-1, 2, (k, 2)).astype(np.float32) for k in (n, m))
    is_own = generator.random((n, m)) < 0.3
    is_own[:, 0] = True
    of_query, of_candidate = np.nonzero(is_own)
    before, equal, own = standing(queries, candidates, of_query, of_candidate)
    similarity = queries @ candidates.T
    first = []
    for _ in range(300):
        order = np.lexsort((generator.random((n, m)), -similarity), axis=1)
        first.append(np.take_along_axis(is_own, order, axis=1).argmax(axis=1))
    ranks = np.stack(first)
    for k in (1, 3):
        assert hits(before, equal, own, k) == pytest.approx((ranks < k).mean(axis=0), abs=0.15)
    assert reciprocal_ranks(before, equal, own) == pytest.approx((1 / (ranks + 1)).mean(axis=0), abs=0.15)


def test_intervals_are_those_of_a_bootstrap_by_class() -> None:
    questions, images, texts = multiclass(300, 4)
    found = score(questions, images, texts, 4000, 0)
    right, truth = found.outcomes, questions.truth
    generator = np.random.default_rng(1)
    drawn, balanced = [], []
    groups = [np.flatnonzero(truth == number) for number in range(4)]
    for _ in range(2000):
        chosen = [generator.choice(group, len(group)) for group in groups]
        drawn.append(right[np.concatenate(chosen)].mean())
        balanced.append(np.mean([right[each].mean() for each in chosen]))
    assert found.intervals["accuracy"] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.01)
    assert found.intervals["balanced_accuracy"] == pytest.approx(np.quantile(balanced, [0.025, 0.975]), abs=0.015)
    low, high = found.intervals["macro_f1"]
    assert low < found.scores["macro_f1"] < high


def test_of_rows_leaves_out_images_and_texts_that_go_with_them() -> None:
    questions, images, texts = retrieval(10, 2)
    kept = np.array([0, 3, 4, 8])
    fewer = of_rows(questions, kept)
    assert fewer.texts == ["text 0", "text 1", "text 6", "text 7", "text 8", "text 9", "text 16", "text 17"]
    assert fewer.pairs.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    numbers = [int(text.removeprefix("text ")) for text in fewer.texts]
    found = score(fewer, images[kept], texts[numbers], 0, 0).scores
    assert found["image_to_text_recall@1"] > 0
    classes, images, texts = multiclass(20, 3)
    some = of_rows(classes, np.arange(5, 20))
    full = score(classes, images, texts, 0, 0)
    assert score(some, images[5:], texts, 0, 0).outcomes.tolist() == full.outcomes[5:].tolist()


def test_paired_tests() -> None:
    assert paired(np.zeros(5)) == 1
    assert paired(np.array([1.0] * 5 + [0.0] * 20)) == pytest.approx(2 * 0.5**5)
    assert paired(np.array([1.0, -1.0] * 10)) == pytest.approx(1)
    assert paired(np.array([0.5, 0.25, 1.0, 0.75, 0.1, 0.3, 0.2, 0.6])) == pytest.approx(2 / 2**8)


def test_rows_of_a_choice_without_a_label_are_no_class() -> None:
    """Two classes that are right, and rows without a label that are wrong: accuracy 0.5, balanced accuracy 1."""
    options = np.array([0, 1], np.int64)
    choices = [[Choice(options, 0)], [Choice(options, 0)], [Choice(options, 1)], [Choice(options, 1)]]
    questions = Questions(
        task("choice"), np.arange(4), ["a", "b"], np.array([0, 1, -1, -1], np.int64), ["a", "b"], choices=choices
    )
    found = score(questions, np.tile([1.0, 0.0], (4, 1)).astype(np.float32), np.eye(2, dtype=np.float32), 50, 0)
    assert (found.scores["accuracy"], found.scores["balanced_accuracy"]) == (0.5, 1.0)
    assert found.intervals["balanced_accuracy"] == (1.0, 1.0)
    assert found.per_class == {"a": 1.0, "b": 1.0}


def test_a_class_without_a_prompt_is_told() -> None:
    table = pa.table({"id": ["1", "2"], "label": ["0", "1"]})
    with pytest.raises(BadDataError, match="some: no paper prompt of 0; give the task templates"):
        ask(task("multiclass", 2), table, "here")


def test_what_comes_after_damage_cannot_be_read() -> None:
    class Damaged:
        listing = Listing.of(["a", "b", "c"])

        def images(self, numbers: Sequence[int]) -> Iterator[bytes]:
            yield b"first"
            raise BadDataError("x.parquet: row group 2 is damaged")

    first, *others = readable(Damaged(), [0, 1, 2])
    assert first == b"first"
    assert [(each.kind, each.message) for each in others if isinstance(each, Unreadable)] == [
        ("unreadable-image", "x.parquet: row group 2 is damaged")
    ] * 2
