"""How templates of pages are read: all that is put into them is escaped, and nothing may be missing."""

from __future__ import annotations

import jinja2


def page_environment(package: str, folder: str) -> jinja2.Environment:
    """An environment for the templates in a folder of a package."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader(package, folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
