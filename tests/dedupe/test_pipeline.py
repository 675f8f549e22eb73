from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from biomedica_ray import cli, schema
from biomedica_ray.annotate.kmeans import ClusterModel
from biomedica_ray.config import ConfigError
from biomedica_ray.dedupe.config import DedupeConfig
from biomedica_ray.dedupe.pipeline import run as dedupe
from biomedica_ray.runs import Run
from biomedica_ray.store import Store, StoreError
from biomedica_ray.store.known import write_record
from biomedica_ray.units import Flow, unit_of
from tests.synthetic import N_UNITS, Row, article, encoded, figure, lose_a_row, picture, write_extracted

pytestmark = pytest.mark.cluster


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def run(store: Store, **keys: Any) -> Run:
    config = DedupeConfig(store=store.root, memory_gb=0.5, max_actors=2, **keys)
    with Run("dedupe", config) as stage_run:
        dedupe(config, stage_run)
    return stage_run


def rows(store: Store) -> tuple[list[Row], list[Row]]:
    original = picture(1, (400, 300))
    articles = [article("PMC1"), article("PMC2", 1), article("PMC2", 2), article("PMC3", doi="10.1/pmc1")]
    figures = [
        figure("PMC1.1", 1, encoded(original)),
        figure("PMC1.1", 2, encoded(picture(2))),
        figure("PMC2.1", 1, encoded(original)),
        figure("PMC2.2", 1, encoded(original.resize((200, 150)), "JPEG")),
        figure("PMC2.2", 2, encoded(picture(2), "TIFF")),
        figure("PMC2.2", 3, encoded(picture(3))),
        figure("PMC3.1", 1, encoded(original)),
    ]
    return articles, figures


def found(store: Store, table: str) -> list[Row]:
    return sorted(store.dataset("dedupe", table).to_table().to_pylist(), key=lambda row: list(map(str, row.values())))


def duplicates(store: Store) -> list[tuple[str, str, str]]:
    return [(row["id"], row["of"], row["kind"]) for row in found(store, "duplicates")]


def varied(n: int = 6) -> tuple[list[Row], list[Row]]:
    """Articles with a picture of their own each and a logo in all; a preprint, a retracted one and its notice."""
    title = "Deep learning of mouse kidneys from histology"
    authors = [{"name": "Jane Doe", "orcid": None, "affiliations": []}]
    articles = [article(f"PMC{number}") for number in range(1, n + 1)]
    articles[0].update(title=title, authors=authors, license_group="noncommercial")
    articles[1].update(title=title.upper(), authors=authors, article_type="preprint")
    articles[3]["related"] = [{"kind": "retracted-article", "id": "PMC3", "id_type": "pmcid"}]
    figures = [figure(f"PMC{number}.1", 1, encoded(picture(number, (200, 150)))) for number in range(1, n + 1)]
    figures += [figure(f"PMC{number}.1", 2, encoded(picture(0))) for number in range(1, n + 1)]
    figures[1].update(image=figures[0]["image"], **{name: figures[0][name] for name in ("sha256", "pixel_sha256")})
    big = encoded(picture(5, (400, 300)))
    figures += [figure("PMC3.1", 3, big), figure("PMC6.1", 3, encoded(picture(5, (100, 75))))]
    return articles, figures


def test_duplicates_are_found_across_units(ray_cluster: None, store: Store) -> None:
    write_extracted(store, *rows(store))
    first = run(store)
    assert duplicates(store) == [
        ("PMC2.1", "PMC2.2", "version"),
        ("PMC2.1_001", "PMC1.1_001", "exact"),
        ("PMC2.2_001", "PMC1.1_001", "near"),
        ("PMC2.2_002", "PMC1.1_002", "same-pixels"),
        ("PMC3.1", "PMC1.1", "same-doi"),
        ("PMC3.1_001", "PMC1.1_001", "exact"),
    ]
    assert first.counts == {"articles": Flow(4, 4, 0), "figures": Flow(7, 7, 0)}
    for unit, commit in store.commits("dedupe").items():
        table = store.read(commit, "duplicates")
        assert table.schema.equals(schema.DUPLICATES)
        assert {unit_of(id_.partition(".")[0], N_UNITS) for id_ in table["id"].to_pylist()} <= {unit}

    before = {unit: commit.run_id for unit, commit in store.commits("dedupe").items()}
    second = run(store)
    assert {unit: commit.run_id for unit, commit in store.commits("dedupe").items()} == before
    assert second.counts == first.counts

    run(store, min_correlation=1)
    assert ("PMC2.2_001", "PMC1.1_001", "near") not in duplicates(store)


