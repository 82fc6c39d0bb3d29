"""A scene of two drawn rasters."""

from __future__ import annotations

import pytest

from scenes_drawn import Pair, Watcher, changed, ground
from sencap.scenes import settings
from tiny_rasters import Write, write

__all__ = ["write"]  # a fixture


@pytest.fixture
def watcher(monkeypatch: pytest.MonkeyPatch) -> Watcher:
    """Takes the place of the captioner."""
    one = Watcher()
    monkeypatch.setattr(settings, "load", lambda *_, **__: one)
    return one


@pytest.fixture
def rasters(write: Write) -> Pair:
    """Before and after: half-metre pixels in UTM zone 14, 600 × 700 of them."""
    values = ground()
    tiled = {"tiled": True, "blockxsize": 128, "blockysize": 128}
    return write("before.tif", values, **tiled), write(
        "after.tif", changed(values), **tiled
    )
