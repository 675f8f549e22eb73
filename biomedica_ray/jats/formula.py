"""Formulas as linear text: MathML and TeX to ``x_1^2``, ``(a)/(b)``, ``√(x)`` and Unicode symbols."""

from __future__ import annotations

import re
from collections.abc import Callable

from biomedica_ray.jats.tree import Element, all_text

_SPACED_OPERATORS = frozenset("=<>≤≥≈≠±×∼≃≅≡∝→←↔⇒∈∉⊂⊆∪∩+−-")
_INVISIBLE_OPERATORS = re.compile("[\u2061-\u2064]")
_NO_TEXT = frozenset({"annotation", "annotation-xml", "mphantom", "none", "mprescripts"})
_TEX_TABLE = """
alpha α beta β gamma γ delta δ epsilon ε zeta ζ eta η theta θ iota ι kappa κ lambda λ mu μ nu ν xi ξ pi π rho ρ
sigma σ tau τ upsilon υ phi φ chi χ psi ψ omega ω varepsilon ε vartheta ϑ varphi φ varsigma ς varrho ϱ varpi ϖ
Gamma Γ Delta Δ Theta Θ Lambda Λ Xi Ξ Pi Π Sigma Σ Upsilon Υ Phi Φ Psi Ψ Omega Ω
times × cdot · pm ± mp ∓ leq ≤ le ≤ geq ≥ ge ≥ neq ≠ ne ≠ approx ≈ sim ∼ infty ∞ partial ∂ nabla ∇ sum ∑ prod ∏
int ∫ in ∈ to → rightarrow → leftarrow ← degree ° circ ∘ prime ′ ldots … cdots ⋯ dots … div ÷ ast * propto ∝ equiv ≡
mid | vert | Vert ‖ langle ⟨ rangle ⟩ cup ∪ cap ∩ subset ⊂ forall ∀ exists ∃ ell ℓ
"""
_TEX_WORDS = _TEX_TABLE.split()
_TEX_SYMBOLS = dict(zip(_TEX_WORDS[::2], _TEX_WORDS[1::2], strict=True))
# Where a formula was cut off, its document has no end.
_TEX_DOCUMENT = re.compile(r"\\begin\{document\}(.*?)(?:\\end\{document\}|\Z)", re.DOTALL)
_TEX_PREAMBLE = re.compile(
    r"\\(?:documentclass|usepackage|setlength|newcommand|renewcommand|def)\*?(?:\s*\[[^\]]*\])?(?:\s*\{[^{}]*\})*"
)
_TEX_FRACTION = re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_TEX_ROOT = re.compile(r"\\sqrt\s*\{([^{}]*)\}")
_TEX_GROUP = re.compile(r"(?<=[_^])\{([^{}]*)\}")
_TEX_FONT = re.compile(r"\\(?:math|text|operator)\w*\*?\s*\{([^{}]*)\}|\\(?:rm|bf|it|sf|tt|cal|mathrm)\b\s*")
_TEX_COMMAND = re.compile(r"\\([A-Za-z]+)\s*")
# Commands that only lay out: they leave no trace in the text.
_TEX_LAYOUT = frozenset({"left", "right", "big", "Big", "bigg", "Bigg", "displaystyle", "limits", "nolimits"})


def mathml_text(element: Element) -> str:
    """A MathML element as linear text; MathML Core's meanings of msub, msup, mfrac and so on."""
    return " ".join(_mathml(element).split())


