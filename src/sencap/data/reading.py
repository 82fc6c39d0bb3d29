"""The images of a data set's pairs, for whatever learns from them."""

from __future__ import annotations

import logging

from sencap.data.levir_cc import CaptionedPair
from sencap.images import read_pair
from sencap.images.notes import Notes
from sencap.structures import ImagePair

log = logging.getLogger("sencap")
_told = Notes()  # by this process: pairs are read again in each epoch


def read_images(pair: CaptionedPair, size: int) -> ImagePair:
    """Both images at the model's size. What has to be known of how they were read
    stands in the log, each kind of note once.

    Raises:
        ImageError: as `sencap.images.read_pair`.
    """
    found = read_pair(pair.before, pair.after, pair.name, size=size)
    for note in _told.add(pair.name, found.notes):
        log.warning(f"warning: {pair.name}, and perhaps other pairs: {note}")
    return found
