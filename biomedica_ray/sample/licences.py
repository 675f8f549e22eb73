"""Licences of the sample's articles, written as publishers write them."""

from __future__ import annotations

CC = "https://creativecommons.org/"
XLINK = 'xlink:href="{}"'

_OPEN = "This is an open access article distributed under the terms of the Creative Commons {} License"

# code -> (URL or none, wording)
LICENCES: dict[str, tuple[str, str]] = {
    "CC0": (
        CC + "publicdomain/zero/1.0/",
        "The work is made available under the Creative Commons CC0 public domain dedication.",
    ),
    "CC BY": (CC + "licenses/by/4.0/", _OPEN.format("Attribution") + ", which permits unrestricted use with credit."),
    "CC BY-SA": (CC + "licenses/by-sa/4.0/", _OPEN.format("Attribution-ShareAlike") + "."),
    "CC BY-NC": (CC + "licenses/by-nc/4.0/", _OPEN.format("Attribution-NonCommercial") + ", for non-commercial use."),
    "CC BY-NC-ND": (CC + "licenses/by-nc-nd/4.0/", _OPEN.format("Attribution-NonCommercial-NoDerivatives") + "."),
    "TDM": (
        "",
        "This file is available for text mining. It may also be used consistent with the principles of fair use.",
    ),
    "text": ("", _OPEN.format("Attribution 4.0 International") + " (CC BY 4.0)."),
    "conflict": (
        CC + "licenses/by/4.0/",
        "Distributed under the Creative Commons Attribution Non-Commercial License (CC BY-NC 4.0).",
    ),
}


def licence_markup(code: str, as_reference: bool) -> str:
    """The JATS ``license`` element of a licence; empty for the code ``none``.

    Args:
        code: A key of :data:`LICENCES`, or ``none``.
        as_reference: Give the URL as ``ali:license_ref`` (NISO RP-22) and not as ``license/@xlink:href``.
    """
    if code == "none":
        return ""
    url, words = LICENCES[code]
    attribute = f" {XLINK.format(url)}" if url and not as_reference else ""
    reference = f"<ali:license_ref>{url}</ali:license_ref>" if url and as_reference else ""
    return f'<license license-type="open-access"{attribute}>{reference}<license-p>{words}</license-p></license>'
