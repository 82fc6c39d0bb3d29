"""Changes of large things: buildings, parking lots, lakes, cleared woods."""

from __future__ import annotations

import math

import numpy as np

from sencap.synthetic.geometry import Points, blob, inside_frame, to_world
from sencap.synthetic.layout import Occupancy
from sencap.synthetic.parts import Unplaced, add_roads, spot
from sencap.synthetic.world import (
    ADDED,
    BOTH,
    Block,
    Dates,
    DrawnScene,
    PaintColour,
    Parking,
    Patch,
    Road,
)

FLAT_ROOFS: tuple[PaintColour, ...] = (
    (226, 226, 222), (204, 200, 192), (170, 168, 164), (140, 136, 130), (190, 176, 156),
)  # fmt: skip


def direction(road: Road) -> float:
    """The angle of the line from a road's first point to its last."""
    # A road's ends tell its direction, bent as it may be between them.
    x, y = road.points[-1] - road.points[0]
    return math.atan2(y, x)


def trees_cleared(rng: np.random.Generator, scene: DrawnScene) -> None:
    """Trees disappear and leave bare ground."""
    if rng.random() < 0.3:
        add_roads(rng, scene, "straight", BOTH)
    radius = float(rng.uniform(28, 90))
    outline = blob(rng, spot(rng, margin=40), radius, float(rng.uniform(1, 1.6)))
    # The clearing comes: `treeless` then has no trees there at the later date.
    scene.patches.append(Patch("clearing", outline, ADDED))


def _block(
    rng: np.random.Generator,
    scene: DrawnScene,
    *,
    angle: float,
    place: Points,
    dates: Dates = ADDED,
) -> Block:
    """A large building near a spot, if there is room."""
    # 23 to 55 m by 18 to 37 m.
    width, depth = float(rng.uniform(46, 110)), float(rng.uniform(36, 74))
    roof = FLAT_ROOFS[int(rng.integers(len(FLAT_ROOFS)))]
    block = Block(
        place,
        angle,
        width,
        depth,
        roof,
        float(rng.uniform(9, 18)),
        int(rng.integers(0, 14)),
        dates,
    )
    # Its middle must lie well in the frame, else it would be a strip at the edge.
    fits = Occupancy(scene).is_free(block.outline, gap=5)
    if not fits or not inside_frame(block.centre[None], 14)[0]:
        raise Unplaced
    scene.blocks.append(block)
    return block


def _beside(rng: np.random.Generator, block: Block, dates: Dates = ADDED) -> Parking:
    """A parking lot next to a large building."""
    depth = float(rng.uniform(38, 64))
    way = float(rng.choice([-1.0, 1.0]))  # in front of the building or behind it
    # Half of each, and 3.5 m between them.
    away = way * (block.depth / 2 + depth / 2 + 7)
    centre = to_world(np.array([[0.0, away]]), block.centre, block.angle)[0]
    width = max(block.width * float(rng.uniform(0.8, 1.15)), 50.0)
    filled, tone = float(rng.uniform(0.1, 0.8)), int(rng.integers(96, 176))
    return Parking(centre, block.angle, width, depth, filled, tone, dates)


def _add_parking(scene: DrawnScene, parking: Parking) -> None:
    """Put a parking lot where there is room for it."""
    fits = Occupancy(scene).is_free(parking.outline, gap=1)
    if not fits or not inside_frame(parking.centre[None], 12)[0]:
        raise Unplaced
    scene.parkings.append(parking)


def building_built(rng: np.random.Generator, scene: DrawnScene) -> None:
    """A large building appears, half of the time with its parking lot."""
    angle = float(rng.choice([0.0, math.pi / 2])) + float(rng.normal(0, 0.25))
    # Buildings stand square to their road where there is one.
    if rng.random() < 0.6:
        add_roads(rng, scene, "straight" if rng.random() < 0.7 else "t-shaped", BOTH)
        angle = direction(scene.roads[0])
    block = _block(rng, scene, angle=angle, place=spot(rng, margin=36))
    if rng.random() < 0.5:
        _add_parking(scene, _beside(rng, block))


def parking_built(rng: np.random.Generator, scene: DrawnScene) -> None:
    """A parking lot appears, sometimes beside a large building that was there."""
    if rng.random() < 0.45:
        angle, place = float(rng.normal(0, 0.3)), spot(rng, margin=40)
        block = _block(rng, scene, angle=angle, place=place, dates=BOTH)
        _add_parking(scene, _beside(rng, block))
        return
    if rng.random() < 0.6:
        add_roads(rng, scene, "straight", BOTH)
    width, depth = float(rng.uniform(54, 120)), float(rng.uniform(40, 88))
    tone, filled = int(rng.integers(96, 176)), float(rng.uniform(0.1, 0.8))
    place, angle = spot(rng, margin=36), float(rng.uniform(0, 3))
    _add_parking(scene, Parking(place, angle, width, depth, filled, tone, ADDED))


def road_and_building_built(rng: np.random.Generator, scene: DrawnScene) -> None:
    """A new road and a large building, often with a parking lot."""
    roads = add_roads(
        rng, scene, "straight" if rng.random() < 0.7 else "t-shaped", ADDED
    )
    angle = direction(scene.roads[roads[0]])
    block = _block(rng, scene, angle=angle, place=spot(rng, margin=36))
    if rng.random() < 0.5:
        _add_parking(scene, _beside(rng, block))


def lake_formed(rng: np.random.Generator, scene: DrawnScene) -> None:
    """A pond or lake appears."""
    place, radius = spot(rng, margin=40), float(rng.uniform(22, 62))
    outline = blob(rng, place, radius, float(rng.uniform(1, 1.7)))
    scene.patches.append(Patch("lake", outline, ADDED, float(rng.random())))
