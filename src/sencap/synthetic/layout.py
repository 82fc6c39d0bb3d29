"""Where things stand: road networks, houses along roads, large buildings, woods."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from sencap.synthetic import noise
from sencap.synthetic.geometry import (
    FRAME,
    STEP,
    Points,
    bent,
    distance,
    inside_frame,
    resample_polyline,
    straight,
    tangents,
    to_world,
    winding,
)
from sencap.synthetic.houses import HouseStyle, make_house
from sencap.synthetic.world import (
    BOTH,
    CANVAS,
    PAD,
    Dates,
    DrawnScene,
    House,
    Road,
    Shape,
    Surface,
    Trees,
    YardTree,
    draw_polygon,
    draw_road,
    treeless,
)

MIDDLE = np.array([FRAME / 2, FRAME / 2])
ALL = 99  # more houses than a road in the frame has plots


class Occupancy:
    """Where anything built or water stands at either date, kept up to date while
    placing more.

    A drawn mask, on which any outline can be asked for: simpler than testing polygons
    in pairs.
    """

    def __init__(self, scene: DrawnScene) -> None:
        self._mask = Image.new("L", (CANVAS, CANVAS))
        self._pen = ImageDraw.Draw(self._mask)
        for road in scene.roads:
            draw_road(self._pen, road, 1, grow=1.0)
        for house in scene.houses:
            self.add(house.outline)
        for large in scene.large:
            self.add(large.outline)
        for patch in scene.patches:
            if patch.kind in ("pool", "lake"):
                self.add(patch.outline)

    def add(self, outline: Points) -> None:
        """Mark a polygon as taken."""
        draw_polygon(self._pen, outline, 1)

    def is_free(self, outline: Points, *, gap: float = 3.0) -> bool:
        """Whether nothing stands within about `gap` pixels of a convex outline (n,
        2)."""
        # Each corner moves outwards by the gap.
        centre = outline.mean(axis=0)
        spread = outline - centre
        reach = np.maximum(np.hypot(spread[:, 0], spread[:, 1]), 1.0)
        grown = centre + spread * (1 + gap / reach)[:, None] + PAD
        # Only the box around the outline is drawn and compared.
        left, top = np.maximum(np.floor(grown.min(axis=0)).astype(int), 0).tolist()
        right, bottom = np.minimum(
            np.ceil(grown.max(axis=0)).astype(int) + 1, CANVAS
        ).tolist()
        if right <= left or bottom <= top:
            return False
        wanted = Image.new("L", (right - left, bottom - top))
        moved = [(x - left, y - top) for x, y in grown.tolist()]
        ImageDraw.Draw(wanted).polygon(moved, fill=1)
        taken = np.asarray(self._mask.crop((left, top, right, bottom)))
        return not bool((np.asarray(wanted) & taken).any())

    def touches(self, outline: Points) -> bool:
        """Whether any outline of any form (n, 2) overlaps something built."""
        wanted = Image.new("L", (CANVAS, CANVAS))
        draw_polygon(ImageDraw.Draw(wanted), outline, 1)
        return bool((np.asarray(wanted) & np.asarray(self._mask)).any())


def houses_along(
    rng: np.random.Generator,
    scene: DrawnScene,
    road_index: int,
    style: HouseStyle,
    *,
    sides: Sequence[int] = (-1, 1),
    most: int = ALL,
    dates: Dates = BOTH,
    keep: float = 1.0,
    margin: float = 8.0,
) -> int:
    """Place houses along a road of the scene, from a random place on; returns how many
    were placed.

    `keep` is the chance that a free plot gets its house; `margin` keeps centres inside
    the frame; `most` is the largest number of houses.
    """
    road = scene.roads[road_index]
    occupancy = Occupancy(scene)
    directions = tangents(road.points)
    # Points of a road lie STEP pixels apart: every stride-th one has a plot on each
    # side.
    stride = max(round(style.spacing / STEP), 1)
    placed = 0
    # Plots: points of the road, one spacing apart, on each side.
    candidates: list[tuple[int, int]] = []
    for side in sides:
        first = int(rng.integers(stride))
        candidates += [
            (index, side) for index in range(first, len(road.points), stride)
        ]
    if most < ALL:  # the few houses wanted may stand anywhere along the road
        start = int(rng.integers(max(len(candidates), 1)))
        candidates = candidates[start:] + candidates[:start]
    others = np.concatenate([item.points for item in scene.roads])
    for index, side in candidates:
        if placed >= most:
            break
        tangent = directions[index]
        # The house stands across the road's direction: half the road, the front yard
        # and half the house away from the middle line.
        normal = np.array([-tangent[1], tangent[0]]) * side
        setback = style.setback * float(rng.uniform(0.9, 1.1))
        centre = road.points[index] + normal * (
            road.width / 2 + setback + style.depth / 2
        )
        if not inside_frame(centre[None], margin)[0] or rng.random() > keep:
            continue
        # At a bend or a crossing the house would stand on a road, its own or another.
        if (
            distance(centre, others)
            < road.width / 2 + style.depth / 2 + min(setback, 9.0) - 2
        ):
            continue
        # It faces the road, against the normal that led away from it.
        house = make_house(
            rng,
            style,
            centre,
            -normal,
            dates,
            to_road=setback,
            road=road_index,
            side=side,
        )
        if occupancy.is_free(house.outline):
            scene.houses.append(house)
            occupancy.add(house.outline)
            placed += 1
            _plant_yard(rng, scene, house, style)
    return placed


def _plant_yard(
    rng: np.random.Generator, scene: DrawnScene, house: House, style: HouseStyle
) -> None:
    """Some trees on a house's plot, there as long as the house is."""
    for _ in range(int(rng.poisson(style.yard_trees))):
        across = float(rng.uniform(-0.5, 0.5)) * style.spacing
        along = float(rng.choice([-1.0, 1.0])) * (
            house.depth / 2 + float(rng.uniform(5, 12))
        )
        x, y = to_world(np.array([[across, along]]), house.centre, house.angle)[0]
        radius = float(rng.uniform(2.0, 6.5))
        species = int(rng.integers(8))
        scene.yard.append(YardTree(float(x), float(y), radius, species, house.dates))


