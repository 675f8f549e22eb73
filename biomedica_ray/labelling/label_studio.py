"""Label Studio: tasks and labelling config of a sheet, and what its JSON export says.

Formats: https://labelstud.io/guide/tasks (tasks), https://labelstud.io/tags (config) and
https://labelstud.io/guide/export#Label-Studio-JSON-format-of-annotated-tasks (export).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import quoteattr

import jinja2

from biomedica_ray.labelling.html_sheet import Sheet, ShownCluster
from biomedica_ray.labelling.mosaic import mosaic
from biomedica_ray.labelling.taxonomy import Taxonomy

_PANEL = " / "
"""Between panel type and subtype in a choice: one choice says both, so that they always go together."""

_CAPTIONS = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
    """{% if cluster.size > 1 %}<p><b>Cluster {{ cluster.cluster }}</b>, {{ cluster.size }} figures</p>{% endif %}
{% if cluster.earlier %}<p style="white-space:pre-line">{{ cluster.earlier }}</p>{% endif %}
<ol>{% for member in cluster.members %}<li>{{ member.caption }}</li>{% endfor %}</ol>"""
)


def config(taxonomy: Taxonomy) -> str:
    """The labelling config, XML: the sheet of a cluster, its panels, its concepts, a note, and the captions.

    The pictures are joined into one, as Label Studio strips embedded pictures from HTML: it keeps only links.
    """
    panels = [f"{type_}{_PANEL}{subtype}" for type_, subtypes in taxonomy.panels.items() for subtype in subtypes]
    return "\n".join(
        [
            "<View>",
            '  <Image name="sheet" value="$image" zoom="true" zoomControl="true"/>',
            '  <Header value="Panels"/>',
            '  <Choices name="panels" toName="sheet" choice="single-radio">',
            *(f"    <Choice value={quoteattr(panel)}/>" for panel in panels),
            "  </Choices>",
            '  <Header value="Concepts"/>',
            '  <Taxonomy name="concepts" toName="sheet" placeholder="All concepts that are shown">',
            *_choices(taxonomy),
            "  </Taxonomy>",
            '  <TextArea name="note" toName="sheet" placeholder="Note" maxSubmissions="1"/>',
            '  <HyperText name="captions" value="$captions"/>',
            "</View>",
            "",
        ]
    )


def _choices(taxonomy: Taxonomy) -> Iterator[str]:
    for global_, locals_ in taxonomy.concepts.items():
        yield f"    <Choice value={quoteattr(global_)}>"
        yield from (f"      <Choice value={quoteattr(local)}/>" for local in locals_)
        yield "    </Choice>"


def tasks(sheet: Sheet) -> list[dict[str, Any]]:
    """One task for each cluster of the sheet, including its pictures and proposals."""
    return [
        {"data": _data(sheet, cluster), "predictions": _predictions(sheet.proposer, cluster)}
        for cluster in sheet.clusters
    ]


def _predictions(proposer: str, cluster: ShownCluster) -> list[dict[str, Any]]:
    """The first proposal; Label Studio shows it, and it becomes an annotation only when somebody submits it.

    Format: https://labelstud.io/guide/predictions
    """
    return [
        {
            "model_version": proposer,
            "score": proposal.score,
            "result": [
                {
                    "from_name": "concepts",
                    "to_name": "sheet",
                    "type": "taxonomy",
                    "value": {"taxonomy": [[proposal.concept]]},
                }
            ],
        }
        for proposal in cluster.proposals[:1]
    ]


def _data(sheet: Sheet, cluster: ShownCluster) -> dict[str, Any]:
    return {
        "image": mosaic(cluster.members),
        "captions": _CAPTIONS.render(cluster=cluster),
        "cluster": cluster.cluster,
        "exemplars": list(cluster.exemplars),
        "random": cluster.random,
        "clustering": sheet.clustering,
        "round": sheet.round,
        "taxonomy": sheet.taxonomy.version,
    }


def read_export(document: list[Any]) -> tuple[str, list[dict[str, Any]]]:
    """The taxonomy's version and the rows of answers in a JSON export; cancelled annotations are ignored.

    Raises:
        ValueError: It is not an export of tasks that :func:`tasks` made, or of several taxonomies.
    """
    try:
        versions = {task["data"]["taxonomy"] for task in document}
        rows = [
            _row(task["data"], annotation)
            for task in document
            for annotation in task["annotations"]
            if not annotation.get("was_cancelled")
        ]
    except (TypeError, KeyError, IndexError, AttributeError) as error:
        raise ValueError(f"not a JSON export of Label Studio: {error!r}") from None
    if len(versions) != 1:
        raise ValueError(f"expected tasks of one taxonomy, got {len(versions)}")
    return versions.pop(), rows


def _row(data: dict[str, Any], annotation: dict[str, Any]) -> dict[str, Any]:
    said = {result["from_name"]: result["value"] for result in annotation["result"]}
    panel_type, _, panel_subtype = said["panels"]["choices"][0].partition(_PANEL) if "panels" in said else (None,) * 3
    paths = said["concepts"]["taxonomy"] if "concepts" in said else []
    return {
        "annotator": _annotator(annotation["completed_by"]),
        **{key: data[key] for key in ("clustering", "cluster", "exemplars", "round")},
        "random": data.get("random", False),
        "answered": annotation.get("updated_at") or annotation["created_at"],
        "panel_type": panel_type,
        "panel_subtype": panel_subtype,
        "primary": list(dict.fromkeys(path[0] for path in paths)),
        "secondary": list(dict.fromkeys(path[1] for path in paths if len(path) > 1)),
        "note": "\n".join(said["note"]["text"]) if "note" in said else "",
    }


def _annotator(completed_by: Any) -> str:
    """Label Studio names annotators by id, or by a record with their address, depending on its edition."""
    if isinstance(completed_by, dict):
        return str(completed_by.get("email") or completed_by["id"])
    return str(completed_by)
