"""The votes stage: what annotators answered becomes the labels file, and what they dispute goes back to them."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow.fs as pafs
import yaml

from biomedica_ray import files, schema
from biomedica_ray.config import ConfigError
from biomedica_ray.files import write_file
from biomedica_ray.labelling.agreement import Agreement, agreement, concept_agreements
from biomedica_ray.labelling.answers import Answer, Parsed, one_each, parse_answers
from biomedica_ray.labelling.config import VotesConfig
from biomedica_ray.labelling.image_sheets import IMAGES
from biomedica_ray.labelling.labels_file import Entry, ImageEntry, LabelsFile
from biomedica_ray.labelling.majority import FIELDS, Verdict, field_votes, verdicts
from biomedica_ray.labelling.proposals_file import read_proposals
from biomedica_ray.labelling.taxonomy import Taxonomy, load_taxonomy
from biomedica_ray.runs import Run
from biomedica_ray.store import Store, open_filesystem
from biomedica_ray.units import Flow, fingerprint

log = logging.getLogger(__name__)

_NAMED = 20
"""Clusters that the log names; ``votes.json`` has all."""


def run(config: VotesConfig, record: Run) -> None:
    """Write the labels file, and all that the votes say to the store's ``votes.json``.

    Invalid answers are rows of the errors table, and the others are counted without them.

    Raises:
        ConfigError: The taxonomy is invalid, or there are no valid answers.
        StoreError: There is no store.
    """
    store = record.store
    store.generations()
    taxonomy = load_taxonomy(store, config.taxonomy)
    output = config.output or store.uri(files.LABELS)
    place = config.answers or store.uri(files.ANSWERS)
    contents = _read_files(place, config.endpoint_url)
    parsed = [parse_answers(data, name, taxonomy) for name, data in contents.items()]
    answers = [answer for each in parsed for answer in each.answers]
    if not answers:
        fault = next((fault for each in parsed for fault in each.faults), None)
        reason = f"; {fault.what}: {fault.message}" if fault else ""
        raise ConfigError(f"answers: {place}: no answers in {len(contents)} files{reason}")
    _count(record, len(contents), parsed)

    found_verdicts = verdicts(answers, config.min_votes, config.min_agreement)
    of_clusters = [each for each in found_verdicts if each.clustering != IMAGES]
    of_images = [each for each in found_verdicts if each.clustering == IMAGES]
    proposed = proposed_concepts(store, of_clusters, taxonomy)
    differing = [each.of for each in of_clusters if each.of in proposed and each.differs_from(proposed[each.of])]
    agreements = agreement_on((answer for answer in answers if answer.clustering != IMAGES), taxonomy)
    write_file(output, _labels_yaml(labels_file(found_verdicts, taxonomy), answers), config.endpoint_url)
    store.write_json(
        files.VOTES,
        {
            "taxonomy": taxonomy.version,
            "min_votes": config.min_votes,
            "min_agreement": config.min_agreement,
            "clusters": [
                {**_verdict(each), "proposed": proposed.get(each.of), "against_proposal": each.of in differing}
                for each in of_clusters
            ],
            "images": [_verdict(each) for each in of_images],
            "agreement": [asdict(each) for each in agreements],
            "answers": [answer.model_dump(mode="json") for answer in answers],
        },
    )
    states = Counter(each.state for each in found_verdicts)
    record.results |= {
        "annotators": len({answer.annotator for answer in answers}),
        "clusters": len(of_clusters),
        "images": len(of_images),
        "decided": states["decided"],
        "disputed": states["disputed"],
        "open": states["open"],
        "against_proposal": len(differing),
        "alpha": {each.field: each.alpha for each in agreements if each.concept is None},
        "labels": output,
    }
    asked = f"{len(of_clusters)} clusters and {len(of_images)} images" if of_images else f"{len(of_clusters)} clusters"
    log.info("votes: %s: %s", asked, ", ".join(f"{n} {state}" for state, n in states.items()))
    log.info("votes: labels in %s", output)
    if differing:
        numbers = ", ".join(str(cluster) for _, cluster in differing[:_NAMED])
        log.info("votes: %d clusters show something other than was proposed: %s", len(differing), numbers)
    for verdicts_, of in ((of_clusters, ""), (of_images, " --of images")):
        if any(each.state == "disputed" for each in verdicts_):
            rounds = [answer.round for answer in answers if (answer.clustering == IMAGES) == bool(of)]
            log.info("votes: ask again: biomedica sheets --store %s%s --round %d", config.store, of, max(rounds) + 1)


def labels_file(found: Iterable[Verdict], taxonomy: Taxonomy) -> LabelsFile:
    """The labels of every cluster and image whose global concepts are decided; of other fields, what is decided."""
    decided = [verdict for verdict in found if verdict.said.primary]
    return LabelsFile(
        taxonomy=taxonomy.version,
        clustering=None,
        clusters=[
            Entry(**verdict.said.model_dump(), exemplars=list(verdict.exemplars))
            for verdict in decided
            if verdict.clustering != IMAGES
        ],
        images=[
            ImageEntry(**verdict.said.model_dump(), figure=verdict.exemplars[0], random=verdict.random)
            for verdict in decided
            if verdict.clustering == IMAGES
        ],
    )


def proposed_concepts(store: Store, found: Iterable[Verdict], taxonomy: Taxonomy) -> dict[tuple[str, int], str]:
    """The concept that was proposed first for each cluster, of those that have one."""
    best: dict[tuple[str, int], str] = {}
    for clustering in sorted({verdict.clustering for verdict in found}):
        proposals = read_proposals(store, clustering, taxonomy.concepts)
        for cluster in proposals.clusters:
            if concept := proposals.best(cluster):
                best[clustering, cluster] = concept
    return best


def agreement_on(answers: Iterable[Answer], taxonomy: Taxonomy) -> list[Agreement]:
    """Agreement on each field and each concept that was ever chosen.

    Counts each annotator's first answer on a cluster: later ones have seen what the others said.
    """
    by_cluster: dict[tuple[str, int], list[dict[str, frozenset[str]]]] = defaultdict(list)
    for answer in one_each(answers, last=False):
        by_cluster[answer.of].append(field_votes(answer))
    concepts = {
        "primary": list(taxonomy.concepts),
        "secondary": [each for some in taxonomy.concepts.values() for each in some],
    }
    found: list[Agreement] = []
    for name in FIELDS:
        votes = [[vote[name] for vote in group if name in vote] for group in by_cluster.values()]
        found.append(agreement(name, None, [["; ".join(sorted(values)) for values in group] for group in votes]))
        found += concept_agreements(name, concepts.get(name, ()), votes)
    return found


def _read_files(uri: str, endpoint_url: str | None) -> dict[str, bytes]:
    """Name -> content of the file, or of all JSON files in the folder."""
    filesystem, path = open_filesystem(uri, endpoint_url)
    info = filesystem.get_file_info(path)
    if info.type == pafs.FileType.NotFound:
        raise ConfigError(f"answers: {uri}: no such file or folder")
    if info.type == pafs.FileType.Directory:
        infos = filesystem.get_file_info(pafs.FileSelector(path, recursive=True))
        paths = sorted(each.path for each in infos if each.is_file and each.extension == "json")
    else:
        paths = [path]
    contents = {}
    for each in paths:
        with filesystem.open_input_stream(each) as stream:
            contents[each.removeprefix(path).lstrip("/") or info.base_name] = stream.read()
    return contents


def _count(record: Run, n_files: int, parsed: Sequence[Parsed]) -> None:
    """Commit the errors, and the counts: answers that a later one replaces are skipped."""
    answers = [answer for each in parsed for answer in each.answers]
    faults = [fault for each in parsed for fault in each.faults]
    errors = [schema.error_row("votes", fault.what, fault.kind, fault.message, entity=fault.entity) for fault in faults]
    bad = Counter(row["entity"] for row in errors)
    replaced = len(answers) - len({(*answer.of, answer.annotator) for answer in answers})
    counted = sum(1 for _ in one_each(answers, last=True))
    unread = {fault.what for fault in faults if fault.entity == "file"}
    counts = {
        "files": Flow(n_files, len(parsed) - len(unread), bad["file"]),
        "answers": Flow(sum(each.rows for each in parsed), counted, bad["answer"], replaced),
    }
    with record.store.write_unit("votes", 0, fingerprint(record.run_id), record.run_id) as writer:
        writer.table("errors", schema.ERRORS, directory="errors/votes").write(errors)
        writer.commit(counts)
    record.add(counts)


def _labels_yaml(labels: LabelsFile, answers: Sequence[Answer]) -> bytes:
    annotators = len({answer.annotator for answer in answers})
    head = (
        f"# What {annotators} annotators said of clusters and single images, by majority (biomedica votes).\n"
        "# Clusters are named by figures that the annotators saw, so that the labels outlive reclustering.\n"
    )
    document = labels.model_dump(exclude_defaults=True)
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
    return (head + text).encode()


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {**asdict(verdict), "said": verdict.said.model_dump(), "state": verdict.state}
