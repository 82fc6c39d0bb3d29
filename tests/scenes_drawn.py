"""What the tests of scenes draw, and a captioner that sees what differs and takes no
time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sencap.structures import Caption, ImagePair


class Watcher:
    """Tells a change where the two dates differ in more than one pixel of a hundred."""

    size = 32

    def __init__(self) -> None:
        self.batches = 0
        self.stop_after: int | None = None

    def caption_pairs(self, pairs: Sequence[ImagePair]) -> list[Caption]:
        """As `sencap.Predictor`."""
        if self.batches == self.stop_after:
            raise KeyboardInterrupt
        self.batches += 1
        return [self._caption(pair.images.astype(np.int64)) for pair in pairs]

    def _caption(self, images: NDArray[np.int64]) -> Caption:
        share = float((np.abs(images[1] - images[0]).max(axis=0) > 20).mean())
        text = (
            "a building is built" if share > 0.01 else "the scene is the same as before"
        )
        other = Caption("a road is built", -2.0, changed=True)
        return Caption(
            text,
            -share,
            share > 0.01,
            alternatives=(other,),
            change_probability=min(1.0, share * 9),
        )


def ground(height: int = 600, width: int = 700) -> NDArray[np.uint8]:
    """Smooth ground, (3, H, W), which survives resampling."""
    rows, columns = np.mgrid[:height, :width]
    bands = [
        90 + 40 * np.sin(rows / 40),
        100 + 40 * np.cos(columns / 50),
        80 + rows * 0 + 10,
    ]
    return np.stack(bands).astype(np.uint8)


CHANGES = ((40, 60, 60, 60), (420, 500, 80, 80))  # row, column, height, width


def changed(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same ground with two bright buildings."""
    after = values.copy()
    for row, column, height, width in CHANGES:
        after[:, row : row + height, column : column + width] = 250
    return after


Pair = tuple[Path, Path]
