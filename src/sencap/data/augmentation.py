"""Random changes of a pair that keep its captions true.

Colour changes are drawn per date. Flips and quarter turns move both dates alike, and
the position words of the captions (left, top, upper, …) move with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# What a mirror or a flip does to position words. Only one direction is written down;
# `_both_ways` adds the other.
_MIRROR = {
    "left": "right",
    "leftmost": "rightmost",
    "left-hand": "right-hand",
    "leftward": "rightward",
}
_VERTICAL = {
    "top": "bottom",
    "upper": "lower",
    "above": "below",
    "topmost": "bottommost",
    "north": "south",
}
_VERTICAL |= {
    "northern": "southern",
    "northeast": "southeast",
    "northwest": "southwest",
}
_HORIZONTAL = {
    "east": "west",
    "eastern": "western",
    "northeast": "northwest",
    "southeast": "southwest",
}
# Counter-clockwise, as numpy.rot90 turns: what was on the right is now at the top.
_QUARTER = {
    "right": "top", "top": "left", "left": "bottom", "bottom": "right",
    "upper": "left", "lower": "right", "rightmost": "topmost", "topmost": "leftmost",
    "leftmost": "bottommost", "bottommost": "rightmost",
    "east": "north", "north": "west", "west": "south", "south": "east",
    "eastern": "northern", "northern": "western", "western": "southern", "southern": "eastern",
    "northeast": "northwest", "northwest": "southwest",
    "southwest": "southeast", "southeast": "northeast",
    "horizontal": "vertical", "vertical": "horizontal",
    "horizontally": "vertically", "vertically": "horizontally",
}  # fmt: skip
# A side that turns into a height keeps the style of the word it came with: "upper left"
# becomes "lower left", and "top left" "bottom left".
_AS_UPPER = {"top": "upper", "bottom": "lower"}
_SIDES, _HEIGHTS = {"left", "right"}, {"upper", "lower", "top", "bottom"}
# These have no word for the turned direction.
_FIXED_ON_TURN = {"above", "below", "left-hand", "right-hand"}


def _both_ways(table: Mapping[str, str]) -> dict[str, str]:
    return {**table, **{b: a for a, b in table.items()}}


FLIP_LEFT_RIGHT = _both_ways({**_MIRROR, **_HORIZONTAL})
FLIP_TOP_BOTTOM = _both_ways(_VERTICAL)


def flip_words(words: Sequence[str], table: Mapping[str, str]) -> list[str]:
    """The caption of the flipped pair; ``table`` is `FLIP_LEFT_RIGHT` or
    `FLIP_TOP_BOTTOM`.

    >>> flip_words("a house at the lower-left corner".split(), FLIP_LEFT_RIGHT)[-2]
    'lower-right'
    """
    return [_flip_word(word, table) for word in words]


def _flip_word(word: str, table: Mapping[str, str]) -> str:
    if word in table:
        return table[word]
    parts = word.split("-")  # lower-left and the like
    return "-".join(table.get(part, part) for part in parts)


def can_turn(words: Sequence[str]) -> bool:
    """Whether every position word of a caption has a word for the direction a quarter
    turn away."""
    return not any(word in _FIXED_ON_TURN or (word.endswith("-hand")) for word in words)


def turn_words(words: Sequence[str]) -> list[str]:
    """The caption of the pair after one counter-clockwise quarter turn
    (``numpy.rot90``).

    Two words that name a corner keep their usual order (upper left, not left upper).

    >>> " ".join(turn_words("in the upper right corner".split()))
    'in the upper left corner'
    """
    out: list[str] = []
    i = 0
    while i < len(words):
        pair = words[i : i + 2]
        hyphenated = words[i].split("-")
        # Two words that name a corner are turned together: word by word, "upper right"
        # would become "left top".
        if len(hyphenated) == 2 and _is_corner(hyphenated):
            out.append("-".join(_turn_corner(hyphenated)))
        elif len(pair) == 2 and _is_corner(pair):
            out += _turn_corner(pair)
            i += 1
        else:
            out.append(_QUARTER.get(words[i], words[i]))
        i += 1
    return out


def _is_corner(pair: Sequence[str]) -> bool:
    return (
        len(pair) == 2
        and len(_SIDES & set(pair)) == 1
        and len(_HEIGHTS & set(pair)) == 1
    )


def _turn_corner(pair: Sequence[str]) -> list[str]:
    """(height, side) in either order → the corner a quarter turn on, in the same style
    and order."""
    # A height turns into a side and a side into a height; the new pair takes the old
    # order.
    height, side = pair if pair[0] in _HEIGHTS else (pair[1], pair[0])
    new_side, new_height = _QUARTER[height], _QUARTER[side]
    if height in ("upper", "lower"):
        new_height = _AS_UPPER[new_height]
    return [new_height, new_side] if pair[0] in _HEIGHTS else [new_side, new_height]


@dataclass(frozen=True)
class Placement:
    """One of the eight ways to lay a square on its place: mirrored, upside down, a
    quarter turn."""

    mirror: bool = False
    upside_down: bool = False
    turn: bool = False

    @property
    def number(self) -> int:
        """0 to 7; 0 leaves everything as it is."""
        return self.mirror + 2 * self.upside_down + 4 * self.turn

    def place(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Pixels (…, H, W) laid so."""
        # The turn comes last here and in `tell`: in another order the same three flags
        # would lay the image otherwise.
        if self.mirror:
            pixels = pixels[..., ::-1]
        if self.upside_down:
            pixels = pixels[..., ::-1, :]
        if self.turn:
            pixels = np.rot90(pixels, axes=(-2, -1))
        return np.ascontiguousarray(pixels)

    def tell(self, words: Sequence[str]) -> list[str]:
        """The caption of a pair laid so; the turn is for captions that `can_turn`."""
        out = list(words)
        if self.mirror:
            out = flip_words(out, FLIP_LEFT_RIGHT)
        if self.upside_down:
            out = flip_words(out, FLIP_TOP_BOTTOM)
        if self.turn:
            out = turn_words(out)
        return out


