"""The classifier of images, fitted on vectors made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_ray.annotate.vectors import PictureId
from biomedica_ray.labelling.classifier import ImageClassifier, image_label_rows
from biomedica_ray.labelling.examples import Example, read_examples
from biomedica_ray.labelling.fitting import calibrate, find_sure, fit_to_examples, least_examples, platt
from biomedica_ray.labelling.labels_file import Entry, ImageEntry, LabelsFile

CONCEPTS = ("Maps", "Microscopy", "Tables")


def drawn(
    n: int, noise: float, seed: int = 0, *, alone: bool = True
) -> tuple[list[Example], npt.NDArray[np.float16], npt.NDArray[np.int64]]:
    """Examples of three concepts, two of an article, around three directions of 16 dimensions; and what each shows."""
    random = np.random.default_rng(seed)
    classes = random.integers(0, 3, n)
    vectors = np.eye(16)[classes] + noise * random.normal(size=(n, 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    examples = [
        Example(f"PMC{seed}{row // 2:05d}.1_{row % 2 + 1:03d}", (CONCEPTS[each],), (), alone)
        for row, each in enumerate(classes.tolist())
    ]
    return examples, vectors.astype(np.float16), classes


def test_what_is_apart_is_told_apart_and_sure() -> None:
    examples, vectors, _ = drawn(300, 0.1)
    classifier, judged = fit_to_examples(examples, vectors, precision=0.95, seed=0)
    assert classifier.names == CONCEPTS
    assert (judged.examples, judged.articles, judged.accuracy, judged.sure_precision) == (300, 150, 1.0, 1.0)
    assert judged.sure > 0.98 and judged.calibration.ece < 0.02
    _, others, shown = drawn(200, 0.1, seed=1)
    rows = image_label_rows([PictureId(f"PMC1.1_{n}") for n in range(200)], others, classifier)
    assert [row["image_label"] for row in rows] == [CONCEPTS[each] for each in shown]
    assert {row["image_how"] for row in rows} == {"classifier"}


@pytest.mark.parametrize("noise", [0.4, 0.6])
def test_a_confidence_is_how_often_it_is_right_and_sure_labels_are_right_on_images_it_has_not_seen(
    noise: float,
) -> None:
    examples, vectors, _ = drawn(600, noise)
    classifier, judged = fit_to_examples(examples, vectors, precision=0.9, seed=0)
    _, others, shown = drawn(4000, noise, seed=1)
    probabilities = classifier.probabilities(others)
    right = probabilities.argmax(axis=1) == shown
    confidence = probabilities.max(axis=1)
    assert 0.5 < right.mean() < 0.97  # otherwise there is nothing to be unsure of
    assert judged.accuracy == pytest.approx(right.mean(), abs=0.05)
    for part in np.array_split(np.argsort(confidence), 5):
        assert confidence[part].mean() == pytest.approx(right[part].mean(), abs=0.08)
    assert classifier.sure_from is not None
    sure = confidence >= classifier.sure_from
    assert right[sure].mean() >= 0.88 and sure.mean() > 0.1


def test_vectors_that_say_nothing_are_never_sure() -> None:
    examples, vectors, _ = drawn(300, 0.1)
    shuffled = np.random.default_rng(3).permutation(vectors)
    classifier, judged = fit_to_examples(examples, shuffled, precision=0.95, seed=0)
    assert (classifier.sure_from, judged.sure, judged.sure_precision) == (None, 0.0, None)
    assert judged.accuracy < 0.5
    rows = image_label_rows([PictureId("PMC1.1_001")], vectors[:1], classifier)
    assert rows[0]["image_sure"] is False and rows[0]["image_confidence"] < 0.6


def test_no_label_of_a_panel_is_sure() -> None:
    examples, vectors, _ = drawn(300, 0.1)
    classifier, _ = fit_to_examples(examples, vectors, precision=0.95, seed=0)
    ids = [PictureId("PMC1.1_001"), PictureId("PMC1.1_001", 1, (0, 2, 70, 80))]
    whole, panel = image_label_rows(ids, vectors[[0, 0]], classifier)
    assert (whole["panel"], whole["panel_box"], whole["image_sure"]) == (0, [], True)
    assert (panel["panel"], panel["panel_box"], panel["image_sure"]) == (1, [0, 2, 70, 80], False)
    assert panel["image_confidence"] == whole["image_confidence"]


def test_accuracy_on_images_drawn_at_random_is_told_apart_from_that_on_hard_ones() -> None:
    easy, easy_vectors, _ = drawn(60, 0.1)
    easy = [replace(example, random=True) for example in easy]
    hard, hard_vectors, _ = drawn(180, 1.0, seed=1)
    rare = [Example(f"PMC7.1_{n:03d}", ("Ultrasound",), (), alone=True, random=True) for n in range(4)]
    vectors = np.concatenate([easy_vectors, hard_vectors, easy_vectors[:4]])
    _, judged = fit_to_examples([*easy, *hard, *rare], vectors, precision=0.95, seed=0)
    assert judged.accuracy < 0.8 and judged.random is not None
    assert (judged.random.right, judged.random.of) == (60, 64)  # what cannot be told is wrong
    assert (judged.random.low, judged.random.high) == pytest.approx((0.848, 0.983), abs=0.001)  # tables of the interval
    _, judged = fit_to_examples(hard, hard_vectors, precision=0.95, seed=0)
    assert judged.random is None


def test_a_concept_of_too_few_articles_is_left_out_and_its_figures_are_wrong() -> None:
    examples, vectors, _ = drawn(60, 0.1)
    rare = [Example(f"PMC7.1_{n:03d}", ("Ultrasound",), (), alone=True) for n in range(5)]
    classifier, judged = fit_to_examples(
        [*examples, *rare], np.concatenate([vectors, vectors[:5]]), precision=0.95, seed=0
    )
    assert classifier.names == CONCEPTS
    assert (judged.left_out, judged.examples) == ({"Ultrasound": 1}, 65)
    assert judged.accuracy == pytest.approx(60 / 65, abs=1e-3)
    with pytest.raises(ValueError, match="examples of 0 concepts in 3 or more articles; expected two or more"):
        fit_to_examples(rare, vectors[:5], precision=0.95, seed=0)


def test_an_image_of_two_concepts_is_right_with_either_and_local_concepts_are_told_one_by_one() -> None:
    examples, vectors, classes = drawn(240, 0.1)
    examples = [
        Example(each.figure_id, each.primary, ("map",) if each.primary == ("Maps",) else (), alone=False)
        for each in examples
    ]
    both = (np.eye(16)[0] + np.eye(16)[1]) / np.sqrt(2)
    doubled = [Example(f"PMC8{n}.1_001", ("Maps", "Microscopy"), ("map",), alone=False) for n in range(20)]
    classifier, judged = fit_to_examples(
        [*examples, *doubled],
        np.concatenate([vectors, np.tile(both, (20, 1)).astype(np.float16)]),
        precision=0.9,
        seed=0,
    )
    assert judged.accuracy == 1.0
    assert classifier.concepts == ("map",)
    assert classifier.local_concepts(vectors) == [["map"] if each == 0 else [] for each in classes.tolist()]
    assert classifier.probabilities(both[None])[0] == pytest.approx([0.5, 0.5, 0], abs=0.1)


def test_a_local_concept_is_told_where_it_is_more_probable_than_not() -> None:
    """Half of the maps have it, in a direction with much noise, and a tenth of the others."""

    def noted(seed: int) -> tuple[list[Example], npt.NDArray[np.float16], npt.NDArray[np.bool_]]:
        examples, vectors, classes = drawn(1200, 0.1, seed)
        random = np.random.default_rng(seed)
        has = random.random(1200) < np.where(classes == 0, 0.5, 0.1)
        vectors = vectors.astype(np.float32)
        vectors[:, 5] += 0.3 * has + 0.2 * random.normal(size=1200)
        secondary = [("noted",) if each else () for each in has]
        return (
            [replace(e, secondary=s) for e, s in zip(examples, secondary, strict=True)],
            vectors.astype(np.float16),
            has,
        )

    examples, vectors, _ = noted(0)
    classifier, judged = fit_to_examples(examples, vectors, precision=0.9, seed=0)
    assert classifier.concept_weights is not None and classifier.concept_bias is not None
    _, others, has = noted(1)
    logits = others.astype(np.float32) @ classifier.concept_weights[0] + classifier.concept_bias[0]
    probability = 1 / (1 + np.exp(-logits))
    for part in np.array_split(np.argsort(probability), 5):
        assert probability[part].mean() == pytest.approx(has[part].mean(), abs=0.06)
    told = np.array([each == ["noted"] for each in classifier.local_concepts(others)])
    assert np.array_equal(told, probability >= 0.5)
    (local,) = judged.local
    assert (local["concept"], local["examples"]) == ("noted", sum(bool(each.secondary) for each in examples))
    assert local["precision"] == pytest.approx(has[told].mean(), abs=0.08)
    assert local["recall"] == pytest.approx(told[has].mean(), abs=0.08)


def test_a_local_concept_that_too_few_articles_show_or_lack_is_not_told() -> None:
    examples, vectors, classes = drawn(60, 0.1)
    maps = np.flatnonzero(classes == 0).tolist()
    for noted, told in ((maps[:2], ()), (maps, ("it",)), ([n for n in range(60) if n not in maps[:2]], ())):
        noting = [replace(each, secondary=("it",) if n in noted else ()) for n, each in enumerate(examples)]
        assert fit_to_examples(noting, vectors, precision=0.9, seed=0)[0].concepts == told


@pytest.mark.parametrize(("slope", "shift"), [(1.0, 0.0), (0.3, 2.0), (3.0, -1.0)])
def test_logits_that_are_too_sure_or_shifted_become_those_of_probabilities(slope: float, shift: float) -> None:
    random = np.random.default_rng(0)
    true = random.normal(size=20_000)
    shown = random.random(20_000) < 1 / (1 + np.exp(-true))
    found = platt((true - shift) / slope, shown)
    assert found == pytest.approx((slope, shift), abs=0.1)


def test_images_of_which_people_spoke_alone_are_what_it_is_judged_by_where_there_are_enough() -> None:
    easy, easy_vectors, _ = drawn(200, 0.05, alone=False)
    hard, hard_vectors, _ = drawn(100, 0.8, seed=1)
    _, judged = fit_to_examples([*easy, *hard], np.concatenate([easy_vectors, hard_vectors]), precision=0.95, seed=0)
    assert (judged.calibrated_on, judged.examples) == ("images", 100)
    assert judged.accuracy < 0.9
    few = slice(0, least_examples(0.95) - 1)
    _, judged = fit_to_examples(
        [*easy, *hard[few]], np.concatenate([easy_vectors, hard_vectors[few]]), precision=0.95, seed=0
    )
    assert (judged.calibrated_on, judged.examples) == ("exemplars", 200 + least_examples(0.95) - 1)
    assert (judged.sure_from, judged.sure) == (None, 0.0)  # what was said of a cluster need not hold for each image


@pytest.mark.parametrize("each", [3, 4])
def test_a_few_figures_of_each_concept_are_enough(each: int) -> None:
    examples = [
        Example(f"PMC{n}{number}.1_001", (concept,), (), alone=True)
        for number, concept in enumerate(CONCEPTS)
        for n in range(1, each + 1)
    ]
    vectors = np.repeat(np.eye(16)[:3], each, axis=0).astype(np.float16)
    classifier, judged = fit_to_examples(examples, vectors, precision=0.95, seed=0)
    assert (classifier.names, judged.examples, judged.accuracy) == (CONCEPTS, 3 * each, 1.0)


def test_versions_of_an_article_are_in_one_fold() -> None:
    """What would be told from the other version's copy alone is not told."""
    random = np.random.default_rng(0)
    vectors = random.normal(size=(40, 64))
    concepts = [CONCEPTS[n] for n in random.integers(0, 2, 40)]
    examples = [
        Example(f"PMC{n}.{version}_001", (concepts[n],), (), alone=True) for version in (1, 2) for n in range(40)
    ]
    _, judged = fit_to_examples(examples, np.concatenate([vectors, vectors]), precision=0.95, seed=0)
    assert judged.articles == 40 and judged.accuracy < 0.8


