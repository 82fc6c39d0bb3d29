"""What a synthetic scene holds: roads, buildings, water, trees, each with the dates it
exists at.

A scene is one world at two dates. Every element says whether it exists `before` and
`after`; a change is an element that exists at one date only, so an unchanged pair is
the same scene with every element frozen.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sencap.synthetic.geometry import FRAME, Points, rectangle, strip

# A scene is drawn with a margin: misregistration moves the frame by up to three pixels,
# and crowns and shadows reach in from outside.
PAD = 10
CANVAS = FRAME + 2 * PAD

Dates = tuple[bool, bool]  # whether a thing stands before, and after
BOTH: Dates = (True, True)
ADDED: Dates = (False, True)
REMOVED: Dates = (True, False)

Surface = Literal["asphalt", "concrete", "dirt"]
Shape = Literal[
    "straight", "curved", "winding", "t-shaped", "crossroad", "parallel", "dead end"
]
PaintColour = tuple[int, int, int]


@dataclass(frozen=True)
class Road:
    """A road or path: a polyline (n, 2) and its width in pixels.

    `bulb` is the radius of the turning circle at its end, 0 for none; `marked` roads
    have a broken line in the middle.
    """

    points: Points
    width: float
    surface: Surface
    dates: Dates = BOTH
    bulb: float = 0.0
    marked: bool = False

    @property
    def is_path(self) -> bool:
        """Whether people would call it a path rather than a road."""
        # Pixels of 0.5 m: below 4 m two cars cannot pass each other.
        return self.width < 8


@dataclass(frozen=True)
class Wing:
    """One rectangular part of a house, in the house's own coordinates (+y faces the
    road)."""

    x: float
    y: float
    width: float
    depth: float
    # A hip roof slopes on all four sides, a gable roof on two; the ridge runs along x
    # or y.
    hip: bool
    along_x: bool


@dataclass(frozen=True)
class House:
    """A house: wings under roofs, a driveway towards its road, and the plot it stands
    on.

    `road` is the index of its road in ``DrawnScene.roads`` (-1: none), `side` the side
    it stands on, 1 or -1. Lengths and the height of its ridge are in pixels.
    """

    centre: Points
    angle: float
    width: float
    depth: float
    wings: tuple[Wing, ...]
    roof: PaintColour
    height: float
    dates: Dates = BOTH
    drive: Points | None = None
    plot: Points | None = None
    plot_style: Literal["none", "lawn", "bare"] = "none"
    road: int = -1
    side: int = 0
    fenced: bool = False

    @property
    def outline(self) -> Points:
        """The rectangle that holds the whole house."""
        return rectangle(self.centre, self.angle, self.width, self.depth)


@dataclass(frozen=True)
class Block:
    """A large flat-roofed building with so many ventilation `units` on its roof."""

    centre: Points
    angle: float
    width: float
    depth: float
    roof: PaintColour
    height: float
    units: int
    dates: Dates = BOTH

    @property
    def outline(self) -> Points:
        """Its four corners."""
        return rectangle(self.centre, self.angle, self.width, self.depth)


@dataclass(frozen=True)
class Parking:
    """A parking lot; `filled` is the share of its bays that hold a car, `tone` its
    grey."""

    centre: Points
    angle: float
    width: float
    depth: float
    filled: float
    tone: int
    dates: Dates = BOTH

    @property
    def outline(self) -> Points:
        """Its four corners."""
        return rectangle(self.centre, self.angle, self.width, self.depth)


@dataclass(frozen=True)
class Patch:
    """An area of one kind; `tone` in 0..1 is its colour, `angle` the direction of a
    field."""

    kind: Literal["pool", "lake", "clearing", "field"]
    outline: Points
    dates: Dates = BOTH
    tone: float = 0.0
    angle: float = 0.0


@dataclass(frozen=True)
class Trees:
    """All trees: positions (n, 2), crown radius in pixels, species 0..7 (0..3
    evergreen), dates."""

    points: Points
    radius: NDArray[np.float64]
    species: NDArray[np.int64]
    before: NDArray[np.bool_]
    after: NDArray[np.bool_]


class YardTree(NamedTuple):
    """One tree on a house's plot; it is there as long as the house is."""

    x: float
    y: float
    radius: float
    species: int
    dates: Dates


def no_trees() -> Trees:
    """An empty set of trees."""
    none = np.zeros(0, np.bool_)
    return Trees(np.zeros((0, 2)), np.zeros(0), np.zeros(0, np.int64), none, none)


# All that has one pair of dates, so that one function freezes them.
Built = TypeVar("Built", Road, House, Block, Parking, Patch)


def _frozen(things: list[Built], date: int) -> list[Built]:
    """The things as they stood at a date, for both dates."""
    return [replace(thing, dates=(thing.dates[date],) * 2) for thing in things]


