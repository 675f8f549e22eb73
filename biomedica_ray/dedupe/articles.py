"""Articles that repeat others: older versions, one article under several PMC ids, preprints; and what is retracted."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biomedica_ray.dedupe.columns import Rows, codes, connected, duplicate_rows, first_equal
from biomedica_ray.dedupe.works import RELATIONS
from biomedica_ray.schema import ARTICLE_REPEATS

_Links = tuple[Rows, Rows]
"""The ends of links between articles, by row."""
_Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ArticleGroups:
    """What was found among n articles.

    Attributes:
        duplicates: Rows of the duplicates table, sorted: articles that repeat another, notices of correction
            (correction), articles of which another says that they are retracted (retracted).
        repeats: (n,) whether an article repeats another.
        retracted: (n,) whether it has been retracted.
        families: (n,) equal for articles that are versions, copies, preprints, corrections or retractions of one
            another, and different for all others.
    """

    duplicates: pa.Table
    repeats: _Flags
    retracted: _Flags
    families: Rows


def article_duplicates(articles: pa.Table) -> ArticleGroups:
    """Find articles that are the same work, directly or through one another.

    They are when they share a pmcid (versions), a DOI or a PMID; when one is said to be the other's preprint; or when
    one is a preprint of which nothing is said, and title, first author and year are the same (the year of the preprint
    or the one after). The kind of a repeat is the least sure evidence that it takes to get from it to the kept one.

    Of each group one is kept: the latest version of its pmcid, not retracted, no preprint, with the most metadata, with
    the smallest pmcid, in this order. An article is retracted when it says so itself, when a notice says so, or when
    another version of it is.

    Args:
        articles: article_id, pmcid, version, doi, pmid; is_retracted; is_preprint; n_metadata, the number of its
            metadata columns that hold something; work, as of :func:`~biomedica_ray.dedupe.works.work_key`, and year;
            relations, as of :func:`~biomedica_ray.dedupe.works.relations`; in any order.
    """
    n = articles.num_rows
    articles = in_order(articles.append_column("given", pa.array(np.arange(n))))
    back = np.argsort(articles["given"].to_numpy())
    related = _related(articles)
    notices = _joined(related["retracted-by"], _turned(related["retracts"]))
    same = [(np.arange(n), first_equal(codes(articles[name]))) for name in ("pmcid", "doi", "pmid")]
    retracted, told_by = _retracted(articles, notices, same[0][1])
    evidence = accumulate([*same, _preprints(articles, related)], _joined)
    levels = [connected(n, links) for links in evidence]

    order = _preferred(articles, retracted)
    kept = order[first_equal(levels[-1][order])[np.argsort(order)]]
    repeats = np.flatnonzero(kept != np.arange(n))
    kinds = np.select([level[repeats] == level[kept[repeats]] for level in levels], ARTICLE_REPEATS, "")
    corrections, corrected = _joined(related["corrects"], _turned(related["corrected-by"]))
    corrected = kept[corrected]
    others = levels[-1][corrections] != levels[-1][corrected]
    told = np.flatnonzero(told_by >= 0)

    ids = articles["article_id"]
    found = [
        duplicate_rows("article", kinds.tolist(), (ids, repeats), (ids, kept[repeats])),
        duplicate_rows("article", "retracted", (ids, told), (ids, told_by[told])),
        duplicate_rows("article", "correction", (ids, corrections[others]), (ids, corrected[others])),
    ]
    duplicates = pa.concat_tables(found).group_by(found[0].column_names).aggregate([])
    families = connected(n, _joined(_joined((np.arange(n), levels[-1]), notices), (corrections, corrected)))
    sorted_by = [(name, "ascending") for name in ("id", "kind", "of")]
    duplicates = duplicates.cast(found[0].schema).sort_by(sorted_by)
    return ArticleGroups(duplicates, (kept != np.arange(n))[back], retracted[back], families[back])


def in_order(articles: pa.Table) -> pa.Table:
    """The articles by pmcid, as numbers where they are PMC's (PMC9 before PMC10), then by version."""
    keyed = articles.append_column("length", pc.utf8_length(articles["pmcid"]))
    return keyed.sort_by([(name, "ascending") for name in ("length", "pmcid", "version")]).drop_columns(["length"])


