from __future__ import annotations

import re
from pathlib import Path

import lxml.html
import pytest

from biomedica_ray.report.gallery import FURTHEST, GROUP_MEMBERS, GROUPS, NEAREST
from biomedica_ray.report.pipeline import make_page
from biomedica_ray.store import Store
from biomedica_ray.units import Flow
from tests.report.stores import BROKEN, HOSTILE, commit_tables, extracted_store, record_run, whole_store
from tests.synthetic import N_UNITS


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> lxml.html.HtmlElement:
    return parse(whole_store(tmp_path_factory.mktemp("store")))


def parse(store: Store) -> lxml.html.HtmlElement:
    return lxml.html.document_fromstring(make_page(store, "clip", "A title"))


def text(element: lxml.html.HtmlElement) -> str:
    return " ".join(" ".join(element.itertext()).split())


def table_after(page: lxml.html.HtmlElement, section: str) -> list[list[str]]:
    table = page.xpath(f"//h2[@id='{section}']/following::table[1]")[0]
    return [[text(cell) for cell in row.xpath("./td")] for row in table.xpath("./tbody/tr")]


def bars(page: lxml.html.HtmlElement, title: str) -> dict[str, str]:
    panel = page.xpath(f"//div[@class='panel'][h3[contains(., '{title}')]]")[0]
    names = [each.get("title") for each in panel.xpath(".//span[@class='name']")]
    return dict(zip(names, map(text, panel.xpath(".//span[@class='count']")), strict=True))


def tiles(page: lxml.html.HtmlElement) -> dict[str, tuple[str, str]]:
    found = page.xpath("//div[@class='tile']")
    return {text(tile[0]): (text(tile[1]), text(tile[2])) for tile in found}


def test_tiles(page: lxml.html.HtmlElement) -> None:
    assert tiles(page) == {
        "articles": ("3", "of 4"),
        "figures": ("5", "of 7"),
        "errors": ("3", "extract 3"),
        "duplicates": ("3 figures", "and 1 article"),
        "clusters": ("2", "of 5 figures"),
        "samples": ("5", "in 1 shard, 12.3 kB"),
        "training loss": ("4 → 0.5", "8 steps"),
        "zero-shot accuracy": ("62.5 %", "chance 12.5 %"),
        "image to text recall@1": ("25.0 %", "chance 2.0 %"),
    }


def test_rows_of_each_stage(page: lxml.html.HtmlElement) -> None:
    rows = [row[:5] for row in table_after(page, "rows")]
    assert rows == [
        ["extract", "articles", "4", "3", "1"],
        ["", "figures", "7", "5", "2"],
        ["enrich", "not done yet: biomedica enrich"],
        ["panels", "not done yet: biomedica panels"],
        ["dedupe", "figures", "5", "5", "0"],
        ["annotate", "figures", "5", "5", "0"],
        ["label", "labels", "5", "5", "0"],
        ["classify", "not done yet: biomedica classify"],
        ["propose", "not done yet: biomedica propose"],
        ["select", "not done yet: biomedica select"],
        ["serialize", "figures", "5", "5", "0"],
        ["train", "samples", "160", "160", "0"],
        ["evaluate", "samples", "50", "50", "0"],
    ]


def test_reasons_with_examples(page: lxml.html.HtmlElement) -> None:
    rows = table_after(page, "reasons")
    assert [row[:3] for row in rows] == [["extract", "missing-image figure", "2"], ["", "bad-xml article", "1"]]
    assert HOSTILE in rows[0][3]
    assert "PMC3.1_002 sought b.jpg; there were no files" in rows[0][3]


def test_distributions_equal_the_tables(page: lxml.html.HtmlElement) -> None:
    assert bars(page, "Licence") == {"CC BY": "2", "CC BY-NC": "1"}
    assert bars(page, "Journal") == {"J Tests": "2", "unknown": "1"}
    assert bars(page, "Kind") == {"figure": "4", "table": "1"}
    assert bars(page, "File format") == {"PNG": "4", "JPEG": "1"}
    assert bars(page, "Longest side") == {
        "0–249": "3",
        "250–499": "0",
        "500–999": "0",
        "1,000–1,999": "1",
        "2,000–3,999": "0",
        "4,000 or more": "1",
    }
    assert bars(page, "Global concept") == {"Maps": "4"}
    years = [column.get("title") for column in page.xpath("//div[@class='column']")]
    assert years == ["2018: 1", "2019: 0", "2020: 0", "2021: 1", "unknown: 1"]


