"""Windows of scenes in a list: the captions of `caption --windows`, row by row."""

from __future__ import annotations

import numpy as np
import pytest

from sencap.captioning import caption_windows
from sencap.demonstration import EXAMPLES
from sencap.images import find_pairs, read_pair
from sencap.images.lists import ListedPair
from sencap.images.windows import Window, windows_of
from sencap.listed import caption_list
from sencap.predictor import Predictor, load
from tiny_rasters import Write, write

__all__ = ["write"]  # a fixture
SIDE = 128


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return load()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_windows_are_captioned_as_those_of_one_pair(
    dtype: str, write: Write, predictor: Predictor
) -> None:
    """Two scenes in turns, so that each is opened again; one scale for all windows."""
    scenes = []
    for number, (before, after, _) in enumerate(find_pairs(EXAMPLES)[3:5]):
        both = read_pair(before, after).images.astype(dtype)
        if dtype == "uint16":
            both = both * 7 + 300 * (number + 1)
        first, second = (write(f"{number}{date}.tif", both[date]) for date in (0, 1))
        scenes.append((first, second))
    pairs: list[ListedPair] = []
    for window in windows_of(256, 256, SIDE):
        for number, (one, other) in enumerate(scenes):
            key = f"{number}-{window}"
            pairs.append(ListedPair(len(pairs), key, one, other, window))
    rows = list(caption_list(predictor, pairs, batch_size=1))
    assert not any(row["error"] for row in rows)
    told = 0
    for number, files in enumerate(scenes):
        report = caption_windows(predictor, *files, side=SIDE, batch_size=1)
        found = [row for row in rows[number::2] if row["changed"]]
        assert len(found) == len(report.changed)
        told += len(found)
        for row, captioned in zip(found, report.changed, strict=True):
            place = tuple(row[name] for name in ("row", "column", "height", "width"))
            assert place == captioned.window
            assert row["caption"] == captioned.caption.text
            assert row["change_probability"] == captioned.caption.change_probability
    assert told


def test_a_window_that_cannot_be_has_a_row_with_its_reason(
    write: Write, predictor: Predictor
) -> None:
    values = np.full((3, 200, 200), 90, np.uint8)
    values[:, :60] = 0
    values[:, 100:, 50:90] = 180
    files = write("b.tif", values, nodata=0), write("a.tif", values[:, ::-1], nodata=0)
    windows = [Window(0, 0, 64, 64), Window(150, 0, 64, 64), Window(80, 60, 50, 64)]
    gone = files[0].with_name("gone.tif")
    pairs = [
        ListedPair(number, str(number), *files, window)
        for number, window in enumerate(windows)
    ]
    pairs.insert(1, ListedPair(9, "gone", files[0], gone, windows[2]))
    rows = list(caption_list(predictor, pairs))
    expected = [
        "too little of the window rows 0–63, columns 0–63 holds data at both dates",
        "gone.tif",
        "lies outside of the 200 rows and 200 columns that both dates show",
        None,
    ]
    for row, told in zip(rows, expected, strict=True):
        assert (row["error"] is None) == (told is None)
        assert (row["caption"] is None) == (told is not None)
        assert told is None or told in row["error"]
    assert rows[3]["read"]["pixels"] == [64, 50]
