"""What a run does, as metrics of Ray: on the Prometheus endpoint of each node, beside Ray's own.

Ray puts ``ray_`` before the names, and sends what has changed every few seconds
(https://docs.ray.io/en/latest/ray-observability/user-guides/add-app-metrics.html). Rates are Prometheus's to calculate.
"""

from __future__ import annotations

from ray.util.metrics import Counter, Gauge

from biomedica_ray.units import Counts
from biomedica_ray.usage import Usage

_RUN = ("stage", "run_id")


class RunMetrics:
    """The metrics of a run.

    - ``biomedica_rows_total``: rows that came out, by ``entity`` (articles, figures, samples)
    - ``biomedica_errors_total``: rows that did not, by ``entity``
    - ``biomedica_pieces``: pieces of work by ``what`` they are (units, steps), and by ``state``: done, left
    - ``biomedica_bytes_total``, ``_requests_total``, ``_retries_total``, ``_seconds_total``, ``_commits_total``,
      ``_units_total``, ``_again_total``: the kinds of :data:`~biomedica_ray.usage.Usage`, by ``what``

    Args:
        stage: The run's stage.
        run_id: The run.
    """

    def __init__(self, stage: str, run_id: str) -> None:
        run = {"stage": stage, "run_id": run_id}
        self._rows = Counter("biomedica_rows_total", "rows that came out", (*_RUN, "entity"))
        self._errors = Counter("biomedica_errors_total", "rows that did not, for an error", (*_RUN, "entity"))
        self._pieces = Gauge("biomedica_pieces", "pieces of work", (*_RUN, "what", "state"))
        self._used = {
            "bytes": Counter("biomedica_bytes_total", "bytes fetched, read and written", (*_RUN, "what")),
            "requests": Counter("biomedica_requests_total", "requests to S3 and to the source", (*_RUN, "what")),
            "retries": Counter("biomedica_retries_total", "requests that were sent again", (*_RUN, "what")),
            "seconds": Counter("biomedica_seconds_total", "seconds of processors and of waiting", (*_RUN, "what")),
            "commits": Counter("biomedica_commits_total", "units written", (*_RUN, "what")),
            "units": Counter("biomedica_units_total", "units done", (*_RUN, "what")),
            "again": Counter(
                "biomedica_again_total", "units given to a worker again, as the first was lost", (*_RUN, "what")
            ),
        }
        for metric in (self._rows, self._errors, self._pieces, *self._used.values()):
            metric.set_default_tags(run)

    def add(self, counts: Counts) -> None:
        """Count what became of some rows."""
        for entity, flow in counts.items():
            for metric, number in ((self._rows, flow.rows_out), (self._errors, flow.errors)):
                if number:
                    metric.inc(number, {"entity": entity})

    def use(self, usage: Usage) -> None:
        """Count what has been taken."""
        for kind, numbers in usage.items():
            for what, number in numbers.items():
                if number:
                    self._used[kind].inc(number, {"what": what})

    def pieces(self, what: str, done: int, total: int | None) -> None:
        """Tell how far the work is."""
        self._pieces.set(done, {"what": what, "state": "done"})
        if total is not None:
            self._pieces.set(total - done, {"what": what, "state": "left"})
