"""OpenTelemetry's spans of requests and their stages: names, times and counts, no text, no path, no user.

Where opentelemetry-api isn't installed (the extra ``telemetry``), or no SDK is set up, nothing is done.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

try:
    from opentelemetry import trace
except ImportError:
    trace = None  # type: ignore[assignment]


@contextmanager
def span(name: str) -> Iterator[None]:
    """While it lasts. Of an exception nothing is kept: its message may have code in it."""
    if trace is None:
        yield
        return
    tracer = trace.get_tracer("santajupyter")
    named = f"santajupyter {name}"
    with tracer.start_as_current_span(named, record_exception=False, set_status_on_exception=False):
        yield


def tell(**attributes: str | int) -> None:
    """Of the span that lasts now."""
    if trace is not None:
        trace.get_current_span().set_attributes(attributes)


def ended(stages: dict[str, float]) -> None:
    """Stages of the span that lasts now: they have ended just now, one after another; in milliseconds."""
    if trace is None:
        return
    tracer = trace.get_tracer("santajupyter")
    at = time.time_ns() - round(1e6 * sum(stages.values()))
    for name, milliseconds in stages.items():
        begun, at = at, at + round(1e6 * milliseconds)
        tracer.start_span(f"santajupyter {name}", start_time=begun).end(at)
