"""Pixels of a whole raster, of which it is told how the values of any part of it become
8 bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sencap.images.levels import Scale, count_levels, fit_levels
from sencap.rasters import Mask


@dataclass(frozen=True)
class RasterSample:
    """How often each level occurs, what values were multiplied with to become levels,
    and whether these have more than 8 bits."""

    counts: NDArray[np.int64]
    factor: float
    is_deep: bool

    @classmethod
    def of(cls, values: NDArray[Any], valid: Mask | None) -> RasterSample:
        """Of values (3, H, W) and the pixels with data (None: all).

        Raises:
            ImageError: as `sencap.images.levels.fit_levels`.
        """
        levels, _, factor = fit_levels(values, valid)
        return cls(count_levels(levels), factor, levels.dtype != np.uint8)

    def scale_of_values(self, scale: Scale | None) -> Scale:
        """A scale of levels as one of the file's values; a picture of 8 bits in a wider
        type needs none and becomes itself."""
        if not self.is_deep or scale is None:
            return Scale(0, 255 / self.factor, "stored")
        return Scale(scale.low / self.factor, scale.high / self.factor, scale.told_by)
