"""Values to 8 bits: pictures come back, other values by one scale, and what holds no
picture is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sencap.errors import ImageError, SettingsError
from sencap.images import Reading, Scale, as_pair, stretch
from sencap.images.holes import fill_alike
from sencap.images.levels import count_levels, scale_of, to_levels

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (3, 40, 40), dtype=np.uint8)
DARK = PICTURE // 3


@pytest.mark.parametrize("picture", [PICTURE, DARK])
@pytest.mark.parametrize("step", [1, 2, 3, 16, 64, 100, 200, 256, 257])
def test_a_picture_widened_to_16_bits_becomes_itself_again(
    picture: NDArray[np.uint8], step: int
) -> None:
    deep = picture.astype(np.uint16) * np.uint16(step)
    np.testing.assert_array_equal(stretch(deep), picture)
    assert scale_of(count_levels(deep)).told_by == "stored"


@given(step=st.integers(3, 200), start=st.integers(1, 10_000), seed=st.integers(0, 99))
def test_a_picture_on_any_steps_keeps_its_contrast(
    step: int, start: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    picture = generator.integers(20, 230, (3, 30, 30), dtype=np.uint8)
    again = stretch(picture.astype(np.uint16) * np.uint16(step) + np.uint16(start))
    differences = again.astype(int) - picture
    # Brighter or darker as a whole, by less than there is room.
    assert np.ptp(differences) == 0
    assert abs(differences[0, 0, 0]) <= 25


@pytest.mark.parametrize("date", [0, 1])
@pytest.mark.parametrize("step", [1, 100, 256, 257])
@pytest.mark.parametrize("size", [None, 20])
def test_a_picture_of_8_bits_stored_at_16_goes_with_one_of_8(
    date: int, step: int, size: int | None
) -> None:
    images = [PICTURE, DARK]
    wanted = as_pair(*images, size=size)
    stored: list[NDArray[Any]] = [*images]
    stored[date] = images[date].astype(np.uint16) * np.uint16(step)
    np.testing.assert_array_equal(as_pair(*stored, size=size).images, wanted.images)
    masked = np.ma.masked_array(stored[1 - date], stored[1 - date] < 9)
    both = [masked, stored[date]] if date else [stored[date], masked]
    assert as_pair(*both, size=size).details["scale"]["told_by"] == "stored"


@pytest.mark.parametrize("step", [16, 200, 257])
def test_a_picture_between_the_steps_is_taken_as_it_fills_its_range(step: int) -> None:
    """What was resampled or is noisy at 16 bits lies on no even steps."""
    between = PICTURE.astype(np.int64) * step + RNG.integers(
        -step // 2, step // 2, PICTURE.shape
    )
    deep = between.clip(0, 65_535).astype(np.uint16)
    assert scale_of(count_levels(deep)).told_by == "range"
    assert np.abs(stretch(deep).astype(int) - PICTURE).max() <= 2


def test_what_does_not_fill_its_range_is_scaled_by_percentiles() -> None:
    """A few clouds over a dark ground, as Sentinel-2 sees them."""
    deep = RNG.integers(400, 2500, (3, 100, 100), dtype=np.uint16)
    deep[:, 0, :50] = 9_000
    scale = scale_of(count_levels(deep))
    assert (scale.low, scale.told_by) == (400, "percentiles")
    assert 3_000 < scale.high < 4_000


@pytest.mark.parametrize("factor", [1, 1 / 255])
@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_a_picture_stored_as_floats_becomes_itself_again(
    factor: float, kind: str
) -> None:
    levels, valid = to_levels((PICTURE * factor).astype(kind))
    np.testing.assert_array_equal(levels, PICTURE)
    assert levels.dtype == np.uint8
    assert valid is None


def test_what_is_no_number_and_what_is_below_zero_is_no_data() -> None:
    values = RNG.uniform(0.01, 0.6, (3, 40, 40)).astype(np.float32)
    values[0, 0, 0], values[:, 0, 1], values[0, 0, 2] = np.nan, -1, -1
    values[:, 0, 3] = np.inf
    levels, valid = to_levels(values)
    assert valid is not None
    assert valid[0, :5].tolist() == [False, False, True, False, True]
    assert levels.dtype == np.uint16
    assert not levels[:, 0, [0, 1, 3]].any()


BAD_VALUES: dict[str, NDArray[Any]] = {
    "decibels": RNG.uniform(-25, 3, (3, 40, 40)),
    "all negative": RNG.integers(-900, -1, (3, 40, 40), dtype=np.int16),
    "out of all ranges": RNG.uniform(0, 1e7, (3, 40, 40)),
    "wide": RNG.integers(0, 1 << 30, (3, 40, 40), dtype=np.int32),
    "elevation differences": RNG.normal(-1, 0.5, (3, 40, 40)).astype(np.float32),
}


@pytest.mark.parametrize("kind", BAD_VALUES)
def test_ranges_that_hold_no_picture_are_refused_or_scaled_as_told(kind: str) -> None:
    values = BAD_VALUES[kind]
    with pytest.raises(ImageError, match="--scale LOW,HIGH"):
        to_levels(values)
    low, high = np.percentile(values, [2, 98])
    levels, _ = to_levels(values, scale=Scale(float(low), float(high)))
    assert levels.dtype == np.uint8
    assert np.ptp(levels) == 255


def test_two_dates_in_other_units_are_refused() -> None:
    reflectance = RNG.integers(500, 9000, (3, 40, 40), dtype=np.uint16)
    with pytest.raises(
        ImageError, match=r"after: .* it is all black, .*stored in one unit"
    ):
        as_pair(reflectance, PICTURE.astype(np.uint16))
    with pytest.raises(
        ImageError, match="before: all its values are 5: it holds no picture"
    ):
        as_pair(np.full((40, 40), 5, np.uint16), reflectance[0])
    with pytest.raises(
        ImageError, match=r"before: on the scale from 0 .* it is all white"
    ):
        as_pair(reflectance, reflectance, reading=Reading(scale=(0, 1)))


def test_a_scale_is_linear_clipped_and_told() -> None:
    values = np.zeros((40, 40), np.uint16) + np.arange(40, dtype=np.uint16) * 100
    pair = as_pair(values, values, reading=Reading(scale=(1000, 3000)))
    wanted = ((values - 1000.0) * 255 / 2000).clip(0, 255).round()
    np.testing.assert_array_equal(pair.images[0, 1], wanted)
    assert pair.details["scale"] == {"low": 1000, "high": 3000, "told_by": "given"}


@pytest.mark.parametrize(
    "scale", [(3, 3), (5, 1), (0, float("inf")), (float("nan"), 1), (1,)]
)
def test_scales_that_cannot_be_are_refused(scale: Any) -> None:
    with pytest.raises(SettingsError, match="two numbers LOW,HIGH with LOW below HIGH"):
        Reading(scale=scale)


@pytest.mark.parametrize("text", ["", "5", "a,b", "1,2,3", "1;2", "9" * 5000])
def test_scales_that_are_no_two_numbers_are_refused(text: str) -> None:
    with pytest.raises(
        SettingsError, match="two numbers LOW,HIGH, as in --scale 0,3000"
    ) as told:
        Reading.of_texts(None, text)
    assert len(str(told.value)) < 300


def test_bands_of_pictures_can_be_chosen() -> None:
    pair = as_pair(PICTURE, PICTURE, reading=Reading(bands=(3, 2, 1)))
    np.testing.assert_array_equal(pair.images[0], PICTURE[::-1])
    with pytest.raises(
        ImageError, match="before: it has 3 bands, but band 4 is wanted"
    ):
        as_pair(PICTURE, PICTURE, reading=Reading(bands=(4, 3, 2)))


# --- no data


@given(seed=st.integers(0, 1000), one=st.floats(0, 1), other=st.floats(0, 1))
def test_where_a_date_holds_no_data_both_are_alike(
    seed: int, one: float, other: float
) -> None:
    generator = np.random.default_rng(seed)
    before, after = generator.integers(0, 256, (2, 9, 9), dtype=np.uint8)
    masks = generator.random((9, 9)) > one, generator.random((9, 9)) > other
    filled = fill_alike(before, after, *masks)
    holes = ~(masks[0] & masks[1])
    np.testing.assert_array_equal(filled[0][holes], filled[1][holes])
    for image, found, mask in zip((before, after), filled, masks, strict=True):
        np.testing.assert_array_equal(found[mask], image[mask])


@pytest.mark.parametrize("date", [0, 1])
@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_a_collar_in_one_date_alone_changes_nothing(date: int, kind: str) -> None:
    """The same picture twice, of which one has a white collar that is masked."""
    picture = PICTURE.astype(kind)
    collar = np.zeros(picture.shape, bool)
    collar[..., :15] = True
    white = np.where(collar, picture.dtype.type(255), picture)
    images: list[Any] = [picture, picture]
    images[date] = np.ma.masked_array(white, collar)
    pair = as_pair(*images)
    np.testing.assert_array_equal(pair.images[0], pair.images[1])
    np.testing.assert_array_equal(pair.images[0], PICTURE)
    assert pair.details["no_data"][2] == 0.375
    assert "37.5% of the pair holds no data" in pair.notes[0]


def test_above_a_share_without_data_there_is_no_pair() -> None:
    masked = np.ma.masked_array(PICTURE, np.zeros(PICTURE.shape, bool))
    masked[..., :21] = np.ma.masked
    with pytest.raises(
        ImageError, match=r"52% of the pair holds no data \(before: 0%, after: 52%"
    ):
        as_pair(PICTURE, masked)
    assert (
        as_pair(PICTURE, masked, reading=Reading(empty=0.6)).details["no_data"][1]
        == 0.525
    )
    with pytest.raises(SettingsError, match=r"empty=1\.5 is a share of a pair"):
        Reading(empty=1.5)


def test_reflectance_in_per_cent_is_as_bright_as_reflectance() -> None:
    values = RNG.uniform(1, 60, (3, 40, 40)).astype(np.float32)
    levels, _ = to_levels(values)
    again, _ = to_levels(values / 100)
    assert np.abs(levels.astype(int) - again).max() <= 1


@pytest.mark.parametrize("value", [0, 7, 255])
def test_a_date_of_one_colour_is_told(value: int) -> None:
    blank = np.full_like(PICTURE, value)
    assert as_pair(PICTURE, PICTURE).notes == ()
    (note,) = as_pair(PICTURE, blank, size=20).notes
    assert note == "after is one colour all over: it holds no picture"