def tex_text(tex: str) -> str:
    """A TeX formula as linear text: document wrapper and layout gone, symbols as Unicode, unknown commands by name."""
    document = _TEX_DOCUMENT.search(tex)
    text = _TEX_PREAMBLE.sub(" ", document.group(1) if document else tex).replace("$", " ")
    text = re.sub(r"\\(?:begin|end)\{\w+\*?\}(?:\{[lcr|]*\})?", " ", text)
    text = re.sub(r"\\[,;:!> ]|\\\\|(?<!\\)[&~]|\\q?quad\b", " ", text)
    before = None
    while before != text:
        before = text
        text = _TEX_FONT.sub(lambda m: m.group(1) or "", text)
        text = _TEX_FRACTION.sub(lambda m: f"({m.group(1)})/({m.group(2)})", text)
        text = _TEX_ROOT.sub(lambda m: f"√({m.group(1)})", text)
        text = _TEX_GROUP.sub(lambda m: m.group(1) if len(m.group(1)) == 1 else f"({m.group(1)})", text)
    text = _TEX_COMMAND.sub(_tex_command, text)
    text = re.sub(r"(?<!\\)[{}]", "", text)
    return " ".join(re.sub(r"\\([%&#_{}$])", r"\1", text).split())


def _tex_command(match: re.Match[str]) -> str:
    name = match.group(1)
    return "" if name in _TEX_LAYOUT else _TEX_SYMBOLS.get(name, name + " ")


def _mathml(element: Element) -> str:
    tag = str(element.tag)
    if tag in _NO_TEXT:
        return ""
    if len(element) == 0:
        return " " if tag == "mspace" else _INVISIBLE_OPERATORS.sub("", all_text(element).strip())
    parts = [_mathml(part) for part in element.iterchildren("*")]
    layout = _LAYOUTS.get(tag)
    return layout(element, parts) if layout and len(parts) >= _N_PARTS.get(tag, 1) else _row(element, parts)


def _fenced(element: Element, parts: list[str]) -> str:
    separator = (element.get("separators") or ",")[0]
    return f"{element.get('open', '(')}{f'{separator} '.join(parts)}{element.get('close', ')')}"


def _scripted(element: Element, parts: list[str]) -> str:
    tag = element.tag
    base, first, *rest = parts
    if tag in ("mover", "msup"):
        # A mark over a letter (x̄, x̂) reads best behind it; a real superscript is a power.
        return base + first if tag == "mover" and not first.isalnum() else f"{base}^{_grouped(first)}"
    second = f"^{_grouped(rest[0])}" if rest and rest[0] else ""
    return f"{base}_{_grouped(first)}{second}" if first else base + second


def _grouped(text: str) -> str:
    return text if len(text) <= 1 or text.replace(".", "").isalnum() else f"({text})"


def _row(element: Element, parts: list[str]) -> str:
    """Parts side by side: relations and sums set off by spaces, words kept from running together."""
    out = ""
    for node, part in zip(element.iterchildren("*"), parts, strict=True):
        if node.tag == "mo" and part in _SPACED_OPERATORS and out:
            out += f" {part} "
        elif out and out[-1].isalnum() and part[:1].isalnum() and (len(part) > 1 or node.tag == "mtext"):
            out += f" {part}"
        else:
            out += part
    return out


# How the elements of Presentation MathML with a layout of their own are written (MathML 3, 3.3-3.5).
_LAYOUTS: dict[str, Callable[[Element, list[str]], str]] = {
    **dict.fromkeys(("msub", "msup", "munder", "mover", "msubsup", "munderover"), _scripted),
    "mfrac": lambda _, parts: f"{_grouped(parts[0])}/{_grouped(parts[1])}",
    "msqrt": lambda element, parts: f"√({_row(element, parts)})",
    "mroot": lambda _, parts: f"{_grouped(parts[0])}^(1/{parts[1]})",
    "mfenced": _fenced,
    "mtd": lambda element, parts: _row(element, parts) + " ",
    "mtr": lambda _, parts: "".join(parts).strip() + "; ",
    "mlabeledtr": lambda _, parts: "".join(parts).strip() + "; ",
    "mtable": lambda _, parts: "".join(parts).strip().rstrip(";"),
}
_N_PARTS = {"msubsup": 3, "munderover": 3, **dict.fromkeys(("msub", "msup", "munder", "mover", "mfrac", "mroot"), 2)}