def make_roads(
    rng: np.random.Generator,
    shape: Shape,
    dates: Dates = BOTH,
    *,
    surface: Surface | None = None,
    width: float = 0.0,
) -> list[Road]:
    """The roads of one shape, all through the frame; a width of 0 picks a residential
    one."""
    width = width or float(rng.uniform(11, 17))  # 5.5 to 8.5 m
    if surface is None:
        surface = "asphalt" if rng.random() < 0.6 else "concrete"
    centre = rng.uniform(70, 186, size=2)
    if rng.random() < 0.65:  # most roads run along the image's axes, more or less
        angle = float(rng.choice([0.0, math.pi / 2])) + float(rng.normal(0, 0.12))
    else:
        angle = float(rng.uniform(0, math.pi))
    bow = float(rng.choice([-1.0, 1.0]) * rng.uniform(35, 110))
    lines = _lines(rng, shape, centre, angle, bow)
    bulb = 0.0
    if shape == "dead end":
        bulb = float(rng.uniform(15, 20))
    marked = bool(rng.random() < 0.25)
    return [Road(line, width, surface, dates, bulb, marked) for line in lines]


def _lines(
    rng: np.random.Generator, shape: Shape, centre: Points, angle: float, bow: float
) -> list[Points]:
    """The middle lines of the roads of one shape through a centre, the main road
    first."""
    direction = np.array([math.cos(angle), math.sin(angle)])
    normal = np.array([-direction[1], direction[0]])
    if shape == "straight":
        lines = [straight(centre, angle)]
    elif shape == "curved":
        lines = [bent(centre, angle, bow)]
    elif shape == "winding":
        sway, wave = float(rng.uniform(12, 30)), float(rng.uniform(150, 260))
        lines = [winding(centre, angle, sway, wave, phase=float(rng.uniform(0, 6)))]
    elif shape == "t-shaped":  # the second road leaves towards the middle, to be seen
        toward = np.copysign(1.0, (MIDDLE - centre) @ normal)
        side = angle + float(toward) * math.pi / 2 + float(rng.normal(0, 0.08))
        lines = [straight(centre, angle), straight(centre, side, before=0.0)]
    elif shape == "crossroad":
        across = angle + math.pi / 2 + float(rng.normal(0, 0.1))
        lines = [straight(centre, angle), straight(centre, across)]
    elif shape == "parallel":
        # Room for two rows of houses and their gardens.
        gap = float(rng.uniform(88, 118))
        middle = MIDDLE + normal * float(rng.uniform(-25, 25))
        offsets = (-gap, 0.0, gap) if rng.random() < 0.4 else (-gap / 2, gap / 2)
        lines = [straight(middle + normal * offset, angle) for offset in offsets]
    else:  # a dead end comes from outside, with a slight bend, and ends in the frame
        bend = centre - direction * 60 + normal * bow * 0.2
        lines = [resample_polyline(np.stack([centre - direction * 300, bend, centre]))]
    return lines


