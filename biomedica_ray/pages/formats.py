"""Numbers as readers want them."""

from __future__ import annotations


def count(value: int) -> str:
    """``12345`` as ``12,345``."""
    return f"{value:,}"


def things(value: int, name: str) -> str:
    """``1 figure``, ``12,345 figures``."""
    return f"{value:,} {name}{'' if value == 1 else 's'}"


def number(value: float) -> str:
    """Three significant digits, or all of the integer part: ``1,234``, ``12.3``, ``0.0123``, ``1.2e-06``."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def share(value: float) -> str:
    """``0.123`` as ``12.3 %``; a share that is not zero never reads as zero."""
    return "< 0.1 %" if 0 < value < 0.0005 else f"{value:.1%}".replace("%", " %")


def size(n_bytes: float) -> str:
    """Bytes with a decimal unit: ``1.2 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 999.5:
            return f"{number(n_bytes)} {unit}"
        n_bytes /= 1000
    return f"{number(n_bytes)} TB"


def duration(seconds: float) -> str:
    """``0.4 s``, ``17 s``, ``4 min 20 s``, ``2 h 5 min``, ``3 d 4 h``."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def shorten(text: str, most: int) -> str:
    """At most ``most`` characters, cut at a word, with an ellipsis where something was cut."""
    text = " ".join(text.split())
    if len(text) <= most:
        return text
    cut = text[: most - 1]
    head, _, _ = cut.rpartition(" ")
    return f"{head if len(head) > most // 2 else cut}…"
