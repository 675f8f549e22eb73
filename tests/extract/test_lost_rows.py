"""A row that gets lost on the way fails the unit, whether it has just been extracted or is copied from before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from biomedica_ray.store import Store, TableWriter
from biomedica_ray.units import Flow, LostRowsError
from tests.extract.extracting import extract_here, table, write_folder


@pytest.mark.parametrize("lossy", ["articles", "figures", "errors"])
def test_a_row_that_is_not_written(tmp_path: Path, lossy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store, disk = Store(str(tmp_path / "store")), tmp_path / "disk"
    keys = {"source": "packages", "packages": str(disk), "units": 1}
    write = TableWriter.write

    def without_first(self: TableWriter, rows: Any) -> None:
        write(self, rows[1:] if lossy in self.path else rows)

    def fails() -> None:
        with (
            monkeypatch.context() as patch,
            pytest.raises(LostRowsError, match=r"^extract, unit 0: rows lost: "),
        ):
            patch.setattr(TableWriter, "write", without_first)
            extract_here(store, **keys)

    write_folder(disk, "PMC1", figures=3)
    (disk / "PMC1" / "f2.jpg").unlink()
    fails()
    assert store.commits("extract") == {}
    whole = {"articles": Flow(1, 1), "figures": Flow(3, 2, 1)}
    assert extract_here(store, **keys).counts == whole
    rows = table(store, "figures")

    (disk / "PMC2").mkdir()  # now the rows of PMC1 are copied
    (disk / "PMC2" / "PMC2.nxml").write_bytes(b"no XML")
    fails()
    assert store.commit("extract", 0).counts == whole
    assert extract_here(store, **keys).counts == {"articles": Flow(2, 1, 1), "figures": Flow(3, 2, 1)}
    assert table(store, "figures") == rows
