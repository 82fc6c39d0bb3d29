"""The synthetic world in four seasons: as many places as wanted, drawn when asked for,
no file needed."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from sencap.bounds import check_numbers
from sencap.errors import SettingsError
from sencap.places.contract import Places, PlacesReport, SeasonalImages
from sencap.synthetic import render_seasons

_SEASONS = 4
_STRIDE = 1_000_003  # keeps the places of one seed apart from those of the next


class SyntheticPlaces(Places):
    """``count`` rendered places in spring, summer, autumn and winter
    (`sencap.synthetic.render_seasons`).

    The same ``seed`` gives the same places; ``size`` is the side of the images in
    pixels, of a scene that is 128 m wide. Drawing takes about a fifth of a second: pack
    them to use them more than once.

    Raises:
        SettingsError: a count, seed or size out of its bounds.
    """

    kind = "synthetic"

    def __init__(self, count: int, *, seed: int = 0, size: int = 256) -> None:
        if not 1 <= count <= _STRIDE:
            raise SettingsError(
                f"count={count} synthetic places: it must be 1 … {_STRIDE:,}"
            )
        check_numbers(seed=seed, size=size)
        self.count, self.seed, self.size = count, seed, size
        self.report = PlacesReport(places=count, images=_SEASONS * count)

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        """``synthetic-<seed>-<number>``."""
        if not 0 <= index < self.count:
            raise IndexError(f"place {index} of {self.count}")
        return f"synthetic-{self.seed}-{index:06d}"

    def dates(self, index: int) -> tuple[datetime.date, ...]:
        """The four dates; known once the place has been drawn, so this draws it."""
        return self.read(index).dates

    def read(self, index: int) -> SeasonalImages:
        """Draw a place; the one drawn last is kept."""
        # The count is at most _STRIDE, so no two seeds share a place.
        return _draw(self.seed * _STRIDE + index, self.size, self.name(index))

    def settings(self) -> Mapping[str, Any]:
        """Count, seed and size."""
        return {"count": self.count, "seed": self.seed, "size": self.size}

    def fingerprint(self) -> str:
        """Of the settings, which decide all; hashing the dates would draw every
        place."""
        return json.dumps(self.settings(), sort_keys=True)


@lru_cache(maxsize=1)
def _draw(seed: int, size: int, name: str) -> SeasonalImages:
    drawn = render_seasons(seed, size)
    # Four images (H, W, 3) → (4, 3, H, W); they are shared by the cache, so nobody may
    # write to them.
    images = np.stack([image for _, image in drawn]).transpose(0, 3, 1, 2)
    images.setflags(write=False)
    return SeasonalImages(
        images, tuple(datetime.date.fromisoformat(date) for date, _ in drawn), name
    )