def test_of_a_unit_in_which_the_same_is_found_only_the_counts_are_written(ray_cluster: None, store: Store) -> None:
    """An article leaves its unit that repeats no other and is repeated by none."""
    articles, figures = rows(store)
    alone = next(f"PMC{n}" for n in range(100, 999) if unit_of(f"PMC{n}", N_UNITS) == unit_of("PMC1", N_UNITS))
    articles.append(article(alone, title="Something else"))
    figures.append(figure(f"{alone}.1", 1, encoded(picture(77))))
    write_extracted(store, articles, figures)
    first, before = run(store), store.commits("dedupe")
    left = store.commit("extract", unit_of("PMC1", N_UNITS))
    fewer = {kind: Flow(flow.rows_out - 1, flow.rows_out - 1) for kind, flow in left.counts.items()}
    write_record(store, replace(left, fingerprint="bb", written_as="aa", dropped=[f"{alone}.1"], counts=fewer))
    second, after = run(store), store.commits("dedupe")
    assert {kind: flow.rows_in for kind, flow in second.counts.items()} == {
        kind: flow.rows_in - 1 for kind, flow in first.counts.items()
    }
    assert [unit for unit in after if after[unit] != before[unit]] == [left.unit]
    assert after[left.unit].counts == fewer
    assert after[left.unit].files == before[left.unit].files
    assert after[left.unit].written == before[left.unit].written
    again = run(store, again=True)
    assert again.counts == second.counts
    assert store.commit("dedupe", left.unit).files != before[left.unit].files


def test_figures_that_cannot_be_compared_are_errors(ray_cluster: None, store: Store) -> None:
    good = encoded(picture(1))
    other = figure("PMC1.1", 2, good, sha256="0" * 64, pixel_sha256="0" * 64)
    figures = [
        figure("PMC1.1", 1, good),
        {**other, "image": good[:60]},
        figure("PMC1.1", 3, encoded(picture(3)), sha256="?"),
    ]
    write_extracted(store, [article("PMC1")], figures, format_1=True)
    assert run(store).counts["figures"] == Flow(3, 1, 2)
    errors = store.dataset("dedupe", "errors").to_table().to_pylist()
    assert [(row["what"], row["stage"], row["kind"]) for row in errors] == [
        ("PMC1.1_003", "dedupe", "bad-hash"),
        ("PMC1.1_002", "dedupe", "truncated-image"),
    ]
    assert duplicates(store) == []

    # With thumbnails nothing is decoded, so what does not decode now was looked at by extract.
    write_extracted(store, [article("PMC1")], figures, mark="bb")
    assert run(store).counts["figures"] == Flow(3, 2, 1)
    assert duplicates(store) == [("PMC1.1_002", "PMC1.1_001", "near")]


def test_every_kind_and_the_same_by_a_shuffle(ray_cluster: None, store: Store, tmp_path: Path) -> None:
    write_extracted(store, *varied())
    elsewhere = tmp_path / "set"
    elsewhere.mkdir()
    (elsewhere / "near.png").write_bytes(encoded(picture(4, (400, 300))))
    crop = picture(6, (400, 300)).crop((20, 15, 380, 285)).transpose(Image.Transpose.ROTATE_90)
    (elsewhere / "crop.png").write_bytes(encoded(crop))
    (elsewhere / "broken.png").write_bytes(encoded(picture(4))[:60])
    keys = {"against": [str(elsewhere)], "boilerplate_articles": 3}
    first = run(store, **keys)
    logos = [f"PMC{number}.1_002" for number in range(1, 7)]
    assert duplicates(store) == sorted(
        [
            ("PMC2.1", "PMC1.1", "preprint"),
            ("PMC3.1", "PMC4.1", "retracted"),
            ("PMC2.1_001", "PMC1.1_001", "exact"),
            ("PMC3.1_003", "PMC5.1_001", "near"),
            ("PMC6.1_003", "PMC5.1_001", "near"),
            ("PMC4.1_001", f"{elsewhere}/near.png", "against"),
            ("PMC6.1_001", f"{elsewhere}/crop.png", "against"),
            # Kept is the first in the freest licence group, in an article that is neither a repeat nor retracted.
            *((logo, "PMC4.1_002", "boilerplate") for logo in logos),
            *((logo, "PMC4.1_002", "exact") for logo in logos if logo != "PMC4.1_002"),
        ]
    )
    # Not those of boilerplate; not PMC3's, as it has been retracted; not PMC1's own, as PMC2's repeats it.
    assert found(store, "captions") == [
        {"figure_id": "PMC1.1_001", "caption": "Caption 1 of PMC2.1.", "source": "PMC2.1_001"},
        {"figure_id": "PMC5.1_001", "caption": "Caption 3 of PMC6.1.", "source": "PMC6.1_003"},
    ]
    (error,) = found(store, "errors")
    assert (error["what"], error["kind"]) == (f"{elsewhere}/broken.png", "truncated-image")
    assert first.counts == {
        "articles": Flow(6, 6, 0),
        "figures": Flow(14, 14, 0),
        "pictures elsewhere": Flow(3, 2, 1),
    }
    how = {row["of"]: (row["how"], row["distance"]) for row in found(store, "duplicates") if row["kind"] == "against"}
    assert how[f"{elsewhere}/near.png"][0] == "near"
    assert how[f"{elsewhere}/crop.png"] == ("crop, rotated by 90", pytest.approx(0, abs=0.02))
    assert {row["how"] for row in found(store, "duplicates") if row["kind"] != "against"} == {None}
    tables = {name: found(store, name) for name in ("duplicates", "captions", "errors")}
    for commit in store.commits("dedupe").values():
        store.drop(commit)
    assert run(store, shuffle_from=0, num_cpus=2, **keys).counts == first.counts, "all CPUs are its own until it waits"
    assert {name: found(store, name) for name in tables} == tables


