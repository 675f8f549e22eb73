"""Extraction: from a source's listing to catalog, articles, figures and errors, unit by unit."""

from __future__ import annotations

import logging
import posixpath
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import pyarrow.compute as pc
import ray

from biomedica_ray import schema
from biomedica_ray.cluster import run_units
from biomedica_ray.config import ConfigError, ExtractConfig
from biomedica_ray.images import ImageError, read_image
from biomedica_ray.images.resolve import resolve
from biomedica_ray.jats import Article, Figure, JatsError, parse_article
from biomedica_ray.jats.licenses import CODES, OTHER, license_group, stricter
from biomedica_ray.runs import Run
from biomedica_ray.sample import PACKAGES
from biomedica_ray.sources.base import (
    Listed,
    Package,
    Source,
    SourceError,
    latest_versions,
    split_by_unit,
    take_articles,
)
from biomedica_ray.sources.packages import PackagesSource
from biomedica_ray.sources.pmc_cloud import PmcSource
from biomedica_ray.store import Store, UnitWriter
from biomedica_ray.units import Counts, Flow, fingerprint, unit_count

log = logging.getLogger(__name__)

VERSION = 2
"""Raise it when the same input would give other rows, so that stores are extracted anew."""

FETCHES = 4
"""Articles that a worker fetches at a time, so that it does not wait for the network; also what it holds in memory."""

Row = dict[str, Any]


def run(config: ExtractConfig, run: Run) -> None:
    """List the source, cut the listing into units, and extract the units that are new or have changed.

    Raises:
        ConfigError: The source cannot be listed.
        UnitsFailedError: Units failed; all others are done.
    """
    source = make_source(config)
    list_source = ray.remote(_list_source).options(num_cpus=1, memory=int(config.memory_gb * 2**30), max_retries=3)
    units = ray.get(list_source.remote(source, config, run.store, run.run_id))
    run_units(
        run,
        "extract",
        units,
        partial(ExtractWorker, source, run.store, run.run_id),
        memory_gb=config.memory_gb,
        max_actors=config.max_actors,
    )


def make_source(config: ExtractConfig) -> Source:
    """The source that the config names."""
    if config.source == "pmc":
        return PmcSource(config.bucket, config.source_endpoint_url, config.source_anonymous)
    root = str(PACKAGES) if config.source == "sample" else str(config.packages)
    return PackagesSource(root, config.source_endpoint_url, config.source_anonymous)


def _list_source(source: Source, config: ExtractConfig, store: Store, run_id: str) -> dict[int, str]:
    """Write the listing, a file a unit, where it has changed; returns unit -> fingerprint of what to extract."""
    try:
        listing = source.list()
    except SourceError as error:
        raise ConfigError(f"source: {error}") from error
    if config.versions == "latest":
        listing = latest_versions(listing)
    if config.limit is not None:
        listing = take_articles(listing, config.limit)
    n_articles = pc.count_distinct(listing["pmcid"]).as_py()
    units = split_by_unit(listing, store.open_or_create(config.units or unit_count(n_articles)))
    commits = store.commits("listing")
    for unit in commits.keys() - units.keys():
        store.drop(commits[unit])
    fingerprints = {}
    for unit, rows in units.items():
        mark = fingerprint(VERSION, rows.drop_columns(["last_modified"]).to_pylist())
        fingerprints[unit] = mark
        if unit in commits and commits[unit].fingerprint == mark:
            continue
        with store.write_unit("listing", unit, mark, run_id) as writer:
            writer.table("listing", schema.LISTING).write(rows)
            writer.commit({})
    return fingerprints


class ExtractWorker:
    """Extracts units; lives on an actor."""

    def __init__(self, source: Source, store: Store, run_id: str) -> None:
        self._source, self._store, self._run_id = source, store, run_id

    def __call__(self, unit: int, mark: str) -> Counts:
        """Extract one unit and commit it, row group by row group; returns its counts of articles and figures."""
        listed = Listed.from_table(self._store.read(self._store.commit("listing", unit), "listing"))
        articles, figures, complete = Flow(), Flow(), True
        with self._store.write_unit("extract", unit, mark, self._run_id) as writer:
            tables = _open_tables(writer)
            for extracted in _in_order(partial(extract_article, self._source), listed):
                for name, rows in extracted.tables().items():
                    tables[name].write(rows)
                articles += extracted.article_flow
                figures += extracted.figure_flow
                complete = complete and not extracted.passing
            counts = {"articles": articles, "figures": figures}
            writer.commit(counts, complete=complete)
        return counts


def _open_tables(writer: UnitWriter) -> dict[str, Any]:
    return {
        "catalog": writer.table("catalog", schema.CATALOG),
        "articles": writer.table("articles", schema.ARTICLES),
        "figures": writer.table("figures", schema.FIGURES),
        "errors": writer.table("errors", schema.ERRORS, directory="errors/extract"),
    }