def test_a_classifier_survives_its_file() -> None:
    examples, vectors, _ = drawn(60, 0.1)
    examples = [Example(each.figure_id, each.primary, each.primary[:1], alone=False) for each in examples]
    classifier, _ = fit_to_examples(examples, vectors, precision=0.95, seed=0)
    loaded = ImageClassifier.load(classifier.dump())
    assert loaded.dump() == classifier.dump()
    assert np.array_equal(loaded.probabilities(vectors), classifier.probabilities(vectors))
    assert loaded.local_concepts(vectors) == classifier.local_concepts(vectors) != [[]] * 60
    assert (loaded.names, loaded.how, loaded.sure_from) == (classifier.names, classifier.how, classifier.sure_from)


def test_prompts_are_calibrated_where_enough_was_said() -> None:
    examples, vectors, _ = drawn(200, 0.4)
    prompts = ImageClassifier("zero-shot", CONCEPTS, 50 * np.eye(16, dtype=np.float32)[:3], np.zeros(3, np.float32))
    calibrated, judged = calibrate(prompts, examples, vectors, precision=0.9)
    assert judged is not None and judged.calibrated_on == "images"
    assert calibrated.temperature > 5  # a scale of 50 claims far more than is so
    assert judged.calibration.ece < 0.06
    assert calibrate(prompts, examples[:5], vectors[:5], precision=0.9) == (prompts, None)


