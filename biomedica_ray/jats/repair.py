"""Bytes that break the rules of XML 1.0 in ways that leave no doubt about the text, made well-formed."""

from __future__ import annotations

import codecs
import re
from functools import cache
from html.entities import html5
from xml.sax.saxutils import escape

# What is no Char (XML 1.0, production 2).
_NO_CHAR = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DECLARATION = re.compile(r"\s*<\?xml\b[^>]*\?>")
_ENCODING = re.compile(rb"""\A\s*<\?xml\b[^>]*?\bencoding\s*=\s*["']([A-Za-z0-9._-]+)""")
# Sections whose ampersands are no references, else an ampersand with the reference that it begins.
_REFERENCE = re.compile(r"<!\[CDATA\[.*?\]\]>|<!--.*?-->|&(#\d+;|#x[\da-fA-F]+;|[A-Za-z][\w.-]*;|)", re.DOTALL)
_PREDEFINED = frozenset({"amp;", "lt;", "gt;", "quot;", "apos;"})
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
_ONE_BYTE = frozenset({"ascii", "iso8859-1", "cp1252"})


def is_misdeclared(xml: bytes) -> bool:
    """Whether a document says Latin-1 or ASCII but is UTF-8, which Latin-1 text beyond ASCII practically never is."""
    declared = _declared(xml)
    if declared not in _ONE_BYTE or xml.isascii():
        return False
    try:
        xml.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def repaired(xml: bytes) -> bytes:
    """A document as UTF-8 without what XML 1.0 forbids but readers can tell.

    Control characters go, named characters of HTML (``&nbsp;``) and single ampersands are written as themselves, bytes
    that are wrong in the encoding are read as Windows-1252, and a wrong or unknown declared encoding does not count.
    Whatever else is wrong stays.
    """
    text = _NO_CHAR.sub("", _DECLARATION.sub("", _decoded(xml), count=1))
    return _REFERENCE.sub(_reference, text).lstrip().encode("utf-8", "replace")


def _reference(match: re.Match[str]) -> str:
    name = match[1]
    if name is None or name in _PREDEFINED:
        return match[0]
    if name == "":
        return "&amp;"
    if name.startswith("#"):
        digits = name[1:-1]
        code = int(digits[1:], 16) if digits[0] == "x" else int(digits)
        return "" if code > 0x10FFFF or _NO_CHAR.match(chr(code)) else match[0]
    return escape(html5[name]) if name in html5 else match[0]


def _declared(xml: bytes) -> str | None:
    """Python's name of the encoding that a document declares; None where it declares none or one that nobody knows."""
    match = _ENCODING.match(xml)
    return _codec(match[1]) if match else None


@cache
def _codec(name: bytes) -> str | None:
    try:
        return codecs.lookup(name.decode()).name
    except LookupError:
        return None


def _decoded(xml: bytes) -> str:
    for mark, encoding in _BOMS:
        if xml.startswith(mark):
            return xml.decode(encoding, "replace")
    declared = _declared(xml)
    if declared is not None and declared not in _ONE_BYTE and not declared.startswith("utf"):
        try:
            return xml.decode(declared)
        except (UnicodeError, LookupError):
            pass
    return xml.decode("utf-8", _STRAY_BYTES)


def _as_windows_1252(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("cp1252", "replace"), error.end


_STRAY_BYTES = "biomedica_ray.windows-1252"
codecs.register_error(_STRAY_BYTES, _as_windows_1252)
