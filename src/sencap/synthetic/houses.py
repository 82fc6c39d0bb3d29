"""What a house is made of: styles of neighbourhoods, roofs, driveways, plots."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sencap.synthetic.geometry import Points, blob, rectangle, to_world
from sencap.synthetic.world import Dates, House, PaintColour, Wing

# Shingles, tiles, slate, and a white one.
ROOFS: tuple[PaintColour, ...] = (
    (96, 94, 94), (124, 120, 116), (110, 99, 90), (124, 100, 80), (74, 74, 78), (158, 136, 110),
    (166, 116, 84), (222, 222, 218), (110, 120, 130), (136, 128, 118), (88, 80, 76),
    (150, 142, 132),
)  # fmt: skip


@dataclass(frozen=True)
class HouseStyle:
    """What the houses of one neighbourhood share; lengths in pixels of 0.5 m.

    `spacing` is the way from one house to the next along the road, `setback` that from
    the road's edge to the front, `yard_trees` the mean number of trees on a plot.
    """

    width: float
    depth: float
    spacing: float
    setback: float
    roofs: tuple[PaintColour, ...]
    plot: Literal["none", "lawn", "bare"]
    fenced: bool
    yard_trees: float


def house_style(
    rng: np.random.Generator, *, dense: bool = False, rural: bool = False
) -> HouseStyle:
    """A style: dense estates have narrow deep houses close together, rural ones stand
    far apart."""
    # Ranges in pixels of 0.5 m.
    widths, depths, gaps = (
        ((17, 24), (26, 34), (4, 9)) if dense else ((23, 36), (20, 32), (9, 22))
    )
    width, depth = float(rng.uniform(*widths)), float(rng.uniform(*depths))
    common = np.where(np.min(ROOFS, axis=1) > 200, 0.3, 1.0)  # white roofs are rarer
    family = rng.choice(
        len(ROOFS), size=int(rng.integers(1, 4)), p=common / common.sum()
    )
    gap = float(rng.uniform(*gaps))
    plot: Literal["none", "lawn", "bare"] = "none"
    setbacks, trees = (8, 15), (0.0, 0.3)
    if rural:
        gap += float(rng.uniform(20, 50))
        setbacks = (18, 40)
    elif rng.random() < 0.6:
        plot, trees = "lawn", (0.2, 1.6)
    else:
        plot = "bare"
    return HouseStyle(
        width=width,
        depth=depth,
        spacing=width + gap,
        setback=float(rng.uniform(*setbacks)),
        roofs=tuple(ROOFS[index] for index in family),
        plot=plot,
        fenced=bool(plot == "lawn" and rng.random() < 0.5),
        yard_trees=float(rng.uniform(*trees)),
    )


def _wings(rng: np.random.Generator, width: float, depth: float) -> tuple[Wing, ...]:
    """A main roof with up to two smaller ones, in the order they are drawn: later lie
    on top."""
    hip = bool(rng.random() < 0.65)
    # The main roof lies towards the back; garage and porch reach out to the front,
    # where the road is (+y).
    main_depth = depth * float(rng.uniform(0.6, 0.78))
    shift = (depth - main_depth) / 2
    side = float(rng.choice([-1.0, 1.0]))
    main = Wing(0.0, -shift, width, main_depth, hip, along_x=width >= main_depth)
    garage_width = width * float(rng.uniform(0.38, 0.5))
    garage = Wing(
        side * (width - garage_width) / 2,
        0.0,
        garage_width,
        depth * 0.99,
        bool(rng.random() < 0.7),
        along_x=False,
    )
    wings = [garage, main]
    if rng.random() < 0.5:
        porch_width = width * float(rng.uniform(0.25, 0.35))
        porch_depth = depth * float(rng.uniform(0.55, 0.7))
        forward = (depth - porch_depth) / 2 - shift * 0.8
        wings.append(
            Wing(-side * width * 0.22, forward, porch_width, porch_depth, hip, False)
        )
    if rng.random() < 0.3:  # a plainer house
        wings = [garage, main]
        if depth < 24:
            wings = [main]
    return tuple(wings)


def make_house(
    rng: np.random.Generator,
    style: HouseStyle,
    centre: Points,
    facing: Points,
    dates: Dates,
    *,
    to_road: float = 0.0,
    road: int = -1,
    side: int = 0,
) -> House:
    """A house of a style. `facing` is the unit vector to its road, `to_road` the way
    from there."""
    width = style.width * float(rng.uniform(0.92, 1.08))
    depth = style.depth * float(rng.uniform(0.92, 1.08))
    # So that the house's +y points to the road.
    angle = math.atan2(-facing[0], facing[1])
    roof = np.array(style.roofs[rng.integers(len(style.roofs))], float)
    base = roof * rng.uniform(0.95, 1.35)
    red, green, blue = np.clip(base + rng.normal(0, 3, 3), 40, 218).astype(int).tolist()
    wings = _wings(rng, width, depth)
    drive = plot = None
    plot_style = style.plot
    # No fixed plot: a clearing of its own.
    if style.plot == "none" and rng.random() < 0.75:
        plot_style = "lawn" if rng.random() < 0.4 else "bare"
        radius = max(width, depth) * float(rng.uniform(0.65, 1.1))
        plot = blob(rng, centre, radius, float(rng.uniform(1.0, 1.5)))
    if to_road > 0:
        garage = wings[0]
        drive_width = min(garage.width * 0.8, 13.0)
        local = np.array([[garage.x, depth / 2 + to_road / 2]])
        drive = rectangle(
            to_world(local, centre, angle)[0], angle, drive_width, to_road + 3
        )
        if style.plot != "none":  # from the road to a garden behind the house
            garden = 14.0
            plot_depth = depth + to_road + garden - 1
            middle = np.array([[0.0, (to_road - garden) / 2 - 1]])
            plot = rectangle(
                to_world(middle, centre, angle)[0], angle, style.spacing, plot_depth
            )
    return House(
        centre=centre, angle=angle, width=width, depth=depth, wings=wings, roof=(red, green, blue),
        height=float(rng.uniform(9, 14)), dates=dates, drive=drive, plot=plot,
        plot_style=plot_style, road=road, side=side, fenced=style.fenced,
    )  # fmt: skip
