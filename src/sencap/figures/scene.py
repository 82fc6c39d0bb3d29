"""The page of a scanned scene: both dates to swipe between, its windows over them,
captions."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sencap.figures.pages import VIRIDIS, render

LONGEST_SCENE = 1600  # pixels: the longer side of the scene on the page
_MOST_BYTES = 2_500_000  # of each image; letters for bytes make a third more of them
_MOST_WINDOWS = 5_000  # are drawn: those most probably changed
_MOST_LISTED = 1_000


@dataclass(frozen=True)
class ShownWindow:
    """A window on the page: its place in shares of the scene (0–1), and what is said of
    it."""

    left: float
    top: float
    width: float
    height: float
    caption: str
    changed: bool
    probability: float | None


def scene_page(
    dates: Sequence[NDArray[np.uint8]],
    windows: Sequence[ShownWindow],
    *,
    title: str,
    names: Sequence[str],
    summary: Sequence[str],
) -> str:
    """The page (HTML) of two images (3, H, W) of a scene, before and after, of at most
    `LONGEST_SCENE` pixels a side.

    ``names`` are the two dates as they are called, ``summary`` lines of text. It holds
    all that it needs, and has at most 10 MB, however many windows there are.
    """
    # Browsers grow slow with many thousands of shapes: the most probable changes are
    # drawn, and the page says how many are not.
    ranked = sorted(windows, key=lambda window: -(window.probability or 0.0))
    shown = ranked[:_MOST_WINDOWS]
    listed = [window for window in shown if window.changed][:_MOST_LISTED]
    height, width = dates[0].shape[1:]
    # The list names windows by their number in the drawing, so that pointing at a line
    # finds its square.
    numbered = {id(window): number for number, window in enumerate(shown)}
    return render(
        "scene.html",
        title=title,
        names=names,
        summary=summary,
        addresses=[_jpeg_uri(image) for image in dates],
        width=width,
        height=height,
        colours=[f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in VIRIDIS],
        windows=[_placed(window, width, height) for window in shown],
        listed=[(numbered[id(window)], window) for window in listed],
        left_out=len(windows) - len(shown),
        changed=sum(window.changed for window in windows),
    )


def _placed(window: ShownWindow, width: int, height: int) -> dict[str, object]:
    """A window as the template draws it, in pixels of the images."""
    probability = window.probability or 0.0
    told = "" if window.probability is None else f" ({probability:.0%})"
    return {
        "x": round(window.left * width, 2),
        "y": round(window.top * height, 2),
        "w": round(window.width * width, 2),
        "h": round(window.height * height, 2),
        "colour": min(int(probability * len(VIRIDIS)), len(VIRIDIS) - 1),
        "changed": window.changed,
        "said": window.caption + told,
    }


def _jpeg_uri(image: NDArray[np.uint8]) -> str:
    """An image as a JPEG inside its address, at the best quality that is not too
    large."""
    picture = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
    for quality in (85, 70, 50, 30, 10):
        content = io.BytesIO()
        picture.save(content, format="JPEG", quality=quality)
        if content.tell() <= _MOST_BYTES:
            break
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode()
