"""The page of a scene: whole in itself, bounded in size, and every text escaped."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from scenes_drawn import Pair, Watcher
from sencap.figures.scene import LONGEST_SCENE, ShownWindow, scene_page
from sencap.scenes import ScanSettings, scan, write_scan


def test_the_page_shows_each_window_and_lists_the_changes(
    rasters: Pair, watcher: Watcher, tmp_path: Path
) -> None:
    page, settings = (
        tmp_path / "scene.html",
        ScanSettings(side=100, dates=("2018-01-01", "2020-01-01")),
    )
    summary, _ = write_scan(*rasters, tmp_path / "a.csv", settings=settings, page=page)
    text = page.read_text(encoding="utf-8")
    rows = list(scan(*rasters, settings=settings))
    assert text.count("<title>") == 1 + len(rows)
    assert text.count("data-window=") == summary.changed
    assert "before, 2018-01-01" in text
    # nothing is fetched from anywhere
    assert not re.search(
        r"(src|href)=\"(?!data:|#)|https?://(?!www\.w3\.org)|@import|url\((?!#)", text
    )


def test_no_scene_makes_the_page_larger_than_10_megabytes() -> None:
    """Noise, which no JPEG makes small, and a million windows with long captions."""
    rng = np.random.default_rng(0)
    dates = rng.integers(0, 256, (2, 3, LONGEST_SCENE, LONGEST_SCENE), np.uint8)
    window = ShownWindow(0.1, 0.1, 0.01, 0.01, "many houses are built " * 10, True, 0.9)
    page = scene_page(
        list(dates), [window] * 50_000, title="a", names=("before", "after"), summary=()
    )
    assert len(page.encode()) < 10_000_000
    assert "45000 windows that changed least probably are not drawn" in page


def test_texts_are_escaped() -> None:
    image = np.zeros((3, 32, 32), np.uint8)
    window = ShownWindow(0, 0, 1, 1, "<script>alert(1)</script>", True, None)
    marked = "<em>{}</em>"
    page = scene_page(
        [image, image],
        [window],
        title=marked.format("title"),
        names=(marked.format("before"), marked.format("after")),
        summary=(marked.format("summary"),),
    )
    assert "<em>" not in page
    assert "<script>alert" not in page
    assert page.count("&lt;em&gt;") == 5
