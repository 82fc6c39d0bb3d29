"""Changes of large things: buildings, parking lots, lakes, cleared woods."""

from __future__ import annotations

import math

import numpy as np

from sencap.synthetic.geometry import Points, blob, inside_frame, to_world
from sencap.synthetic.layout import Occupancy
from sencap.synthetic.parts import (
    Unplaced,
    add_roads,
    spot,
)
from sencap.synthetic.world import (
    ADDED,
    BOTH,
    Block,
    Colour,
    Dates,
    Parking,
    Patch,
    Scene,
)

FLAT_ROOFS: tuple[Colour, ...] = (
    (226, 226, 222),
    (204, 200, 192),
    (170, 168, 164),
    (140, 136, 130),
    (190, 176, 156),
)


def trees_cleared(rng: np.random.Generator, scene: Scene) -> None:
    """Trees disappear and leave bare ground."""
    if rng.random() < 0.3:
        add_roads(rng, scene, "straight", BOTH)
    radius = float(rng.uniform(28, 90))
    scene.patches.append(
        Patch(
            "clearing", blob(rng, spot(rng, margin=40), radius, float(rng.uniform(1, 1.6))), ADDED
        )
    )


def _block(
    rng: np.random.Generator, scene: Scene, *, angle: float, place: Points, dates: Dates = ADDED
) -> Block:
    """A large building near a spot, if there is room."""
    width, depth = float(rng.uniform(46, 110)), float(rng.uniform(36, 74))
    roof = FLAT_ROOFS[int(rng.integers(len(FLAT_ROOFS)))]
    block = Block(
        place, angle, width, depth, roof, float(rng.uniform(9, 18)), int(rng.integers(0, 14)), dates
    )
    if (
        not Occupancy(scene).is_free(block.outline, gap=5)
        or not inside_frame(block.centre[None], 14)[0]
    ):
        raise Unplaced
    scene.blocks.append(block)
    return block


def _beside(rng: np.random.Generator, block: Block, dates: Dates = ADDED) -> Parking:
    """A parking lot next to a large building."""
    depth = float(rng.uniform(38, 64))
    way = float(rng.choice([-1.0, 1.0]))
    centre = to_world(
        np.array([[0.0, way * (block.depth / 2 + depth / 2 + 7)]]), block.centre, block.angle
    )[0]
    width = max(block.width * float(rng.uniform(0.8, 1.15)), 50.0)
    return Parking(
        centre,
        block.angle,
        width,
        depth,
        float(rng.uniform(0.1, 0.8)),
        int(rng.integers(96, 176)),
        dates,
    )


def _add_parking(scene: Scene, parking: Parking) -> None:
    """Put a parking lot where there is room for it."""
    if (
        not Occupancy(scene).is_free(parking.outline, gap=1)
        or not inside_frame(parking.centre[None], 12)[0]
    ):
        raise Unplaced
    scene.parkings.append(parking)


def building_built(rng: np.random.Generator, scene: Scene) -> None:
    """A large building appears, half of the time with its parking lot."""
    angle = float(rng.choice([0.0, math.pi / 2])) + float(rng.normal(0, 0.25))
    if rng.random() < 0.6:
        add_roads(rng, scene, "straight" if rng.random() < 0.7 else "t-shaped", BOTH)
        way = scene.roads[0].points
        angle = math.atan2(way[-1, 1] - way[0, 1], way[-1, 0] - way[0, 0])
    block = _block(rng, scene, angle=angle, place=spot(rng, margin=36))
    if rng.random() < 0.5:
        _add_parking(scene, _beside(rng, block))


def parking_built(rng: np.random.Generator, scene: Scene) -> None:
    """A parking lot appears, sometimes beside a large building that was there."""
    if rng.random() < 0.45:
        block = _block(
            rng, scene, angle=float(rng.normal(0, 0.3)), place=spot(rng, margin=40), dates=BOTH
        )
        _add_parking(scene, _beside(rng, block))
        return
    if rng.random() < 0.6:
        add_roads(rng, scene, "straight", BOTH)
    width, depth = float(rng.uniform(54, 120)), float(rng.uniform(40, 88))
    tone, filled = int(rng.integers(96, 176)), float(rng.uniform(0.1, 0.8))
    _add_parking(
        scene,
        Parking(spot(rng, margin=36), float(rng.uniform(0, 3)), width, depth, filled, tone, ADDED),
    )


def road_and_building_built(rng: np.random.Generator, scene: Scene) -> None:
    """A new road and a large building, often with a parking lot."""
    roads = add_roads(rng, scene, "straight" if rng.random() < 0.7 else "t-shaped", ADDED)
    way = scene.roads[roads[0]].points
    angle = math.atan2(way[-1, 1] - way[0, 1], way[-1, 0] - way[0, 0])
    block = _block(rng, scene, angle=angle, place=spot(rng, margin=36))
    if rng.random() < 0.5:
        _add_parking(scene, _beside(rng, block))


def lake_formed(rng: np.random.Generator, scene: Scene) -> None:
    """A pond or lake appears."""
    outline = blob(
        rng, spot(rng, margin=40), float(rng.uniform(22, 62)), float(rng.uniform(1, 1.7))
    )
    scene.patches.append(Patch("lake", outline, ADDED, float(rng.random())))
