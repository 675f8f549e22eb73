"""What a run does, as metrics of Ray: on the Prometheus endpoint of each node, beside Ray's own.

Ray puts ``ray_`` before the names, and sends what has changed every few seconds
(https://docs.ray.io/en/latest/ray-observability/user-guides/add-app-metrics.html). Rates are Prometheus's to calculate.
"""

from __future__ import annotations

from ray.util.metrics import Counter, Gauge

from biomedica_ray.units import Counts

_RUN = ("stage", "run_id")


class RunMetrics:
    """The metrics of a run.

    - ``biomedica_rows_total``: rows that came out, by ``entity`` (articles, figures, samples)
    - ``biomedica_errors_total``: rows that did not, by ``entity``
    - ``biomedica_pieces``: pieces of work by ``what`` they are (units, steps), and by ``state``: done, left

    Args:
        stage: The run's stage.
        run_id: The run.
    """

    def __init__(self, stage: str, run_id: str) -> None:
        run = {"stage": stage, "run_id": run_id}
        self._rows = Counter("biomedica_rows_total", "rows that came out", (*_RUN, "entity"))
        self._errors = Counter("biomedica_errors_total", "rows that did not, for an error", (*_RUN, "entity"))
        self._pieces = Gauge("biomedica_pieces", "pieces of work", (*_RUN, "what", "state"))
        for metric in (self._rows, self._errors, self._pieces):
            metric.set_default_tags(run)

    def add(self, counts: Counts) -> None:
        """Count what became of some rows."""
        for entity, flow in counts.items():
            for metric, number in ((self._rows, flow.rows_out), (self._errors, flow.errors)):
                if number:
                    metric.inc(number, {"entity": entity})

    def pieces(self, what: str, done: int, total: int | None) -> None:
        """Tell how far the work is."""
        self._pieces.set(done, {"what": what, "state": "done"})
        if total is not None:
            self._pieces.set(total - done, {"what": what, "state": "left"})
