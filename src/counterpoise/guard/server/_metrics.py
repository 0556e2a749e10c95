"""Prometheus metrics of one server, in a registry of its own."""

from collections.abc import Callable
from typing import Any

from counterpoise.base import require

from ._decision import Decision


class Metrics:
    """Counters and histograms; `render()` is what /metrics answers. Labels never hold content."""

    def __init__(self) -> None:
        prometheus: Any = require(
            "prometheus_client", purpose="metrics of the guard server", install="counterpoise[serve]"
        )
        self._render: Callable[[Any], bytes] = prometheus.generate_latest
        self.registry = prometheus.CollectorRegistry()
        own: dict[str, Any] = {"registry": self.registry, "namespace": "counterpoise_guard"}
        self.requests = prometheus.Counter("requests", "HTTP requests", ["path", "status"], **own)
        self.decisions = prometheus.Counter("decisions", "Decisions", ["policy", "verdict", "dry_run"], **own)
        self.cached = prometheus.Counter("cache_hits", "Decisions from the cache", **own)
        self.degraded = prometheus.Counter("degraded", "Requests let through without a verdict (fail open)", **own)
        self.failures = prometheus.Counter("failures", "Guards that failed or were late", ["kind"], **own)
        self.uninspected = prometheus.Counter("uninspected", "Requests with a part that no guard saw", **own)
        steps = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
        self.latency = prometheus.Histogram("decision_seconds", "Seconds to a decision", buckets=steps, **own)
        self.batches = prometheus.Histogram(
            "batch_rows", "Exchanges looked at together", ["guard"], buckets=(1, 2, 4, 8, 16, 32, 64), **own
        )
        self.seconds = prometheus.Counter("guard_seconds", "Seconds of computing", ["guard"], **own)

    def decision(self, found: Decision) -> None:
        self.decisions.labels(found.policy, found.verdict, str(found.dry_run).lower()).inc()
        self.latency.observe(found.latency_ms / 1000)
        self.cached.inc(int(found.cached))
        self.degraded.inc(int(found.degraded))
        self.uninspected.inc(int(not found.coverage.complete and not found.degraded))

    def failure(self, *, late: bool) -> None:
        self.failures.labels("late" if late else "error").inc()

    def batch(self, guard: str, rows: int, seconds: float) -> None:
        self.batches.labels(guard).observe(rows)
        self.seconds.labels(guard).inc(seconds)

    def render(self) -> bytes:
        """The text format of Prometheus."""
        return self._render(self.registry)
