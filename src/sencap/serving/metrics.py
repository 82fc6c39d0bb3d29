"""Figures for Prometheus: how many requests, how long, how full batches are."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.process_collector import ProcessCollector

# Upper ends of the histogram's bins; 30 is the usual time limit of a request.
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The figures of one server."""

    def __init__(self) -> None:
        # Its own: the library's common registry refuses a second server in one process.
        self._all = CollectorRegistry()
        ProcessCollector(registry=self._all)
        self._requests = Counter(
            "sencap_requests",
            "Requests, by route and status; 499: the client went away.",
            ("route", "status"),
            registry=self._all,
        )
        self._seconds = Histogram(
            "sencap_request_seconds",
            "Time from a request's head to its answer's end.",
            ("route",),
            buckets=_SECONDS,
            registry=self._all,
        )
        self.batches = Histogram(
            "sencap_batch_pairs",
            "Pairs captioned at once.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=self._all,
        )
        self.waiting = Gauge(
            "sencap_requests_waiting",
            "Requests at work or waiting.",
            registry=self._all,
        )
        self.jobs = Gauge("sencap_jobs", "Scans that wait or run.", registry=self._all)

    def seen(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self._all)
