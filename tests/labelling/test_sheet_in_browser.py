"""The label sheet in a real browser: Chromium without a window, driven by its keyboard."""

from __future__ import annotations

import base64
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from biomedica_ray.labelling.answers import parse_answers
from biomedica_ray.labelling.html_sheet import Sheet, ShownCluster, ShownMember, html
from biomedica_ray.labelling.proposals_file import Proposal
from biomedica_ray.labelling.taxonomy import papers_taxonomy
from tests.synthetic import encoded, picture

HOSTILE = '</script><script>document.title = "broken in"</script><img src=x onerror="document.title = 1">'
TAXONOMY = papers_taxonomy()
PATIENCE_S = 30


def sheet(name: str = "sheet-001", proposals: Sequence[Proposal] = (), clustering: str = "f") -> Sheet:
    image = base64.b64encode(encoded(picture(1), "JPEG")).decode()
    clusters = [
        ShownCluster(
            cluster,
            1000 + cluster,
            [f"PMC{cluster}.1_001"],
            [
                ShownMember(f"PMC{cluster}.1_001", "nearest", HOSTILE, "", f"data:image/jpeg;base64,{image}", 64, 48),
                ShownMember(f"PMC{cluster}.1_002", "farthest", "A caption", problem="not-an-image"),
            ],
            proposals=proposals,
            random=cluster == 1,
        )
        for cluster in range(4)
    ]
    return Sheet(name, 1, clustering, TAXONOMY, clusters, "open_clip/x" if proposals else "")


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "sheet-001.html"
    path.write_text(html(sheet()))
    return path


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not driver:
        pytest.skip("no browser here: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-gpu", "window-size=1440,900"):
        options.add_argument(f"--{argument}")
    options.add_experimental_option("prefs", {"download.default_directory": str(tmp_path)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield chrome
    finally:
        chrome.quit()


def press(browser: webdriver.Chrome, *keys: str) -> None:
    ActionChains(browser).send_keys(*keys).perform()


def text(browser: webdriver.Chrome, element: str) -> str:
    return browser.find_element(By.ID, element).text


def download(browser: webdriver.Chrome, folder: Path, annotator: str) -> Path:
    """Write the annotator's name, download, and wait for the file."""
    field = browser.find_element(By.ID, "annotator")
    field.clear()
    field.send_keys(annotator)
    browser.find_element(By.ID, "download").click()
    name = f"answers-{annotator.replace(' ', '-')}-round-1-sheet-001.json"
    WebDriverWait(browser, PATIENCE_S).until(lambda _: (folder / name).exists())
    return folder / name


def test_clusters_are_labelled_by_keyboard_and_the_answers_come_back(
    browser: webdriver.Chrome, page: Path, tmp_path: Path
) -> None:
    browser.get(page.as_uri())
    assert text(browser, "cluster") == "Cluster 0"
    assert text(browser, "size") == "1,000 figures"
    press(browser, "1", "bar", Keys.ENTER, Keys.ENTER)  # single panel; bar plot; next
    assert text(browser, "cluster") == "Cluster 1"
    press(browser, "2", "d", Keys.ESCAPE, "/", "3D pl", Keys.ENTER, "map", Keys.ARROW_DOWN, Keys.ENTER)
    press(browser, Keys.BACKSPACE, Keys.ENTER)  # the local concept goes, its global one stays
    assert text(browser, "cluster") == "Cluster 2"
    press(browser, "5", Keys.ENTER)
    assert text(browser, "hint") == "Choose a concept: type its name."
    press(browser, "nothing like it", Keys.ENTER)
    assert text(browser, "hint") == "No concept is called “nothing like it”."
    press(browser, Keys.ESCAPE, "=", Keys.ENTER)
    assert text(browser, "cluster") == "Cluster 3"
    assert text(browser, "done") == "3 of 4 done"

    browser.refresh()
    assert text(browser, "cluster") == "Cluster 3"  # the first that is not done
    assert text(browser, "done") == "3 of 4 done"

    browser.find_element(By.ID, "download").click()
    assert text(browser, "hint") == "Enter your name first."
    found = parse_answers(download(browser, tmp_path, "Ada L").read_bytes(), "answers", TAXONOMY)
    answers, faults = found.answers, found.faults
    assert faults == []
    assert {(each.annotator, each.clustering, each.round) for each in answers} == {("Ada L", "f", 1)}
    first, second, third = answers
    assert (first.cluster, first.exemplars) == (0, ["PMC0.1_001"])
    assert (first.panel_type, first.panel_subtype) == ("single", "single panel")
    assert (first.primary, first.secondary) == (["Plots and Charts"], ["bar plot"])
    assert (second.panel_type, second.panel_subtype) == ("multiple", "single panel")
    assert (second.primary, second.secondary) == (["Plots and Charts", "Maps"], ["3D plot"])
    assert (third.panel_type, third.primary, third.secondary) == ("multiple", second.primary, second.secondary)
    assert first.answered < second.answered < third.answered


def test_what_is_proposed_is_no_answer_until_it_is_taken(browser: webdriver.Chrome, tmp_path: Path) -> None:
    page = tmp_path / "sheet-001.html"
    page.write_text(html(sheet(proposals=[Proposal("Maps", 0.714), Proposal("Tables", 0.2)])))
    browser.get(page.as_uri())
    assert text(browser, "proposed") == "open_clip/x proposes Maps (71 %), Tables (20 %). Press + to accept the first."
    chip = browser.find_element(By.CSS_SELECTOR, "#chosen button")
    assert (chip.text, chip.get_attribute("class")) == ("Maps", "proposed")
    press(browser, "1", Keys.ENTER)
    assert text(browser, "hint") == "Choose a concept: type its name, or + for the proposed one."
    assert text(browser, "done") == "0 of 4 done"
    press(browser, "+")
    assert browser.find_element(By.CSS_SELECTOR, "#chosen button").get_attribute("class") == ""
    press(browser, "+")
    assert text(browser, "hint") == "A concept has already been chosen."
    press(browser, Keys.ENTER, "2", "table", Keys.ENTER)  # another one than was proposed
    assert [chip.text for chip in browser.find_elements(By.CSS_SELECTOR, "#chosen button")] == ["Tables"]
    press(browser, Keys.ENTER, "1", Keys.ARROW_RIGHT)  # the panels only
    browser.find_element(By.CSS_SELECTOR, "#chosen .proposed").click()
    browser.find_element(By.ID, "clear").click()  # the proposal is back
    assert browser.find_elements(By.CSS_SELECTOR, "#chosen .proposed")

    found = parse_answers(download(browser, tmp_path, "Ada").read_bytes(), "answers", TAXONOMY)
    answers, faults = found.answers, found.faults
    assert faults == []
    assert [(each.cluster, each.primary) for each in answers] == [(0, ["Maps"]), (1, ["Tables"]), (2, [])]


def test_answers_go_on_in_another_browser(browser: webdriver.Chrome, page: Path, tmp_path: Path) -> None:
    browser.get(page.as_uri())
    press(browser, "1", "bar", Keys.ENTER)
    browser.find_element(By.ID, "note").send_keys("a note")
    file = download(browser, tmp_path, "Ada")
    browser.execute_script("localStorage.clear()")
    browser.refresh()
    assert text(browser, "done") == "0 of 4 done"
    browser.find_element(By.ID, "load").send_keys(str(file))
    WebDriverWait(browser, PATIENCE_S).until(lambda _: text(browser, "done") == "1 of 4 done")
    assert browser.find_element(By.ID, "annotator").get_property("value") == "Ada"
    assert browser.find_element(By.ID, "note").get_property("value") == "a note"

    images = tmp_path / "images.html"
    images.write_text(html(sheet(clustering="images")))
    browser.get(images.as_uri())
    press(browser, "1", "bar", Keys.ENTER, Keys.ENTER, "=")
    file.unlink()
    answers = parse_answers(download(browser, tmp_path, "Ada").read_bytes(), "answers", TAXONOMY).answers
    assert [each.random for each in answers] == [False, True]
    browser.execute_script("localStorage.clear()")
    browser.refresh()
    browser.find_element(By.ID, "load").send_keys(str(file))
    WebDriverWait(browser, PATIENCE_S).until(lambda _: text(browser, "done") == "2 of 4 done")

    other = tmp_path / "sheet-002.html"
    other.write_text(html(sheet("sheet-002")))
    browser.get(other.as_uri())
    assert text(browser, "done") == "0 of 4 done"
    browser.find_element(By.ID, "load").send_keys(str(file))
    WebDriverWait(browser, PATIENCE_S).until(lambda _: text(browser, "hint"))
    assert text(browser, "hint").endswith("belongs to sheet-001, this is sheet-002, round 1.")


def test_captions_stay_text_and_nothing_is_fetched(browser: webdriver.Chrome, page: Path) -> None:
    browser.get(page.as_uri())
    browser.find_element(By.CSS_SELECTOR, "#members button").click()
    assert HOSTILE in browser.find_element(By.CSS_SELECTOR, "#large p").text
    assert browser.title == "sheet-001, round 1"
    assert browser.get_log("browser") == []
    fetched = set(
        re.findall(r'\\?"url\\?":\\?"([^"\\]+)', str([entry["message"] for entry in browser.get_log("performance")]))
    )
    assert {url.split(":", maxsplit=1)[0] for url in fetched} <= {"file", "data", "about"}


def test_the_page_names_its_script_and_forbids_all_else() -> None:
    text_ = html(sheet())
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text_)
    assert policy
    assert policy[1].startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-")
    assert HOSTILE not in text_
    assert not re.search(r'(src|href)="?https?:', text_)
