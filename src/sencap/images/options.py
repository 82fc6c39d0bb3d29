"""What a user may say of how files are read, and what was read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sencap.errors import SettingsError
from sencap.images.levels import Levels, Scale, to_levels
from sencap.json_files import shown
from sencap.rasters import Mask, Wanted, check_bands, choose_bands


@dataclass(frozen=True)
class Reading:
    """How images are read.

    ``bands``: the numbers from 1, or the names, of red, green and blue (or of one
    band); by default they are told by the file. ``scale``: the values that become black
    and white, (LOW, HIGH); by default 8 bits stay as they are, and more are scaled as
    `sencap.images.stretch` says. ``empty``: a pair of which more than this share holds
    no data is refused.

    Raises:
        SettingsError: bands, a scale or a share that cannot be.
    """

    bands: Wanted | None = None
    scale: tuple[float, float] | None = None
    empty: float = 0.5

    def __post_init__(self) -> None:
        check_bands(self.bands)
        # A scale that cannot be is refused now, and not when the first image is read.
        self.given_scale()
        if not 0 <= self.empty <= 1:
            raise SettingsError(
                f"empty={self.empty} is a share of a pair: it must be in 0 … 1"
            )

    @classmethod
    def of_texts(
        cls, bands: str | None, scale: str | None, empty: float = 0.5
    ) -> Reading:
        """From flags: bands and scale are joined by commas.

        >>> Reading.of_texts("4,3,2", "0,3000")
        Reading(bands=(4, 3, 2), scale=(0.0, 3000.0), empty=0.5)
        """
        return cls(
            None if bands is None else bands_of(bands),
            None if scale is None else two_numbers("scale", scale, _EXAMPLES),
            empty,
        )

    def given_scale(self) -> Scale | None:
        """The scale that the user named."""
        if self.scale is None:
            return None
        if len(self.scale) != 2:
            raise SettingsError(
                f"scale={self.scale}: two numbers LOW,HIGH with LOW below HIGH"
            )
        low, high = self.scale
        return Scale(float(low), float(high))


USUAL = Reading()
_EXAMPLES = "--scale 0,3000 or --scale=-25,0"


def bands_of(text: str) -> tuple[int | str, ...]:
    """Numbers or names of bands, joined by commas.

    Raises:
        SettingsError: a number of very many digits.
    """
    words = [word.strip() for word in text.split(",")]
    # Python refuses to turn thousands of digits into a number, with an error of its
    # own.
    if any(re.fullmatch(r"[+-]?[0-9]{6,}", word) for word in words):
        raise SettingsError(f"bands={shown(text)} has a number that no band has")
    return tuple(
        int(word) if re.fullmatch(r"-?[0-9]+", word) else word for word in words
    )


def two_numbers(name: str, text: str, examples: str) -> tuple[float, float]:
    """Two numbers, joined by a comma, of the setting ``name``.

    Raises:
        SettingsError: something else; ``examples`` say how it is written.
    """
    try:
        low, high = (float(word) for word in text.split(","))
    except ValueError as error:
        raise SettingsError(
            f"{name}={shown(text)}: two numbers LOW,HIGH, as in {examples}"
        ) from error
    return low, high


class Read(NamedTuple):
    """An image as it was read: (3, H, W), perhaps a view; its pixels with data (None:
    all); what a user has to know."""

    image: Levels
    valid: Mask | None = None
    notes: tuple[str, ...] = ()


def adapted(image: NDArray[Any], valid: Mask | None, reading: Reading) -> Read:
    """A decoded picture (3, H, W) as `Reading` wants it.

    Raises:
        SettingsError: bands that a picture does not have; the message names no file.
    """
    if reading.bands is not None:
        # A picture is taken for a raster of three bands, so that the same words name
        # its bands. One band alone is shown as grey: (1, H, W) → (3, H, W).
        bands = choose_bands(3, names=("red", "green", "blue"), wanted=reading.bands)
        image = image[[number - 1 for number in bands.numbers]]
        image = np.broadcast_to(image, (3, *image.shape[1:]))
    levels, valid = to_levels(image, valid, reading.given_scale())
    return Read(levels, valid)
