"""Noise textures for soil, grass and crowns, drawn once per process and then cropped.

A tile costs some milliseconds, a crop of it microseconds: a scene takes its textures as
random crops of a fixed bank, so that the same world looks the same at both dates.

By hand, since a package of noise (Perlin, simplex) would be a dependency for one sum of
octaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Texture = Literal["fine", "grain", "blotch", "coarse", "cover"]

TILE = 512
TILES_PER_TEXTURE = 3
# Each texture is a sum of octaves: (size of one blob in pixels, weight).
OCTAVES: dict[Texture, tuple[tuple[int, float], ...]] = {
    "fine": ((1, 1.0), (2, 0.9), (4, 0.5)),
    "grain": ((2, 1.0), (4, 0.9), (8, 0.6)),
    "blotch": ((4, 0.5), (8, 0.8), (16, 1.0), (32, 0.8)),
    "coarse": ((16, 0.35), (32, 0.8), (64, 1.0), (128, 1.0)),
    "cover": ((8, 0.25), (16, 0.45), (32, 0.8), (64, 1.0), (128, 1.2)),
}


def _octave_sum(
    rng: np.random.Generator, octaves: Sequence[tuple[int, float]]
) -> NDArray[np.float32]:
    """One tile (TILE, TILE) of zero mean and unit deviation."""
    total = np.zeros((TILE, TILE), np.float32)
    for blob, weight in octaves:
        cells = max(TILE // blob, 2)
        grid = rng.standard_normal((cells, cells)).astype(np.float32)
        if cells != TILE:
            image = Image.fromarray(grid).resize((TILE, TILE), Image.Resampling.BICUBIC)
            grid = np.asarray(image, np.float32)
        # Each octave has the deviation of its weight, however it was resized.
        total += weight * grid / max(float(grid.std()), 1e-6)
    total -= total.mean()
    return total / np.float32(total.std())


@lru_cache(maxsize=8)
def _tiles(texture: Texture) -> NDArray[np.float32]:
    """The fixed tiles of one texture: (TILES_PER_TEXTURE, TILE, TILE)."""
    # A texture's seed is its place in the alphabet: another name between them would
    # change the pictures of all seeds.
    rng = np.random.default_rng((20_240_317, sorted(OCTAVES).index(texture)))
    return np.stack(
        [_octave_sum(rng, OCTAVES[texture]) for _ in range(TILES_PER_TEXTURE)]
    )


def crop(rng: np.random.Generator, texture: Texture, side: int) -> NDArray[np.float32]:
    """A random square piece of a texture, turned and mirrored at random.

    Returns (side, side), about zero mean and unit deviation. `side` is at most ``TILE``
    pixels.
    """
    tile = _tiles(texture)[rng.integers(TILES_PER_TEXTURE)]
    top, left = rng.integers(0, TILE - side + 1, size=2)
    # Eight turns and reflections of one piece look like eight places.
    piece = tile[top : top + side, left : left + side]
    if rng.random() < 0.5:
        piece = piece.T
    if rng.random() < 0.5:
        piece = piece[::-1]
    if rng.random() < 0.5:
        piece = piece[:, ::-1]
    return np.ascontiguousarray(piece, np.float32)