@given(st.integers(0, 400), st.floats(0.5, 1.0), st.integers(0, 99))
def test_sure_labels_are_a_run_of_the_most_confident_and_never_fewer_than_show_anything(
    n: int, share: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    confidence = random.random(n).astype(np.float32)
    right = random.random(n) < share
    found = find_sure(confidence, right, 0.9)
    if found is not None:
        sure = confidence >= found
        assert sure.sum() >= least_examples(0.9) and right[sure].mean() >= 0.9


def test_precision_is_missed_no_more_often_than_accepted() -> None:
    """Of 300 classifiers whose labels are right in 90 of 100 whatever their confidence, few are sure at 0.9."""
    random = np.random.default_rng(0)
    missed = 0
    for _ in range(300):
        confidence = random.random(400).astype(np.float32)
        missed += find_sure(confidence, random.random(400) < 0.899, 0.9) is not None
    assert missed <= 0.15 * 300


def test_examples_are_the_exemplars_and_what_was_said_of_an_image_alone_takes_precedence() -> None:
    said = LabelsFile(
        taxonomy="t",
        clustering="f",
        clusters=[
            Entry(exemplars=["PMC1.1_001", "PMC2.1_001"], primary=["Maps"], secondary=["map"]),
            Entry(cluster=3, primary=["Tables"]),
        ],
        images=[ImageEntry(figure="PMC2.1_001", primary=["Tables"])],
    )
    assert read_examples(said) == [
        Example("PMC1.1_001", ("Maps",), ("map",), alone=False),
        Example("PMC2.1_001", ("Tables",), (), alone=True),
    ]
