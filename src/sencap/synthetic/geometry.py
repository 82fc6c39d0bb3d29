"""Plane geometry of the synthetic scenes: rectangles, roads as polylines, distances.

Coordinates are pixels of the 256-pixel frame (0.5 m each), x to the right and y down;
points are (n, 2). An angle a stands for the unit vectors u = (cos a, sin a) and v =
(-sin a, cos a).

By hand, since a library of geometry (Shapely) would be a dependency of the core for a
dozen lines: outlines are only made here; what overlaps what is asked of a drawn mask
(`layout.Occupancy`).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

FRAME = 256  # pixels of the image's side
STEP = 4.0  # pixels between two points of a polyline
REACH = 420.0  # a road runs so far to either side of its centre, out of the frame from any place


def to_world(local: Points, centre: Points, angle: float) -> Points:
    """Points (n, 2) given along (u, v) around a centre, in frame coordinates."""
    cosine, sine = math.cos(angle), math.sin(angle)
    turn = np.array([[cosine, sine], [-sine, cosine]])
    return np.asarray(local @ turn + centre, np.float64)


def rectangle(centre: Points, angle: float, width: float, depth: float) -> Points:
    """The four corners of a turned rectangle: `width` along u and `depth` along v."""
    half = (
        np.array([[-width, -depth], [width, -depth], [width, depth], [-width, depth]])
        / 2
    )
    return to_world(half, centre, angle)


def blob(
    rng: np.random.Generator, centre: Points, radius: float, aspect: float = 1.0
) -> Points:
    """A smooth round-ish outline (48, 2) around a centre: a pond, a clearing, a
    bush."""
    turn = np.linspace(0.0, 2 * math.pi, 48, endpoint=False)
    # A circle whose radius swings twice, three and five times in a turn, each time
    # less.
    wobble = np.ones_like(turn)
    for order in (2, 3, 5):
        wobble += rng.normal(0.0, 0.22 / order) * np.cos(
            order * turn + rng.uniform(0, 2 * math.pi)
        )
    circle = np.stack([np.cos(turn) * aspect, np.sin(turn)], 1)
    local = radius * np.clip(wobble, 0.5, 1.6)[:, None] * circle
    return to_world(local, centre, float(rng.uniform(0, math.pi)))


def resample_polyline(points: Points) -> Points:
    """The same polyline with a point about every ``STEP`` pixels."""
    lengths = np.hypot(*np.diff(points, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    count = max(int(along[-1] / STEP), 1) + 1
    wanted = np.linspace(0.0, along[-1], count)
    return np.stack([np.interp(wanted, along, points[:, axis]) for axis in (0, 1)], 1)


def straight(centre: Points, angle: float, before: float = REACH) -> Points:
    """A straight road through a point; it begins `before` pixels ahead of it."""
    direction = np.array([math.cos(angle), math.sin(angle)])
    return resample_polyline(
        np.stack([centre - before * direction, centre + REACH * direction])
    )


def bent(centre: Points, angle: float, bow: float) -> Points:
    """An arc-like road through a point: `bow` is how far it leaves its tangent at 200
    pixels."""
    along = np.arange(-REACH, REACH + STEP, STEP)
    # A parabola: near its vertex it looks like an arc, and needs no case for a bow of
    # 0.
    local = np.stack([along, bow * (along / 200.0) ** 2], 1)
    return resample_polyline(to_world(local, centre, angle))


def winding(
    centre: Points, angle: float, sway: float, wave: float, phase: float
) -> Points:
    """A road that swings to both sides of a straight line by `sway` pixels every `wave`
    pixels."""
    along = np.arange(-REACH, REACH + STEP, STEP)
    # The phase's own swing is taken off, so that the road runs through the centre.
    swing = sway * (np.sin(2 * math.pi * along / wave + phase) - math.sin(phase))
    return resample_polyline(to_world(np.stack([along, swing], 1), centre, angle))


def tangents(points: Points) -> Points:
    """Unit tangents (n, 2) of a polyline."""
    slope = np.gradient(points, axis=0)
    lengths = np.maximum(np.hypot(slope[:, 0], slope[:, 1]), 1e-9)
    return np.asarray(slope / lengths[:, None], np.float64)


def strip(points: Points, width: float) -> Points:
    """The outline of a band of a width along a polyline, cut off well outside of the
    frame."""
    near = np.flatnonzero(inside_frame(points, -40.0))
    if len(near) == 0:
        return np.zeros((0, 2))
    # One point more at either end, so that the band reaches beyond the margin.
    part = points[max(near[0] - 1, 0) : near[-1] + 2]
    ways = tangents(part)
    aside = np.stack([-ways[:, 1], ways[:, 0]], 1) * (width / 2)
    # There along one side and back along the other.
    return np.concatenate([part + aside, (part - aside)[::-1]])


def distance(point: Points, others: Points) -> float:
    """The distance from one point to the nearest of others (n, 2); infinite if there
    are none."""
    if len(others) == 0:
        return math.inf
    return float(np.hypot(others[:, 0] - point[0], others[:, 1] - point[1]).min())


def inside_frame(points: Points, margin: float = 0.0) -> NDArray[np.bool_]:
    """Which of the points (n, 2) lie in the frame, at least `margin` pixels from its
    edge."""
    return np.asarray(
        ((points > margin) & (points < FRAME - margin)).all(axis=1), np.bool_
    )