def _preferred(articles: pa.Table, retracted: _Flags) -> Rows:
    """The rows in the order in which they are kept."""
    pmcids, versions = codes(articles["pmcid"]), articles["version"].to_numpy()
    latest = np.zeros(pmcids.max(initial=-1) + 1, versions.dtype)
    np.maximum.at(latest, pmcids, versions)
    preprint, metadata = articles["is_preprint"].to_numpy(), articles["n_metadata"].to_numpy()
    return np.lexsort((-metadata, preprint, retracted, versions < latest[pmcids]))


def _related(articles: pa.Table) -> dict[str, _Links]:
    """Relation -> rows of articles that have it, and rows of all articles that they name."""
    relations = articles["relations"].combine_chunks()
    each = pa.table(
        {
            "a": pc.list_parent_indices(relations).cast(pa.int64()),
            **{name: relations.flatten().field(name) for name in ("relation", "id_type", "id")},
        }
    )
    named = [
        each.filter(pc.field("id_type") == name).join(
            pa.table({"id": articles[name], "b": pa.array(np.arange(articles.num_rows))}), "id", join_type="inner"
        )
        for name in ("doi", "pmid", "pmcid")
    ]
    found = pa.concat_tables(named).filter(pc.field("a") != pc.field("b"))
    return {
        kind: (links["a"].to_numpy(), links["b"].to_numpy())
        for kind in set(RELATIONS.values())
        for links in [found.filter(pc.field("relation") == kind)]
    }


def _retracted(articles: pa.Table, notices: _Links, same_pmcid: Rows) -> tuple[_Flags, Rows]:
    """Which articles are retracted, and the row of the one that says so, -1 where none does but the article itself."""
    n = articles.num_rows
    told_by = np.full(n, n)
    np.minimum.at(told_by, notices[0], notices[1])
    told_by[told_by == n] = -1
    retracted: _Flags = articles["is_retracted"].to_numpy() | (told_by >= 0)
    version = np.full(n, -1)
    version[same_pmcid[retracted]] = np.flatnonzero(retracted)  # of several the latest
    told_by = np.where(retracted, told_by, version[same_pmcid])
    return retracted | (told_by >= 0), told_by


def _preprints(articles: pa.Table, related: dict[str, _Links]) -> _Links:
    """Preprints and what they are preprints of: as articles say, else by title, first author and year."""
    preprint = articles["is_preprint"].to_numpy()
    a, b = related["update"]
    either = preprint[a] | preprint[b]
    said = _joined(related["preprint"], (a[either], b[either]))
    unlinked = preprint.copy()
    unlinked[np.concatenate(said)] = False

    known = articles["work"].is_valid().to_numpy() & articles["year"].is_valid().to_numpy()
    # Added to a hash, the year makes another one of it.
    works = articles["work"].fill_null(0).to_numpy() + articles["year"].fill_null(0).to_numpy().astype(np.uint64)
    candidates = np.flatnonzero(unlinked & known)
    keys, first, inverse = np.unique(
        np.concatenate([works[candidates], works[candidates] + np.uint64(1)]), return_index=True, return_inverse=True
    )
    candidates = np.tile(candidates, 2)
    rows = np.flatnonzero(known & np.isin(works, keys))
    by_title = rows, candidates[first[np.searchsorted(keys, works[rows])]]
    return _joined(said, _joined(by_title, (candidates, candidates[first[inverse]])))


def _joined(a: _Links, b: _Links) -> _Links:
    return np.concatenate([a[0], b[0]]), np.concatenate([a[1], b[1]])


def _turned(links: _Links) -> _Links:
    return links[1], links[0]
