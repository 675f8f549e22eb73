"""Extraction: from a source's listing to catalog, articles, figures and errors, unit by unit."""

from __future__ import annotations

import logging
import posixpath
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from functools import partial
from typing import Any

from biomedica_ray import schema, usage
from biomedica_ray.ahead import ordered_map
from biomedica_ray.cluster import StageFailedError, on_a_worker, run_units_on_actors
from biomedica_ray.config import ConfigError
from biomedica_ray.extract.config import ExtractConfig
from biomedica_ray.extract.dropping import drop_articles, may_drop
from biomedica_ray.extract.earlier import TABLES, Earlier
from biomedica_ray.extract.listing import (
    Listing,
    make_filters,
    make_selection,
    make_source,
    retry_listing,
    write_listing,
)
from biomedica_ray.extract.reasons import ReasonCounter, count_reasons
from biomedica_ray.images import ImageError, ImageInfo, read_image
from biomedica_ray.images.resolve import is_thumbnail, resolve
from biomedica_ray.jats import Article, Figure, JatsError, parse_article
from biomedica_ray.jats.licenses import CODES, OTHER, license_group, stricter
from biomedica_ray.runs import Run
from biomedica_ray.sources.base import Listed, Package, Source, SourceError
from biomedica_ray.sources.filters import Filters
from biomedica_ray.store import Commit, Store, TableWriter, UnitWriter
from biomedica_ray.tracing import span
from biomedica_ray.units import Counts, Flow, fingerprint

log = logging.getLogger(__name__)

VERSION = 8
"""Raise it when the same input gives other rows, so that stores are extracted again."""

VERSION_DIGITS, RULES_DIGITS = 8, 16
"""The first digits of a unit's fingerprint stand for the version, and these many for version and filters."""

WAITING_BYTES = 2**27
"""Bytes of images that a unit holds in memory of articles that wait for those before them to be written."""

IMAGE_GROUP_BYTES = 2**20
"""Images of an article end a row group where it has this many bytes: a shard is of one licence group and split, and so
reads the images of its own articles and few others."""

UNITS_AT_A_TIME = 2
"""While one unit waits for its last articles, or for its first, the other one uses the processor."""

Row = dict[str, Any]


def run(config: ExtractConfig, record: Run) -> None:
    """List the source, cut the listing into units, and extract what is new or has changed in them.

    Raises:
        ConfigError: The source does not exist or is of another kind, the file of pmcids cannot be read, or articles
            that the store holds would be dropped.
        StageFailedError: The source does not answer.
        UnitsFailedError: Units failed; all others are done.
    """
    source, selection, filters = make_source(config), make_selection(config), make_filters(config)
    rules = rules_of(filters)
    if config.retry_errors:
        listing = retry_listing(record.store, rules)
    else:
        work = partial(write_listing, config, selection, rules, record.store, record.run_id)
        try:
            held = sum(commit.counts["articles"].rows_in for commit in record.store.commits("extract").values())
            listing = on_a_worker(work, memory_gb=config.listing_gb(held))
        except SourceError as error:
            raise (StageFailedError if error.retryable else ConfigError)(f"source: {error}") from error
        _tell_listing(listing, record)
    extracted = run_units_on_actors(
        record,
        "extract",
        listing.units,
        partial(ExtractWorker, source, filters, record.store, record.run_id, config.fetches, again=config.again),
        memory_gb=config.memory_gb,
        max_actors=min(
            config.max_actors or len(listing.units),
            config.max_fetches // config.fetches if config.max_fetches else len(listing.units),
        ),
        at_a_time=UNITS_AT_A_TIME,
        inputs={"listing": listing.commits},
    )
    if not record.counts:
        return
    reasons = on_a_worker(partial(count_reasons, record.store, list(extracted.values())), memory_gb=config.memory_gb)
    record.results["reasons"] = reasons
    for what, kinds in reasons.items():
        log.info("extract: %s: %s", what, ", ".join(f"{kind} {count:,}" for kind, count in kinds.items()))


def rules_of(filters: Filters) -> str:
    """The first :data:`RULES_DIGITS` digits of a unit's fingerprint: how its articles are extracted."""
    return fingerprint(VERSION)[:VERSION_DIGITS] + fingerprint(asdict(filters))[: RULES_DIGITS - VERSION_DIGITS]


