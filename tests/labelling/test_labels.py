from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from biomedica_ray.config import ConfigError
from biomedica_ray.files import given_file
from biomedica_ray.labelling.labels_file import Entry, LabelsFile, load_labels
from biomedica_ray.labelling.propagation import ClusterLabel, label_rows, resolve
from biomedica_ray.labelling.taxonomy import TAXONOMY, load_taxonomy, papers_taxonomy
from biomedica_ray.store import Store
from tests.fakes.s3 import client, s3_server

PLOTS = {
    "panel_type": "single",
    "panel_subtype": "single panel",
    "primary": ["Plots and Charts"],
    "secondary": ["bar plot"],
}
MAPS = {**PLOTS, "primary": ["Maps"], "secondary": []}


def labels_file(*entries: dict[str, Any], clustering: str | None = None) -> LabelsFile:
    return LabelsFile(taxonomy="biomedica-1", clustering=clustering, clusters=[Entry(**entry) for entry in entries])


def test_an_entry_speaks_of_the_cluster_that_holds_most_of_its_exemplars() -> None:
    said = labels_file({**PLOTS, "exemplars": ["a", "b", "c", "gone"]}, {**MAPS, "exemplars": ["d"]})
    found = resolve(said, {"a": 4, "b": 7, "c": 7, "d": 4})
    assert {cluster: label.primary for cluster, label in found.items()} == {4: ["Maps"], 7: ["Plots and Charts"]}


def test_of_entries_that_meet_the_one_with_most_exemplars_is_right() -> None:
    said = labels_file({**PLOTS, "exemplars": ["a", "b"]}, {**MAPS, "exemplars": ["c"]})
    assert resolve(said, dict.fromkeys("abc", 1))[1].primary == ["Plots and Charts"]


def test_equals_that_meet_are_joined_and_disagreement_on_panels_left_out() -> None:
    said = labels_file({**PLOTS, "exemplars": ["a"]}, {**MAPS, "panel_subtype": "other", "exemplars": ["b"]})
    assert resolve(said, {"a": 1, "b": 1}) == {
        1: ClusterLabel("single", None, ["Plots and Charts", "Maps"], ["bar plot"])
    }


def test_an_id_takes_precedence_over_exemplars() -> None:
    said = labels_file({**PLOTS, "exemplars": ["a", "b"]}, {**MAPS, "cluster": 1}, clustering="f")
    assert resolve(said, {"a": 1, "b": 1})[1].primary == ["Maps"]


def test_an_entry_without_any_living_exemplar_is_an_error() -> None:
    with pytest.raises(ValueError, match="entry 2: none of its exemplars exist: gone"):
        resolve(labels_file({**PLOTS, "exemplars": ["a"]}, {**MAPS, "exemplars": ["gone"]}), {"a": 1})


def test_figures_have_the_labels_of_their_cluster() -> None:
    label = ClusterLabel("single", "single panel", ["Maps"], ["map"])
    first, second = label_rows(["f1", "f2"], [3, 0], [0.5, 1.5], [0.9, 0.1], {3: label}, min_confidence=0.2)
    assert first == {
        "figure_id": "f1",
        "cluster_id": 3,
        "distance": 0.5,
        "confidence": 0.9,
        "uncertain": False,
        "panel_type": "single",
        "panel_subtype": "single panel",
        "primary_label": ["Maps"],
        "secondary_label": ["map"],
        "how": "propagated",
    }
    assert (second["primary_label"], second["how"], second["panel_type"]) == ([], "none", None)
    assert second["uncertain"]


def test_the_taxonomy_is_the_papers(corpus: Path) -> None:
    reference = json.loads((corpus.parent / "reference" / "taxonomy.json").read_text())
    taxonomy = papers_taxonomy()
    concepts = {name: set(locals_) for name, locals_ in reference.items() if not name.startswith("_")}
    assert {name: set(locals_) for name, locals_ in taxonomy.concepts.items()} == concepts
    pairs = {(kind, subtype) for kind, subtypes in taxonomy.panels.items() for subtype in subtypes}
    # Two of the paper's 2,000 clusters are single panels of a multi-panel subtype: slips.
    seen = {(each["panel_type"], each["panel_subtype"]) for each in reference["_panel_pairs"] if each["clusters"] > 1}
    assert pairs == seen


def test_the_taxonomy_has_the_papers_numbers_of_concepts() -> None:
    taxonomy = papers_taxonomy()
    assert (len(taxonomy.concepts), sum(map(len, taxonomy.concepts.values()))) == (16, 119)


