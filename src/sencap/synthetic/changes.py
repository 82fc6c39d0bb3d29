"""The kinds of change: each composes one scene whose elements differ between its two
dates."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from sencap.synthetic.geometry import Points, blob, inside_frame, rectangle, to_world
from sencap.synthetic.houses import house_style, make_house
from sencap.synthetic.large import (
    building_built,
    direction,
    lake_formed,
    parking_built,
    road_and_building_built,
    trees_cleared,
)
from sencap.synthetic.layout import Occupancy, houses_along, make_roads
from sencap.synthetic.parts import (
    Compose,
    Unplaced,
    add_lonely_house,
    add_roads,
    add_standing_houses,
    need,
    pick_shape,
)
from sencap.synthetic.world import ADDED, BOTH, REMOVED, DrawnScene, House, Patch, Shape


def house_built(rng: np.random.Generator, scene: DrawnScene) -> None:
    """One house appears, alone or along a road."""
    # The houses of one place share a style, those that stand and those that come.
    style = house_style(rng, rural=bool(rng.random() < 0.5))
    if rng.random() < 0.35:
        if rng.random() < 0.4:
            add_roads(rng, scene, pick_shape(rng), BOTH)
            add_standing_houses(rng, scene, style, chance=0.4)
        add_lonely_house(rng, scene, ADDED)
        return
    roads = add_roads(rng, scene, pick_shape(rng), BOTH)
    # No room for it: the scene is drawn again. The house comes first, before those that
    # only stand take its plot.
    need(
        houses_along(
            rng, scene, int(rng.choice(roads)), style, most=1, dates=ADDED, margin=22
        )
    )
    add_standing_houses(rng, scene, style)


def houses_built(rng: np.random.Generator, scene: DrawnScene) -> None:
    """Two to six houses appear, mostly along roads that were there."""
    style = house_style(rng, rural=bool(rng.random() < 0.35))
    if rng.random() < 0.2:
        for _ in range(int(rng.integers(2, 5))):
            add_lonely_house(rng, scene, ADDED)
        return
    roads = add_roads(rng, scene, pick_shape(rng), BOTH)
    # Sides of a road as its direction tells them: −1 and 1, one of them or both.
    sides = (-1, 1) if rng.random() < 0.6 else (int(rng.choice([-1, 1])),)
    wanted = int(rng.integers(2, 7))
    placed = houses_along(
        rng,
        scene,
        int(rng.choice(roads)),
        style,
        sides=sides,
        most=wanted,
        dates=ADDED,
        margin=14,
    )
    need(placed, 2)
    add_standing_houses(rng, scene, style)


def house_row_built(rng: np.random.Generator, scene: DrawnScene) -> None:
    """A row of houses appears along one side of a road, or a row on both."""
    style = house_style(rng, dense=bool(rng.random() < 0.5))
    shape: Shape = "straight" if rng.random() < 0.6 else "curved"
    roads = add_roads(rng, scene, shape, BOTH)
    side = int(rng.choice([-1, 1]))
    sides = (side,) if rng.random() < 0.7 else (-1, 1)
    need(
        houses_along(rng, scene, roads[0], style, sides=sides, dates=ADDED, margin=4),
        # Three on each side, the fewest that are told as a row.
        3 * len(sides),
    )
    if len(sides) == 1 and rng.random() < 0.5:
        houses_along(
            rng, scene, roads[0], style, sides=(-side,), dates=BOTH, margin=-15
        )


def houses_demolished(rng: np.random.Generator, scene: DrawnScene) -> None:
    """One to three houses disappear and leave bare ground."""
    style = house_style(rng, rural=bool(rng.random() < 0.6))
    wanted = int(rng.integers(1, 4))
    if rng.random() < 0.3:
        add_lonely_house(rng, scene, REMOVED)
    else:
        roads = add_roads(rng, scene, pick_shape(rng), BOTH)
        need(
            houses_along(
                rng, scene, roads[0], style, most=wanted, dates=REMOVED, margin=18
            )
        )
        add_standing_houses(rng, scene, style, chance=0.7)
    # A demolished house leaves its ground bare at the later date.
    for house in [item for item in scene.houses if item.dates == REMOVED]:
        outline = rectangle(house.centre, house.angle, house.width + 5, house.depth + 5)
        scene.patches.append(Patch("clearing", outline, ADDED))


def house_rebuilt(rng: np.random.Generator, scene: DrawnScene) -> None:
    """A house gives way to another, larger one."""
    style = house_style(rng, rural=True)
    # The old house first, well inside the frame; the new one is about twice as wide and
    # deep, on the same plot.
    small = replace(style, width=18.0, depth=16.0)
    roads = add_roads(rng, scene, pick_shape(rng), BOTH)
    need(houses_along(rng, scene, roads[0], small, most=1, dates=REMOVED, margin=26))
    old = scene.houses[-1]
    # A dark roof becomes a light one and the other way round, so that the change is
    # seen.
    if sum(old.roof) < 330:
        red, green, blue = (min(int(value * 1.5 + 30), 235) for value in old.roof)
    else:
        red, green, blue = (int(value * 0.55) for value in old.roof)
    large = replace(
        style, width=float(rng.uniform(34, 44)), depth=float(rng.uniform(28, 36))
    )
    # The house's own +y, which points to its road. The larger one reaches back from
    # there by some pixels.
    facing = np.array([-math.sin(old.angle), math.cos(old.angle)])
    place = old.centre - facing * 6
    new = make_house(
        rng, large, place, facing, ADDED, to_road=12.0, road=old.road, side=old.side
    )
    scene.houses.append(replace(new, roof=(red, green, blue)))
    add_standing_houses(rng, scene, style, chance=0.5, keep=0.4)


def road_built(rng: np.random.Generator, scene: DrawnScene) -> None:
    """A road, a crossing or several roads appear."""
    shape = pick_shape(rng, estate=bool(rng.random() < 0.3))
    add_roads(rng, scene, shape, ADDED)


def path_built(rng: np.random.Generator, scene: DrawnScene) -> None:
    """A dirt path appears, mostly through the woods."""
    shape: Shape = ("straight", "curved", "winding")[int(rng.integers(3))]
    scene.roads += make_roads(
        rng, shape, ADDED, surface="dirt", width=float(rng.uniform(4.5, 7.4))
    )
    scene.shape = shape


def _pool_at(rng: np.random.Generator, house: House) -> Points:
    """The outline of a pool behind a house."""
    # In the house's own coordinates +y is the front: the garden lies at negative y.
    local = np.array(
        [[float(rng.uniform(-0.25, 0.25)) * house.width, -house.depth / 2 - 11.0]]
    )
    centre = to_world(local, house.centre, house.angle)[0]
    if rng.random() < 0.5:
        return rectangle(
            centre, house.angle, float(rng.uniform(14, 20)), float(rng.uniform(8, 11))
        )
    return blob(rng, centre, float(rng.uniform(5, 7)), 1.5)


def pool_built(rng: np.random.Generator, scene: DrawnScene) -> None:
    """A swimming pool appears behind a house that was there."""
    add_roads(rng, scene, pick_shape(rng), BOTH)
    style = house_style(rng)
    placed = sum(
        houses_along(rng, scene, index, style, keep=0.7)
        for index in range(len(scene.roads))
    )
    need(placed)
    occupancy = Occupancy(scene)
    # A pool must lie in the frame as a whole: it is small, and half of one would not be
    # known for a pool.
    for index in rng.permutation(len(scene.houses)):
        outline = _pool_at(rng, scene.houses[int(index)])
        if occupancy.is_free(outline, gap=2) and inside_frame(outline, 4.0).all():
            scene.patches.append(Patch("pool", outline, ADDED, float(rng.random())))
            return
    raise Unplaced


def house_and_pool_built(rng: np.random.Generator, scene: DrawnScene) -> None:
    """A house with a swimming pool appears."""
    house_built(rng, scene)
    house = next(item for item in scene.houses if item.dates == ADDED)
    outline = _pool_at(rng, house)
    if (
        not Occupancy(scene).is_free(outline, gap=2)
        or not inside_frame(outline, 4.0).all()
    ):
        raise Unplaced
    scene.patches.append(Patch("pool", outline, ADDED, float(rng.random())))


def road_and_houses_built(rng: np.random.Generator, scene: DrawnScene) -> None:
    """A new road with houses along it."""
    style = house_style(rng, dense=bool(rng.random() < 0.35))
    roads = add_roads(rng, scene, pick_shape(rng), ADDED)
    # The share of the plots that are built on, so that some rows have gaps.
    keep = float(rng.uniform(0.45, 1.0))
    sides = (-1, 1) if rng.random() < 0.8 else (int(rng.choice([-1, 1])),)
    placed = 0
    for index in roads:
        placed += houses_along(
            rng, scene, index, style, sides=sides, dates=ADDED, keep=keep
        )
    need(placed, 2)


def neighbourhood_built(rng: np.random.Generator, scene: DrawnScene) -> None:
    """A whole estate: several roads and many houses on what was woods or bare land."""
    style = house_style(rng, dense=bool(rng.random() < 0.6))
    roads = add_roads(rng, scene, pick_shape(rng, estate=True), ADDED)
    # Sometimes a road across joins the parallel ones.
    if scene.shape == "parallel" and rng.random() < 0.25:
        scene.shape = "crossroad"
        main = scene.roads[0]
        angle = direction(main) + math.pi / 2
        centre = rng.uniform(80, 176, 2)
        extra = make_roads(
            rng, "straight", ADDED, surface=main.surface, width=main.width
        )[0]
        way = np.array([[math.cos(angle), math.sin(angle)]])
        # It runs across the others, through the frame, and starts and ends outside of
        # it.
        along = np.linspace(-400, 400, 201)[:, None] * way
        scene.roads.append(replace(extra, points=centre + along))
    placed = sum(
        houses_along(rng, scene, index, style, dates=ADDED, margin=-4)
        for index in roads
    )
    need(placed, 8)


def houses_completed(rng: np.random.Generator, scene: DrawnScene) -> None:
    """The plots of a partly built estate are filled: the roads and some houses were
    there."""
    style = house_style(rng, dense=bool(rng.random() < 0.6))
    roads = add_roads(rng, scene, pick_shape(rng, estate=True), BOTH)
    # Of fewer than a twelfth of the plots none is built on: the estate begins empty.
    standing = float(rng.uniform(0.0, 0.5))
    if standing > 0.08:
        for index in roads:
            houses_along(
                rng, scene, index, style, dates=BOTH, keep=standing, margin=-15
            )
    placed = sum(
        houses_along(rng, scene, index, style, dates=ADDED, margin=0, keep=0.85)
        for index in roads
    )
    need(placed, 4)


# How each kind is composed, and its share of the changed pairs, about that of LEVIR-CC.
CHANGE_KINDS: dict[str, tuple[Compose, float]] = {
    "house_built": (house_built, 0.09),
    "houses_built": (houses_built, 0.13),
    "house_row_built": (house_row_built, 0.08),
    "houses_completed": (houses_completed, 0.1),
    "houses_demolished": (houses_demolished, 0.03),
    "house_rebuilt": (house_rebuilt, 0.03),
    "road_built": (road_built, 0.07),
    "path_built": (path_built, 0.03),
    "trees_cleared": (trees_cleared, 0.04),
    "building_built": (building_built, 0.06),
    "parking_built": (parking_built, 0.04),
    "pool_built": (pool_built, 0.02),
    "house_and_pool_built": (house_and_pool_built, 0.02),
    "road_and_houses_built": (road_and_houses_built, 0.13),
    "neighbourhood_built": (neighbourhood_built, 0.1),
    "road_and_building_built": (road_and_building_built, 0.03),
    "lake_formed": (lake_formed, 0.02),
}
