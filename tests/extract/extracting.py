"""Small packages made by hand, and extraction in this process, without Ray."""

from __future__ import annotations

import hashlib
import io
import tarfile
from functools import cache
from pathlib import Path
from typing import Any

from biomedica_ray.cluster import missing_units
from biomedica_ray.extract.config import ExtractConfig
from biomedica_ray.extract.listing import make_filters, make_selection, make_source, retry_listing, write_listing
from biomedica_ray.extract.pipeline import ExtractWorker, rules_of
from biomedica_ray.extract.reasons import count_reasons
from biomedica_ray.runs import Run
from biomedica_ray.store import Store
from tests.synthetic import encoded, picture


def jats(license_code: str = "CC BY", figures: int = 2) -> bytes:
    """An article of so many figures, ``f1``, ``f2``...; ``license_code`` is one of CC BY to CC BY-NC-ND."""
    terms = license_code.removeprefix("CC ").lower()
    figs = "".join(
        f'<fig id="f{n}"><label>Figure {n}</label><caption><p>Cells of kind {n}.</p></caption>'
        f'<graphic xlink:href="f{n}"/></fig>'
        for n in range(1, figures + 1)
    )
    return (
        '<article xmlns:xlink="http://www.w3.org/1999/xlink"><front><article-meta>'
        f"<title-group><article-title>A study</article-title></title-group><permissions>"
        f'<license xlink:href="https://creativecommons.org/licenses/{terms}/4.0/"><license-p>Open.</license-p></license>'
        f"</permissions></article-meta></front><body><sec><title>Results</title><p>Text.</p>{figs}</sec></body></article>"
    ).encode()


@cache
def jpeg(seed: str) -> bytes:
    """A picture of its own for each text."""
    return encoded(picture(int(hashlib.sha256(seed.encode()).hexdigest()[:8], 16)), "JPEG")


def members(name: str, license_code: str = "CC BY", figures: int = 2) -> dict[str, bytes]:
    """File name -> content of a package."""
    images = {f"f{n}.jpg": jpeg(f"{name}/{n}") for n in range(1, figures + 1)}
    return {f"{name}.nxml": jats(license_code, figures), **images}


def write_folder(root: Path, name: str, license_code: str = "CC BY", figures: int = 2) -> None:
    """A package as a folder."""
    (root / name).mkdir(parents=True)
    for file, data in members(name, license_code, figures).items():
        (root / name / file).write_bytes(data)


def write_archive(path: Path, license_code: str = "CC BY", figures: int = 2) -> None:
    """A package as PMC's legacy archive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    name = path.name.removesuffix(".tar.gz")
    with tarfile.open(path, "w:gz") as tar:
        for file, data in members(name, license_code, figures).items():
            info = tarfile.TarInfo(f"{name}/{file}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def extract_here(store: Store | Path, **keys: Any) -> Run:
    """What the stage does, unit by unit in this process; the default source is ``pmc``."""
    root = store.root if isinstance(store, Store) else str(store)
    config = ExtractConfig(store=root, **{"memory_gb": 1, **keys})
    source, filters = make_source(config), make_filters(config)
    with Run("extract", config) as run:
        if config.retry_errors:
            listing = retry_listing(run.store, rules_of(filters))
        else:
            listing = write_listing(config, make_selection(config), rules_of(filters), run.store, run.run_id)
        worker = ExtractWorker(source, filters, run.store, run.run_id, config.fetches, again=config.again)
        for unit in missing_units(run, "extract", listing.units)[0]:
            run.add(worker(unit, listing.units[unit]))
        run.results.update(left_out=listing.left_out, reasons=_reasons(run.store) if run.counts else {})
    return run


def _reasons(store: Store) -> dict[str, dict[str, int]]:
    return count_reasons(store, store.extracted().values())


def table(store: Store | Path, name: str, without: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """The rows of a table that extract writes, sorted."""
    store = store if isinstance(store, Store) else Store(str(store))
    dataset = store.dataset("extract", name)
    columns = [column for column in dataset.schema.names if column not in {"unit", *without}]
    return sorted(dataset.to_table(columns=columns).to_pylist(), key=str)


def ids(store: Store | Path) -> set[str]:
    """The article versions that the store has rows of."""
    return {row["article_id"] for row in table(store, "articles")}
