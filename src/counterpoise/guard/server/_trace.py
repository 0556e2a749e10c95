"""OpenTelemetry spans where its package is installed; nothing otherwise. Attributes hold no content."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


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
