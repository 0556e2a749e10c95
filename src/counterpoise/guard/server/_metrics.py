"""Numbers for Prometheus. Labels are endpoints, policies and guards of the configuration, nothing of a client."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class Metrics:
    """Counters of one server; a registry of its own, so that two servers of a process do not mix."""

    def __init__(self) -> None:
        own = self.registry = CollectorRegistry()
        name = "counterpoise_guard"
        self.requests = Counter(f"{name}_requests", "Requests answered", ["endpoint", "status"], registry=own)
        self.seconds = Histogram(
            f"{name}_request_seconds", "Time of an answer", ["endpoint"], buckets=SECONDS, registry=own
        )
        self.decisions = Counter(f"{name}_decisions", "Decisions", ["policy", "verdict"], registry=own)
        self.images = Counter(f"{name}_images", "Images of requests", ["checked"], registry=own)
        self.failures = Counter(f"{name}_failures", "Guards without a verdict", ["guard", "code"], registry=own)
        self.degraded = Counter(f"{name}_degraded", "Requests that passed unchecked: failing open", registry=own)
        self.cached = Counter(f"{name}_cached", "Verdicts taken from the cache", ["guard"], registry=own)
        self.batch = Histogram(
            f"{name}_batch", "Exchanges looked at together", ["guard"], buckets=(1, 2, 4, 8, 16, 32, 64), registry=own
        )
        self.waiting = Gauge(f"{name}_waiting", "Exchanges that wait for a guard", ["guard"], registry=own)

    def page(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)
