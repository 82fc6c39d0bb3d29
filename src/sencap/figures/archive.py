"""The page of an archive: how the probability of change is spread, and the pairs to
look at first."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sencap.figures.pages import render

_QUALITY = 80  # of a JPEG thumbnail
# The tallest bar of the histogram, in units of the drawing (its width is 100)
_HIGHEST = 30


@dataclass(frozen=True)
class ShownRow:
    """A pair on the page: its id, where it comes from, its caption, the probability of
    change, and both dates (2, 3, H, W) as small images, or why there are none."""

    key: str
    place: str
    caption: str
    changed: bool
    probability: float | None
    images: NDArray[np.uint8] | None
    problem: str = ""

    @property
    def photos(self) -> list[tuple[str, str]]:
        """Date and address of both images."""
        # A row whose images cannot be read stands on the page with its reason.
        if self.images is None:
            return []
        dates = zip(("before", "after"), self.images, strict=True)
        return [(date, _jpeg_uri(image)) for date, image in dates]


@dataclass(frozen=True)
class _Bar:
    """A bar of the histogram, in units of the drawing, and what it counts."""

    left: float
    height: float
    text: str


def archive_page(
    title: str,
    lines: Sequence[str],
    histogram: Sequence[int],
    rule: str,
    rows: Sequence[ShownRow],
) -> str:
    """The page (HTML): it needs no other file.

    ``lines`` say what there is, ``histogram`` counts pairs in equal steps of
    probability from 0 to 1, ``rule`` says how the rows were chosen.
    """
    return render(
        "archive.html",
        title=title,
        lines=lines,
        bars=_bars(histogram),
        step=100 / len(histogram),
        most=f"{max(histogram):,}",
        rule=rule,
        rows=rows,
    )


def _bars(histogram: Sequence[int]) -> list[_Bar]:
    """The bars, as high as the logarithm of their counts: most pairs are often alike,
    and beside them the others would not be seen."""
    heights = np.log1p(np.asarray(histogram, float))
    # The tallest bar fills the drawing; an archive without pairs has no bar to divide
    # by.
    heights *= _HIGHEST / max(heights.max(), 1.0)
    step = 1 / len(histogram)
    bars = []
    for number, (count, height) in enumerate(zip(histogram, heights, strict=True)):
        # The count itself stands in the text, since a logarithm cannot be read off.
        low, high = number * step, (number + 1) * step
        text = f"{low:.2f} to {high:.2f}: {count:,} pairs"
        bars.append(_Bar(100 * low, round(float(height), 2), text))
    return bars


def _jpeg_uri(image: NDArray[np.uint8]) -> str:
    content = io.BytesIO()
    pixels = np.ascontiguousarray(image.transpose(1, 2, 0))
    Image.fromarray(pixels).save(content, format="JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
