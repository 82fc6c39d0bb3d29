"""Servers that the tests ask."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from serving_tools import Serve, serving


@pytest.fixture(scope="package")
def client() -> Iterator[TestClient]:
    """A server with usual settings."""
    with serving() as client:
        yield client


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server with settings of one's own."""
    with contextlib.ExitStack() as stack:
        yield lambda **settings: stack.enter_context(serving(**settings))