def test_duplicate_groups_show_the_kept_one_first(page: lxml.html.HtmlElement) -> None:
    groups = [[text(each) for each in group] for group in page.xpath("//div[@class='group']")]
    assert groups == [
        ["kept PMC1.1_001", "not-an-image exact, distance 0 PMC2.1_001", "near, distance 3 PMC3.1_001"],
        ["boilerplate PMC1.1_002", "no longer among the figures near, distance 1 PMC3.1_009"],
    ]


def test_clusters_show_size_labels_and_members_by_nearness(page: lxml.html.HtmlElement) -> None:
    first, second = page.xpath("//section[@class='sheet']")
    assert text(first[0]) == "Cluster 0 4 figures Maps single"
    assert text(second[0]) == "Cluster 1 1 figure not labelled single"
    members = [(each.get("title"), text(each[1])) for each in first.xpath(".//figure")]
    assert members == [("PMC1.1_001", "1.00"), ("PMC1.1_002", "0.90"), (BROKEN, "0.80"), ("PMC2.1_002", "0.70")]


def test_clusters_are_measured_and_others_tried(page: lxml.html.HtmlElement) -> None:
    measures = page.xpath("//h2[@id='clusters']/following::dl[1]")[0]
    assert [text(each) for each in measures] == [
        "variance kept",
        "0.75",
        "silhouette",
        "0.25",
        "stability over seeds (adjusted Rand index)",
        "0.875",
    ]
    charts = page.xpath("//h2[@id='clusters']/following::div[@class='charts'][1]/div")
    points = {text(chart[0]).split()[0]: len(chart.xpath(".//polyline/@points")[0].split()) for chart in charts}
    assert points == {"Figures": 2, "Variance": 2, "Inertia": 3, "Silhouette": 2}


def test_votes(page: lxml.html.HtmlElement) -> None:
    assert text(page.xpath("//h2[@id='votes']/following::p[1]")[0]) == (
        "3 annotators, 7 answers. Clusters: 2 decided, 1 disputed. "
        "Of 2 decided clusters with a proposal, 1 show other than was proposed."
    )
    assert table_after(page, "votes") == [
        ["primary", "the whole field", "2", "6", "62.5 %", "0.438", "0.375"],
        ["", " ".join(HOSTILE.split()), "2", "6", "100.0 %", "", ""],
    ]


def test_figures_with_all_that_is_known(page: lxml.html.HtmlElement) -> None:
    cards = {text(card.xpath(".//span[@class='id']")[0]): card for card in page.xpath("//article")}
    assert set(cards) == {"PMC1.1_001", "PMC1.1_002", "PMC2.1_001", "PMC2.1_002", "PMC3.1_001"}
    card = cards["PMC2.1_002"]
    assert "Caption 2 of PMC2.1." in text(card)
    assert "A left" in text(card)
    assert "Results: As Figure 2 shows." in text(card)
    assert "J Tests 2018" in text(card)
    assert "CC BY-NC" in text(card)
    assert card.xpath(".//a/@href") == ["https://pmc.ncbi.nlm.nih.gov/articles/PMC2/"]
    assert "reproduced from elsewhere" in text(cards["PMC3.1_001"])
    assert text(cards[BROKEN].xpath(".//span[@class='broken']")[0]) == "not-an-image"


def test_training_and_evaluation(page: lxml.html.HtmlElement) -> None:
    told = text(page.xpath("//h2[@id='training']/following::p[1]")[0])
    assert told == "Run clip : 8 steps, 160 samples at 10 a second; 25.0 % of the time was spent waiting for data."
    points = page.xpath("//h2[@id='training']/following::polyline[1]/@points")[0].split()
    assert len(points) == 8
    curves = page.xpath("//h3[contains(., 'tasks.') or contains(., 'retrieval.')]")
    assert [text(curve) for curve in curves] == ["tasks.pcam.accuracy by step; at last 80.0 %"]
    assert len(curves[0].xpath("./following::polyline[1]/@points")[0].split()) == 2
    assert [row[:6] for row in table_after(page, "evaluation")] == [
        ["zero shot primary label", "accuracy", "50", "0.625", "0.500 – 0.750", "0.125"],
        ["retrieval", "image to text recall@1", "50", "0.250", "", "0.020"],
    ]
    assert "other: not done. no labels" in text(page)
    assert bars(page, "Right answers") == {"Maps": "75.0 % of 20"}


