"""What every kind of image shares: bounds of its sides, and the turn that EXIF asks for."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from sencap.errors import ImageError

MIN_SIDE = 32
MAX_PIXELS = 64_000_000
ORIENTATION = 0x0112  # EXIF's tag


def check_sides(width: int, height: int) -> None:
    """Refuse an image that is too small or too large.

    Raises:
        ImageError: it is; the message does not name the file.
    """
    if min(width, height) < MIN_SIDE:
        raise ImageError(
            f"it is {width}×{height} pixels, but each side must have at least {MIN_SIDE}"
        )
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"it is {width}×{height} pixels, above {MAX_PIXELS:,}: cut it into tiles first"
        )


def turn(image: NDArray[Any], orientation: int) -> NDArray[Any]:
    """An image (3, H, W) as EXIF's orientation 1–8 wants it seen; other values are ignored."""
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(1, 2)
    rows, columns = (-1 if orientation in turned else 1 for turned in ((3, 4, 7, 8), (2, 3, 6, 7)))
    return image[:, ::rows, ::columns]
