"""Images as published: safe decoding, hashes, and which file of a package an XML name means."""

from biomedica_ray.images.decode import ImageError, decode
from biomedica_ray.images.hashes import ImageInfo, read_image
from biomedica_ray.images.resolve import is_thumbnail, resolve

__all__ = ["ImageError", "ImageInfo", "decode", "is_thumbnail", "read_image", "resolve"]
