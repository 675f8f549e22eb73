from __future__ import annotations

from pathlib import Path

import numpy as np
import open_clip
import pytest
import safetensors.torch
import torch
import yaml

from biomedica_ray import schema
from biomedica_ray.annotate.clustering import Clustering
from biomedica_ray.annotate.members import Wanted
from biomedica_ray.config import ConfigError
from biomedica_ray.evaluate.prompts import Prompts
from biomedica_ray.evaluate.zero_shot import class_vectors
from biomedica_ray.labelling.concept_scores import load_prompts, propose
from biomedica_ray.labelling.config import ProposeConfig
from biomedica_ray.labelling.label_table import labelled_members
from biomedica_ray.labelling.propose import write_proposals
from biomedica_ray.labelling.taxonomy import papers_taxonomy
from biomedica_ray.store import Store, StoreError
from biomedica_ray.units import unit_of
from tests.synthetic import N_UNITS, article, encoded, figure, picture, write_extracted

NAMES = ["Maps", "Tables", "Microscopy"]


def test_a_cluster_is_proposed_what_most_of_its_images_resemble() -> None:
    concepts = np.eye(3, dtype=np.float32)
    images = np.array([[9, 1, 0], [8, 2, 1], [0, 1, 9], [0, 5, 4]], np.float16)
    found = propose(images, np.array([7, 7, 2, 2]), concepts, NAMES, scale=100, top=2)
    assert {cluster: [each["concept"] for each in best] for cluster, best in found.items()} == {
        7: ["Maps", "Tables"],
        2: ["Microscopy", "Tables"],
    }
    assert found[7][0]["score"] == 1
    assert found[2] == [{"concept": "Microscopy", "score": 0.5}, {"concept": "Tables", "score": 0.5}]


def test_scores_are_those_of_softmax_and_sum_to_one() -> None:
    generator = np.random.default_rng(0)
    images, texts = generator.normal(size=(6, 4)), generator.normal(size=(3, 4)).astype(np.float32)
    (scores,) = propose(images, np.zeros(6, int), texts, NAMES, scale=2).values()
    unit = images / np.linalg.norm(images, axis=1, keepdims=True)
    expected = torch.softmax(torch.tensor(2 * unit @ texts.T), dim=1).mean(dim=0)
    assert {each["concept"]: each["score"] for each in scores} == pytest.approx(
        dict(zip(NAMES, expected.tolist(), strict=True)), abs=1e-4
    )


def test_the_vector_of_a_concept_is_the_mean_of_its_sentences() -> None:
    (vector,) = class_vectors([np.array([[2, 0], [0, 5]], np.float32)])
    assert vector == pytest.approx([2**-0.5, 2**-0.5])


def test_the_prompts_are_for_concepts_of_the_taxonomy(tmp_path: Path) -> None:
    taxonomy, store = papers_taxonomy(), Store(str(tmp_path / "store"))
    prompts = load_prompts(store, None, taxonomy)
    assert taxonomy.concepts.keys() - prompts.concepts.keys() == {"Ambiguous"}
    assert prompts.sentences("Maps")[:2] == ["map of the study area.", "geographical map of sampling sites."]
    path = tmp_path / "prompts.yaml"
    for document, message in (
        ({"templates": ["{}"], "concepts": {"Charts": ["x"]}}, "Charts: not a global concept"),
        ({"templates": [], "concepts": {"Maps": ["x"]}}, "templates: "),
        ({"templates": ["{}"], "concepts": {"Maps": []}}, "Maps: expected at least one name"),
    ):
        path.write_text(yaml.safe_dump(document))
        with pytest.raises(ConfigError, match=message):
            load_prompts(store, str(path), taxonomy)
    with pytest.raises(ConfigError, match="no such file"):
        load_prompts(store, str(tmp_path / "none.yaml"), taxonomy)
    store.write_bytes("prompts.yaml", b"templates: ['{}']\nconcepts: {Maps: [a map]}")
    assert load_prompts(store, None, taxonomy).concepts == {"Maps": ["a map"]}


def test_proposals_of_a_store(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    pmcids = [f"PMC{n}" for n in range(6)]
    figures = [figure(f"{pmcid}.1", 1, encoded(picture(n))) for n, pmcid in enumerate(pmcids)]
    write_extracted(store, map(article, pmcids), figures)
    for unit in store.commits("extract"):
        with store.write_unit("label", unit, "aa") as writer:
            rows = [
                {"figure_id": f"PMC{n}.1_001", "cluster_id": n % 2, "distance": float(n), "primary_label": []}
                | {"secondary_label": [], "how": "none", "confidence": 0.5, "uncertain": False}
                for n in range(6)
                if unit_of(f"PMC{n}", N_UNITS) == unit
            ]
            writer.table("labels", schema.LABELS.with_metadata({"clustering": "f"})).write(rows)
            writer.commit({})
    labelled = list(store.commits("label").values())
    members, clustering = labelled_members(store, labelled, Wanted(2))
    assert clustering == "f"
    assert members["figure_id"].to_pylist() == ["PMC0.1_001", "PMC2.1_001", "PMC1.1_001", "PMC3.1_001"]

    torch.manual_seed(0)
    model, _, preprocess = open_clip.create_model_and_transforms("ViT-S-32-alt")
    weights = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(model.state_dict(), weights)
    config = ProposeConfig(store=store.root, model="open_clip/ViT-S-32-alt", weights=str(weights), images=2)
    prompts = Prompts(templates=["{}", "this is {}"], concepts={"Maps": ["a map"], "Tables": ["a table", "numbers"]})
    with pytest.raises(StoreError, match="the labels are of an earlier clustering; run `biomedica label` again"):
        write_proposals(config, store, labelled, prompts)
    store.write_json("clusters/timm-x.json", CLUSTERING.to_json())
    found = write_proposals(config, store, labelled, prompts)
    assert (found.asked, len(found.clusters), found.unseen) == (2, 2, [])
    document = store.read_json("clusters/timm-x.proposals.json")
    assert (document["clustering"], document["images"]) == ("f", 2)

    model.eval()
    tokenize = open_clip.get_tokenizer("ViT-S-32-alt")
    with torch.inference_mode():
        texts = class_vectors(
            [model.encode_text(tokenize(prompts.sentences(name))).numpy() for name in prompts.concepts]
        )
        images = model.encode_image(torch.stack([preprocess(picture(n)) for n in (0, 2, 1, 3)])).numpy()
        expected = propose(
            images, np.array([0, 0, 1, 1]), texts, ["Maps", "Tables"], scale=float(model.logit_scale.exp())
        )
    for cluster, best in expected.items():
        assert [each["concept"] for each in document["clusters"][str(cluster)]] == [each["concept"] for each in best]
        for found, each in zip(document["clusters"][str(cluster)], best, strict=True):
            assert found["score"] == pytest.approx(each["score"], abs=2e-3)

    before = store.read_json("clusters/timm-x.proposals.json")
    assert write_proposals(config, store, labelled, prompts).path == "clusters/timm-x.proposals.json"
    weights.unlink()
    with pytest.raises(ConfigError, match="weights: "):
        write_proposals(config, store, labelled, prompts)  # who knows what they would be
    assert store.read_json("clusters/timm-x.proposals.json") == before


CLUSTERING = Clustering("f", "clusters/timm-x/f.npz", "timm/x", 2, 2, 6, 1.0, [0.5, 0.5], [3, 3], 1.0, None, None, {})
