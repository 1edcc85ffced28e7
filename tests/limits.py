"""A disk or a memory that is full."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest


@contextmanager
def no_file_above(length: int) -> Iterator[None]:
    """No file of this process gets longer than so many bytes: what is written then fails."""
    with _limited("RLIMIT_FSIZE", length):
        yield


@contextmanager
def no_more_memory_than(more: int) -> Iterator[None]:
    """This process can have so many bytes of addresses more than it has."""
    with _limited("RLIMIT_AS", psutil.Process().memory_info().vms + more):
        yield


@contextmanager
def _limited(name: str, value: int) -> Iterator[None]:
    resource = pytest.importorskip("resource", reason="this system has no such limit")
    kind = getattr(resource, name)
    before = resource.getrlimit(kind)
    resource.setrlimit(kind, (value, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(kind, before)
