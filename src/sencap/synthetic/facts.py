"""What is true of a change: counts, places, surroundings.

Captions say nothing that is not read off here. Distances are in pixels of 0.5 m; their
limits are where people would no longer say "along the road" or "beside the house".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sencap.synthetic.geometry import FRAME, Points, distance, inside_frame
from sencap.synthetic.world import (
    Block,
    DrawnScene,
    House,
    Parking,
    Road,
    Trees,
    changed_region,
)

# Pixels, about as many as a crown is wide.
CELL = 8
Ground = Literal["woods", "trees", "bareland", "grass", "open"]
_Place = Literal[
    "top", "bottom", "left", "right", "center",
    "upper left corner", "upper right corner",
    "lower left corner", "lower right corner",
]  # fmt: skip


SIDES: dict[str, _Place] = {
    "top": "top",
    "bottom": "bottom",
    "left": "left",
    "right": "right",
}
CORNERS: dict[tuple[str, ...], _Place] = {
    ("top", "left"): "upper left corner",
    ("top", "right"): "upper right corner",
    ("bottom", "left"): "lower left corner",
    ("bottom", "right"): "lower right corner",
}


@dataclass(frozen=True)
class Facts:
    """The truth about one changed pair.

    `place` is where all of the change lies (None if it spreads), `ground` what was
    there before, `cover` the share of the changed area that trees covered before,
    `region` the changed pixels (256, 256).
    """

    kind: str
    visible: bool
    region: NDArray[np.bool_]
    place: _Place | None
    ground: Ground
    cover: float
    houses: int = 0
    gone: int = 0
    small_house: bool = False
    roads: int = 0
    paths: int = 0
    shape: str = "straight"
    blocks: int = 0
    parkings: int = 0
    pools: int = 0
    lakes: int = 0
    along_old_road: bool = False
    along_new_road: bool = False
    both_sides: bool = False
    one_row: bool = False
    rows: int = 0
    roads_used: int = 1
    near_old_house: bool = False
    near_old_block: bool = False
    old_houses: int = 0
    at_crossing: bool = False
    dense: bool = False
    surrounded: bool = False
    cars: bool = False


def tree_cover(trees: Trees, standing: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The share of each 8-pixel cell that crowns cover: (32, 32)."""
    # Crowns are counted where their middle lies, as discs that do not overlap.
    area = np.zeros((FRAME // CELL, FRAME // CELL))
    chosen = standing & inside_frame(trees.points)
    columns, rows = (trees.points[chosen] / CELL).astype(int).T
    np.add.at(area, (rows, columns), np.pi * trees.radius[chosen] ** 2 / CELL**2)
    # The mean over each cell and its eight neighbours, since crowns reach over the
    # cells' edges.
    padded = np.pad(area, 1, mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    return np.asarray(np.clip(around.mean(axis=(2, 3)), 0.0, 1.0), np.float64)


def place_of(region: NDArray[np.bool_]) -> _Place | None:
    """The word for where a region lies, or None if it spreads too far for one.

    A side is named when nine tenths of the region lie in that half and its centre
    within 3/8 of that edge.
    """
    # Pixels' middles as shares of the frame, 0 at the upper left.
    rows, columns = np.nonzero(region)
    if len(rows) == 0:
        return None
    x, y = (columns + 0.5) / FRAME, (rows + 0.5) / FRAME
    middle_x, middle_y = float(x.mean()), float(y.mean())
    # A change that reaches over the middle by a few pixels is still on one side.
    left = middle_x < 0.375 and float((x < 0.5).mean()) >= 0.9
    right = middle_x > 0.625 and float((x > 0.5).mean()) >= 0.9
    top = middle_y < 0.375 and float((y < 0.5).mean()) >= 0.9
    bottom = middle_y > 0.625 and float((y > 0.5).mean()) >= 0.9
    sides = {"top": top, "bottom": bottom, "left": left, "right": right}
    named = tuple(side for side, holds in sides.items() if holds)
    # One side of each axis makes a corner, such as top and left.
    if len(named) == 2:
        return CORNERS[named]
    if named:
        return SIDES[named[0]]
    # The middle is named only for a change that is small enough to keep off all edges.
    central = (x > 0.2) & (x < 0.8) & (y > 0.2) & (y < 0.8)
    if (
        abs(middle_x - 0.5) < 0.13
        and abs(middle_y - 0.5) < 0.13
        and float(central.mean()) >= 0.95
    ):
        return "center"
    return None


def _ground(scene: DrawnScene, cover: float) -> Ground:
    """The word for what was there before."""
    # Trees come before the ground: woods hide what lies below.
    if cover >= 0.55:
        return "woods"
    if cover >= 0.22:
        return "trees"
    # Between bare and green the ground has a neutral word, since people would not
    # agree.
    if scene.grass < 0.38:
        return "bareland"
    if scene.grass > 0.68:
        return "grass"
    return "open"


def _seen(houses: list[House]) -> list[House]:
    """Houses of which at least about half lies in the frame."""
    centres = np.array([house.centre for house in houses]).reshape(-1, 2)
    shown = inside_frame(centres, 1.0)
    return [house for house, is_shown in zip(houses, shown, strict=True) if is_shown]


def _visible_roads(roads: list[Road]) -> list[Road]:
    """Roads with at least 60 pixels in the frame."""
    # Its points lie 4 pixels apart.
    return [road for road in roads if int(inside_frame(road.points).sum()) >= 15]


def _near(houses: list[House], points: Points, reach: float) -> bool:
    """Whether every house lies within `reach` pixels of some of the points."""
    return bool(houses) and all(
        distance(house.centre, points) < reach for house in houses
    )


def _road_points(roads: list[Road]) -> Points:
    """All points of some roads within the frame."""
    if not roads:
        return np.zeros((0, 2))
    points = np.concatenate([road.points for road in roads])
    return points[inside_frame(points, -10.0)]


def _at_crossing(scene: DrawnScene, houses: list[House]) -> bool:
    """Whether the roads cross within the frame, close to the houses."""
    if scene.shape not in ("crossroad", "t-shaped") or len(scene.roads) < 2:
        return False
    # Where the second road comes nearest to the first.
    first, second = scene.roads[0].points, scene.roads[1].points
    gaps = np.array([distance(point, first) for point in second])
    corner = second[int(gaps.argmin())]
    if not inside_frame(corner[None], 12)[0]:
        return False
    # The houses' median distance, since one that stands far off does not move the
    # others from the corner.
    return not houses or bool(
        np.median([float(np.hypot(*(house.centre - corner))) for house in houses]) < 90
    )


def gather(scene: DrawnScene) -> Facts:
    """Read the facts of a scene's change off its elements."""
    region = changed_region(scene)
    # Pixels (256, 256) → the changed share of each cell (32, 32), by which tree cover
    # is weighted.
    cells = region.reshape(FRAME // CELL, CELL, FRAME // CELL, CELL).mean(axis=(1, 3))
    covered = tree_cover(scene.trees, scene.trees.before)
    cover = float((covered * cells).sum() / max(cells.sum(), 1e-9))
    # What a caption counts is what is seen, not what stands beyond the frame.
    added = _seen([house for house in scene.houses if house.dates == (False, True)])
    gone = _seen([house for house in scene.houses if house.dates == (True, False)])
    stay = _seen([house for house in scene.houses if house.dates == (True, True)])
    new_roads = _visible_roads(
        [road for road in scene.roads if road.dates == (False, True)]
    )
    old_roads = _visible_roads(
        [road for road in scene.roads if all(road.dates) and not road.is_path]
    )
    subjects = added or gone
    # Houses of one side of one road make a row; lonely houses have no road (-1).
    sides = {(house.road, house.side) for house in subjects if house.road >= 0}
    roads_used = {road for road, _ in sides}
    blocks = [block for block in scene.blocks if block.dates == (False, True)]
    parkings = [parking for parking in scene.parkings if parking.dates == (False, True)]
    patches = [patch for patch in scene.patches if patch.dates == (False, True)]
    old_centres = np.array([house.centre for house in stay]).reshape(-1, 2)
    solid: list[House | Block | Parking] = [*subjects, *blocks, *parkings]
    # The middles of what changed, by which "beside" and "along" are judged.
    pools = [patch.outline for patch in patches if patch.kind == "pool"]
    middles = [item.centre for item in solid]
    middles += [outline.mean(axis=0) for outline in pools]
    spots = np.array(middles).reshape(-1, 2)
    trees_after = tree_cover(scene.trees, scene.trees.after)
    return Facts(
        kind=scene.kind,
        visible=_is_visible(
            scene, region, cover, len(added) + len(gone), len(new_roads)
        ),
        region=region,
        place=place_of(region),
        ground=_ground(scene, cover),
        cover=cover,
        houses=len(added),
        gone=len(gone),
        # 560 square pixels are 140 m².
        small_house=bool(added)
        and max(house.width * house.depth for house in added) < 560,
        roads=sum(not road.is_path for road in new_roads),
        paths=sum(road.is_path for road in new_roads),
        shape=scene.shape,
        blocks=len(blocks),
        parkings=len(parkings),
        pools=len(pools),
        lakes=sum(patch.kind == "lake" for patch in patches),
        along_old_road=_along(subjects, spots, old_roads),
        along_new_road=_along(subjects, spots, new_roads),
        both_sides=bool(roads_used) and len(sides) == 2 * len(roads_used),
        one_row=len(sides) == 1 and len(subjects) >= 3,
        rows=sum(side_count >= 3 for side_count in _row_lengths(subjects)),
        roads_used=len(roads_used),
        near_old_house=len(spots) > 0
        and all(distance(spot, old_centres) < 72 for spot in spots),
        near_old_block=bool(parkings)
        and any(all(block.dates) for block in scene.blocks),
        old_houses=len(stay),
        at_crossing=_at_crossing(scene, subjects),
        dense=len(added) >= 12,
        surrounded=bool(
            (trees_after * (cells > 0)).sum() / max((cells > 0).sum(), 1) > 0.3
        ),
        cars=any(parking.filled > 0.35 for parking in parkings),
    )


def _row_lengths(houses: list[House]) -> list[int]:
    """How many of the houses stand on each side of each road."""
    counts: dict[tuple[int, int], int] = {}
    for house in houses:
        if house.road >= 0:
            counts[house.road, house.side] = counts.get((house.road, house.side), 0) + 1
    return list(counts.values())


def _along(houses: list[House], spots: Points, roads: list[Road]) -> bool:
    """Whether all houses stand along the roads; without houses, whether all large
    things do."""
    points = _road_points(roads)
    if houses:
        return _near(houses, points, 62)
    return len(spots) > 0 and all(distance(spot, points) < 90 for spot in spots)


def _is_visible(
    scene: DrawnScene, region: NDArray[np.bool_], cover: float, houses: int, roads: int
) -> bool:
    """Whether the change can be seen and is what its kind says, given the houses and
    roads in the frame."""
    kind = scene.kind
    # Single trees taken off grass are hardly missed: most of the place must be woods.
    if kind == "trees_cleared":
        return cover > 0.4 and int(region.sum()) > 1500
    # What the kind's name promises must be in the frame, else captions would name what
    # nobody sees.
    needs_road = any(word in kind for word in ("road", "neighbourhood", "path"))
    several = kind == "road_built" and scene.shape in (
        "t-shaped",
        "crossroad",
        "parallel",
    )
    if needs_road and roads < (2 if several else 1):
        return False
    if houses == 0 and any(house.dates[0] != house.dates[1] for house in scene.houses):
        return False
    return int(region.sum()) > 90