def _tell_listing(listing: Listing, record: Run) -> None:
    record.results["listing"] = {
        "date": listing.date,
        "listed": listing.listed,
        "left_out": listing.left_out,
        "unknown": len(listing.unknown),
    }
    left_out = "".join(f", {reason} {count:,}" for reason, count in listing.left_out.items())
    log.info("extract: %d article versions listed%s", listing.listed, left_out)
    if listing.unknown:
        log.warning("extract: the source does not have %s", _names(listing.unknown))


class ExtractWorker:
    """Extracts units, several at a time in threads; lives on an actor.

    Args:
        source: Where the articles are.
        filters: What is left out.
        store: Where the rows go.
        run_id: The run.
        fetches: Articles that are fetched at the same time, so that the processor does not wait for the network.
        again: Fetch articles that have not changed as well.
    """

    def __init__(
        self, source: Source, filters: Filters, store: Store, run_id: str, fetches: int, *, again: bool = False
    ) -> None:
        self._extract = partial(extract_article, source, filters, threading.Lock())
        self._again = again
        self._store, self._run_id, self._fetches, self._filters = store, run_id, fetches, filters
        self._pool = ThreadPoolExecutor(fetches)

    def __call__(self, unit: int, mark: str) -> Counts:
        """Extract one unit and commit it, row group by row group; returns its counts of articles and figures.

        Articles that an earlier run of the same version extracted, and that have not changed, are copied; where nothing
        else is to be done than to leave out a few, not even that.
        """
        listing = self._store.read(self._store.commit("listing", unit), "listing")
        listed = Listed.from_table(listing)
        before = self._commit_before(unit, mark)
        same = before is None or before.fingerprint[:RULES_DIGITS] == mark[:RULES_DIGITS]
        earlier = Earlier(self._store, None if self._again else before, listed, None if same else self._filters)
        # Other rows under the same fingerprint get other names, as a kill between two files could mix old and new rows.
        again = f"-{self._run_id[-6:]}" if before and before.fingerprint == mark else ""
        todo = [one for one in listed if one.article_id not in earlier.kept]
        gone = earlier.had - earlier.kept
        if before and same and not self._again and not todo and may_drop(before, earlier.had, gone):
            after = drop_articles(self._store, before, gone, n_listed=listing.num_rows, mark=mark, run_id=self._run_id)
            return after.counts
        articles, figures, complete, reasons = Flow(), Flow(), True, ReasonCounter()
        with self._store.write_unit("extract", unit, mark, self._run_id) as writer:
            tables = {name: _open_table(writer, name, f"{unit:06d}-{mark}{again}") for name in TABLES}
            extracted = ordered_map(
                self._pool, self._extract, todo, self._fetches, size=Extracted.image_bytes, most=WAITING_BYTES
            )
            for one in listed:
                rows: Mapping[str, Any]
                if one.article_id in earlier.kept:
                    rows = earlier.take(one.article_id)
                    article_flow, figure_flow = earlier.flows(one.article_id, rows)
                else:
                    result = next(extracted)
                    rows, article_flow, figure_flow = result.tables(), result.article_flow, result.figure_flow
                    complete = complete and not result.retryable
                for name, table in tables.items():
                    table.write(rows[name])
                    reasons.add(name, rows[name])
                tables["images"].end_row_group(IMAGE_GROUP_BYTES)
                articles += article_flow
                figures += figure_flow
            articles = replace(articles, rows_in=listing.num_rows, rows_out=tables["articles"].rows)
            figures = replace(figures, rows_out=min(tables["figures"].rows, tables["images"].rows))
            counts = {"articles": articles, "figures": figures}
            return writer.commit(counts, complete=complete, reasons=reasons.counted()).counts

    def _commit_before(self, unit: int, mark: str) -> Commit | None:
        """What an earlier run has extracted in the version of ``mark``."""
        try:
            commit = self._store.commit("extract", unit)
        except FileNotFoundError:
            return None
        return commit if commit.fingerprint[:VERSION_DIGITS] == mark[:VERSION_DIGITS] else None


