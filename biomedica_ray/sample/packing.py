"""Encodes pictures under their file names, with the oddities asked for, and packs articles as folders and archives."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from biomedica_ray.sample.photographs import grey_levels

ERROR_PAGE = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>\n"


def encode(picture: Image.Image, name: str, oddity: str = "") -> bytes:
    """The picture as a file of the format that ``name`` ends in; JPEG where it has no such ending.

    Args:
        picture: The picture.
        name: File name.
        oddity: A code of :class:`biomedica_ray.sample.outline.Plate`.
    """
    if oddity == "html":
        return ERROR_PAGE
    if oddity == "spacer":
        picture = Image.new("RGB", (10, 10), "white")
    if oddity == "small":
        picture = picture.resize((picture.width * 5 // 8, picture.height * 5 // 8), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    match PurePosixPath(name).suffix:
        case ".png":
            if oddity == "alpha":
                grey = np.asarray(picture.convert("L"))
                picture = Image.fromarray(np.dstack([np.asarray(picture), 255 - (grey > 250) * np.uint8(255)]), "RGBA")
            else:
                picture = picture.quantize(64)
            picture.save(buffer, "PNG", optimize=True)
        case ".gif":
            picture.convert("RGB").quantize(64).save(buffer, "GIF")
        case ".tif" if oddity == "16-bit":
            Image.fromarray(grey_levels(picture)).save(buffer, "TIFF", compression="tiff_adobe_deflate")
        case ".tif":
            mode = "CMYK" if oddity == "cmyk" else picture.mode
            picture.convert(mode).save(buffer, "TIFF", compression="tiff_lzw" if mode == "L" else "tiff_adobe_deflate")
        case _:
            mode = "CMYK" if oddity == "cmyk" else picture.mode
            picture.convert(mode).save(buffer, "JPEG", quality=55 if oddity == "recoded" else 80)
    data = buffer.getvalue()
    return data[: len(data) * 3 // 5] if oddity == "truncated" else data


def thumbnail(picture: Image.Image) -> bytes:
    """A GIF of the picture, 100 pixels wide."""
    small = picture.convert("RGB").resize((100, 100 * picture.height // picture.width), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.quantize(64).save(buffer, "GIF")
    return buffer.getvalue()


def pack(package: str, files: dict[str, bytes], folder: Path, as_archive: bool) -> None:
    """Write a package into ``folder``: a folder of files, or ``package.tar.gz`` with all times zero.

    Args:
        package: Name of the package.
        files: Contents by name relative to the package.
        folder: Folder of the packages.
        as_archive: Write an archive.
    """
    if not as_archive:
        for name, content in files.items():
            target = folder / package / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        return
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            member = tarfile.TarInfo(f"{package}/{name}")
            member.size = len(files[name])
            archive.addfile(member, io.BytesIO(files[name]))
    (folder / f"{package}.tar.gz").write_bytes(gzip.compress(buffer.getvalue(), mtime=0))
