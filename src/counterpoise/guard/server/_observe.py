"""What operators see of the server: log lines, numbers for Prometheus, spans. None holds what somebody wrote."""

import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ._decision import ORDER, Decision

FIELDS = (
    "request_id", "path", "status", "ms", "policy", "verdict", "input", "output", "blocked", "degraded", "p_unsafe",
    "guard", "checks", "error", "fail_open",
)  # fmt: skip


Decisions = Mapping[str, Sequence[Decision]]
"""By side of the request: `input` and `output` in the proxy, otherwise one without a name."""


def verdict_line(decisions: Decisions) -> dict[str, Any]:
    """What a log line says of decisions: policies, verdicts, the largest p_unsafe, and which guards gave reasons."""
    every = [each for own in decisions.values() for each in own]
    if not every:
        return {}
    scores = [each.p_unsafe for each in every if each.p_unsafe is not None]
    guards = sorted({reason.guard for each in every for reason in each.reasons if reason.guard})
    return {
        "policy": "+".join(sorted({each.policy for each in every})),
        "verdict": "+".join(sorted({each.verdict for each in every})),
        "blocked": any(each.blocked for each in every),
        "degraded": any(each.degraded for each in every),
        "p_unsafe": round(max(scores), 4) if scores else None,
        "guard": "+".join(guards) or None,
        "checks": len(every),
    } | {side: max((each.verdict for each in own), key=ORDER.index) for side, own in decisions.items() if side and own}


class Lines(logging.Formatter):
    """What is known of a record, as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)),
            "level": record.levelname.lower(),
        }
        line["event"] = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
        line |= {name: value for name in FIELDS if (value := getattr(record, name, None)) is not None}
        return json.dumps(line)


def configure(level: int = logging.INFO) -> None:
    """Send the server's own log to the standard error; other loggers keep what they have."""
    log = logging.getLogger("counterpoise.guard")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    log.handlers[:] = [handler]
    log.setLevel(level)
    log.propagate = False


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


@contextmanager
def span(name: str, **attributes: Any) -> Iterator[Any]:
    """A span named `name` around a block; exporters are configured by the usual OTEL_* variables."""
    try:
        from opentelemetry import trace
    except ImportError:
        yield None
        return
    with trace.get_tracer("counterpoise.guard").start_as_current_span(name, attributes=attributes) as current:
        yield current


def note(current: Any, **attributes: Any) -> None:
    """Add attributes to a span, if there is one."""
    if current is not None:
        current.set_attributes(attributes)
