"""What a text of a sample can be; by itself, so that a config needs neither torch nor pyarrow."""

from __future__ import annotations

from typing import Literal

TextKind = Literal["caption", "panel", "mention", "also_captioned"]
"""A caption, its part on one panel, a paragraph that refers to the figure, another caption of the same picture."""
