"""What every kind of image shares: bounds of its sides, and the turn that EXIF asks
for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from numpy.typing import NDArray

from sencap.errors import ImageError

MIN_SIDE = 32
MAX_PIXELS = 64_000_000
# A context variable and no argument: a server lowers it for one request, through all
# the functions between, and other threads keep their own.
_most_pixels = ContextVar("most_pixels", default=MAX_PIXELS)
ORIENTATION = 0x0112  # EXIF's tag


class TooLargeError(ImageError):
    """An image of more pixels than are allowed."""


@contextmanager
def most_pixels(number: int) -> Iterator[None]:
    """Refuse images of more pixels than this within the block, by their headers."""
    before = _most_pixels.set(number)
    try:
        yield
    finally:
        _most_pixels.reset(before)


def check_sides(width: int, height: int) -> None:
    """Refuse an image that is too small or too large.

    Raises:
        ImageError: it is (too large: a `TooLargeError`); the message does not name the
            file.
    """
    if min(width, height) < MIN_SIDE:
        raise ImageError(
            f"it is {width}×{height} pixels, but each side must have at least "
            f"{MIN_SIDE}"
        )
    most = _most_pixels.get()
    if width * height > most:
        raise TooLargeError(
            f"it is {width}×{height} pixels, above {most:,}: cut it into tiles first"
        )


def turn(image: NDArray[Any], orientation: int) -> NDArray[Any]:
    """An image (3, H, W) as EXIF's orientation 1–8 wants it seen; other values are
    ignored."""
    # Orientations 5 to 8 are those of a camera held upright: rows and columns change
    # places first, then rows, columns or both are reversed.
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(1, 2)
    rows, columns = (
        -1 if orientation in turned else 1 for turned in ((3, 4, 7, 8), (2, 3, 6, 7))
    )
    return image[:, ::rows, ::columns]
