"""Pages: templates in which every value is escaped and none may be missing, their style, pictures, number formats."""

from __future__ import annotations

import jinja2


def page_environment(package: str, folder: str) -> jinja2.Environment:
    """An environment for the templates in a folder of a package, and for what all pages share."""
    loaders = [jinja2.PackageLoader(package, folder), jinja2.PackageLoader("biomedica_ray.pages", ".")]
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