def _in_order(function: Callable[[Listed], Extracted], items: Sequence[Listed]) -> Iterator[Extracted]:
    """``map(function, items)`` with a few calls running ahead in threads."""
    with ThreadPoolExecutor(FETCHES) as pool:
        running: deque[Future[Extracted]] = deque()
        for item in items:
            running.append(pool.submit(function, item))
            if len(running) >= FETCHES:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


@dataclass(slots=True)
class Extracted:
    """What one article version gave."""

    catalog: list[Row] = field(default_factory=list)
    articles: list[Row] = field(default_factory=list)
    figures: list[Row] = field(default_factory=list)
    errors: list[Row] = field(default_factory=list)
    n_figures: int = 0
    """Images that its XML names."""
    passing: bool = False
    """Whether an error may be gone when it is tried again later."""

    def tables(self) -> dict[str, list[Row]]:
        """The rows by table."""
        return {"catalog": self.catalog, "articles": self.articles, "figures": self.figures, "errors": self.errors}

    @property
    def article_flow(self) -> Flow:
        """One article in; one out, or one error."""
        return Flow(1, len(self.articles), sum(row["entity"] == "article" for row in self.errors))

    @property
    def figure_flow(self) -> Flow:
        """Images that the XML names; those that were read, and the errors."""
        return Flow(self.n_figures, len(self.figures), sum(row["entity"] == "figure" for row in self.errors))

    def add_error(self, what: str, where: str, entity: str, error: Exception) -> None:
        """Add a row to errors."""
        if isinstance(error, SourceError | ImageError):
            kind, message = error.kind, str(error)
        elif isinstance(error, JatsError):
            kind, message = "bad-xml", str(error)
        else:
            kind, message = "unexpected", repr(error)
        self.errors.append(
            {
                "what": what,
                "where": where,
                "stage": "extract",
                "entity": entity,
                "kind": kind,
                "message": message,
                "attempts": error.attempts if isinstance(error, SourceError) else 1,
            }
        )
        self.passing = self.passing or (isinstance(error, SourceError) and error.passing)


def extract_article(source: Source, listed: Listed) -> Extracted:
    """Fetch and parse one article version and read its images; whatever is wrong with it ends as errors, not raised."""
    result = Extracted()
    try:
        with source.open(listed) as package:
            result.catalog.append(_catalog_row(listed, package))
            article = _read_article(package)
            result.n_figures = len(article.figures)
            for figure in article.figures:
                _add_figure(result, listed, package, figure)
            result.articles.append(_article_row(listed, package, article))
    except Exception as error:
        if not isinstance(error, SourceError | JatsError):
            log.exception("%s", listed.article_id)
        result = Extracted(catalog=result.catalog or [_catalog_row(listed, None)])
        result.add_error(listed.article_id, listed.source_uri, "article", error)
    return result


def _read_article(package: Package) -> Article:
    if package.is_open_access is False:
        raise SourceError("not-open-access", "not in the Open Access Subset, as its metadata says")
    if package.xml is None:
        raise SourceError("missing-xml", f"no JATS XML among {_names(file.name for file in package.files)}")
    return parse_article(package.read(package.xml))


def _add_figure(result: Extracted, listed: Listed, package: Package, figure: Figure) -> None:
    """Resolve, read and check one image; adds a figures row or an errors row."""
    figure_id = f"{listed.article_id}_{figure.position:03d}"
    try:
        names = [file.name for file in package.files]
        sought = [figure.href, *figure.alternatives]
        name = resolve(sought, names)
        if name is None:
            raise SourceError("missing-image", f"sought {', '.join(sought)}; there were {_names(names)}")
        data = package.read(name)
        info = read_image(data)
    except (SourceError, ImageError) as error:
        result.add_error(figure_id, f"{listed.source_uri}#{figure.href}", "figure", error)
        return
    result.figures.append(
        {
            **_columns(figure, schema.FIGURES.names),
            **_columns(info, schema.FIGURES.names),
            "figure_id": figure_id,
            "article_id": listed.article_id,
            "file_name": name,
            "image": data,
        }
    )


def _catalog_row(listed: Listed, package: Package | None) -> Row:
    return {
        **asdict(listed),
        "license_code": package.license_code if package else None,
        "is_retracted": package.is_retracted if package else None,
        "is_open_access": package.is_open_access if package else None,
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


def _columns(value: Article | Figure | Any, names: Iterable[str]) -> Row:
    """The fields of a dataclass that are columns, nested ones as plain dicts."""
    wanted = set(names)
    return {name: item for name, item in asdict(value).items() if name in wanted}


def _names(names: Iterable[str], most: int = 20) -> str:
    """File names for a message."""
    found = sorted(posixpath.basename(name) for name in names)
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return (", ".join(found[:most]) or "no files") + more
