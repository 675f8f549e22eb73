"""Articles that repeat others: older versions, and one article under several PMC ids."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biomedica_ray import schema
from biomedica_ray.dedupe.columns import codes

_IDENTIFIERS = ("pmcid", "doi", "pmid")
_KINDS = ("version", "same-doi", "same-pmid")


def article_duplicates(articles: pa.Table) -> pa.Table:
    """Find articles that share a pmcid (versions), a DOI or a PMID, directly or through one another.

    Of each group one is kept: the latest version of its pmcid, not retracted, with the most metadata, with the
    smallest pmcid, in this order.

    Args:
        articles: article_id, pmcid, version, doi, pmid, is_retracted, and n_metadata, the number of its metadata
            columns that hold something; in any order.

    Returns:
        A row of the duplicates table for each article that is not kept, sorted by id.
    """
    articles = _by_preference(articles)
    identifiers = [codes(articles[name]) for name in _IDENTIFIERS]
    kept = _best_of_group(identifiers)
    repeats = np.flatnonzero(kept != np.arange(len(kept)))
    of = kept[repeats]
    # An article that shares nothing with the kept one itself (only with one that does) counts by the id it has.
    shares = [values[repeats] == values[of] for values in identifiers]
    has_doi = articles["doi"].is_valid().to_numpy()[repeats]
    kinds = np.select([*shares, has_doi], [*_KINDS, "same-doi"], "same-pmid")
    return pa.table(
        {
            "id": articles["article_id"].take(pa.array(repeats)),
            "of": articles["article_id"].take(pa.array(of)),
            "entity": pa.repeat("article", len(repeats)),
            "kind": pa.array(kinds.tolist(), pa.string()),
            "distance": pa.array(np.zeros(len(repeats), np.int32)),
        },
        schema=schema.DUPLICATES,
    ).sort_by("id")


def in_order(articles: pa.Table) -> pa.Table:
    """The articles by pmcid, as numbers where they are PMC's (PMC9 before PMC10), then by version."""
    keyed = articles.append_column("length", pc.utf8_length(articles["pmcid"]))
    return keyed.sort_by([(name, "ascending") for name in ("length", "pmcid", "version")]).drop_columns(["length"])


def _by_preference(articles: pa.Table) -> pa.Table:
    latest = articles.group_by("pmcid").aggregate([("version", "max")])
    articles = in_order(articles.join(latest, "pmcid"))
    keys = {
        "outdated": pc.less(articles["version"], articles["version_max"]),
        "retracted": articles["is_retracted"],
        "metadata": pc.negate(articles["n_metadata"]),
        "position": pa.array(np.arange(articles.num_rows)),
    }
    return articles.take(pc.sort_indices(pa.table(keys), sort_keys=[(name, "ascending") for name in keys]))


def _best_of_group(identifiers: list[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    """For each row the first row that it is linked to through equal identifiers, in any number of steps."""
    best = np.arange(len(identifiers[0]))
    while True:
        before = best
        for values in identifiers:
            first = np.full(values.max(initial=-1) + 1, len(values))
            np.minimum.at(first, values, best)
            best = first[values]
        if np.array_equal(best, before):
            return best