def _open_table(writer: UnitWriter, name: str, file: str) -> TableWriter:
    folder = "errors/extract" if name == "errors" else name
    return writer.table(name, schema.TABLES[name], path=f"{folder}/{file}.parquet")


@dataclass(slots=True)
class Extracted:
    """What was extracted of one article version."""

    catalog: list[Row] = field(default_factory=list)
    articles: list[Row] = field(default_factory=list)
    figures: list[Row] = field(default_factory=list)
    """With their images."""
    errors: list[Row] = field(default_factory=list)
    n_figures: int = 0
    """Images that its XML names."""
    skipped: bool = False
    """Whether the filters leave it out."""

    @property
    def retryable(self) -> bool:
        """Whether a later try may succeed where this one failed."""
        return any(row["retryable"] for row in self.errors)

    def image_bytes(self) -> int:
        """Bytes of its images."""
        return sum(len(row["image"]) for row in self.figures)

    def tables(self) -> dict[str, list[Row]]:
        """The rows by table."""
        figures = self.figures  # each table takes the columns that it has
        return {
            "catalog": self.catalog,
            "articles": self.articles,
            "figures": figures,
            "images": figures,
            "errors": self.errors,
        }

    @property
    def article_flow(self) -> Flow:
        """One article in; one out, or one error, or one skipped."""
        errors = sum(row["entity"] == "article" for row in self.errors)
        return Flow(1, len(self.articles), errors, int(self.skipped))

    @property
    def figure_flow(self) -> Flow:
        """Images that the XML names; those that were read, and the errors."""
        return Flow(self.n_figures, len(self.figures), sum(row["entity"] == "figure" for row in self.errors))

    def add_error(
        self, listed: Listed, error: Exception, figure_id: str | None = None, file: str | None = None
    ) -> None:
        """Add a row to errors, for the article or one of its figures."""
        if isinstance(error, SourceError | ImageError):
            kind, message = error.kind, str(error)
        elif isinstance(error, JatsError):
            kind, message = "bad-xml", str(error)
        else:
            kind, message = "unexpected", repr(error)
        row = schema.error_row(
            "extract",
            figure_id or listed.article_id,
            kind,
            message,
            entity="figure" if figure_id else "article",
            where=f"{listed.source_uri}#{file}" if file else listed.source_uri,
            attempts=error.attempts if isinstance(error, SourceError) else 1,
        )
        retryable = isinstance(error, SourceError) and error.retryable
        self.errors.append({**row, "article_id": listed.article_id, "file": file, "retryable": retryable})


def extract_article(source: Source, filters: Filters, cpu: AbstractContextManager[Any], listed: Listed) -> Extracted:
    """Fetch and parse one article version and read its images; whatever goes wrong becomes errors and is not raised.

    Args:
        source: Where it is.
        filters: What is left out; no more is fetched than is needed to decide.
        cpu: Held while XML is parsed or an image decoded, so that of several calls in threads one computes, and needs
            memory for it, while the others fetch.
        listed: The article version.
    """
    result = Extracted(catalog=[_catalog_row(listed, None)])
    try:
        if reason := filters.reason(listed.license_code, listed.is_retracted, listed.is_open_access):
            return _skipped(result, reason)
        with source.open(listed) as package:
            result.catalog = [_catalog_row(listed, package)]
            if reason := filters.reason(package.license_code, package.is_retracted, package.is_open_access):
                return _skipped(result, reason)
            article = _read_article(package, cpu)
            row = _article_row(listed, package, article)
            if reason := filters.reason(row["license_code"], row["is_retracted"]):
                return _skipped(result, reason)
            result.n_figures = len(article.figures)
            for figure in article.figures:
                _add_figure(result, listed, package, figure, cpu)
            result.articles.append(row)
    except Exception as error:
        file = result.catalog[0]["xml"]
        if not isinstance(error, SourceError | JatsError):
            file = None
            log.exception("%s", listed.article_id)
        result = Extracted(catalog=result.catalog)
        result.add_error(listed, error, file=file)
    return result


def _skipped(result: Extracted, reason: str) -> Extracted:
    return Extracted(catalog=[{**result.catalog[0], "skipped": reason}], skipped=True)


