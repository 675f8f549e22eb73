"""Figures and captions that other parsers of JATS find in the same files.

    python -m venv PEERS && PEERS/bin/pip install pubmed_parser pmcgrab==3.0 litdown jats
    python -m benchmarks.peers FOLDER --python PEERS/bin/python       pandoc is taken from the path

What is there is read by XPath: each ``fig`` with an image, and the words of the titles and paragraphs of its caption. A
figure is found where its image is named; of the captions of these figures, precision and recall of their words count,
those of figures that are not found as missed.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lxml import etree

from biomedica_ray.jats import JatsError, parse_article

Figures = dict[str, str]
"""Captions by the name of the image."""

# Each reads the files it is given and prints, a line a file, its figures as pairs of image and caption, or null.
_READERS = {
    "pubmed_parser": """
import pubmed_parser
def read(path):
    figs = pubmed_parser.parse_pubmed_caption(path) or []
    return [(fig["graphic_ref"], fig["fig_caption"]) for fig in figs]
""",
    "pmcgrab": """
from pmcgrab.application.processing import paper_dict_from_local_xml
def read(path):
    figs = paper_dict_from_local_xml(path)["Figures"] or []
    figs = [getattr(fig, "fig_dict", fig) for fig in (figs.values() if isinstance(figs, dict) else figs)]
    return [(fig["Link"], fig["Caption"]) for fig in figs]
""",
    "litdown": """
import re, litdown
FIG = re.compile(r"((?:!\\[[^\\]]*\\]\\([^)]*\\)\\n)+)(.*)")
def read(path):
    text = litdown.convert(open(path, "rb").read())
    return [(href, caption) for images, caption in FIG.findall(text) for href in re.findall(r"\\(([^)]*)\\)", images)]
""",
    "jats": """
from lxml import etree
from jats.parser import parse_figures
def read(path):
    return [(fig.graphic_href, fig.caption) for fig in parse_figures(etree.parse(path).getroot()).values()]
""",
}
_LOOP = """
import json, logging, sys, warnings
warnings.simplefilter("ignore"); logging.disable()
for path in sys.argv[1:]:
    try:
        found = [[str(href), str(caption or "")] for href, caption in read(path) if href]
    except Exception as error:
        found = None
    print("FIGURES", json.dumps(found), flush=True)
"""


def there(path: Path) -> Figures:
    """The figures of a file by XPath."""
    tree = etree.fromstring(path.read_bytes(), etree.XMLParser(recover=True))
    figures: Figures = {}
    for fig in _nodes(tree, "//*[local-name()='fig']"):
        images = _nodes(fig, ".//*[local-name()='graphic'][not(ancestor::*[contains(local-name(), 'formula')])]")
        hrefs = [value for image in images[:1] for key, value in image.items() if str(key).endswith("href")]
        captions = _nodes(fig, "./*[local-name()='caption']")[:1]
        lines = [
            "".join(map(str, line.itertext()))
            for caption in captions
            for line in _nodes(caption, ".//*[local-name()='title' or local-name()='p']")
        ]
        if hrefs:
            figures.setdefault(_name(str(hrefs[0])), "\n".join(lines))
    return figures


def ours(path: Path) -> Figures | None:
    try:
        article = parse_article(path.read_bytes())
    except JatsError:
        return None
    return {_name(figure.href): figure.caption or "" for figure in article.figures}


def peer(name: str, python: str, paths: list[Path]) -> list[Figures | None]:
    """What a package finds, in its own environment."""
    script = _READERS[name] + _LOOP
    answer = subprocess.run([python, "-c", script, *map(str, paths)], capture_output=True, text=True, check=True)
    lines = [line.removeprefix("FIGURES ") for line in answer.stdout.splitlines() if line.startswith("FIGURES ")]
    found = [json.loads(line) for line in lines]
    return [None if pairs is None else {_name(href): caption for href, caption in pairs} for pairs in found]


def pandoc(path: Path) -> Figures | None:
    answer = subprocess.run(["pandoc", "-f", "jats", "-t", "json", str(path)], capture_output=True, text=True)  # noqa: PLW1510
    if answer.returncode:
        return None
    return {
        _name(image["c"][2][0]): _words_of(image["c"][1])
        for image in _walk(json.loads(answer.stdout))
        if image.get("t") == "Image"
    }


def _walk(node: Any) -> Iterable[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _walk(part)


def _words_of(inlines: Any) -> str:
    """The text of pandoc's inlines."""
    text = (
        node["c"] if node.get("t") == "Str" else node["c"][1] if node.get("t") in ("Math", "Code") else " "
        for node in _walk(inlines)
        if node.get("t") in ("Str", "Space", "SoftBreak", "LineBreak", "Math", "Code")
    )
    return "".join(text)


def _nodes(element: etree._Element, path: str) -> list[etree._Element]:
    found: Any = element.xpath(path)
    return list(found)


def _name(href: str) -> str:
    """The name of an image without its folder and extension."""
    return re.sub(r"\.(?:jpe?g|gif|tiff?|png|eps|svg)\Z", "", href.rpartition("/")[2], flags=re.IGNORECASE)


def words(text: str) -> Counter[str]:
    """The words of a text, without the signs that stand for sub- and superscripts and for emphasis."""
    plain = re.sub(r"[_^*~$\\]", "", unicodedata.normalize("NFKC", text))
    return Counter(re.findall(r"\w+", plain.lower()))


def row(name: str, found: list[Figures | None], wanted: list[Figures]) -> str:
    figures = sum(len(figures.keys() & (mine or {}).keys()) for figures, mine in zip(wanted, found, strict=True))
    right = read = written = 0
    for captions, mine in zip(wanted, found, strict=True):
        for href, caption in captions.items():
            theirs, true = words((mine or {}).get(href, "")), words(caption)
            right, read, written = right + (theirs & true).total(), read + theirs.total(), written + true.total()
    refused = sum(mine is None for mine in found)
    return (
        f"| {name} | {refused} | {figures} of {sum(map(len, wanted))} | {right / max(read, 1):.3f} "
        f"| {right / max(written, 1):.3f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of XML files")
    parser.add_argument("--python", required=True, help="interpreter of the environment that has the other packages")
    options = parser.parse_args()
    paths = sorted(path for suffix in ("xml", "nxml", "jats") for path in options.folder.rglob(f"*.{suffix}"))
    wanted = [there(path) for path in paths]
    print(f"{len(paths)} files.\n")
    print("| parser | files refused | figures found | precision of words | recall of words |")
    print("|---|---:|---:|---:|---:|")
    print(row("biomedica_ray", [ours(path) for path in paths], wanted))
    for name in _READERS:
        print(row(name, peer(name, options.python, paths), wanted), flush=True)
    print(row("pandoc", [pandoc(path) for path in paths], wanted))


if __name__ == "__main__":
    main()
