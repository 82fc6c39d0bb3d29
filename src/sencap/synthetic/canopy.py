"""Tree crowns as a height map: light, shading and shadows of the woods follow from one
surface.

By hand, since a renderer in three dimensions (Blender, a game engine) is thousands of
times the work for a view from straight above, where heights and one direction of light
are all there is.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sencap.synthetic import noise
from sencap.synthetic.world import CANVAS, PAD, Trees

VARIANTS = 4  # crowns of one size that differ in form
_LARGEST = 15  # radius in pixels
HEIGHT_PER_RADIUS = 1.35  # a crown of 4 m across stands 5.4 m high


@lru_cache(maxsize=1)
def _crowns() -> dict[int, tuple[NDArray[np.float32], ...]]:
    """Crown height maps by radius in pixels, a few uneven variants each."""
    rng = np.random.default_rng(20_240_318)
    crowns: dict[int, tuple[NDArray[np.float32], ...]] = {}
    for radius in range(1, _LARGEST + 1):
        reach = radius + 2
        y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
        turn, length = np.arctan2(y, x), np.hypot(x, y)
        variants = []
        for _ in range(VARIANTS):
            # An uneven round: its edge swings around the radius.
            edge = np.full_like(turn, radius)
            for order in (2, 3, 5, 7):
                swing = radius * rng.normal(0, 0.2 / order)
                edge += swing * np.cos(order * turn + rng.uniform(0, 6.3))
            # Half a ball above it, with lumps of leaves.
            dome = np.sqrt(np.clip(1 - (length / np.maximum(edge, 0.6)) ** 2, 0, None))
            lumps = noise.crop(rng, "fine" if radius < 5 else "grain", 2 * reach + 1)
            height = radius * HEIGHT_PER_RADIUS * dome * (1 + 0.16 * lumps)
            variants.append(
                np.where(dome > 0, np.clip(height, 0.3, None), 0).astype(np.float32)
            )
        crowns[radius] = tuple(variants)
    return crowns


def stamp(
    trees: Trees,
    chosen: NDArray[np.bool_],
    height: NDArray[np.float32],
    species: NDArray[np.uint8],
) -> None:
    """Raise the height map (CANVAS, CANVAS) by the chosen trees, and note whose crown
    is on top.

    Both maps are changed in place.
    """
    crowns = _crowns()
    size = len(height)
    for index in np.flatnonzero(chosen):
        radius = min(max(round(float(trees.radius[index])), 1), _LARGEST)
        crown = crowns[radius][index % VARIANTS]
        reach = radius + 2
        left = int(trees.points[index, 0]) + PAD - reach
        top = int(trees.points[index, 1]) + PAD - reach
        right, bottom = left + 2 * reach + 1, top + 2 * reach + 1
        if right <= 0 or bottom <= 0 or left >= size or top >= size:
            continue
        # What reaches over the canvas's edge is cut off.
        if left < 0 or top < 0 or right > size or bottom > size:
            crown = crown[
                max(-top, 0) : 2 * reach + 1 - max(bottom - size, 0),
                max(-left, 0) : 2 * reach + 1 - max(right - size, 0),
            ]
            left, top = max(left, 0), max(top, 0)
            right, bottom = min(right, size), min(bottom, size)
        view = height[top:bottom, left:right]
        above = crown > view
        view[above] = crown[above]
        species[top:bottom, left:right][above] = trees.species[index]


def canopies(trees: Trees) -> tuple[tuple[NDArray[np.float32], NDArray[np.uint8]], ...]:
    """Height in pixels and species of the topmost crown, (CANVAS, CANVAS), for both
    dates."""
    # Most trees stand at both dates and are drawn once.
    height = np.zeros((CANVAS, CANVAS), np.float32)
    species = np.zeros((CANVAS, CANVAS), np.uint8)
    stamp(trees, trees.before & trees.after, height, species)
    result = []
    for here, there in ((trees.before, trees.after), (trees.after, trees.before)):
        only = here & ~there
        own = (height.copy(), species.copy())
        stamp(trees, only, *own)
        result.append(own)
    return tuple(result)


def cast_shadow(
    surface: NDArray[np.float32], sun: tuple[float, float], slope: float, reach: float
) -> NDArray[np.float32]:
    """How far each pixel lies in the shadow of a height map: 0 lit to 1 dark, soft at
    the edge.

    `sun` is the unit vector towards the sun in the image plane, `slope` the tangent of
    its elevation, `reach` the longest shadow in pixels that is followed.
    """
    # A pixel is in shadow if, some way towards the sun, the surface rises above the ray
    # from it.
    # All pixels take a step together: the surface is moved against the sun and lowered
    # by the ray.
    blocked = np.zeros_like(surface)
    step = 1.5  # pixels; houses and crowns are wider
    for count in range(1, int(reach / step) + 1):
        column, row = round(sun[0] * step * count), round(sun[1] * step * count)
        drop = step * count * slope
        size = len(surface)
        into = (
            slice(max(-row, 0), size - max(row, 0)),
            slice(max(-column, 0), size - max(column, 0)),
        )
        source = (
            slice(max(row, 0), size - max(-row, 0)),
            slice(max(column, 0), size - max(-column, 0)),
        )
        np.maximum(blocked[into], surface[source] - np.float32(drop), out=blocked[into])
    return np.asarray(np.clip((blocked - surface) / 1.6, 0, 1), np.float32)
