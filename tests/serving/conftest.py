"""Servers that the tests ask."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest
import uvicorn
from starlette.testclient import TestClient

from sencap.serving.app import create_app
from sencap.serving.settings import ServerSettings
from serving_tools import Serve, Start, serving


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


@pytest.fixture(scope="package")
def address() -> Iterator[str]:
    """Where a server with usual settings listens, which runs in a thread."""
    server = uvicorn.Server(
        uvicorn.Config(create_app(ServerSettings()), port=0, log_level="warning")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        threading.Event().wait(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/"
    server.should_exit = True
    thread.join()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a server whose temporary folder is ``tmp_path``; returns its process and
    address."""
    with contextlib.ExitStack() as stack:

        def started(*flags: str) -> tuple[subprocess.Popen[str], str]:
            command = [sys.executable, "-m", "sencap", "serve", "--port", "0", *flags]
            process = stack.enter_context(
                subprocess.Popen(
                    command,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    env={**os.environ, "TMPDIR": str(tmp_path)},
                )
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("sencap serves on http://127.0.0.1:")
            address = line.split()[-1]
            assert httpx.get(f"{address}ready", timeout=20).is_success
            return process, address

        yield started