def write(path: Path, document: Any) -> Path:
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({**PLOTS, "panel_type": "triple"}, "entry 1: panel_type triple: expected one of"),
        ({**PLOTS, "panel_subtype": "odd"}, "entry 1: panel_subtype odd: with single expected one of"),
        ({**PLOTS, "primary": ["Bar Plots"]}, "entry 1: primary Bar Plots: not a global concept"),
        ({**PLOTS, "secondary": ["hologram"]}, "entry 1: secondary hologram: not a local concept"),
        ({**MAPS, "secondary": ["bar plot"]}, "entry 1: secondary bar plot: belongs to Plots and Charts"),
        ({**PLOTS, "primary": []}, "clusters.entry 1.primary: List should have at least 1 item"),
        ({**PLOTS, "colour": "red"}, "clusters.entry 1.colour: Extra inputs are not permitted"),
    ],
)
def test_what_is_wrong_with_a_labels_file_is_one_line(tmp_path: Path, entry: dict[str, Any], message: str) -> None:
    document = {"taxonomy": "biomedica-1", "clusters": [{**entry, "exemplars": ["a"]}]}
    path = write(tmp_path / "labels.yaml", document)
    with pytest.raises(ConfigError) as caught:
        load_labels(Store(str(tmp_path)), str(path), papers_taxonomy())
    assert str(caught.value).startswith(f"labels: {path}: {message}")
    assert "\n" not in str(caught.value)


def test_a_labels_file_names_its_clusters_once_and_in_some_clustering(tmp_path: Path) -> None:
    taxonomy, store = papers_taxonomy(), Store(str(tmp_path / "store"))
    for entries, message in (
        ([{**PLOTS, "cluster": 1}], "clustering: missing"),
        ([PLOTS], "expected either cluster or exemplars"),
        ([{**PLOTS, "cluster": 1, "exemplars": ["a"]}], "expected either cluster or exemplars"),
    ):
        path = write(tmp_path / "labels.yaml", {"taxonomy": "biomedica-1", "clusters": entries})
        with pytest.raises(ConfigError, match=message):
            load_labels(store, str(path), taxonomy)
    path = write(tmp_path / "labels.yaml", {"taxonomy": "other", "clusters": []})
    with pytest.raises(ConfigError, match="made with taxonomy other, this one is biomedica-1"):
        load_labels(store, str(path), taxonomy)
    with pytest.raises(ConfigError, match=r"labels: .*none\.yaml: no such file"):
        load_labels(store, str(tmp_path / "none.yaml"), taxonomy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": " "}, "version: String should match pattern"),
        ({"panels": {}}, "panels: Dictionary should have at least 1 item"),
        ({"panels": {"single": []}}, "panels.single: List should have at least 1 item"),
        ({"panels": {"single": ["one", "one"]}}, "panels: single: one appears more than once"),
        ({"concepts": {"Maps": ["map "]}}, "concepts.Maps.entry 1: String should match pattern"),
        ({"colours": []}, "colours: Extra inputs are not permitted"),
    ],
)
def test_what_is_wrong_with_a_taxonomy_is_one_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "taxonomy.yaml", {**yaml.safe_load(TAXONOMY.read_text()), **change})
    with pytest.raises(ConfigError) as caught:
        load_taxonomy(Store(str(tmp_path)), str(path))
    assert str(caught.value).startswith(f"taxonomy: {path}: {message}")


def test_an_entry_may_leave_the_panels_open(tmp_path: Path) -> None:
    document = {"taxonomy": "biomedica-1", "clusters": [{"exemplars": ["a"], "primary": ["Maps"]}]}
    path = write(tmp_path / "labels.yaml", document)
    said = load_labels(Store(str(tmp_path / "store")), str(path), papers_taxonomy())
    assert said
    assert resolve(said, {"a": 1}) == {1: ClusterLabel(None, None, ["Maps"], [])}


def test_a_local_concept_has_one_parent(tmp_path: Path) -> None:
    document = yaml.safe_load(TAXONOMY.read_text())
    document["concepts"]["Maps"].append("bar plot")
    with pytest.raises(ConfigError, match="concepts: bar plot appears more than once"):
        load_taxonomy(Store(str(tmp_path / "store")), str(write(tmp_path / "mine.yaml", document)))


def test_files_are_the_stores_own_unless_others_are_named(tmp_path: Path) -> None:
    """The same with a store on S3, and with a file there for a store on a disk."""
    document = {"taxonomy": "mine", "clusters": [{"exemplars": ["a"], "primary": ["Maps"]}]}
    words = {**yaml.safe_load(TAXONOMY.read_text()), "version": "mine"}
    with s3_server() as url:
        client(url).create_bucket(Bucket="stores")
        remote, local = Store("s3://stores/one", url), Store(str(tmp_path / "store"), url)
        assert load_taxonomy(remote, None) == papers_taxonomy()
        assert load_labels(remote, None, papers_taxonomy()) is None
        remote.write_bytes("taxonomy.yaml", yaml.safe_dump(words).encode())
        remote.write_bytes("labels.yaml", yaml.safe_dump(document).encode())
        taxonomy = load_taxonomy(remote, None)
        assert taxonomy.version == "mine"
        said = load_labels(remote, None, taxonomy)
        assert said
        assert said.exemplars == {"a"}
        assert load_labels(local, "s3://stores/one/labels.yaml", taxonomy) == said
        with pytest.raises(ConfigError, match=r"labels: s3://stores/one/none\.yaml: no such file"):
            load_labels(local, "s3://stores/one/none.yaml", taxonomy)
    with pytest.raises(ConfigError, match=r"labels: http://x/labels\.yaml: expected a local path, s3://"):
        given_file(local, "labels", "http://x/labels.yaml", "labels.yaml")
    with pytest.raises(ConfigError, match=f"labels: {tmp_path}: "):
        given_file(local, "labels", str(tmp_path), "labels.yaml")