def plant_woods(
    rng: np.random.Generator, scene: DrawnScene, *, cover: float, size: float
) -> None:
    """Cover the scene with trees, patchy, then take out those that something built
    replaces.

    `cover` in 0..1 is the wooded share, `size` the usual crown radius in pixels.
    """
    # One tree per cell of a grid, moved at random within it.
    spacing = max(size * 1.45, 4.0)
    ticks = np.arange(-PAD, FRAME + PAD, spacing)
    grid = np.stack(np.meshgrid(ticks, ticks), -1).reshape(-1, 2)
    points = grid + rng.uniform(-0.55, 0.55, grid.shape) * spacing
    points = np.clip(points, -PAD + 1.0, FRAME + PAD - 2.0)
    # The chance of a tree follows a cloudy field, whose highest share `cover` is woods;
    # the edges of the woods are sharp in some scenes and loose in others.
    field = noise.crop(rng, "cover", CANVAS)
    # The field's value at each tree → a chance, by a logistic curve whose middle is the
    # value that the share cover of the field exceeds.
    columns, rows = (points + PAD).astype(int).T
    threshold = float(np.quantile(field[::8, ::8], 1.0 - cover))
    chance = 1.0 / (
        1.0 + np.exp(-(field[rows, columns] - threshold) * float(rng.uniform(3, 12)))
    )
    # Some trees stand alone in the open, and some gaps lie in the woods.
    chance = 0.03 * min(cover * 4, 1.0) + 0.95 * chance
    # Scrub: small bushes on some of the open ground.
    densest = 0.7 if rng.random() < 0.5 else 0.06
    scrub = float(rng.uniform(0, densest))
    low = noise.crop(rng, "cover", CANVAS)[rows, columns] > float(rng.normal(0.3, 0.5))
    chance = np.where(low & (chance < scrub), scrub, chance)
    if cover > 0.93:  # closed woods
        chance = np.full(len(points), 0.95)
    count = len(points)
    grown = rng.random(count) < chance
    # Sizes of crowns are skewed: many near the usual radius, a few large ones.
    radius = np.clip(size * np.exp(rng.normal(0, 0.28, count)), 1.5, 13.0)
    radius = np.where(low & (chance <= scrub), np.clip(radius * 0.42, 1.0, 3.2), radius)
    mix = float(rng.uniform(0, 1))  # the share of evergreens
    evergreen = rng.random(count) < mix
    species = np.where(evergreen, rng.integers(0, 4, count), rng.integers(4, 8, count))
    # The same trees at both dates; what is built takes out those it stands on, at the
    # dates at which it stands.
    before, after = (grown & ~treeless(scene, date)[rows, columns] for date in (0, 1))
    keep = before | after
    # Trees of the plots were placed with their houses, and join the others.
    yard = scene.yard
    places = np.array([(tree.x, tree.y) for tree in yard]).reshape(-1, 2)
    kinds = np.array([tree.species for tree in yard], np.int64)
    dates = np.array([tree.dates for tree in yard], np.bool_).reshape(-1, 2)
    scene.trees = Trees(
        points=np.concatenate([points[keep], places]),
        radius=np.concatenate([radius[keep], [tree.radius for tree in yard]]),
        species=np.concatenate([species[keep], kinds]).astype(np.int64),
        before=np.concatenate([before[keep], dates[:, 0]]),
        after=np.concatenate([after[keep], dates[:, 1]]),
    )
