"""Flips, turns and colours: pixels and words must move together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sencap.data.augmentation import (
    FLIP_LEFT_RIGHT,
    FLIP_TOP_BOTTOM,
    PLACEMENTS,
    can_turn,
    draw_placement,
    flip_words,
    random_colour,
    turn_words,
)

CORNERS = [
    f"{height} {side}" for height in ("upper", "lower") for side in ("left", "right")
]
SIDES = ["left", "right", "top", "bottom"]
POSITION_WORDS = [
    *SIDES,
    "upper",
    "lower",
    "lower-left",
    "upper-right",
    "above",
    "below",
    "vertical",
    "house",
]


def _marked(where: str, size: int = 32) -> np.ndarray:
    """A pair whose later image is white in one corner or along one side."""
    images = np.zeros((2, 3, size, size), np.uint8)
    rows = cols = slice(None)
    if "upper" in where or "top" in where:
        rows = slice(0, size // 4)
    if "lower" in where or "bottom" in where:
        rows = slice(-size // 4, None)
    if "left" in where:
        cols = slice(0, size // 4)
    if "right" in where:
        cols = slice(-size // 4, None)
    images[1, :, rows, cols] = 255
    return images


@pytest.mark.parametrize("where", CORNERS + SIDES)
def test_the_words_say_where_the_mark_is_after_any_flip_and_turn(where: str) -> None:
    seen = set()
    for seed in range(64):
        caption = ["a", "house", "at", "the", *where.split()]
        placement = draw_placement([caption], np.random.default_rng(seed))
        images = placement.place(_marked(where))
        words = " ".join(placement.tell(caption)[4:])
        assert words in CORNERS + SIDES
        assert np.array_equal(images, _marked(words)), (where, words)
        seen.add(words)
    assert seen == set(CORNERS if where in CORNERS else SIDES), (
        "all eight ways must occur"
    )


def test_hyphenated_corners_and_reversed_order_keep_their_style() -> None:
    assert turn_words(["at", "the", "lower-right", "corner"]) == [
        "at",
        "the",
        "upper-right",
        "corner",
    ]
    assert turn_words(["at", "the", "right", "bottom", "corner"]) == [
        "at",
        "the",
        "right",
        "top",
        "corner",
    ]
    assert flip_words(["lower-left"], FLIP_TOP_BOTTOM) == ["upper-left"]


def test_a_turn_is_left_out_where_a_word_cannot_turn() -> None:
    assert not can_turn(["a", "house", "above", "the", "road"])
    for seed in range(32):
        caption = ["above", "the", "vertical", "road"]
        placement = draw_placement([["right"], caption], np.random.default_rng(seed))
        assert not placement.turn
        assert placement.tell(caption)[0] in ("above", "below")


def test_images_that_are_not_square_are_not_turned() -> None:
    drawn = [
        draw_placement([["left"]], np.random.default_rng(seed), square=False)
        for seed in range(32)
    ]
    assert not any(placement.turn for placement in drawn)
    assert len({placement.number for placement in drawn}) == 4


def test_the_eight_placements_are_known_by_their_number() -> None:
    picture = np.arange(16).reshape(4, 4)
    placed = [placement.place(picture) for placement in PLACEMENTS]
    assert [placement.number for placement in PLACEMENTS] == list(range(8))
    assert np.array_equal(placed[0], picture)
    assert len({array.tobytes() for array in placed}) == 8


@given(st.lists(st.sampled_from(POSITION_WORDS), max_size=6))
def test_flipping_twice_and_turning_four_times_give_the_words_back(
    words: list[str],
) -> None:
    for table in (FLIP_LEFT_RIGHT, FLIP_TOP_BOTTOM):
        assert flip_words(flip_words(words, table), table) == words
    lone = [word for word in words if word in (*SIDES, "vertical", "house")][:1]
    turned = lone
    for _ in range(4):
        turned = turn_words(turned)
    assert turned == lone


def test_colours_change_per_date_and_stay_within_range_and_seeded() -> None:
    images = np.full((2, 3, 16, 16), 128, np.uint8)
    images[:, 0] = 200
    first = random_colour(images, np.random.default_rng(0), strength=1.0)
    again = random_colour(images, np.random.default_rng(0), strength=1.0)
    assert np.array_equal(first, again)
    assert first.dtype == np.uint8
    assert not np.array_equal(first[0], first[1]), "each date draws its own"
    assert np.array_equal(
        random_colour(images, np.random.default_rng(0), strength=0.0), images
    )
