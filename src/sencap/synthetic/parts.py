"""What the kinds of change are put together from: roads, standing houses, a backdrop,
places."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from sencap.synthetic.geometry import FRAME, Points, blob, distance, rectangle
from sencap.synthetic.houses import HouseStyle, house_style, make_house
from sencap.synthetic.layout import Occupancy, houses_along, make_roads
from sencap.synthetic.world import BOTH, Dates, DrawnScene, PaintColour, Patch, Shape

SOILS: tuple[PaintColour, ...] = (
    (190, 156, 122), (206, 192, 164), (150, 122, 94), (176, 160, 136), (198, 172, 138),
    (164, 134, 104), (142, 128, 108),
)  # fmt: skip
# How often a road has each shape: any road, and one of an estate, which is seldom a
# dead end.
# Few roads end within a frame of 128 m; estates have more crossings and parallel roads.
SHAPES: dict[Shape, tuple[float, float]] = {
    "straight": (0.34, 0.2),
    "curved": (0.2, 0.17),
    "winding": (0.12, 0.1),
    "t-shaped": (0.12, 0.15),
    "crossroad": (0.08, 0.13),
    "parallel": (0.04, 0.2),
    "dead end": (0.1, 0.05),
}
Compose = Callable[[np.random.Generator, DrawnScene], None]


# Trying again is simpler than a placement that never fails, and keeps the scenes
# varied.
class Unplaced(Exception):  # noqa: N818 (a signal to draw again, no error of the user's)
    """The elements of a change found no room; the caller draws another scene."""


def pick_shape(rng: np.random.Generator, *, estate: bool = False) -> Shape:
    """A road shape, of any road or of an estate's."""
    weights = [chances[estate] for chances in SHAPES.values()]
    return list(SHAPES)[int(rng.choice(len(SHAPES), p=weights))]


def add_roads(
    rng: np.random.Generator, scene: DrawnScene, shape: Shape, dates: Dates
) -> list[int]:
    """Add the roads of a shape to a scene; returns their indexes."""
    first = len(scene.roads)
    scene.roads += make_roads(rng, shape, dates)
    scene.shape = shape
    return list(range(first, len(scene.roads)))


def add_standing_houses(
    rng: np.random.Generator,
    scene: DrawnScene,
    style: HouseStyle,
    *,
    chance: float = 0.6,
    keep: float = 0.5,
) -> None:
    """Perhaps some houses that stand at both dates along the scene's roads."""
    if rng.random() < chance:
        for index in range(len(scene.roads)):
            houses_along(rng, scene, index, style, keep=keep, margin=-15.0, dates=BOTH)


def add_backdrop(rng: np.random.Generator, scene: DrawnScene) -> None:
    """Perhaps a field or a pond somewhere, at both dates."""
    draw = rng.random()
    # The backdrop may reach in from outside: nothing is told of it.
    centre = rng.uniform(-10, 266, 2)
    if draw < 0.12:
        angle, width = float(rng.uniform(0, 3)), float(rng.uniform(90, 220))
        outline = rectangle(centre, angle, width, float(rng.uniform(90, 220)))
        tone, furrows = float(rng.random()), float(rng.uniform(0, 3))
        scene.patches.append(Patch("field", outline, BOTH, tone, furrows))
    elif draw < 0.2:
        outline = blob(
            rng, centre, float(rng.uniform(18, 46)), float(rng.uniform(1, 2))
        )
        if not Occupancy(scene).touches(outline):
            scene.patches.append(Patch("lake", outline, BOTH, float(rng.random())))
    if rng.random() < 0.12:
        # The path is drawn in any case, so that the stream of random numbers goes on
        # alike.
        path = make_roads(
            rng, "winding", BOTH, surface="dirt", width=float(rng.uniform(3, 6))
        )
        watery = any(patch.kind == "lake" for patch in scene.patches)
        if not scene.houses and not scene.large and not watery:
            scene.roads += path


def need(placed: int, least: int = 1) -> None:
    """Give up on this draw unless enough was placed."""
    if placed < least:
        raise Unplaced


def spot(rng: np.random.Generator, *, margin: float = 26.0) -> Points:
    """A place in the frame; corners and edges as often as the middle."""
    return np.asarray(rng.uniform(margin, FRAME - margin, 2), np.float64)


def add_lonely_house(
    rng: np.random.Generator, scene: DrawnScene, dates: Dates, *, away: float = 34.0
) -> None:
    """A house on its own, in the woods or the open, off the roads."""
    style = house_style(rng, rural=True)
    occupancy = Occupancy(scene)
    for _ in range(12):  # places to try before the scene is drawn again
        turn = float(rng.uniform(0, 2 * math.pi))
        facing = np.array([math.cos(turn), math.sin(turn)])
        to_road = float(rng.uniform(10, 26)) if rng.random() < 0.4 else 0.0
        plain = replace(style, plot="none")
        house = make_house(rng, plain, spot(rng), facing, dates, to_road=to_road)
        roads = np.concatenate(
            [np.zeros((0, 2)), *(road.points for road in scene.roads)]
        )
        if (
            occupancy.is_free(house.outline, gap=6)
            and distance(house.centre, roads) > away
        ):
            scene.houses.append(house)
            return
    raise Unplaced
