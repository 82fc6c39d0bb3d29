"""Hard-edged things, drawn at twice the resolution: roads, roofs, cars, pools, parking
lots.

The same strokes are drawn twice: in colours on a `Canvas`, which gives the picture, and
in classes on a `LabelCanvas`, which gives the mask of change. So the mask is exact by
construction.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sencap.synthetic.geometry import (
    Points,
    inside_frame,
    rectangle,
    strip,
    tangents,
    to_world,
)
from sencap.synthetic.look import Look
from sencap.synthetic.world import (
    CANVAS,
    PAD,
    Block,
    Dates,
    DrawnScene,
    House,
    PaintColour,
    Parking,
    Patch,
    Road,
    Wing,
    draw_polygon,
)

Paint = tuple[float, ...] | NDArray[np.float64]
Ink = tuple[int, int, int, int] | int

# The values of a mask of change, as LEVIR-MCI stores them.
SAME, PAVED, BUILDING = 0, 128, 255

SCALE = 2  # subpixels per pixel and axis, so that edges come out soft
PITCH = math.radians(30)  # of every roof
HEIGHT_STEPS = 6  # levels of the height map per pixel of height
DIRT = (206.0, 188.0, 156.0)
PAVEMENT = {"asphalt": (132.0, 130.0, 128.0), "concrete": (178.0, 172.0, 162.0)}
KERB = (198, 192, 180)
CAR_COLOURS: tuple[PaintColour, ...] = (
    (236, 236, 234), (222, 222, 222), (40, 42, 46), (64, 66, 72), (150, 152, 156),
    (150, 40, 36), (52, 72, 118), (190, 180, 160),
)  # fmt: skip


class Canvas:
    """A drawing of one date at twice the resolution, and the heights of what stands on
    the ground.

    Points and widths are pixels of the frame, colours lie on a 0..255 scale.
    """

    # The fourth channel is the cover: what is not drawn stays clear, and lets the
    # ground through.
    mode = "RGBA"

    def __init__(self, look: Look) -> None:
        self.look = look
        side = CANVAS * SCALE
        self.image = Image.new(self.mode, (side, side))
        self.pen = ImageDraw.Draw(self.image)
        self.heights = Image.new("L", (CANVAS, CANVAS))
        self.height_pen = ImageDraw.Draw(self.heights)

    def begin(self, dates: Dates, label: int) -> None:
        """Say what the next strokes belong to; a picture in colours need not know."""

    def ink(self, colour: Paint) -> Ink:
        """What the pen is filled with for a colour."""
        red, green, blue = (min(max(int(value), 0), 255) for value in colour)
        return (red, green, blue, 255)

    def polygon(self, points: Points, colour: Paint) -> None:
        """Fill a polygon."""
        flat = [((x + PAD) * SCALE, (y + PAD) * SCALE) for x, y in points.tolist()]
        self.pen.polygon(flat, fill=self.ink(colour))

    def line(self, points: Points, colour: Paint, width: float) -> None:
        """Draw a polyline of a width."""
        flat = [((x + PAD) * SCALE, (y + PAD) * SCALE) for x, y in points.tolist()]
        self.pen.line(flat, fill=self.ink(colour), width=max(round(width * SCALE), 1))

    def band(self, points: Points, colour: Paint, width: float) -> None:
        """Draw a road's surface along a polyline."""
        outline = strip(points, width)
        if len(outline):
            self.polygon(outline, colour)

    def disc(self, centre: Points, radius: float, colour: Paint) -> None:
        """Fill a circle."""
        x, y = ((float(value) + PAD) * SCALE for value in centre)
        reach = radius * SCALE
        self.pen.ellipse(
            (x - reach, y - reach, x + reach, y + reach), fill=self.ink(colour)
        )

    def raise_to(self, points: Points, height: float) -> None:
        """Give a polygon a height above ground in pixels."""
        draw_polygon(self.height_pen, points, int(min(height, 40) * HEIGHT_STEPS))

    def layers(
        self,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """At image resolution: colour times cover (h, w, 3), cover (h, w, 1), heights
        (h, w)."""
        # What is not drawn is black and clear, so the mean of subpixels is already
        # colour × cover.
        drawn = np.asarray(self.image.reduce(SCALE), np.float32)
        heights = np.asarray(self.heights, np.float32) / np.float32(HEIGHT_STEPS)
        return drawn[..., :3], drawn[..., 3:] / np.float32(255.0), heights


class LabelCanvas(Canvas):
    """The same drawing in classes: the label of what changes, `SAME` where other things
    hide it."""

    mode = "L"

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self.label = SAME

    def begin(self, dates: Dates, label: int) -> None:
        """Draw the next strokes with this label if they belong to one date only."""
        # What stands at both dates hides what lies below it, so it is drawn too, as no
        # change.
        self.label = SAME if dates[0] == dates[1] else label

    def ink(self, colour: Paint) -> Ink:  # noqa: ARG002 (a label has no colour)
        """The label, whatever the colour."""
        return self.label

    def raise_to(self, points: Points, height: float) -> None:
        """A mask has no heights."""

    def labels(self) -> Image.Image:
        """The labels at image resolution (CANVAS, CANVAS): a pixel has the highest of
        its parts."""
        fine = np.asarray(self.image).reshape(CANVAS, SCALE, CANVAS, SCALE)
        return Image.fromarray(fine.max(axis=(1, 3)))


def road_colour(road: Road, look: Look) -> NDArray[np.float64]:
    """The colour of a road's surface at a date."""
    if road.surface == "dirt":
        return np.array(DIRT)
    return np.array(PAVEMENT[road.surface]) * look.asphalt


def draw_roads(canvas: Canvas, scene: DrawnScene, date: int) -> None:
    """All roads of a date: kerbs first, so that crossings stay open, then surfaces,
    then lines."""
    standing = [road for road in scene.roads if road.dates[date]]
    for road in standing:
        canvas.begin(road.dates, PAVED)
        if road.surface != "dirt" and not road.is_path:
            canvas.band(road.points, KERB, road.width + 2)
            if road.bulb:
                canvas.disc(road.points[-1], road.bulb + 1, KERB)
    for road in standing:
        canvas.begin(road.dates, PAVED)
        colour = road_colour(road, canvas.look)
        canvas.band(road.points, colour, road.width)
        if road.bulb:
            canvas.disc(road.points[-1], road.bulb, colour)
    for road in standing:
        canvas.begin(road.dates, PAVED)
        if road.marked and not road.is_path and road.surface == "asphalt":
            # A broken line: of every three steps of the polyline the first is drawn.
            for start in range(0, len(road.points) - 2, 3):
                canvas.line(road.points[start : start + 2], (206, 200, 170), 0.7)


def draw_house_ground(canvas: Canvas, house: House) -> None:
    """A house's driveway and fence; a fence is no change that anybody would mark."""
    if house.drive is not None:
        canvas.begin(house.dates, PAVED)
        canvas.polygon(house.drive, (206, 200, 188))
    if house.fenced and house.plot is not None and len(house.plot) == 4:
        canvas.begin(house.dates, SAME)
        for first, second in ((0, 1), (1, 2), (3, 0)):  # open towards the road
            canvas.line(house.plot[[first, second]], (112, 96, 76), 0.8)


def _face(
    canvas: Canvas, points: Points, normal: Points, colour: NDArray[np.float64]
) -> None:
    """One roof face; `normal` is its downhill direction in the plane."""
    look = canvas.look
    # Lambert's law: the cosine between the face's normal (sin, cos of the pitch) and
    # the sun, whose direction is (toward, slope). Faces away from the sun keep half of
    # the light, from the sky.
    toward = float(normal @ np.array(look.sun))
    lit = math.cos(PITCH) * look.slope + math.sin(PITCH) * toward
    light = 0.5 + 0.62 * max(lit, 0.0) / max(look.slope, 0.1)
    canvas.polygon(points, colour * min(light, 1.5))


def _walls(canvas: Canvas, base: Points, top: Points, colour: Paint) -> None:
    """The four walls between a base (4, 2) and its eaves; the roof hides those on the
    far side."""
    for first in range(4):
        second = (first + 1) % 4
        canvas.polygon(
            np.stack([base[first], base[second], top[second], top[first]]), colour
        )


def _roof(canvas: Canvas, house: House, wing: Wing) -> None:
    """A gable or hip roof over one wing, lit by the sun, on walls seen a little from
    the side."""
    # The ridge runs along `angle`, over a rectangle of length × breadth.
    angle, length, breadth = house.angle, wing.width, wing.depth
    if not wing.along_x:
        angle, length, breadth = angle + math.pi / 2, breadth, length
    middle = to_world(np.array([[wing.x, wing.y]]), house.centre, house.angle)[0]
    # A camera that does not stand right above sees high things moved by lean × height.
    eave = house.height * 0.55
    ridge = house.height * (0.8 + 0.2 * min(breadth / 26.0, 1.2))
    lean = np.array(canvas.look.lean)
    base = rectangle(middle, angle, length - 1.5, breadth - 1.5)
    top = rectangle(middle, angle, length, breadth) + lean * eave
    _walls(canvas, base, top, (168, 154, 136))
    # A hip roof's ridge is shorter than the roof; a gable roof's is as long.
    inset = min(breadth / 2, length * 0.48) if wing.hip else 0.0
    half = length / 2 - inset
    ends = to_world(np.array([[-half, 0.0], [half, 0.0]]), middle, angle) + lean * ridge
    along = np.array([math.cos(angle), math.sin(angle)])
    across = np.array([-along[1], along[0]])
    colour = np.array(house.roof, float)
    _face(canvas, np.stack([top[0], top[1], ends[1], ends[0]]), -across, colour)
    _face(canvas, np.stack([top[3], top[2], ends[1], ends[0]]), across, colour)
    if wing.hip:
        _face(canvas, np.stack([top[0], top[3], ends[0]]), -along, colour)
        _face(canvas, np.stack([top[1], top[2], ends[1]]), along, colour)
    canvas.line(ends, colour * 1.18, 0.6)
    # For shadows two steps do: the eaves all over, and a higher band along the ridge.
    canvas.raise_to(rectangle(middle, angle, length, breadth), eave)
    canvas.raise_to(
        rectangle(middle, angle, length - inset, breadth * 0.5), (eave + 2 * ridge) / 3
    )


def draw_house(canvas: Canvas, house: House) -> None:
    """All roofs of a house."""
    canvas.begin(house.dates, BUILDING)
    for wing in house.wings:
        _roof(canvas, house, wing)


def draw_block(canvas: Canvas, block: Block) -> None:
    """A large flat roof with a parapet and ventilation units."""
    canvas.begin(block.dates, BUILDING)
    lean = np.array(canvas.look.lean) * block.height
    base = block.outline
    top = base + lean
    _walls(canvas, base, top, (150, 140, 128))
    colour = np.array(block.roof, float)
    canvas.polygon(top, colour * 1.08)
    inner = (
        rectangle(block.centre, block.angle, block.width - 3, block.depth - 3) + lean
    )
    canvas.polygon(inner, colour * 0.96)
    # Seeded by the building, so that its units stand in the same places at both dates.
    rng = np.random.default_rng((block.units, int(block.width * 10)))
    for _ in range(block.units):
        local = rng.uniform(-0.42, 0.42, (1, 2)) * np.array([block.width, block.depth])
        spot = to_world(local, block.centre, block.angle)[0] + lean
        size = rng.uniform(2, 5)
        away = np.array(canvas.look.sun) * -1.4
        canvas.polygon(rectangle(spot + away, block.angle, size, size), colour * 0.55)
        canvas.polygon(rectangle(spot, block.angle, size, size), colour * 0.8 + 30)
    canvas.raise_to(block.outline, block.height)


def draw_parking(canvas: Canvas, parking: Parking, rng: np.random.Generator) -> None:
    """A paved lot with rows of bays of 2.7 m × 4.8 m; which bays hold a car differs by
    date."""
    canvas.begin(parking.dates, PAVED)
    tone = parking.tone * (0.5 + 0.5 * canvas.look.asphalt)
    canvas.polygon(
        rectangle(
            parking.centre, parking.angle, parking.width + 1.5, parking.depth + 1.5
        ),
        (190, 184, 172),
    )
    canvas.polygon(parking.outline, (tone, tone * 0.99, tone * 0.97))
    # Rows lie back to back in pairs, with a lane between two pairs.
    row = -parking.depth / 2 + 6.5
    while row < parking.depth / 2 - 4:
        for column in np.arange(-parking.width / 2 + 4, parking.width / 2 - 4, 5.4):
            corner = np.array([[column - 2.7, row - 4.8], [column - 2.7, row + 4.8]])
            canvas.line(
                to_world(corner, parking.centre, parking.angle), (214, 212, 206), 0.5
            )
            if rng.random() < parking.filled:
                spot = to_world(
                    np.array([[column, row]]), parking.centre, parking.angle
                )[0]
                draw_car(canvas, spot, parking.angle + math.pi / 2, rng)
        row += 26.0 if row > 0 else 24.0


def draw_car(
    canvas: Canvas, spot: Points, angle: float, rng: np.random.Generator
) -> None:
    """A car, 4.5 m by 2 m, with dark windows and a small shadow."""
    colour = np.array(CAR_COLOURS[rng.integers(len(CAR_COLOURS))], float)
    away = np.array(canvas.look.sun) * -1.2
    canvas.polygon(rectangle(spot + away, angle, 9.0, 4.2), (58, 58, 60))
    canvas.polygon(rectangle(spot, angle, 9.0, 4.0), colour)
    canvas.polygon(rectangle(spot, angle, 5.0, 3.2), colour * 0.5)
    canvas.polygon(rectangle(spot, angle, 3.0, 3.2), colour * 0.95)


def draw_road_cars(canvas: Canvas, scene: DrawnScene, date: int) -> None:
    """Cars on roads and driveways, new places at every date; in a mask a car is its
    ground."""
    seed = canvas.look.car_seed
    for number, road in enumerate(scene.roads):
        if not road.dates[date] or road.is_path or road.surface == "dirt":
            continue
        canvas.begin(road.dates, PAVED)
        rng = np.random.default_rng((seed, 0, number))
        ways = tangents(road.points)
        # About one car per 90 m, on the right lane or the left.
        for index in np.flatnonzero(inside_frame(road.points)):
            if rng.random() < 0.022:
                way = ways[index]
                normal = np.array([-way[1], way[0]]) * float(rng.choice([-1.0, 1.0]))
                spot = road.points[index] + normal * road.width * 0.27
                draw_car(canvas, spot, math.atan2(way[1], way[0]), rng)
    for number, house in enumerate(scene.houses):
        canvas.begin(house.dates, PAVED)
        rng = np.random.default_rng((seed, 1, number))
        if house.dates[date] and house.drive is not None and rng.random() < 0.4:
            draw_car(canvas, house.drive.mean(axis=0), house.angle + math.pi / 2, rng)


def draw_pool(canvas: Canvas, patch: Patch) -> None:
    """A pool with its paved border."""
    canvas.begin(patch.dates, PAVED)
    middle = patch.outline.mean(axis=0)
    canvas.polygon(middle + (patch.outline - middle) * 1.35, (208, 200, 186))
    canvas.polygon(patch.outline, (72 + 30 * patch.tone, 176, 192))
    canvas.polygon(
        middle + (patch.outline - middle) * 0.6, (58 + 30 * patch.tone, 164, 190)
    )


def draw_everything(canvas: Canvas, scene: DrawnScene, date: int) -> None:
    """Draw every built thing that stands at a date, from the ground up."""
    houses = [house for house in scene.houses if house.dates[date]]
    for number, parking in enumerate(scene.parkings):
        if parking.dates[date]:
            draw_parking(
                canvas,
                parking,
                np.random.default_rng((canvas.look.car_seed, 2, number)),
            )
    for house in houses:
        draw_house_ground(canvas, house)
    draw_roads(canvas, scene, date)
    for patch in scene.patches:
        if patch.dates[date] and patch.kind == "pool":
            draw_pool(canvas, patch)
    draw_road_cars(canvas, scene, date)
    for block in scene.blocks:
        if block.dates[date]:
            draw_block(canvas, block)
    for house in houses:
        draw_house(canvas, house)
