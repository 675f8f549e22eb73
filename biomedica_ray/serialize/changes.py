"""What became of the shards of a dataset since it was written before, and why."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

FILE = "CHANGES.md"
"""Its name below dataset/."""

COLUMNS = ["path", "key", "figure_id", "panel_number", "license_group", "article_accession_id"]
"""Of metadata.parquet, what is compared."""
_NAMES = pa.dictionary(pa.int32(), pa.string())
COLUMNS_OF_NOW = pa.schema(
    [("path", _NAMES), ("key", pa.string()), ("license_group", _NAMES), ("article_accession_id", pa.string())]
)
"""What samples are compared with; as few bytes as may be, since all of them are in memory."""

LATER_VERSION, NOT_THERE = "another version of its article", "no longer in the store or the selection"
_AT_A_TIME = 2_000_000
"""Samples of now that those of before are sought among at a time: a hash table of them takes some 100 bytes each."""
_TITLE = "# Changes\n\nOf the whole dataset, newest first.\n"
_LINES = 100
"""Shards that are named of each kind."""


@dataclass(frozen=True)
class Rewritten:
    """A shard that is no more.

    Attributes:
        path: The shard's.
        gone: Why samples are no longer in its licence group and split -> how many.
        into: Shards that its other samples are in; none where it has been removed as a whole.
    """

    path: str
    gone: Counter[str]
    into: tuple[str, ...]


@dataclass(frozen=True)
class Changes:
    """What became of the shards.

    Attributes:
        added: Path -> samples, of shards that hold no samples of before.
        rewritten: Shards of which samples are in others now.
        removed: Shards of which none are.
        new: Samples that were not there before.
        of_new_articles: Those of them whose article had none before.
    """

    added: Mapping[str, int] = field(default_factory=dict)
    rewritten: Sequence[Rewritten] = ()
    removed: Sequence[Rewritten] = ()
    new: int = 0
    of_new_articles: int = 0

    @property
    def gone(self) -> Counter[str]:
        """Why samples are no longer where they were -> how many."""
        return sum((shard.gone for shard in (*self.rewritten, *self.removed)), Counter[str]())


def compare(
    before: Iterable[pa.Table],
    new: pa.Table,
    paths: Collection[str],
    left_out: Callable[[pa.ChunkedArray], pa.Table],
) -> Changes:
    """Compare shards that are no more with those that were not there before; others are the same in both.

    Beside a piece of ``before`` and what :data:`_AT_A_TIME` samples take to be found, memory is 2 bytes for each of
    ``new``, and some 50 for each that is in none of the shards of now.

    Args:
        before: All samples of before, in pieces, columns :data:`COLUMNS`.
        new: Samples of the shards that were not there before, columns :data:`COLUMNS_OF_NOW`.
        paths: Of the shards of now.
        left_out: Given ids of figures and panels, which of them are not written now (``what``), and why (``kind``).
    """
    articles = pc.unique(new["article_accession_id"])
    is_known, has_samples = np.zeros(len(new), np.bool_), np.zeros(len(articles), np.bool_)
    moved, gone = [_MOVED.empty_table()], [_GONE.empty_table()]
    for piece in before:
        has_samples |= _in(articles, piece["article_accession_id"])
        left = piece.filter(pc.invert(pc.is_in(piece["path"], value_set=pa.array(paths, pa.string()))))
        for start in range(0, len(new), _AT_A_TIME):
            part = new.slice(start, _AT_A_TIME)
            place = pc.index_in(left["key"], value_set=part["key"].combine_chunks())
            stays = pc.is_valid(place)
            place = place.filter(stays)
            is_known[start + place.to_numpy()] = True
            moved.append(_moved(left.filter(stays), part.select(["path", "license_group"]).take(place)))
            left = left.filter(pc.invert(stays))
        gone.append(_gone(left))
    reasons, into = _reasons(pa.concat_tables(gone), articles, left_out), defaultdict(set)
    for row in pa.concat_tables(moved).to_pylist():
        why = reasons[row["path"]]
        if row["is_same"]:
            into[row["path"]].add(row["into"])
        else:
            why[f"licence group {row['group']} now"] += row["n"]
    shards = [Rewritten(path, reasons[path], tuple(sorted(into[path]))) for path in sorted(reasons)]
    successors = {path for shard in shards for path in shard.into}
    sizes = {each["values"]: each["counts"] for each in pc.value_counts(new["path"].cast(pa.string())).to_pylist()}
    fresh = new["article_accession_id"].filter(pa.array(~is_known))
    return Changes(
        {path: sizes[path] for path in sorted(sizes) if path not in successors},
        [shard for shard in shards if shard.into],
        [shard for shard in shards if not shard.into],
        len(fresh),
        int(_in(fresh, articles.filter(pa.array(~has_samples))).sum()),
    )


_MOVED = pa.schema(
    [("path", pa.string()), ("into", pa.string()), ("group", pa.string()), ("is_same", pa.bool_()), ("n", pa.int64())]
)
_GONE = pa.schema([("path", _NAMES), ("id", pa.string()), ("article", pa.string())])


def _in(values: pa.Array, among: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.is_in(values, value_set=among))


def _moved(old: pa.Table, now: pa.Table) -> pa.Table:
    """From which shard to which how many samples went."""
    path, group = (now[name].cast(pa.string()) for name in ("path", "license_group"))
    same = pc.equal(old["license_group"], group)
    pairs = pa.table([old["path"], path, group, same], names=_MOVED.names[:-1])
    counted = pairs.group_by(pairs.column_names).aggregate([([], "count_all")])
    return counted.rename_columns(_MOVED.names).cast(_MOVED)


def _gone(old: pa.Table) -> pa.Table:
    """Samples that are in no shard of now: which, of which article, and where they were."""
    panels = pc.binary_join_element_wise(old["figure_id"], pc.cast(old["panel_number"], pa.string()), "/")
    ids = pc.coalesce(panels, old["figure_id"])
    return pa.table([old["path"].cast(_NAMES), ids, old["article_accession_id"]], _GONE)


def _reasons(
    gone: pa.Table, articles: pa.Array, left_out: Callable[[pa.ChunkedArray], pa.Table]
) -> defaultdict[str, Counter[str]]:
    """Shard -> why samples of it are in none of now -> how many."""
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    if not gone.num_rows:
        return found
    known = left_out(gone["id"])
    kind = known["kind"].take(pc.index_in(gone["id"], value_set=known["what"].combine_chunks()))
    other = pc.if_else(pc.is_in(gone["article"], value_set=articles), LATER_VERSION, NOT_THERE)
    why = pa.table({"path": gone["path"].cast(pa.string()), "why": pc.coalesce(kind, other)})
    for row in why.group_by(["path", "why"]).aggregate([([], "count_all")]).to_pylist():
        found[row["path"]][row["why"]] = row["count_all"]
    return found


def section(changes: Changes | None, samples: int, dates: Mapping[str, str | None], previous: str | None) -> str:
    """An entry of the file, in Markdown.

    Args:
        changes: What became of the shards; None where all of them are new.
        samples: Samples of the dataset now.
        dates: ``run``, and ``listing`` where the source dates its listings, ISO 8601.
        previous: SHA-256 of the dataset.json of before, hex; None of the first.
    """
    listed = f"; articles as listed on {dates['listing']}" if dates.get("listing") else ""
    lines = [f"## {dates['run']}\n", f"{samples:,} samples{listed}. {_before(previous)}\n"]
    if changes is None:
        lines.append("- all shards are new" if previous else "- first edition")
        return "\n".join(lines) + "\n"
    lines.append(
        f"- {changes.new:,} samples are new, {changes.of_new_articles:,} of them of new articles; "
        f"{changes.gone.total():,} are no longer where they were{_why(changes.gone)}"
    )
    lines += _listed("added", [f"`{path}`: {n:,} samples" for path, n in changes.added.items()])
    lines += _listed(
        "rewritten",
        [
            f"`{shard.path}`, now in {', '.join(f'`{path}`' for path in shard.into)}: "
            + (
                f"{shard.gone.total():,} samples gone{_why(shard.gone)}"
                if shard.gone
                else "samples are written otherwise"
            )
            for shard in changes.rewritten
        ],
    )
    lines += _listed(
        "removed", [f"`{shard.path}`: {shard.gone.total():,} samples{_why(shard.gone)}" for shard in changes.removed]
    )
    return "\n".join(lines) + "\n"


def _before(previous: str | None) -> str:
    return f"Before: the dataset.json with the SHA-256 `{previous}`." if previous else "There was none before."


def _why(gone: Counter[str]) -> str:
    said = ", ".join(f"{why} {n:,}" for why, n in sorted(gone.items(), key=lambda each: (-each[1], each[0])))
    return f" ({said})" if said else ""


def _listed(what: str, shards: Sequence[str]) -> list[str]:
    if not shards:
        return []
    more = [f"  - and {len(shards) - _LINES:,} more"] if len(shards) > _LINES else []
    return [f"- {len(shards):,} shards {what}:", *(f"  - {shard}" for shard in shards[:_LINES]), *more]


def with_section(text: str, new: str, previous: str | None) -> str:
    """The file with a new entry at its beginning; one after the same dataset, of a run that was cut short, goes."""
    entries = [f"## {entry.strip()}\n" for entry in text.split("\n## ")[1:]]
    if entries and _before(previous) in entries[0]:
        del entries[0]
    return "\n".join([_TITLE, new, *entries])
