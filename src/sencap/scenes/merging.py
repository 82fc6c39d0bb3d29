"""Neighbouring windows that tell of one change, as one feature."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from sencap.rasters import Grid
from sencap.rasters.grid import moved_by, reprojected
from sencap.scenes.ground import Ring
from sencap.scenes.rows import Row
from sencap.scenes.scene import Scene
from sencap.scenes.tiling import Tiling

# Of a corner: row, column.
Place = tuple[int, int]


def merge(rows: Sequence[Row], scene: Scene) -> list[Row]:
    """The rows, in which windows side by side that tell a change in the same words have
    become one.

    Its polygon is the ground that is their own (see `Tiling.cell`), its number the
    least, its probability the highest of theirs; `Row.windows` says how many they are.
    Other rows stay.
    """
    tiling = scene.tiling
    # Windows that tell no change stay by themselves: there is nothing to outline.
    changed = {row.window: row for row in rows if row.changed}
    merged = [row for row in rows if not row.changed]
    while changed:
        group = _group(next(iter(changed)), changed, tiling)
        together = [changed.pop(number) for number in sorted(group)]
        merged.append(together[0] if len(together) == 1 else _as_one(together, scene))
    return sorted(merged, key=lambda row: row.window)


def _group(first: int, rows: dict[int, Row], tiling: Tiling) -> set[int]:
    """The numbers of the windows that hang together with one, and say the same."""
    # From window to window as far as the same words go. Only the four beside a window
    # touch it along an edge.
    group, waiting = {first}, [first]
    across = len(tiling.lefts)
    while waiting:
        number = waiting.pop()
        _, column = tiling.place(number)
        beside = [number - across, number + across]
        # The last window of a row and the first of the next have neighbouring numbers
        # and lie far apart.
        beside += [number - 1] if column else []
        beside += [number + 1] if column + 1 < across else []
        for other in beside:
            is_same = other in rows and rows[other].caption == rows[number].caption
            if is_same and other not in group:
                group.add(other)
                waiting.append(other)
    return group


def _as_one(rows: Sequence[Row], scene: Scene) -> Row:
    # Caption, probability and the like are those of the window that is surest.
    best = max(rows, key=lambda row: row.change_probability or 0.0)
    top, left = min(row.row for row in rows), min(row.column for row in rows)
    seen = sum(row.height * row.width for row in rows)
    # Shares of windows of unlike size: the mean by pixels.
    valid = sum(row.valid * row.height * row.width for row in rows) / seen
    outline = outlines([row.window for row in rows], scene.tiling)
    outer, *holes = [_placed(ring, scene.grid, scene.crs) for ring in outline]
    return replace(
        best,
        window=rows[0].window,
        row=top,
        column=left,
        height=max(row.row + row.height for row in rows) - top,
        width=max(row.column + row.width for row in rows) - left,
        polygon=outer,
        holes=holes,
        valid=round(valid, 4),
        pixels=sum(row.pixels for row in rows),
        windows=len(rows),
    )


def outlines(numbers: Iterable[int], tiling: Tiling) -> list[list[Place]]:
    """The corners, in pixels, around the own ground of windows that hang together: the
    outer ring, then those around holes. The ground lies to the left of each edge."""
    edges: set[tuple[Place, Place]] = set()
    for number in numbers:
        row, column, height, width = tiling.cell(number)
        bottom, right = row + height, column + width
        ring = [
            (row, column),
            (bottom, column),
            (bottom, right),
            (row, right),
            (row, column),
        ]
        for one, other in pairwise(ring):
            # Of two windows side by side the common edge runs both ways, and is none of
            # the outline.
            if (other, one) in edges:
                edges.remove((other, one))
            else:
                edges.add((one, other))
    # The outer ring is the first that one meets from above.
    return sorted(_rings(edges), key=min)


def _rings(edges: set[tuple[Place, Place]]) -> list[list[Place]]:
    """Edges as closed rings, without corners on straight lines."""
    # For each corner the ends of the edges that begin there: one, or two where windows
    # touch at that corner alone.
    following: dict[Place, list[Place]] = defaultdict(list)
    for one, other in sorted(edges):
        following[one].append(other)
    rings = []
    for start in list(following):
        path = [start]
        while following[path[-1]]:
            reached = following[path[-1]].pop()
            if reached not in path:
                path.append(reached)
                continue
            # Two windows may touch at a corner alone. A ring ends wherever it touches
            # itself, so that each is a valid polygon.
            begun = path.index(reached)
            rings.append(_without_straight_corners(path[begun:]))
            del path[begun + 1 :]
    return rings


def _without_straight_corners(ring: Sequence[Place]) -> list[Place]:
    around = zip([ring[-1], *ring[:-1]], ring, [*ring[1:], ring[0]], strict=True)
    return [corner for before, corner, after in around if _turn(before, corner, after)]


def _turn(before: Place, corner: Place, after: Place) -> int:
    """Above 0 for a turn to the left on the map, on which rows grow downwards."""
    down, right = corner[0] - before[0], corner[1] - before[1]
    return (after[1] - corner[1]) * down - (after[0] - corner[0]) * right


def _placed(ring: Sequence[Place], grid: Grid, crs: object) -> Ring:
    # (row, column) of pixels to (x, y) of the map.
    points = [(float(column), float(row)) for row, column in ring]
    if grid.is_placed:
        points = [moved_by(grid.transform, column, row) for column, row in points]
    return reprojected(points, grid.crs, crs)