def _read_article(package: Package, cpu: AbstractContextManager[Any]) -> Article:
    if package.xml is None:
        raise SourceError("missing-xml", f"no JATS XML among {_names(file.name for file in package.files)}")
    xml = _fetch(package, package.xml)
    with cpu, span("parse"):
        return parse_article(xml)


def _fetch(package: Package, name: str) -> bytes:
    with span("fetch", name):
        data = package.read(name)
    usage.count("bytes", "fetched", len(data))
    return data


def _add_figure(
    result: Extracted, listed: Listed, package: Package, figure: Figure, cpu: AbstractContextManager[Any]
) -> None:
    """Resolve, read and check one image; adds a figures row or an errors row."""
    figure_id = f"{listed.article_id}_{figure.position:03d}"
    name = None
    try:
        names = [file.name for file in package.files]
        sought = [figure.href, *figure.alternatives]
        name = resolve(sought, names)
        if name is None:
            raise SourceError("missing-image", f"sought {', '.join(sought)}; there were {_names(names)}")
        name, data, info = _largest(package, name, sought, names, cpu)
    except (SourceError, ImageError) as error:
        result.add_error(listed, error, figure_id, name or figure.href)
        return
    result.figures.append(
        {
            **_columns(figure, schema.FIGURES.names),
            **_columns(info, schema.FIGURES.names),
            "figure_id": figure_id,
            "article_id": listed.article_id,
            "file_name": name,
            "is_thumbnail": is_thumbnail(name, sought, figure.thumbnails, (info.width, info.height)),
            "image": data,
        }
    )


def _largest(
    package: Package, best: str, sought: Iterable[str], names: list[str], cpu: AbstractContextManager[Any]
) -> tuple[str, bytes, ImageInfo]:
    """Of the files that are the same image the one with most pixels, with its bytes and what they say of it.

    Raises:
        SourceError: The best one cannot be read, or for the time being another one.
        ImageError: The best one is no image; others that are none do not count.
    """
    found: tuple[str, bytes, ImageInfo] | None = None
    for name in dict.fromkeys([best, *filter(None, (resolve([one], names) for one in sought))]):
        try:
            data = _fetch(package, name)
            with cpu, span("decode", name):
                info = read_image(data)
        except (ImageError, SourceError) as error:
            if found is None or (isinstance(error, SourceError) and error.retryable):
                raise
            continue
        if found is None or info.width * info.height > found[2].width * found[2].height:
            found = name, data, info
    assert found is not None
    return found


def _catalog_row(listed: Listed, package: Package | None) -> Row:
    described = package or listed
    return {
        **asdict(listed),
        "license_code": described.license_code,
        "is_retracted": described.is_retracted,
        "is_open_access": described.is_open_access,
        "skipped": None,
        "xml": package.xml if package else None,
        "files": [asdict(file) for file in package.files] if package else [],
    }


def _article_row(listed: Listed, package: Package, article: Article) -> Row:
    code = _license_code(article.license_code, package.license_code)
    return {
        **_columns(article, schema.ARTICLES.names),
        "article_id": listed.article_id,
        "pmcid": listed.pmcid,
        "version": listed.version,
        "license_code": code,
        "license_group": license_group(code),
        "is_retracted": article.is_retracted or bool(package.is_retracted),
    }


def _license_code(from_xml: str, from_source: str | None) -> str:
    """The stricter of the two where both name a licence, else the one that does; codes we do not know are ``other``."""
    if from_source not in CODES or from_source == OTHER:
        return from_xml
    return from_source if from_xml == OTHER else stricter(from_xml, from_source)


def _columns(value: Article | Figure | ImageInfo, names: Iterable[str]) -> Row:
    """The fields of a dataclass that are columns, nested ones as plain dicts."""
    wanted = set(names)
    return {field.name: _plain(getattr(value, field.name)) for field in fields(value) if field.name in wanted}


def _plain(value: Any) -> Any:
    """What ``dataclasses.asdict`` makes of a field, without copying its texts."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return {field.name: _plain(getattr(value, field.name)) for field in fields(value)} if is_dataclass(value) else value


def _names(names: Iterable[str], most: int = 20) -> str:
    """File names for a message."""
    found = sorted(posixpath.basename(name) for name in names)
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return (", ".join(found[:most]) or "no files") + more
