"""Prometheus metrics, on Jupyter's own /metrics: counts, times and sizes; no text, no path, no user.

Named by https://prometheus.io/docs/practices/naming/. A process has one registry, and one server.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import Counter, Gauge, Histogram

# Seconds: from a key on a GPU to the time limit of a request.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

REQUESTS = Counter(
    "santajupyter_requests",
    "Requests by what was asked for and how they ended: ok, cancelled, or the reason that the answer gives.",
    ["operation", "outcome"],
)
REQUEST_SECONDS = Histogram(
    "santajupyter_request_seconds", "Time of requests that ended well.", ["operation"], buckets=BUCKETS
)
STAGE_SECONDS = Histogram(
    "santajupyter_stage_seconds",
    "Time of a completion's stages: its prompt is made, it waits for its turn, the prompt is read, the text "
    "is generated.",
    ["stage"],
    buckets=BUCKETS,
)
PROMPT_TOKENS = Counter("santajupyter_prompt_tokens", "Tokens of prompts.")
CACHED_TOKENS = Counter("santajupyter_cached_prompt_tokens", "Those of them that the prompt cache had.")
COMPLETION_TOKENS = Counter("santajupyter_completion_tokens", "Tokens generated.")
RESTARTS = Counter("santajupyter_engine_restarts", "Times that a model's process died and is begun again.")
SUGGESTIONS = Counter(
    "santajupyter_suggestions", "What pages tell of suggestions, with SantaApp.emit_events.", ["action"]
)
IN_PROGRESS = Gauge("santajupyter_requests_in_progress", "Requests in work or waiting for the model.")
ENGINE_READY = Gauge("santajupyter_engine_ready", "1 where the configured model answers, else 0.")
ENGINE_MEMORY = Gauge(
    "santajupyter_engine_memory_bytes", "Main memory of the process of the model that answers; 0: none does."
)


def watch(in_progress: Callable[[], float], ready: Callable[[], float], memory: Callable[[], float]) -> None:
    """What is looked at when somebody asks."""
    IN_PROGRESS.set_function(in_progress)
    ENGINE_READY.set_function(ready)
    ENGINE_MEMORY.set_function(memory)
