"""The images of a data set's pairs, for whatever learns from them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from sencap.data.entries import CaptionedPair
from sencap.images import read_pair
from sencap.images.notes import Notes
from sencap.structures import ImagePair

_log = logging.getLogger("sencap")
# Pairs that are in memory at once.
_BATCH = 16
_told = Notes()  # by this process: pairs are read again in each epoch


def read_images(pair: CaptionedPair, size: int) -> ImagePair:
    """Both images at the model's size. What has to be known of how they were read
    stands in the log, each kind of note once.

    Raises:
        ImageError: as `sencap.images.read_pair`.
    """
    found = read_pair(pair.before, pair.after, pair.name, size=size)
    for note in _told.add(pair.name, found.notes):
        _log.warning(f"warning: {pair.name}, and perhaps other pairs: {note}")
    return found


def image_batches(
    pairs: Sequence[CaptionedPair], size: int
) -> Iterator[NDArray[np.uint8]]:
    """The images of pairs, a few at a time and in order: (B, 2, 3, size, size); errors
    as `read_images`."""
    for first in range(0, len(pairs), _BATCH):
        batch = pairs[first : first + _BATCH]
        yield np.stack([read_images(pair, size).images for pair in batch])
