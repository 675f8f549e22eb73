"""What became of the shards of a dataset since it was written before, and why."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

FILE = "CHANGES.md"
"""Its name below dataset/."""

COLUMNS = ["path", "key", "figure_id", "panel_number", "license_group", "article_accession_id"]
"""Of metadata.parquet, what is compared."""

LATER_VERSION, NOT_THERE = "another version of its article", "no longer in the store or the selection"
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


def gone_figures(old: pa.Table, new: pa.Table) -> pa.Table:
    """The rows of samples that are in none of the shards of now; as of :func:`compare`."""
    return old.filter(pc.invert(pc.is_in(old["key"], value_set=new["key"].combine_chunks())))


def compare(old: pa.Table, new: pa.Table, articles: Collection[str], left_out: Mapping[str, str]) -> Changes:
    """Compare shards that are no more with those that were not there before; others are the same in both.

    Args:
        old: Samples of the shards that are no more, columns :data:`COLUMNS`.
        new: Samples of the shards that were not there before.
        articles: Accession ids of all articles that had samples before.
        left_out: Key -> why the figure or the panel is not written now, of those that are not.
    """
    now = {key: (path, group) for key, path, group in _columns(new, "key", "path", "license_group")}
    there = set(new["article_accession_id"].to_pylist())
    gone: dict[str, Counter[str]] = defaultdict(Counter)
    into: dict[str, set[str]] = defaultdict(set)
    for path, key, group, article in _columns(old, "path", "key", "license_group", "article_accession_id"):
        gone[path]
        if key in now and now[key][1] == group:
            into[path].add(now[key][0])
        elif key in now:
            gone[path][f"licence group {now[key][1]} now"] += 1
        else:
            gone[path][left_out.get(key) or (LATER_VERSION if article in there else NOT_THERE)] += 1
    keys = set(old["key"].to_pylist())
    fresh = [article for key, article in _columns(new, "key", "article_accession_id") if key not in keys]
    shards = [Rewritten(path, gone[path], tuple(sorted(into[path]))) for path in sorted(gone)]
    successors = {path for shard in shards for path in shard.into}
    sizes = Counter(new["path"].to_pylist())
    return Changes(
        {path: sizes[path] for path in sorted(sizes) if path not in successors},
        [shard for shard in shards if shard.into],
        [shard for shard in shards if not shard.into],
        len(fresh),
        sum(article not in articles for article in fresh),
    )


def _columns(table: pa.Table, *names: str) -> zip[tuple[str, ...]]:
    return zip(*(table[name].to_pylist() for name in names), strict=True)


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
