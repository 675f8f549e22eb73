"""Which file of a package a graphic's ``xlink:href`` names.

Publishers write the name with or without extension or folder, percent-encoded, in another case, or as PLOS's
``info:doi/10.1371/journal.pone.0000133.g001``; PMC packages hold a JPEG beside a GIF thumbnail of the same stem.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from urllib.parse import unquote

# Best first: lossless before lossy, and the thumbnails' format last.
EXTENSIONS = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")
# Authors' originals, which the XML may name though the package holds a converted file.
_ORIGINALS = (".eps", ".ps", ".svg", ".ai", ".pdf", ".jp2")
THUMBNAIL_SIDE = 200
"""Longest side of a GIF, in pixels, that is taken for a thumbnail; PMC's are of about 100."""
_PLOS = "info:doi/10.1371/journal."


def resolve(hrefs: Sequence[str], names: Sequence[str]) -> str | None:
    """The package file that one of an image's names means, or None.

    A match as written wins over one at the end of a path, that over one without regard to folder, that over one
    without regard to case, and that over a file whose stem is the same. Where several files match equally well, the
    best format wins, then the first name. A GIF gives way to a better format of the same stem beside it, whose
    thumbnail it is.

    Args:
        hrefs: Names of the same image, in order of preference.
        names: Paths of the package's files.
    """
    candidates = list(dict.fromkeys(candidate for href in hrefs for candidate in _candidates(href)))
    ends = tuple(f"/{candidate}" for candidate in candidates if "/" in candidate)
    for spell in (_as_written, None, _without_folder, _without_case, _stem):
        if spell is None:
            found = [name for name in names if name.endswith(ends)]
        else:
            by_spelling: dict[str, list[str]] = {}
            for name in names:
                by_spelling.setdefault(spell(name), []).append(name)
            found = [name for candidate in candidates for name in by_spelling.get(spell(candidate), [])]
        if found:
            best = min(found, key=_rank)
            return _not_thumbnail(best, names) if best.lower().endswith(".gif") else best
    return None


def is_thumbnail(name: str, hrefs: Sequence[str], thumbnails: Sequence[str], size: tuple[int, int]) -> bool:
    """Whether a file is the thumbnail of an image that the package lacks.

    It is one of the names that are said to be thumbnails, or a small GIF where the XML names no GIF: PMC makes one of
    each image.

    Args:
        name: The file.
        hrefs: Names of the image, as :func:`resolve` has them.
        thumbnails: Those of them that are said to be thumbnails.
        size: Width and height in pixels.
    """
    if (
        len(thumbnails) < len(hrefs)
        and resolve(thumbnails, [name])
        and not resolve([href for href in hrefs if href not in thumbnails], [name])
    ):
        return True
    is_asked_for = any(href.lower().endswith(".gif") for href in hrefs if href not in thumbnails)
    return name.lower().endswith(".gif") and not is_asked_for and max(size) <= THUMBNAIL_SIDE


def _not_thumbnail(gif: str, names: Sequence[str]) -> str:
    """The file of which a GIF is the thumbnail, or the GIF itself."""
    folder, stem = PurePosixPath(gif).parent, _stem(gif)
    beside = [name for name in names if PurePosixPath(name).parent == folder and _stem(name) == stem]
    return min(beside, key=_rank)


def _candidates(href: str) -> Iterator[str]:
    """A name as written and percent-decoded, each with and without PLOS's prefix and an original's extension."""
    name = href.strip().replace("\\", "/")
    if "://" in name:
        name = name.partition("?")[0].partition("#")[0]
    for text in (name, unquote(name)):
        for plain in (text, text.removeprefix(_PLOS)):
            if plain:
                yield _as_written(plain)
                path = PurePosixPath(plain)
                if path.suffix.lower() in _ORIGINALS:
                    yield str(path.with_suffix(""))


def _as_written(name: str) -> str:
    return name.removeprefix("./")


def _without_folder(name: str) -> str:
    return unicodedata.normalize("NFC", PurePosixPath(name).name)


def _without_case(name: str) -> str:
    return _without_folder(name).casefold()


def _stem(name: str) -> str:
    base = _without_case(name)
    stem, dot, extension = base.rpartition(".")
    return stem if stem and dot + extension in EXTENSIONS else base


def _rank(name: str) -> int:
    """Place of a file's format in :data:`EXTENSIONS`; of those that it does not name, behind them."""
    extension = PurePosixPath(name).suffix.lower()
    return EXTENSIONS.index(extension) if extension in EXTENSIONS else len(EXTENSIONS)