def test_hostile_text_stays_text(page: lxml.html.HtmlElement) -> None:
    assert not page.xpath("//script")
    assert not page.xpath("//@onerror")
    assert HOSTILE in text(page)


def test_nothing_is_loaded_from_elsewhere(page: lxml.html.HtmlElement) -> None:
    assert page.xpath("//img")
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.xpath("//@src"))
    assert not page.xpath("//link | //iframe | //object | //embed | //base | //@srcset | //@poster | //image")
    styles = " ".join([*page.xpath("//style/text()"), *page.xpath("//@style")])
    assert not re.search(r"url\(|@import|http", styles)
    policy = page.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")[0]
    assert policy.startswith("default-src 'none'")


def test_stages_that_have_not_run_are_named_with_their_command(tmp_path: Path) -> None:
    page = parse(extracted_store(tmp_path))
    missing = [text(each) for each in page.xpath("//p[@class='missing']")]
    assert [line.split(" --store", maxsplit=1)[0] for line in missing] == [
        f"Not done yet. Run biomedica {stage}" for stage in ("panels", "dedupe", "annotate", "train", "evaluate")
    ]
    assert tiles(page).keys() == {"articles", "figures", "errors"}
    assert ["train", "not done yet: biomedica train"] in table_after(page, "rows")


def test_an_empty_store_gives_a_page(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.open_or_create(N_UNITS)
    assert "Run biomedica extract" in text(parse(store))


def test_large_groups_and_clusters_are_cut(tmp_path: Path) -> None:
    store = extracted_store(tmp_path)
    repeats = [
        {"id": f"PMC9.1_{n:03d}", "of": f"PMC{n % 40}.1_001", "entity": "figure", "kind": "exact", "distance": 0}
        for n in range(400)
    ]
    commit_tables(store, "dedupe", {"duplicates": {unit: repeats[unit::N_UNITS] for unit in range(N_UNITS)}})
    labels = [{"figure_id": f"PMC9.1_{n:03d}", "cluster_id": 5, "distance": n / 100, **_UNLABELLED} for n in range(400)]
    commit_tables(store, "label", {"labels": {unit: labels[unit::N_UNITS] for unit in range(N_UNITS)}})
    record_run(store, "dedupe", {"figures": Flow(5, 5, 0)})
    page = parse(store)
    groups = page.xpath("//div[@class='group']")
    assert len(groups) == GROUPS
    assert {len(group) for group in groups} == {1 + GROUP_MEMBERS}
    assert all("; 5 more" in text(group[-1]) for group in groups)
    members = [each.get("title") for each in page.xpath("//section[@class='sheet']//figure")]
    assert members == [f"PMC9.1_{n:03d}" for n in [*range(NEAREST), *range(400 - FURTHEST, 400)]]


_UNLABELLED = {
    "panel_type": None,
    "panel_subtype": None,
    "primary_label": [],
    "secondary_label": [],
    "how": "none",
    "confidence": 0.5,
    "uncertain": False,
}


def test_scores_on_published_sets_stand_side_by_side(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.open_or_create(1)
    means = {
        "clip": {"overall": 0.5, "pathology": 0.25, "surgery": 0.75},
        "<b>": {"pathology": 0.125, "overall": 0.125},
    }
    over = {"overall": ["a", "b"], "pathology": ["a"]}
    document = {"title": "biomedica-40", "models": list(means), "means": means, "means_over": over}
    some = {"tasks": {"a": {}, "b": {}}, "missing": {"c": {}}, "errors": {"d": ""}}
    store.write_json("evaluations/biomedica-40/results.json", {**document, **some})
    store.write_json("evaluations/unfinished/other.json", {})
    (table,) = parse(store).xpath("//table[@class='suite']")
    assert [text(cell) for cell in table.xpath("./thead/tr/th")] == ["domain", "tasks", "clip", "<b>"]
    rows = [[text(cell) for cell in row.xpath("./td")] for row in table.xpath("./tbody/tr")]
    assert rows == [
        ["pathology", "1", "0.250", "0.125"],
        ["surgery", "", "0.750", ""],
        ["overall", "2", "0.500", "0.125"],
    ]
    (said,) = parse(store).xpath("//h3[.='biomedica-40']/following-sibling::p[1]")
    assert text(said).startswith("2 tasks on published sets; 2 more could not be evaluated.")
    assert said.xpath("./a/@href") == ["evaluations/biomedica-40/results.html"]
