"""Parse JATS: raw lxml, this project and pubmed_parser in one process on the same bytes, interleaved.

    python -m benchmarks.parse [FOLDER]     FOLDER: XML files at any depth; without it the embedded sample's

Prints a Markdown table of median processor times. pubmed_parser's three functions are those that give the article, its
captions and its paragraphs; it reads paths only, so that its time includes a read of a file that is in the page cache.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import pubmed_parser
from lxml import etree

from biomedica_ray.jats import parse_article
from biomedica_ray.sample import PACKAGES

File = tuple[str, bytes]


def raw(file: File) -> None:
    etree.fromstring(file[1], etree.XMLParser(recover=True))


def ours(file: File) -> None:
    parse_article(file[1])


def peer(file: File) -> None:
    pubmed_parser.parse_pubmed_xml(file[0])
    pubmed_parser.parse_pubmed_caption(file[0])
    pubmed_parser.parse_pubmed_paragraph(file[0])


PARSERS: dict[str, Callable[[File], None]] = {
    "lxml.etree.fromstring": raw,
    "biomedica_ray parse_article": ours,
    "pubmed_parser (three functions)": peer,
}


def is_readable(parse: Callable[[File], None], file: File) -> bool:
    try:
        parse(file)
    except (etree.XMLSyntaxError, AttributeError, LookupError, NameError, OSError, TypeError, ValueError):
        return False
    return True


def seconds(parse: Callable[[File], None], files: Sequence[File], readable: set[str]) -> float:
    start = time.process_time()
    for file in files:
        if file[0] in readable:
            parse(file)
    return time.process_time() - start


def table(title: str, files: Sequence[File], readable: dict[str, set[str]], repeats: int) -> str:
    times: dict[str, list[float]] = {name: [] for name in PARSERS}
    for _ in range(repeats):
        for name, parse in PARSERS.items():
            times[name].append(seconds(parse, files, readable[name]))
    lines = [f"### {title}", "", "| parser | files | s | MB/s | articles/s | x raw |", "|---|---|---|---|---|---|"]
    for name, measured in times.items():
        done = [file for file in files if file[0] in readable[name]]
        median = statistics.median(measured)
        ratio = statistics.median(a / b for a, b in zip(measured, times["lxml.etree.fromstring"], strict=True))
        size = sum(len(xml) for _, xml in done) / 1e6
        lines.append(
            f"| {name} | {len(done)} | {median:.3f} | {size / median:.1f} | {len(done) / median:.0f} | {ratio:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=PACKAGES, help="folder of XML files")
    parser.add_argument("--repeats", type=int, default=7, help="interleaved rounds; the median counts")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    paths = sorted(path for suffix in ("xml", "nxml") for path in options.folder.rglob(f"*.{suffix}"))
    files = [(str(path), path.read_bytes()) for path in paths]
    readable = {name: {file[0] for file in files if is_readable(parse, file)} for name, parse in PARSERS.items()}
    common = set.intersection(*readable.values())
    print(f"{len(files)} files, {sum(len(xml) for _, xml in files) / 1e6:.1f} MB, {options.repeats} rounds.\n")
    both = [file for file in files if file[0] in common]
    print(table("Files that all three read", both, readable, options.repeats), end="\n\n")
    print(table("All files, each parser those that it reads", files, readable, options.repeats))


if __name__ == "__main__":
    main()
