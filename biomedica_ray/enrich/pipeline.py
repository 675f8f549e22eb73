"""Enrichment: the PubMed record of each article, unit by unit, at a rate that the whole cluster keeps together."""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from pydantic import SecretStr

from biomedica_ray import schema
from biomedica_ray.cluster import StageFailedError, on_a_worker, run_units
from biomedica_ray.config import ConfigError
from biomedica_ray.enrich.client import IDS_PER_CALL, Eutils, EutilsError
from biomedica_ray.enrich.config import EnrichConfig
from biomedica_ray.enrich.rate import ClusterLimiter
from biomedica_ray.enrich.record import PubmedRecord
from biomedica_ray.runs import Run
from biomedica_ray.store import Store
from biomedica_ray.units import Counts, Flow, fingerprint

log = logging.getLogger(__name__)

VERSION = 1
"""Raise it when the same records would give other rows."""

API_KEY_VARIABLE = "NCBI_API_KEY"
"""The environment variable that holds the API key, as for NCBI's own EDirect."""

RATE, RATE_WITH_KEY = 3.0, 10.0
"""Calls per second that NCBI allows (https://www.ncbi.nlm.nih.gov/books/NBK25497/)."""

_CALL_S = 3.0
"""A call for 200 records may take this long, so this many workers for each call per second keep up the rate."""
_WORKER_CPUS = 0.25
"""Workers spend most of their time waiting."""
_WORKER_GB = 0.5
_PMID = re.compile(r"[1-9]\d{0,7}")
"""NLM: one to eight digits without leading zeros. Nothing else is sent, as it may spoil the whole call."""

Row = dict[str, Any]


def run(config: EnrichConfig, record: Run) -> None:
    """Fetch the records of all articles that have a pmid; commits pubmed and errors unit by unit.

    Raises:
        ConfigError: The service refuses the API key.
        StageFailedError: The service cannot be reached.
        StoreError: Nothing has been extracted yet.
        UnitsFailedError: Units failed; all others are done.
    """
    extracted = record.store.extracted()
    key = os.environ.get(API_KEY_VARIABLE)
    service = Eutils(config.eutils_url, config.email, SecretStr(key) if key else None)
    rate = config.rate or (RATE_WITH_KEY if key else RATE)
    units = {u: fingerprint(VERSION, config.edition, commit.written) for u, commit in extracted.items()}
    done = {u for u, c in record.committed("enrich").items() if c.complete and units.get(u) == c.fingerprint}
    if units.keys() - done:
        log.info("enrich: %s API key, %g calls per second", "with an" if key else "without", rate)
        on_a_worker(partial(_check, service, rate), num_cpus=_WORKER_CPUS, memory_gb=_WORKER_GB)
    workers = math.ceil(rate * _CALL_S)
    run_units(
        record,
        "enrich",
        units,
        partial(EnrichWorker, record.store, record.run_id, service, rate),
        num_cpus=_WORKER_CPUS,
        memory_gb=_WORKER_GB,
        max_actors=min(config.max_actors or workers, workers),
        inputs={"extract": extracted},
        repeatable=False,
    )


def _check(service: Eutils, rate: float) -> None:
    """Fetch PubMed's first record from where the workers are, so that a wrong URL or key fails before they start."""
    try:
        replace(service, attempts=3).fetch(["1"], ClusterLimiter(rate))
    except EutilsError as error:
        if error.kind == "refused":
            raise ConfigError(f"{API_KEY_VARIABLE}: {error}") from None
        raise StageFailedError(f"eutils_url: {error}") from None


class EnrichWorker:
    """Fetches the records of units."""

    def __init__(self, store: Store, run_id: str, service: Eutils, rate: float) -> None:
        self._store, self._run_id, self._service = store, run_id, service
        self._limiter = ClusterLimiter(rate)

    def __call__(self, unit: int, mark: str) -> Counts:
        """Commit a row for each article of a unit that PubMed knows, and an error for each other one with a pmid."""
        extracted = self._store.commit("extract", unit)
        articles = self._store.read(extracted, "articles", ["article_id", "pmid"]).to_pylist()
        asked = [row for row in articles if row["pmid"]]
        without = sum(not row["pmid"] for row in articles)
        records, failures = self._fetch([row["pmid"] for row in asked])
        rows, unknown = [], []
        for article in asked:
            pmid = article["pmid"]
            if pmid in records:
                rows.append({**article, **asdict(records[pmid])})
            else:
                unknown.append(_error(article, failures.get(pmid)))
        with self._store.write_unit("enrich", unit, mark, self._run_id) as writer:
            pubmed = writer.table("pubmed", schema.PUBMED)
            pubmed.write(rows)
            errors = writer.table("errors", schema.ERRORS, directory="errors/enrich")
            errors.write(unknown)
            counts = {
                "articles": Flow(extracted.counts["articles"].rows_out - without, pubmed.rows, errors.rows),
                "articles without pmid": Flow(without, without),
            }
            return writer.commit(counts, complete=not failures).counts

    def _fetch(self, pmids: Sequence[str]) -> tuple[dict[str, PubmedRecord], dict[str, EutilsError]]:
        """Records by pmid, and why others could not be asked for."""
        wanted = [pmid for pmid in dict.fromkeys(pmids) if _PMID.fullmatch(pmid)]
        records: dict[str, PubmedRecord] = {}
        failures: dict[str, EutilsError] = {}
        for start in range(0, len(wanted), IDS_PER_CALL):
            batch = wanted[start : start + IDS_PER_CALL]
            try:
                records |= self._service.fetch(batch, self._limiter)
            except EutilsError as error:
                if error.kind == "refused":
                    raise
                failures |= dict.fromkeys(batch, error)
        return records, failures


def _error(article: Row, failure: EutilsError | None) -> Row:
    pmid = article["pmid"]
    if failure:
        kind, message = failure.kind, str(failure)
    elif _PMID.fullmatch(pmid):
        kind, message = "unknown-pmid", f"PubMed has no record of {pmid}"
    else:
        kind, message = "bad-pmid", f"expected one to eight digits, got {pmid}"
    return schema.error_row(
        "enrich",
        article["article_id"],
        kind,
        message,
        entity="article",
        where=f"https://pubmed.ncbi.nlm.nih.gov/{pmid}/",
        attempts=failure.attempts if failure else 1,
    )
