"""Which pixels hold data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sencap.rasters import both, looks_like_alpha, share_lost, valid_pixels

RNG = np.random.default_rng(0)


def image(kind: str, hole: Any, bands: int = 3) -> NDArray[Any]:
    """4×4 pixels of 7, of which the first holds ``hole`` in so many bands."""
    values = np.full((3, 4, 4), 7, kind)
    values[:bands, 0, 0] = hole
    return values


@pytest.mark.parametrize(
    ("values", "nodata", "holes"),
    [
        (image("uint16", 65_535), 65_535, 1),
        (image("uint16", 65_535, bands=1), 65_535, 1),
        (image("int16", -9999, bands=2), -9999, 1),
        (image("uint8", 255), 255, 1),
        (image("uint8", 255, bands=1), 255, 0),  # a red roof
        (image("uint16", 0, bands=2), 0, 0),
        (image("uint8", 255), -9999, 0),  # a value that bytes cannot have
        (image("uint8", 255), 255.5, 0),
        (image("float32", np.nan), None, 1),
        (image("float32", np.inf, bands=1), np.nan, 1),
        (image("float32", np.float32(-3.4028235e38)), -3.4028234663852886e38, 1),
        (image("uint8", 0), None, 0),
    ],
)
def test_no_data_values(values: NDArray[Any], nodata: float | None, holes: int) -> None:
    mask = valid_pixels(values, nodata=nodata)
    assert share_lost(mask) == holes / 16
    assert (mask is None) == (holes == 0)
    if mask is not None:
        assert not mask[0, 0]


def test_a_mask_is_heeded_beside_a_value() -> None:
    mask = np.full((4, 4), 255, np.uint8)
    mask[1] = 0
    found = valid_pixels(image("uint16", 65_535), nodata=65_535, mask=mask)
    assert found is not None
    assert share_lost(found) == 5 / 16
    assert both(found, None) is found
    assert both(None, None) is None
    assert share_lost(both(found, ~found)) == 1


@pytest.mark.parametrize(
    ("band", "is_alpha"),
    [
        (np.repeat([0, 255], 50).astype(np.uint8), True),
        (np.full(100, 255, np.uint8), True),
        (np.zeros(100, np.uint8), True),
        (np.repeat([0, 65_535], 50).astype(np.uint16), True),
        (np.repeat([1, 254], 50).astype(np.uint8), True),  # JPEG
        (RNG.integers(0, 256, 1000).astype(np.uint8), False),  # near infrared
        (np.full(100, 40, np.uint8), False),
        (np.full(100, 90, np.uint8) + np.arange(100, dtype=np.uint8), False),
    ],
)
def test_a_band_that_calls_itself_alpha_is_looked_at(
    band: NDArray[Any], is_alpha: bool
) -> None:
    assert looks_like_alpha(band) is is_alpha
