"""Pages: templates in which every value is escaped and none may be missing, pictures, and number formats."""

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
