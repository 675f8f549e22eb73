"""A dataset root on a local disk or in object storage: tables cut into units, atomic commits, JSON documents."""

from biomedica_ray.store.commits import Commit
from biomedica_ray.store.filesystem import StoreError, check_answers, open_filesystem
from biomedica_ray.store.store import Store
from biomedica_ray.store.writing import TableWriter, UnitWriter

__all__ = ["Commit", "Store", "StoreError", "TableWriter", "UnitWriter", "check_answers", "open_filesystem"]
