"""Pixels without data, at either date: filled so that they cannot look like a
change."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sencap.rasters import Mask

Band = NDArray[np.uint8]  # (H, W)


def fill_alike(
    before: Band, after: Band, valid_before: Mask | None, valid_after: Mask | None
) -> tuple[Band, Band]:
    """One band of two images of one place, equal wherever one of them holds no data.

    There both show what the other date shows; where neither holds data, the mean of
    what both hold. (Of black, of the mean colour and of the other date, the last
    changed the fewest verdicts.) A mask that is None stands for data everywhere.
    """
    if valid_before is None and valid_after is None:
        return before, after
    everywhere = np.ones(before.shape, np.bool_)
    one = everywhere if valid_before is None else valid_before
    other = everywhere if valid_after is None else valid_after
    both = one & other
    known = int(np.count_nonzero(both))
    total = int(before[both].sum(dtype=np.int64)) + int(after[both].sum(dtype=np.int64))
    colour = np.uint8(round(total / (2 * known)) if known else 0)
    # Where only one date holds data it is the one shown; where none does, the mean
    # colour.
    shown = np.where(one, before, np.where(other, after, colour))
    return np.where(both, before, shown), np.where(both, after, shown)