PLACEMENTS = tuple(
    Placement(bool(number & 1), bool(number & 2), bool(number & 4))
    for number in range(8)
)
"""All eight, by their number."""


def draw_placement(
    captions: Sequence[Sequence[str]],
    generator: np.random.Generator,
    *,
    square: bool = True,
) -> Placement:
    """One of the eight placements for a pair with these captions.

    A quarter turn is left out if one of the captions has a position word that cannot
    turn (`can_turn`) or the images are not ``square``.
    """
    # All three are drawn even where a turn is not allowed, so that the generator goes
    # on alike.
    mirror, upside_down, turn = (bool(drawn) for drawn in generator.random(3) < 0.5)
    # Whether a caption can turn is asked of the flipped one, which is what would be
    # turned.
    flipped = Placement(mirror, upside_down)
    can_all_turn = all(can_turn(flipped.tell(words)) for words in captions)
    return Placement(mirror, upside_down, turn and square and can_all_turn)


def random_colour(
    images: NDArray[np.uint8], generator: np.random.Generator, *, strength: float
) -> NDArray[np.uint8]:
    """Brightness, contrast, saturation, colour cast and gamma, drawn for each date
    apart.

    ``images`` (…, 3, H, W), any number of dates in front; ``strength`` 0 (nothing) to 1
    (±40 %).
    """
    out = np.empty_like(images)
    # Each date gets its own colours: two dates of one place differ in light and season,
    # and the model must not take that for a change.
    for index in np.ndindex(images.shape[:-3]):
        amount = 0.4 * strength
        brightness, contrast, saturation, gamma = 1 + generator.uniform(
            -amount, amount, 4
        )
        # A colour cast is a factor for each channel; a quarter of the strength is
        # visible already.
        cast = 1 + generator.uniform(-amount / 4, amount / 4, (3, 1, 1))
        x = images[index].astype(np.float32) / 255.0
        # Contrast stretches around the mean brightness, and saturation around each
        # pixel's grey.
        mean = x.mean()
        x = np.clip((x * brightness - mean) * contrast + mean, 0, 1) ** np.float32(
            gamma
        )
        grey = x.mean(0, keepdims=True)
        x = np.clip((grey + (x - grey) * saturation) * cast, 0, 1)
        out[index] = np.round(x * 255.0).astype(np.uint8)
    return out
