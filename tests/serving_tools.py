"""A server of the shipped weights for tests, and pairs to send to it."""

from __future__ import annotations

import contextlib
import io
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="needs the extra serve")

from starlette.testclient import TestClient

from sencap.demonstration import EXAMPLES
from sencap.serving.app import create_app
from sencap.serving.settings import ServerSettings

Files = list[tuple[str, tuple[str, bytes, str]]]
Serve = Callable[..., TestClient]
Start = Callable[..., tuple[subprocess.Popen[str], str]]


def example(name: str) -> tuple[Path, Path]:
    """The files of an example pair."""
    return EXAMPLES / f"{name}_before.png", EXAMPLES / f"{name}_after.png"


HOUSES = example("synthetic-houses")


def png(width: int, height: int) -> bytes:
    """A black image."""
    content = io.BytesIO()
    Image.fromarray(np.zeros((height, width), np.uint8)).save(content, "PNG")
    return content.getvalue()


def files_of(*sources: Path | bytes) -> Files:
    """A form's files: before, after, before, after …"""
    files: Files = []
    for number, source in enumerate(sources):
        field = ("before", "after")[number % 2]
        content = source if isinstance(source, bytes) else source.read_bytes()
        files.append((field, ("image", content, "application/octet-stream")))
    return files


@contextlib.contextmanager
def serving(**settings: Any) -> Iterator[TestClient]:
    """A server with settings of one's own, in this process."""
    with TestClient(create_app(ServerSettings(**settings))) as client:
        yield client