@dataclass
class DrawnScene:
    """One world at two dates. `grass` in 0..1 is how green the open ground is, 0 is
    bare soil.

    `shape` is that of its roads; `yard` the trees on plots, which `plant_woods` turns
    into `trees`.
    """

    kind: str
    # The textures of soil and grass belong to the world: the same at both dates.
    texture_seed: int
    soil: PaintColour
    grass: float
    shape: Shape = "straight"
    # All things of both dates: each one's own dates say when it stands.
    roads: list[Road] = field(default_factory=list)
    houses: list[House] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    parkings: list[Parking] = field(default_factory=list)
    patches: list[Patch] = field(default_factory=list)
    trees: Trees = field(default_factory=no_trees)
    yard: list[YardTree] = field(default_factory=list)

    @property
    def large(self) -> list[Block | Parking]:
        """Large buildings and parking lots."""
        return [*self.blocks, *self.parkings]

    def frozen(self, date: int) -> DrawnScene:
        """The same scene, unchanged: both dates show what stood at `date` (0 before, 1
        after)."""
        # Trees keep their dates in arrays, all others in a pair of their own.
        stands = (self.trees.before, self.trees.after)[date]
        return replace(
            self,
            # The kind named a change; nothing is left of it.
            kind="unchanged",
            roads=_frozen(self.roads, date),
            houses=_frozen(self.houses, date),
            blocks=_frozen(self.blocks, date),
            parkings=_frozen(self.parkings, date),
            patches=_frozen(self.patches, date),
            trees=replace(self.trees, before=stands, after=stands),
            yard=[],
        )


def draw_polygon(
    pen: ImageDraw.ImageDraw, points: Points, fill: int, scale: float = 1.0
) -> None:
    """Fill a polygon of frame coordinates, which may be empty, on a mask of the padded
    canvas."""
    # A road outside of the frame has an empty outline.
    if len(points) == 0:
        return
    pen.polygon(
        [((x + PAD) * scale, (y + PAD) * scale) for x, y in points.tolist()], fill=fill
    )


def draw_road(
    pen: ImageDraw.ImageDraw,
    road: Road,
    fill: int,
    grow: float = 0.0,
    scale: float = 1.0,
) -> None:
    """Draw a road, `grow` pixels wider on either side, on a mask of the padded
    canvas."""
    # A dead end has a turning circle, which the band alone would leave out.
    band = strip(road.points, road.width + 2 * grow)
    draw_polygon(pen, band, fill, scale)
    if road.bulb:
        (x, y), reach = (road.points[-1] + PAD) * scale, (road.bulb + grow) * scale
        pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=fill)


def treeless(scene: DrawnScene, date: int) -> NDArray[np.bool_]:
    """Where no tree can stand at a date: (CANVAS, CANVAS), by row and column with PAD
    added."""
    # Drawn on a mask, so that a tree is tested by one look at a pixel.
    mask = Image.new("L", (CANVAS, CANVAS))
    pen = ImageDraw.Draw(mask)
    for road in scene.roads:
        if road.dates[date]:
            draw_road(pen, road, 1, grow=3.5)
    # Trees keep some pixels away from walls, and off plots and driveways.
    for house in scene.houses:
        if house.dates[date]:
            grown = rectangle(
                house.centre, house.angle, house.width + 9, house.depth + 9
            )
            draw_polygon(pen, grown, 1)
            for extra in (house.plot, house.drive):
                if extra is not None:
                    draw_polygon(pen, extra, 1)
    # Large buildings and parking lots have a wider yard.
    for large in scene.large:
        if large.dates[date]:
            grown = rectangle(
                large.centre, large.angle, large.width + 12, large.depth + 12
            )
            draw_polygon(pen, grown, 1)
    for patch in scene.patches:
        if patch.dates[date]:
            draw_polygon(pen, patch.outline, 1)
    return np.asarray(mask, np.bool_)


def changed_region(scene: DrawnScene) -> NDArray[np.bool_]:
    """Where built things, water or clearings stand at one date only, misregistration
    aside.

    Returns (FRAME, FRAME). Captions speak of this region; `render.render_mask` is what
    images show.
    """
    mask = Image.new("L", (CANVAS, CANVAS))
    pen = ImageDraw.Draw(mask)
    # Roads are drawn as bands, all other things as the polygon around them.
    changing: list[House | Block | Parking | Patch] = [
        *scene.houses,
        *scene.large,
        *scene.patches,
    ]
    for item in changing:
        if item.dates[0] != item.dates[1]:
            draw_polygon(pen, item.outline, 1)
    for road in scene.roads:
        if road.dates[0] != road.dates[1]:
            draw_road(pen, road, 1)
    # (CANVAS, CANVAS) → (FRAME, FRAME): captions are about what the frame shows.
    return np.asarray(mask, np.bool_)[PAD : PAD + FRAME, PAD : PAD + FRAME]
