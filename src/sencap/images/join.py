"""Two dates, read one after the other, as one `ImagePair`: on one scale, alike where
one holds no data, and never more of their pixels in memory than needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sencap.errors import ImageError
from sencap.images.holes import fill_alike
from sencap.images.levels import Scale, check_seen, common_scale, count_levels
from sencap.images.options import Read, Reading
from sencap.images.scale import resample_band, resize
from sencap.rasters import both, share_lost
from sencap.structures import ImagePair

# Bytes of an image that is rather read twice than kept while the other is read
_LARGE = 32 << 20


def put_together(
    read: Callable[[int], Read],
    labels: tuple[str, str],
    name: str,
    size: int | None,
    reading: Reading,
    *,
    may_read_twice: bool,
) -> ImagePair:
    """Read both dates, bring them to one scale, and make what has no data alike at
    both."""
    # The first date is reduced or let go before the second is read, where the file can
    # be read again.
    given = reading.given_scale()
    one = _Date(labels[0], lambda: read(0), size, given, may_read_twice=may_read_twice)
    other = _Date(labels[1], lambda: read(1), size, given)
    _check_sizes(one, other)
    masks = one.valid, other.valid
    # The share without data of before, of after, and of the pair, in which a pixel
    # counts as lost if either date lacks it.
    lost = [share_lost(mask) for mask in (*masks, both(*masks))]
    _check_data(lost, labels, reading)
    # One scale from the levels of both: with one for each, ground that did not change
    # would get other colours.
    scale = given or common_scale((one.counts, other.counts), labels)
    if scale is not None:
        for date in (one, other):
            date.check_seen(scale)
    if lost[2] > 0:
        sides = one.shape[1:] if size is None else (size, size)
        images = np.empty((2, 3, *sides), np.uint8)
        for number in range(3):
            filled = fill_alike(
                one.band(number, scale), other.band(number, scale), *masks
            )
            for place, band in enumerate(filled):
                images[place, number] = resample_band(band, *sides)
    else:
        # The second date first: its pixels are let go then, before the first is perhaps
        # read again.
        after = other.reduced(scale)
        images = np.stack([one.reduced(scale), after])
    notes = [*one.notes, *other.notes]
    if lost[2] > 0:
        notes.append(
            f"{lost[2]:.1%} of the pair holds no data (before {lost[0]:.1%}, after "
            f"{lost[1]:.1%}): both dates show the same there"
        )
    details = {
        "pixels": [one.shape[2], one.shape[1]],
        "scale": None if scale is None else scale.details(),
        "no_data": [round(share, 4) for share in lost],
    }
    return ImagePair(images, name, tuple(notes), details)


class _Date:
    """One date of a pair while the other is read: what is known of it, and no more of
    its pixels than needed.

    8 bits are reduced at once; but where the other date decides what becomes of the
    pixels, they are kept, or read again if they are many.
    """

    def __init__(
        self,
        label: str,
        read: Callable[[], Read],
        size: int | None,
        given: Scale | None,
        *,
        may_read_twice: bool = False,
    ) -> None:
        image, self.valid, self.notes = read()
        self.label, self.shape, self.dtype = label, image.shape, image.dtype
        # More bits are refused then (`check_seen`), but a picture of 8 may be a drawing.
        if image.dtype == np.uint8 and _is_plain(image):
            self.notes += (f"{label} is one colour all over: it holds no picture",)
        self._read, self._size, self._is_scaled = read, size, given is not None
        self.counts: NDArray[np.int64] | None = None
        # How often each level occurs is all that the common scale needs, and takes half
        # a MB whatever the size of the image.
        if self._is_scaled or self.dtype != np.uint8:
            self.counts = count_levels(image)
        self._reduced: NDArray[np.uint8] | None = None
        self._kept: NDArray[Any] | None = image
        # 8 bits without holes are final and reduced at once; the full image is kept
        # only for the case that the other date has holes and it cannot be read again.
        if self.dtype == np.uint8 and self.valid is None:
            self._reduced = _reduced(image, size)
            self._kept = None if may_read_twice else image
        elif may_read_twice and image.nbytes > _LARGE:
            self._kept = None

    def check_seen(self, scale: Scale) -> None:
        """Refuse what shows nothing by the scale."""
        if self.counts is not None:
            check_seen(self.counts, scale, self.label, is_scaled=self._is_scaled)

    def reduced(self, scale: Scale | None) -> NDArray[np.uint8]:
        """The 8-bit image at the wanted size; the date keeps no pixels then."""
        image, self._kept = self._kept, None
        if self._reduced is not None:
            return self._reduced
        if image is None:
            image = self._read().image
        height, width = (
            self.shape[1:] if self._size is None else (self._size, self._size)
        )
        result = np.empty((3, height, width), np.uint8)
        # One band at a time: a whole image would be a copy more.
        for number, band in enumerate(image):
            result[number] = resample_band(self._to_uint8(band, scale), height, width)
        return result

    def band(self, number: int, scale: Scale | None) -> NDArray[np.uint8]:
        """One band of 8 bits at its own size."""
        if self._kept is None:
            self._kept = self._read().image
        return self._to_uint8(self._kept[number], scale)

    def _to_uint8(self, levels: NDArray[Any], scale: Scale | None) -> NDArray[np.uint8]:
        if levels.dtype == np.uint8 or scale is None:
            return levels
        return scale.to_uint8(levels)


def _is_plain(image: NDArray[Any]) -> bool:
    """Whether an image (3, H, W) is one colour all over."""
    few = image[:, ::7, ::7]  # which tells it of nearly all that are not
    return all(not np.ptp(part, axis=(1, 2)).any() for part in (few, image))


def _reduced(image: NDArray[Any], size: int | None) -> NDArray[np.uint8]:
    return image if size is None else resize(image, size)


def _check_sizes(one: _Date, other: _Date) -> None:
    """Refuse two images of different sizes."""
    if one.shape != other.shape:
        sizes = [
            f"{known.label} is {known.shape[2]}×{known.shape[1]}"
            for known in (one, other)
        ]
        what = f"the two images differ in size: {', '.join(sizes)} pixels"
        raise ImageError(f"{what}. Cut or resample them to the same ground.")


def _check_data(lost: list[float], labels: tuple[str, str], reading: Reading) -> None:
    """Refuse a pair of which too little holds data at both dates."""
    if lost[2] > reading.empty or lost[2] == 1:
        raise ImageError(
            f"{lost[2]:.0%} of the pair holds no data ({labels[0]}: {lost[0]:.0%}, "
            f"{labels[1]}: {lost[1]:.0%}), above {reading.empty:.0%}: there is too "
            "little to compare. Give images of more common ground, or another share "
            "by --empty (from Python empty=…)"
        )