def test_a_new_snapshot_gives_what_a_full_run_does(ray_cluster: None, store: Store, tmp_path: Path) -> None:
    articles, figures = varied()
    write_extracted(
        store, articles[1:4], [row for row in figures if row["article_id"] in {"PMC2.1", "PMC3.1", "PMC4.1"}]
    )
    run(store, boilerplate_articles=2)
    early = found(store, "duplicates")
    write_extracted(store, articles, figures, mark="bb")
    run(store, boilerplate_articles=2)
    clean = Store(str(tmp_path / "clean"))
    write_extracted(clean, articles[::-1], figures[::-1])
    run(clean, boilerplate_articles=2)
    for table in ("duplicates", "captions"):
        assert found(store, table) == found(clean, table)
    assert early != found(store, "duplicates")
    assert len(found(store, "captions")) == 2


def test_a_figure_of_a_stricter_licence_or_a_thumbnail_gives_way(ray_cluster: None, store: Store) -> None:
    one, other = encoded(picture(1)), encoded(picture(2))
    figures = [
        figure("PMC1.1", 1, one, license_code="CC BY-NC"),
        figure("PMC2.1", 1, one),
        figure("PMC3.1", 1, other, is_thumbnail=True),
        figure("PMC4.1", 1, other, license_code="CC BY-NC"),
    ]
    write_extracted(store, [article(f"PMC{n}") for n in range(1, 5)], figures)
    run(store)
    assert duplicates(store) == [("PMC1.1_001", "PMC2.1_001", "exact"), ("PMC3.1_001", "PMC4.1_001", "exact")]


def test_only_units_in_which_something_else_is_found_are_written(ray_cluster: None, store: Store) -> None:
    articles = [article(f"PMC{number}") for number in range(12)]
    figures = [figure(f"PMC{number}.1", 1, encoded(picture(number % 11))) for number in range(12)]
    write_extracted(store, articles, figures)
    first = run(store)
    figures[5] = figure("PMC5.1", 1, encoded(picture(6)))
    write_extracted(store, articles, figures, mark="bb")
    second = run(store)
    wanted = [("PMC11.1_001", "PMC0.1_001", "exact"), ("PMC6.1_001", "PMC5.1_001", "exact")]
    assert duplicates(store) == wanted
    written = {unit for unit, commit in store.commits("dedupe").items() if commit.run_id == second.run_id}
    assert written == {unit_of("PMC6", N_UNITS), unit_of("PMC5", N_UNITS)}, "where it repeats, and whose it repeats"
    assert len(written) < N_UNITS
    assert first.counts == second.counts
    run(store)
    assert {commit.run_id for commit in store.commits("dedupe").values()} == {first.run_id, second.run_id}


