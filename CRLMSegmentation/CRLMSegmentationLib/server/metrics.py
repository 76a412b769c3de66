"""What the server counts and measures, in the form of Prometheus. No label names a client."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Counters and gauges of one server.

    Args:
        waiting, running, ready, bytes_in_flight: read when the metrics are asked for.
    """

    def __init__(
        self,
        waiting: Callable[[], float],
        running: Callable[[], float],
        ready: Callable[[], float],
        bytes_in_flight: Callable[[], float],
    ) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "crlm_requests", "Requests to segment, by how they ended", ["outcome"], registry=registry
        )
        self.refused = Counter("crlm_refused", "Requests refused before they ran", ["code"], registry=registry)
        self.lost = Counter("crlm_workers_lost", "Worker processes that ended unexpectedly", registry=registry)
        self.queue_s = Histogram("crlm_queue_seconds", "Waiting for a worker", buckets=SECONDS, registry=registry)
        self.server_s = Histogram(
            "crlm_server_seconds", "From the whole request to its answer", buckets=SECONDS, registry=registry
        )
        self.received = Counter("crlm_received_bytes", "Bodies of requests", registry=registry)
        self.sent = Counter("crlm_sent_bytes", "Answers", registry=registry)
        for name, about, read in (
            ("crlm_requests_waiting", "Requests that wait for a worker", waiting),
            ("crlm_requests_running", "Requests that a worker computes", running),
            ("crlm_workers_ready", "Worker processes that can compute", ready),
            ("crlm_request_bytes_in_flight", "Bodies of requests in memory", bytes_in_flight),
        ):
            Gauge(name, about, registry=registry).set_function(read)

    def text(self) -> bytes:
        """Return all of them in the text form of Prometheus."""
        return generate_latest(self._registry)