def test_figures_that_mean_the_same(ray_cluster: None, store: Store) -> None:
    """a, b and c have nearly the same embedding, c in another cluster; what repeats b follows it to a."""
    articles = [article(f"PMC{number}") for number in range(1, 6)]
    figures = [figure(f"PMC{number}.1", 1, encoded(picture(number))) for number in range(1, 5)]
    figures.append(figure("PMC5.1", 1, figures[1]["image"]))
    write_extracted(store, articles, figures)
    keys = {"semantic_model": "timm/x", "min_cosine": 0.9}
    with pytest.raises(ConfigError, match=r"^semantic_model: timm/x: needs its embeddings and clusters"):
        run(store, **keys)

    vectors = dict(
        zip(
            [row["figure_id"] for row in figures],
            np.array([[1, 0.1], [1, 0.05], [1, -0.05], [0.6, 0.8], [1, 0]], np.float16),
            strict=True,
        )
    )
    for unit, commit in store.commits("extract").items():
        ids = store.read(commit, "figures", ["figure_id"])["figure_id"].to_pylist()
        rows = [{"figure_id": id_, "model": "timm/x", "vector": vectors[id_]} for id_ in ids]
        with store.write_unit("embed/timm-x", unit, "aa") as writer:
            writer.table("embeddings", schema.embeddings(2), directory="embeddings/timm-x").write(rows)
            writer.commit({"figures": Flow(len(rows), len(rows), 0)})
    zeros, axes = np.zeros(2, np.float32), np.eye(2, dtype=np.float32)
    centres = np.array([[1, 0.5], [1, -0.5]], np.float32)
    model = ClusterModel(zeros, axes, centres, zeros, np.zeros(3, np.int64), np.empty(0, np.float32))
    with store.atomic_file("clusters/timm-x/aa.npz") as path:
        model.save(path)
    store.write_json("clusters/timm-x.json", {"fingerprint": "aa", "file": "clusters/timm-x/aa.npz"})

    run(store, **keys)
    assert duplicates(store) == [("PMC2.1_001", "PMC1.1_001", "semantic"), ("PMC5.1_001", "PMC1.1_001", "semantic")]
    assert [row["distance"] for row in found(store, "duplicates")] == pytest.approx([0.00124] * 2, abs=1e-4)
    run(store)
    assert duplicates(store) == [("PMC5.1_001", "PMC2.1_001", "exact")]


def test_a_run_that_was_killed_half_way_is_resumed(ray_cluster: None, store: Store) -> None:
    """Half of the units lack their commit, as after a kill, and some of them have tables; no row is there twice."""
    n = 12
    store.open_or_create(n)
    for unit in range(n):
        with store.write_unit("extract", unit, "aa") as writer:
            writer.table("articles", schema.ARTICLES).write([article(f"PMC{unit}")])
            its_figures = [figure(f"PMC{unit}.1", 1, encoded(picture(unit % 6)))]
            writer.table("figures", schema.FIGURES).write(its_figures)
            writer.table("images", schema.IMAGES).write(its_figures)
            writer.commit({"articles": Flow(1, 1), "figures": Flow(1, 1)})
    whole = run(store)
    wanted, commits = duplicates(store), store.commits("dedupe")
    assert wanted == sorted((f"PMC{unit}.1_001", f"PMC{unit % 6}.1_001", "exact") for unit in range(6, n))
    for unit in range(0, n, 2):
        store.delete(f"commits/dedupe/{unit:06d}.json")
    for unit in range(0, n, 4):
        store.drop(commits[unit])
    resumed = run(store)
    assert resumed.counts == whole.counts == {"articles": Flow(n, n), "figures": Flow(n, n)}
    assert resumed.before == {"articles": Flow(n // 2, n // 2), "figures": Flow(n // 2, n // 2)}
    after = store.commits("dedupe")
    assert {unit for unit in after if after[unit] == commits[unit]} == set(range(1, n, 2))
    assert duplicates(store) == wanted
    assert len(store.list("duplicates")) == n


def test_nothing_to_look_in(ray_cluster: None, store: Store, tmp_path: Path) -> None:
    write_extracted(store, [article("PMC1")], [])
    with pytest.raises(ConfigError, match=f"^against: {tmp_path}/absent: expected a folder"):
        run(store, against=f"{tmp_path}/absent")
    with pytest.raises(ConfigError, match="is the store itself; expected another set"):
        run(store, against=store.root)


def test_nothing_extracted(ray_cluster: None, store: Store) -> None:
    with pytest.raises(StoreError, match="nothing extracted yet"):
        run(store)


def test_a_figure_that_is_not_read_fails_the_run(
    ray_cluster: None, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    write_extracted(store, *rows(store))
    unit = unit_of("PMC2", N_UNITS)
    n = lose_a_row(store, "extract", unit, "figures")
    assert cli.main(["dedupe", "--store", store.root, "--memory_gb", "0.5"]) == 1
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith("biomedica dedupe: 1 of ")
    assert line.endswith(f"dedupe, unit {unit}: rows lost: figures: {n} in but {n - 1} out + 0 errors")
    assert unit not in store.commits("dedupe")
